/* SPDX-License-Identifier: BSD-2-Clause */
/* vlog_admin.c - value logs as things in a store: create, look up, list, delete (log/lineage.h). */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"
#include "log/log_probe.h"
#include "vlog/vlog_internal.h"

static int create_on(struct port *port, const char *name)
{
	struct fmt_volume record;
	int err;

	err = lsvd_lineage_describe(port->world, OBJECT_VLOG, name, NULL, &record);
	if (!err)
		err = lsvd_probe_check(port, 0, false);
	return err ? err : lsvd_lineage_create(port, &record);
}

int lsvd_vlog_create_world(struct world *world, const char *name)
{
	struct port port;
	int err = lsvd_port_init(&port, world);

	if (err)
		return err;
	err = create_on(&port, name);
	lsvd_port_fini(&port);
	return err;
}

int lsvd_vlog_create(struct lsvd_store *store, const char *name)
{
	struct visit v;
	int err = lsvd_visit_begin(&v, store);

	if (err)
		return err;
	err = create_on(&v.port, name);
	lsvd_visit_end(&v);
	return err;
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

static int delete_on(struct visit *v, const char *name)
{
	struct obj_io io = { .io = { .kind = IO_REMOVE } };
	struct fmt_volume record;
	int err;

	err = lsvd_lineage_find(&v->port, OBJECT_VLOG, name, &record);
	if (!err)
		err = lsvd_lineage_take_away(&v->port, &record.uuid);
	if (err)
		return err;
	lsvd_key_record(io.key, OBJECT_VLOG, name);
	err = lsvd_lineage_run(&v->port, &io);
	if (err)
		return err;
	err = lsvd_lineage_remove(v, &record.uuid);
	return err ? lsvd_fail_context(err, "value log %s: its name is gone, some of its objects are "
				       "not", name)
		   : 0;
}

int lsvd_vlog_delete(struct lsvd_store *store, const char *name)
{
	struct visit v;
	int err;

	if (!name || !lsvd_name_valid(name))
		return lsvd_fail(-EINVAL, "\"%s\" cannot be the name of a value log",
				 name ? name : "(null)");
	err = lsvd_visit_begin(&v, store);
	if (err)
		return err;
	err = delete_on(&v, name);
	lsvd_visit_end(&v);
	return err;
}
