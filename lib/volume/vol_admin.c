/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_admin.c - volumes as things in a store: create, look up, list, count, delete.
 *
 * A volume is its record, volumes/<name>, created if absent: the name is taken by whoever created
 * it. Everything else lies below v/<uuid>/, so that a name used again does not meet what an earlier
 * volume of that name left behind.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"
#include "format/fmt_key.h"
#include "io/world_real.h"
#include "volume/vol_probe.h"
#include "volume/volume_internal.h"

#define PREFIX_VOLUMES "volumes/"

/* -------------------------------------------------------------------------------------- the record */

#define TRIES 6u
#define PAUSE_MS 100u

static void pause_for(struct port *port, uint64_t ms)
{
	struct timer_io t = { .io = { .kind = IO_TIMER } };

	t.at_ms = port->world->clk->now_ms(port->world) + ms;
	(void)lsvd_port_run1(port, &t.io); /* a timer ends; early would do as well */
}

/* Is a failure worth another try? Then it has paused before it says so. */
static bool try_again(struct port *port, unsigned *tries, int err)
{
	if (err != LSVD_E_UNAVAILABLE || *tries == TRIES)
		return false;
	pause_for(port, (uint64_t)PAUSE_MS << (*tries)++);
	return true;
}

/* What may pass is tried again for some seconds, as the log does with its own requests. */
int lsvd_vol_run_patiently(struct port *port, struct obj_io *io)
{
	unsigned tries = 0;
	int err;

	do {
		err = lsvd_port_run1(port, &io->io);
	} while (try_again(port, &tries, err));
	return err;
}

int lsvd_vol_get_object(struct port *port, const char *key, uint8_t **ret, size_t *ret_len,
			size_t max)
{
	struct obj_io io = { .io = { .kind = IO_GET }, .len = max + 1 };
	int err;

	(void)snprintf(io.key, sizeof io.key, "%s", key); /* keys fit */
	io.buf = lsvd_malloc(io.len);
	if (!io.buf)
		return lsvd_fail_plain(-ENOMEM);
	err = lsvd_vol_run_patiently(port, &io);
	if (!err && io.ret_len > max)
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: more than %zu bytes", key, max);
	if (err) {
		lsvd_free(io.buf);
		return err;
	}
	*ret = io.buf;
	*ret_len = io.ret_len;
	return 0;
}

static int read_record(struct port *port, const char *key, struct fmt_volume *ret)
{
	uint8_t *buf;
	size_t len;
	int err = lsvd_vol_get_object(port, key, &buf, &len, FMT_VOLUME_BYTES);

	if (err)
		return err;
	err = lsvd_volume_record_decode(ret, buf, len, key);
	lsvd_free(buf);
	return err;
}

int lsvd_vol_record_get(struct port *port, const char *name, struct fmt_volume *ret)
{
	char key[KEY_CAP];
	int err;

	lsvd_key_volume(key, name);
	err = read_record(port, key, ret);
	if (err == LSVD_E_CORRUPT)
		err = read_record(port, key, ret); /* an answer may be damaged */
	if (err == -ENOENT)
		return lsvd_fail(-ENOENT, "volume %s: there is none in %s", name,
				 port->world->obj->name(port->world));
	if (!err && strcmp(ret->name, name) != 0)
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: is the record of volume %s", key,
				ret->name);
	return err;
}

static void describe(struct lsvd_volume_info *ret, const struct fmt_volume *record)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;

	memcpy(info.name, record->name, sizeof info.name);
	lsvd_uuid_format(&record->uuid, info.uuid);
	info.bytes = record->bytes;
	info.created_ms = record->created_ms;
	*ret = info;
}

/* A port on a world without a cache directory, for the length of one call. */
struct visit {
	struct lsvd_store *store;
	struct world *world;
	struct port port;
};

static int visit_begin(struct visit *v, struct lsvd_store *store)
{
	int err = lsvd_world_real_open(&v->world, store, NULL, false);

	if (err)
		return err;
	v->store = store;
	err = lsvd_port_init(&v->port, v->world);
	if (err)
		lsvd_world_real_close(v->world);
	return err;
}

static void visit_end(struct visit *v)
{
	lsvd_port_fini(&v->port);
	lsvd_world_real_close(v->world);
}

/* ------------------------------------------------------------------------------------------- create */

static int make_record(struct world *w, const char *name, uint64_t bytes, const char *uuid,
		       struct fmt_volume *ret)
{
	memset(ret, 0, sizeof *ret);
	if (!name || !lsvd_name_valid(name))
		return lsvd_fail(-EINVAL, "volume name \"%s\": must be 1 to %u of A-Z a-z 0-9 _ . - and "
				 "not begin with . or -", name ? name : "(null)", LSVD_NAME_MAX);
	if (bytes == 0 || bytes % SECTOR_BYTES || bytes > LSVD_VOLUME_MAX_BYTES)
		return lsvd_fail(-EINVAL, "volume %s: size %" PRIu64 " must be a multiple of %u, at most "
				 "%" PRIu64, name, bytes, SECTOR_BYTES, LSVD_VOLUME_MAX_BYTES);
	if (uuid && !lsvd_uuid_parse(&ret->uuid, uuid))
		return lsvd_fail(-EINVAL, "volume %s: \"%s\" is not a UUID", name, uuid);
	if (!uuid) {
		w->rnd->fill(w, ret->uuid.b, sizeof ret->uuid.b);
		lsvd_uuid_stamp(&ret->uuid);
	}
	(void)snprintf(ret->name, sizeof ret->name, "%s", name); /* checked to fit */
	ret->bytes = bytes;
	ret->created_ms = w->clk->wall_ms(w);
	return 0;
}

