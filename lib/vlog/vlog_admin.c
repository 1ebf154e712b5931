/* SPDX-License-Identifier: BSD-2-Clause */
/* vlog_admin.c - value logs as things in a store: create, look up, list, delete (log/lineage.h). */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"
#include "log/log_probe.h"
#include "vlog/vlog_internal.h"

int lsvd_vlog_check_store(struct port *port, uint32_t flags)
{
	_Static_assert(LSVD_VLOG_UNSAFE_STORE == LSVD_OPEN_UNSAFE_STORE, "handed on as it is");
	return lsvd_probe_check(port, flags & (LSVD_VLOG_UNSAFE_STORE | CHECK_NO_PROBE), false);
}

static int check_flags(uint32_t flags)
{
	if (flags & ~LSVD_VLOG_UNSAFE_STORE)
		return lsvd_fail(-EINVAL, "flags are %#x, may be %#x", flags,
				 LSVD_VLOG_UNSAFE_STORE);
	return 0;
}

static int create_on(struct port *port, const char *name, uint32_t flags)
{
	struct fmt_volume record;
	int err;

	err = lsvd_lineage_describe(port->world, OBJECT_VLOG, name, NULL, &record);
	if (!err)
		err = lsvd_vlog_check_store(port, flags);
	return err ? err : lsvd_lineage_create(port, &record);
}

int lsvd_vlog_create_world(struct world *world, const char *name, uint32_t flags)
{
	struct port port;
	int err = lsvd_port_init(&port, world);

	if (err)
		return err;
	err = create_on(&port, name, flags);
	lsvd_port_fini(&port);
	return err;
}

int lsvd_vlog_create_flags(struct lsvd_store *store, const char *name, uint32_t flags)
{
	struct visit v;
	int err = check_flags(flags);

	if (!err)
		err = lsvd_visit_begin(&v, store);
	if (err)
		return err;
	err = create_on(&v.port, name, flags);
	lsvd_visit_end(&v);
	return err;
}

int lsvd_vlog_create(struct lsvd_store *store, const char *name)
{
	return lsvd_vlog_create_flags(store, name, 0);
}

int lsvd_vlog_lookup(struct lsvd_store *store, const char *name, struct lsvd_vlog_info *ret)
{
	struct lsvd_vlog_info info = { .size = sizeof info };
	struct fmt_volume record;
	int err = lsvd_lineage_lookup(store, OBJECT_VLOG, name, &record);

	if (err)
		return err;
	memcpy(info.name, record.name, sizeof info.name);
	lsvd_uuid_format(&record.uuid, info.uuid);
	info.created_ms = record.created_ms;
	return lsvd_options_fill(ret, &info, sizeof info, sizeof info, "value log info");
}

int lsvd_vlog_list(struct lsvd_store *store, lsvd_vlog_fn fn, void *ctx)
{
	struct names n = { NULL, 0, 0, 0 };
	int err = lsvd_lineage_names(store, OBJECT_VLOG, &n);

	for (size_t i = 0; i < n.count && !err; i++) {
		struct lsvd_vlog_info info = { .size = sizeof info };

		err = lsvd_vlog_lookup(store, n.names[i], &info);
		if (err == -ENOENT) {
			err = 0; /* deleted meanwhile */
			continue;
		}
		if (!err && fn(ctx, &info))
			break;
	}
	lsvd_free(n.names);
	return err;
}

static int delete_on(struct visit *v, const char *name, uint32_t flags)
{
	char uuid[UUID_TEXT_LEN + 1];
	struct fmt_volume record;
	uint64_t claim;
	int err;

	err = lsvd_lineage_find(&v->port, OBJECT_VLOG, name, &record);
	if (!err)
		err = lsvd_vlog_check_store(&v->port, flags | CHECK_NO_PROBE);
	if (!err)
		/* nobody gives it back */
		err = lsvd_lineage_take_away(&v->port, &record.uuid, &claim);
	if (err)
		return err;
	err = lsvd_lineage_forget(&v->port, &record);
	if (err)
		return err;
	err = lsvd_lineage_remove(v, &record.uuid);
	if (!err)
		return 0;
	lsvd_uuid_format(&record.uuid, uuid);
	return lsvd_fail_context(err, "value log %s: its name is gone, some of its objects "
				 "v/%s/… are not", name, uuid);
}

int lsvd_vlog_delete_flags(struct lsvd_store *store, const char *name, uint32_t flags)
{
	struct visit v;
	int err = check_flags(flags);

	if (!err && (!name || !lsvd_name_valid(name)))
		err = lsvd_fail(-EINVAL, "\"%s\" cannot be the name of a value log",
				name ? name : "(null)");
	if (!err)
		err = lsvd_visit_begin(&v, store);
	if (err)
		return err;
	err = delete_on(&v, name, flags);
	lsvd_visit_end(&v);
	return err;
}

int lsvd_vlog_delete(struct lsvd_store *store, const char *name)
{
	return lsvd_vlog_delete_flags(store, name, 0);
}
