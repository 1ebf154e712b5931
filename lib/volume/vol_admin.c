/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_admin.c - volumes as things in a store: create, look up, list, count, delete.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"
#include "format/fmt_key.h"
#include "log/lineage.h"
#include "log/log_probe.h"
#include "volume/vol_clone.h"
#include "volume/vol_users.h"
#include "volume/volume_internal.h"

int lsvd_vol_give_info(struct lsvd_volume_info *ret, const struct fmt_volume *record)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;

	memcpy(info.name, record->name, sizeof info.name);
	lsvd_uuid_format(&record->uuid, info.uuid);
	info.bytes = record->bytes;
	info.created_ms = record->created_ms;
	if (record->base.ancestors)
		lsvd_uuid_format(fmt_base_volume(&record->base), info.base_uuid);
	return lsvd_options_fill(ret, &info, sizeof info, sizeof info, "volume info");
}

/* --------------------------------------------------------------------------------------- create */

static int make_record(struct world *w, const char *name, uint64_t bytes, const char *uuid,
		       struct fmt_volume *ret)
{
	int err = lsvd_lineage_describe(w, OBJECT_VOLUME, name, uuid, ret);

	if (err)
		return err;
	if (bytes == 0 || bytes % SECTOR_BYTES || bytes > LSVD_VOLUME_MAX_BYTES)
		return lsvd_fail(-EINVAL, "volume %s: size %" PRIu64
				 " must be a multiple of %u, at most %" PRIu64, name, bytes,
				 SECTOR_BYTES, LSVD_VOLUME_MAX_BYTES);
	ret->bytes = bytes;
	return 0;
}

static int check_flags(uint32_t flags)
{
	if (flags & ~LSVD_OPEN_UNSAFE_STORE)
		return lsvd_fail(-EINVAL, "flags are %#x, may be %#x", flags,
				 LSVD_OPEN_UNSAFE_STORE);
	return 0;
}

static int create_on(struct port *port, const char *name, uint64_t bytes, const char *uuid,
		     uint32_t flags, struct lsvd_volume_info *ret)
{
	struct fmt_volume record;
	int err;

	err = check_flags(flags);
	if (!err)
		err = lsvd_options_check(ret, sizeof *ret, "volume info");
	if (!err)
		err = make_record(port->world, name, bytes, uuid, &record);
	if (!err)
		err = lsvd_probe_check(port, flags, false);
	if (!err && uuid)
		err = lsvd_lineage_refuse_gone(port, &record);
	if (err)
		return err;
	err = lsvd_lineage_create(port, &record);
	return err || !ret ? err : lsvd_vol_give_info(ret, &record);
}

int lsvd_volume_create_world(struct world *world, const char *name, uint64_t bytes,
			     const char *uuid, struct lsvd_volume_info *ret)
{
	struct port port;
	int err = lsvd_port_init(&port, world);

	if (err)
		return err;
	err = create_on(&port, name, bytes, uuid, 0, ret);
	lsvd_port_fini(&port);
	return err;
}

int lsvd_volume_create_flags(struct lsvd_store *store, const char *name, uint64_t bytes,
			     const char *uuid, uint32_t flags, struct lsvd_volume_info *ret)
{
	struct visit v;
	int err = lsvd_visit_begin(&v, store);

	if (err)
		return err;
	err = create_on(&v.port, name, bytes, uuid, flags, ret);
	lsvd_visit_end(&v);
	return err;
}

int lsvd_volume_create(struct lsvd_store *store, const char *name, uint64_t bytes, const char *uuid,
		       struct lsvd_volume_info *ret)
{
	return lsvd_volume_create_flags(store, name, bytes, uuid, 0, ret);
}

/* -------------------------------------------------------------------------------- look up, list */

int lsvd_volume_lookup(struct lsvd_store *store, const char *name, struct lsvd_volume_info *ret)
{
	struct fmt_volume record;
	int err = lsvd_lineage_lookup(store, OBJECT_VOLUME, name, &record);

	return err ? err : lsvd_vol_give_info(ret, &record);
}