/* 0, or -EEXIST: another's record has the name. An answer that was lost is looked for there. */
static int put_record(struct port *port, const char *key, const uint8_t bytes[FMT_VOLUME_BYTES])
{
	struct iovec iov = { (void *)(uintptr_t)bytes, FMT_VOLUME_BYTES };
	struct obj_io io = { .io = { .kind = IO_PUT }, .iov = &iov, .iovcnt = 1 };
	uint8_t *there;
	size_t len;
	int err;

	memcpy(io.key, key, KEY_CAP);
	err = lsvd_port_run1(port, &io.io);
	if (err != LSVD_E_UNAVAILABLE)
		return err;
	err = lsvd_vol_run_patiently(port, &io);
	if (err != -EEXIST)
		return err;
	err = lsvd_vol_get_object(port, key, &there, &len, FMT_VOLUME_BYTES);
	if (err)
		return err;
	err = len == FMT_VOLUME_BYTES && memcmp(there, bytes, len) == 0 ? 0 : -EEXIST;
	lsvd_free(there);
	return err;
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
	struct lsvd_store_probe probe;
	uint8_t buf[FMT_VOLUME_BYTES];
	struct fmt_volume record;
	char key[KEY_CAP];
	int err;

	err = check_flags(flags);
	if (!err)
		err = make_record(port->world, name, bytes, uuid, &record);
	if (!err)
		err = lsvd_vol_check_store(port, flags, false, &probe);
	if (err)
		return err;
	lsvd_volume_record_encode(buf, &record);
	lsvd_key_volume(key, name);
	err = put_record(port, key, buf);
	if (err == -EEXIST)
		return lsvd_fail(-EEXIST, "volume %s exists in %s: nothing was changed", name,
				 port->world->obj->name(port->world));
	if (!err && ret)
		describe(ret, &record);
	return err;
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
	int err = visit_begin(&v, store);

	if (err)
		return err;
	err = create_on(&v.port, name, bytes, uuid, flags, ret);
	visit_end(&v);
	return err;
}

int lsvd_volume_create(struct lsvd_store *store, const char *name, uint64_t bytes, const char *uuid,
		       struct lsvd_volume_info *ret)
{
	return lsvd_volume_create_flags(store, name, bytes, uuid, 0, ret);
}

/* ----------------------------------------------------------------------------------- look up, list */

static int record_of(struct lsvd_store *store, const char *name, struct fmt_volume *ret)
{
	struct visit v;
	int err;

	if (!name || !lsvd_name_valid(name))
		return lsvd_fail(-EINVAL, "\"%s\" cannot be the name of a volume",
				 name ? name : "(null)");
	err = visit_begin(&v, store);
	if (err)
		return err;
	err = lsvd_vol_record_get(&v.port, name, ret);
	visit_end(&v);
	return err;
}

int lsvd_volume_lookup(struct lsvd_store *store, const char *name, struct lsvd_volume_info *ret)
{
	struct fmt_volume record;
	int err = record_of(store, name, &record);

	if (!err)
		describe(ret, &record);
	return err;
}

struct names {
	char (*names)[LSVD_NAME_MAX + 1];
	size_t count, room;
	int err;
};

static int note_name(void *ctx, const struct lsvd_object_info *info)
{
	struct names *n = ctx;
	const char *name = info->key + strlen(PREFIX_VOLUMES);

	if (!lsvd_name_valid(name))
		return 0; /* not one of ours */
	if (n->count == n->room) {
		size_t room = n->room ? n->room * 2 : 64;
		void *p = lsvd_realloc(n->names, room * sizeof *n->names);

		if (!p) {
			n->err = lsvd_fail_plain(-ENOMEM);
			return 1;
		}
		n->names = p;
		n->room = room;
	}
	(void)snprintf(n->names[n->count++], LSVD_NAME_MAX + 1, "%s", name); /* valid: fits */
	return 0;
}

static int list_names(struct lsvd_store *store, struct names *n)
{
	unsigned tries = 0;
	struct visit v;
	int err = visit_begin(&v, store);

	if (err)
		return err;
	do {
		n->count = 0;
		err = lsvd_store_list(store, PREFIX_VOLUMES, note_name, n);
	} while (try_again(&v.port, &tries, err));
	visit_end(&v);
	return err ? err : n->err;
}

int lsvd_volume_list(struct lsvd_store *store, lsvd_volume_fn fn, void *ctx)
{
	struct names n = { NULL, 0, 0, 0 };
	int err = list_names(store, &n);

	for (size_t i = 0; i < n.count && !err; i++) {
		struct lsvd_volume_info info;

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

/* -------------------------------------------------------------------------------------------- usage */

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
	if (k.kind == KEY_FREE || k.kind == KEY_ROOT) {
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
	c->u->closed_cleanly = head.kind == OBJECT_CLOSE;
	return 0;
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
	} while (try_again(&v->port, &tries, err));
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
	int err = record_of(store, name, &record);

	if (!err)
		err = visit_begin(&v, store);
	if (err)
		return err;
	lsvd_key_prefix(prefix, &record.uuid, 0);
	err = count_all(&v, prefix, &u, &c);
	if (!err)
		do {
			err = read_newest(store, &record.uuid, &c);
		} while (try_again(&v.port, &tries, err));
	visit_end(&v);
	return err ? err : lsvd_options_fill(ret, &u, sizeof u, sizeof u, "volume usage");
}

/* ------------------------------------------------------------------------------------------- delete */

static int claim_next(struct visit *v, const struct uuid *uuid)
{
	struct fmt_claim claim = { .host = "deleted" };
	uint8_t buf[FMT_CLAIM_BYTES];
	struct iovec iov = { buf, sizeof buf };
	struct obj_io io = { .io = { .kind = IO_PUT }, .iov = &iov, .iovcnt = 1 };
	int err = -EEXIST;

	for (uint64_t epoch = 1; err == -EEXIST; epoch++) {
		lsvd_claim_encode(buf, uuid, epoch, &claim);
		lsvd_key_claim(io.key, uuid, epoch);
		err = lsvd_vol_run_patiently(&v->port, &io);
	}
	return err;
}

struct deletion {
	char (*keys)[KEY_CAP];
	size_t count;
};

#define DELETE_AT_ONCE 1024u

/* Everything but claims: they keep a late writer out, whose looks must find them. */
static int note_key(void *ctx, const struct lsvd_object_info *info)
{
	struct deletion *d = ctx;
	struct key_parts k;

	if (lsvd_key_parse(&k, info->key) && k.kind == KEY_CLAIM)
		return 0;
	(void)snprintf(d->keys[d->count++], KEY_CAP, "%s", info->key); /* keys fit */
	return d->count == DELETE_AT_ONCE;
}

static int remove_keys(struct visit *v, const struct deletion *d)
{
	const char **keys = lsvd_calloc(d->count, sizeof *keys);
	unsigned tries = 0;
	int err;

	if (!keys)
		return lsvd_fail_plain(-ENOMEM);
	for (size_t i = 0; i < d->count; i++)
		keys[i] = d->keys[i];
	do {
		err = lsvd_store_remove_many(v->store, keys, (unsigned)d->count);
	} while (try_again(&v->port, &tries, err));
	lsvd_free(keys);
	return err;
}

static int list_keys(struct visit *v, const char *prefix, struct deletion *d)
{
	unsigned tries = 0;
	int err;

	do {
		d->count = 0;
		err = lsvd_store_list(v->store, prefix, note_key, d);
	} while (try_again(&v->port, &tries, err));
	return err;
}

static int delete_objects(struct visit *v, const char *prefix)
{
	struct deletion d = { .count = 0 };
	int err = 0;

	d.keys = lsvd_malloc(DELETE_AT_ONCE * sizeof *d.keys);
	if (!d.keys)
		return lsvd_fail_plain(-ENOMEM);
	do {
		err = list_keys(v, prefix, &d);
		if (!err && d.count)
			err = remove_keys(v, &d);
	} while (!err && d.count);
	lsvd_free(d.keys);
	return err;
}

static int delete_on(struct visit *v, const char *name, uint32_t flags)
{
	struct obj_io io = { .io = { .kind = IO_REMOVE } };
	struct lsvd_store_probe probe;
	struct fmt_volume record;
	char prefix[KEY_CAP];
	int err;

	err = lsvd_vol_record_get(&v->port, name, &record);
	if (!err)
		err = lsvd_vol_check_store(&v->port, flags | VOL_CHECK_NO_PROBE, false, &probe);
	if (!err)
		err = claim_next(v, &record.uuid);
	if (err)
		return err;
	lsvd_key_volume(io.key, name);
	err = lsvd_vol_run_patiently(&v->port, &io);
	if (err)
		return err;
	lsvd_key_prefix(prefix, &record.uuid, 0);
	err = delete_objects(v, prefix);
	return err ? lsvd_fail_context(err, "volume %s: its name is gone, some of its objects are not",
				       name)
		   : 0;
}

int lsvd_volume_delete_flags(struct lsvd_store *store, const char *name, uint32_t flags)
{
	struct visit v;
	int err = check_flags(flags);

	if (!err && (!name || !lsvd_name_valid(name)))
		err = lsvd_fail(-EINVAL, "\"%s\" cannot be the name of a volume",
				name ? name : "(null)");
	if (!err)
		err = visit_begin(&v, store);
	if (err)
		return err;
	err = delete_on(&v, name, flags);
	visit_end(&v);
	return err;
}

int lsvd_volume_delete(struct lsvd_store *store, const char *name)
{
	return lsvd_volume_delete_flags(store, name, 0);
}