int lsvd_volume_list(struct lsvd_store *store, lsvd_volume_fn fn, void *ctx)
{
	struct names n = { NULL, 0, 0, 0 };
	int err = lsvd_lineage_names(store, OBJECT_VOLUME, &n);

	for (size_t i = 0; i < n.count && !err; i++) {
		struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;

		err = lsvd_volume_lookup(store, n.names[i], &info);
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

/* ---------------------------------------------------------------------------------------- usage */

struct counting {
	struct lsvd_volume_usage *u;
	uint64_t newest_epoch, newest_seq;
};

static int count_object(void *ctx, const struct lsvd_object_info *info)
{
	struct counting *c = ctx;
	struct key_parts k;

	c->u->objects++;
	c->u->bytes += info->bytes;
	if (!lsvd_key_parse(&k, info->key))
		return 0;
	if (k.kind == KEY_FREE) {
		c->u->free_objects++;
		c->u->free_bytes += info->bytes;
	}
	if (k.kind == KEY_ROOT) {
		c->u->checkpoints++;
		c->u->checkpoint_bytes += info->bytes;
	}
	if (k.kind == KEY_CLAIM)
		c->u->claims++;
	if (k.kind != KEY_CHAIN)
		return 0;
	/* What begins and ends an epoch is a header without extents; a segment has some. */
	if (info->bytes > OBJECT_HEAD_BYTES + CHAIN_PART_BYTES) {
		c->u->segments++;
		c->u->segment_bytes += info->bytes;
	}
	if (k.epoch > c->newest_epoch || (k.epoch == c->newest_epoch && k.number > c->newest_seq)) {
		c->newest_epoch = k.epoch;
		c->newest_seq = k.number;
	}
	return 0;
}

/* The whole header of a chain object, verified; allocated. */
static int read_header(struct lsvd_store *store, const char *key, struct object_head *head,
		       uint8_t **ret)
{
	uint8_t first[OBJECT_HEAD_BYTES];
	uint8_t *header;
	size_t len;
	int err;

	err = lsvd_store_get(store, key, 0, first, sizeof first, &len);
	if (!err)
		err = lsvd_object_head_decode(head, first, len, key);
	if (err != -ENODATA)
		return err ? err : lsvd_fail(LSVD_E_CORRUPT, "object %s: no chain object", key);
	header = lsvd_malloc(head->header_bytes);
	if (!header)
		return lsvd_fail_plain(-ENOMEM);
	err = lsvd_store_get(store, key, 0, header, head->header_bytes, &len);
	if (!err)
		err = lsvd_object_head_decode(head, header, len, key);
	if (err) {
		lsvd_free(header);
		return err == -ENODATA ? lsvd_fail(LSVD_E_CORRUPT, "object %s: cut short", key)
				       : err;
	}
	*ret = header;
	return 0;
}

/* What the newest chain object says: a fence repeats what the one before it said. */
static int read_newest(struct lsvd_store *store, const struct uuid *uuid, struct counting *c)
{
	struct object_head head;
	struct chain_part chain;
	uint8_t *header = NULL;
	char key[KEY_CAP];
	int err;

	if (!c->newest_epoch)
		return 0;
	lsvd_key_chain(key, uuid, c->newest_epoch, c->newest_seq);
	err = read_header(store, key, &head, &header);
	if (err)
		return err;
	err = lsvd_chain_part_decode(&chain, header, &head, key);
	lsvd_free(header);
	if (err)
		return err;
	c->u->epoch = c->newest_epoch;
	c->u->ops = chain.last_op;
	c->u->volume_bytes = chain.volume_bytes;
	c->u->closed_cleanly = head.kind == OBJECT_CLOSE;
	return 0;
}

int lsvd_vol_size_now(struct visit *v, const struct fmt_volume *record, uint64_t epoch,
		      uint64_t seq, uint64_t *ret)
{
	struct lsvd_volume_usage u = { .volume_bytes = record->bytes };
	struct counting c = { &u, epoch, seq };
	unsigned tries = 0;
	int err;

	do {
		err = read_newest(v->store, &record->uuid, &c);
	} while (lsvd_try_again(&v->port, &tries, err));
	/* What has been deleted between the listing and the look has a successor. */
	if (!err || err == -ENOENT)
		*ret = u.volume_bytes ? u.volume_bytes : record->bytes;
	return err == -ENOENT ? 0 : err;
}

static int count_all(struct visit *v, const char *prefix, struct lsvd_volume_usage *u,
		     struct counting *c)
{
	unsigned tries = 0;
	int err;

	do {
		*u = (struct lsvd_volume_usage){ .size = sizeof *u };
		*c = (struct counting){ u, 0, 0 };
		err = lsvd_store_list(v->store, prefix, count_object, c);
	} while (lsvd_try_again(&v->port, &tries, err));
	return err;
}

int lsvd_volume_usage(struct lsvd_store *store, const char *name, struct lsvd_volume_usage *ret)
{
	struct lsvd_volume_usage u;
	struct counting c;
	struct fmt_volume record;
	char prefix[KEY_CAP];
	unsigned tries = 0;
	struct visit v;
	int err = lsvd_lineage_lookup(store, OBJECT_VOLUME, name, &record);

	if (!err)
		err = lsvd_visit_begin(&v, store);
	if (err)
		return err;
	lsvd_key_prefix(prefix, &record.uuid, 0);
	err = count_all(&v, prefix, &u, &c);
	u.objects++; /* the record */
	u.bytes += fmt_volume_bytes(&record);
	u.volume_bytes = record.bytes;
	if (!err)
		do {
			err = read_newest(store, &record.uuid, &c);
		} while (lsvd_try_again(&v.port, &tries, err));
	lsvd_visit_end(&v);
	return err ? err : lsvd_options_fill(ret, &u, sizeof u, sizeof u, "volume usage");
}

/* --------------------------------------------------------------------------------------- delete */

/* Said with what no name leads to any more. */
static int left_behind(int err, const struct fmt_volume *record, const char *what)
{
	char text[UUID_TEXT_LEN + 1];

	lsvd_uuid_format(&record->uuid, text);
	return lsvd_fail_context(err, "volume %s: %s; delete those of UUID %s", record->name, what,
				 text);
}

/* `err`: why. If it cannot be given back now, who deletes it next does that. */
static int give_back(struct visit *v, const struct fmt_volume *record, int err)
{
	char text[512];
	int back;

	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives what follows */
	back = lsvd_lineage_give_back(&v->port, &record->uuid);
	if (back)
		return lsvd_fail_context(back, "volume %s: %s", record->name, text);
	lsvd_error_restore(text);
	return err;
}

/*
 * A deletion that was cut off has left its claim, but somebody needs the volume: so it stays one.
 */
static int give_back_if_taken(struct visit *v, const struct fmt_volume *record, int err)
{
	uint64_t claim;
	char text[512];
	bool taken;

	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives what follows */
	taken = lsvd_lineage_is_taken(&v->port, &record->uuid, &claim);
	lsvd_error_restore(text);
	return taken ? give_back(v, record, err) : err;
}

/* Nobody needs it, now that nobody new can; or it is given back, perhaps by another deletion. */
static int take_for_good(struct visit *v, const struct fmt_volume *record, uint64_t claim)
{
	int err = lsvd_vol_refuse_base(v, record, false);

	if (!err)
		err = lsvd_lineage_take_for_good(&v->port, &record->uuid, claim);
	if (err == -EBUSY)
		return give_back(v, record, err);
	return err ? lsvd_fail_context(err, "volume %s: nobody opens it before it is deleted again",
				       record->name) : 0;
}

static int delete_on(struct visit *v, const char *name, uint32_t flags)
{
	struct fmt_volume record;
	uint64_t claim;
	int err;

	err = lsvd_lineage_find(&v->port, OBJECT_VOLUME, name, &record);
	if (!err)
		err = lsvd_probe_check(&v->port, flags | CHECK_NO_PROBE, false);
	if (!err) {
		err = lsvd_vol_refuse_base(v, &record, false);
		if (err == -EBUSY)
			err = give_back_if_taken(v, &record, err);
	}
	if (!err)
		err = lsvd_lineage_take_away(&v->port, &record.uuid, &claim);
	if (err)
		return err;
	err = take_for_good(v, &record, claim);
	if (err)
		return err;
	err = lsvd_lineage_forget(&v->port, &record);
	if (err)
		return left_behind(err, &record, "if its name is gone, its objects are not");
	/* First, for its record, which says what base it has, is gone. */
	err = lsvd_vol_leave_base(&v->port, &record);
	if (!err)
		err = lsvd_lineage_remove(v, &record.uuid);
	return err ? left_behind(err, &record, "its name is gone, some of its objects are not") : 0;
}

int lsvd_volume_delete_flags(struct lsvd_store *store, const char *name, uint32_t flags)
{
	struct visit v;
	int err = check_flags(flags);

	if (!err && (!name || !lsvd_name_valid(name)))
		err = lsvd_fail(-EINVAL, "\"%s\" cannot be the name of a volume",
				name ? name : "(null)");
	if (!err)
		err = lsvd_visit_begin(&v, store);
	if (err)
		return err;
	err = delete_on(&v, name, flags);
	lsvd_visit_end(&v);
	return err;
}

int lsvd_volume_delete_world(struct world *world, const char *name)
{
	struct visit v;
	int err = lsvd_visit_begin_world(&v, world);

	if (err)
		return err;
	err = delete_on(&v, name, 0);
	lsvd_visit_end(&v);
	return err;
}

int lsvd_volume_delete(struct lsvd_store *store, const char *name)
{
	return lsvd_volume_delete_flags(store, name, 0);
}

int lsvd_vol_find_uuid(struct port *port, const struct uuid *uuid, char ret_name[LSVD_NAME_MAX + 1])
{
	struct names n = { NULL, 0, 0, 0 };
	struct fmt_volume record;
	int err = lsvd_lineage_names_on(port, OBJECT_VOLUME, &n);
	bool found = false;

	for (size_t i = 0; i < n.count && !err && !found; i++) {
		err = lsvd_lineage_find(port, OBJECT_VOLUME, n.names[i], &record);
		found = !err && lsvd_uuid_equal(&record.uuid, uuid);
		if (err == -ENOENT)
			err = 0; /* deleted meanwhile */
	}
	lsvd_free(n.names);
	if (!err && found)
		memcpy(ret_name, record.name, sizeof record.name);
	return err ? err : found ? 0 : -ENOENT;
}

/* A deletion that was cut off may have left a base that a clone found there just before. */
static int purge_on(struct visit *v, const struct uuid *uuid, const char *text)
{
	struct fmt_volume record = { .uuid = *uuid };
	int err = lsvd_vol_find_uuid(&v->port, uuid, record.name);
	uint64_t claim;

	if (!err)
		return lsvd_fail(-EBUSY, "volume %s has a name: delete it by that", text);
	if (err != -ENOENT)
		return err;
	if (!lsvd_lineage_is_taken(&v->port, uuid, &claim))
		return lsvd_fail(-EBUSY, "%s is not known as a volume that was deleted", text);
	(void)snprintf(record.name, sizeof record.name, "%s", text); /* a UUID: fits */
	err = lsvd_vol_refuse_base(v, &record, true);
	if (!err)
		err = lsvd_lineage_take_for_good(&v->port, uuid, claim);
	return err ? err : lsvd_lineage_remove(v, uuid);
}

int lsvd_volume_purge(struct lsvd_store *store, const char *text)
{
	struct uuid uuid;
	struct visit v;
	int err;

	if (!text || !lsvd_uuid_parse(&uuid, text))
		return lsvd_fail(-EINVAL, "\"%s\" is not a UUID", text ? text : "(null)");
	err = lsvd_visit_begin(&v, store);
	if (err)
		return err;
	err = purge_on(&v, &uuid, text);
	lsvd_visit_end(&v);
	return err;
}
