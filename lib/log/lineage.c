/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lineage.c - volumes and value logs as things in a store: records, names, taking away, removing.
 */
#include "log/lineage.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "io/world_real.h"

#define TRIES 6u
#define PAUSE_MS 100u

bool lsvd_try_again(struct port *port, unsigned *tries, int err)
{
	if (err != LSVD_E_UNAVAILABLE || *tries == TRIES)
		return false;
	lsvd_port_pause(port, (uint64_t)PAUSE_MS << (*tries)++);
	return true;
}

int lsvd_lineage_run(struct port *port, struct obj_io *io)
{
	unsigned tries = 0;
	int err;

	do {
		err = lsvd_port_run1(port, &io->io);
	} while (lsvd_try_again(port, &tries, err));
	return err;
}

/* Keeps those of `n` that are to be tried again, in front; how many? */
static unsigned keep_unavailable(struct io **ios, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++)
		if (ios[i]->err == LSVD_E_UNAVAILABLE)
			ios[kept++] = ios[i];
	return kept;
}

int lsvd_lineage_run_all(struct port *port, struct obj_io *const *ios, unsigned n)
{
	struct io *left[LINEAGE_RUN_MAX];
	unsigned tries = 0, count = n;
	int err;

	assert(n <= LINEAGE_RUN_MAX);
	for (unsigned i = 0; i < n; i++)
		left[i] = &ios[i]->io;
	do {
		err = lsvd_port_run(port, left, count);
		if (err && err != LSVD_E_UNAVAILABLE && err != -ENOENT && err != -EEXIST)
			return err; /* its text is there */
		count = keep_unavailable(left, count);
	} while (count && lsvd_try_again(port, &tries, LSVD_E_UNAVAILABLE));
	if (count && err != LSVD_E_UNAVAILABLE) /* the first of them was answered, this time */
		err = lsvd_fail(LSVD_E_UNAVAILABLE, "%u of %u requests are not answered", count, n);
	return count ? err : 0;
}

int lsvd_lineage_list(struct port *port, const char *prefix, lsvd_object_fn fn, void *ctx)
{
	struct obj_io io = { .io = { .kind = IO_LIST }, .list_fn = fn, .list_ctx = ctx };

	(void)snprintf(io.key, sizeof io.key, "%s", prefix); /* keys fit */
	return lsvd_port_run1(port, &io.io);
}

int lsvd_lineage_get(struct port *port, const char *key, uint8_t **ret, size_t *ret_len,
			size_t max)
{
	struct obj_io io = { .io = { .kind = IO_GET }, .len = max + 1 };
	int err;

	(void)snprintf(io.key, sizeof io.key, "%s", key); /* keys fit */
	io.buf = lsvd_malloc(io.len);
	if (!io.buf)
		return lsvd_fail_plain(-ENOMEM);
	err = lsvd_lineage_run(port, &io);
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

/* ---------------------------------------------------------------------------------- the record */

const char *lsvd_lineage_word(int kind)
{
	return kind == OBJECT_VLOG ? "value log" : "volume";
}

static int read_record(struct port *port, const char *key, struct fmt_volume *ret)
{
	uint8_t *buf;
	size_t len;
	int err = lsvd_lineage_get(port, key, &buf, &len, FMT_VOLUME_BYTES_MAX);

	if (err)
		return err;
	err = lsvd_volume_record_decode(ret, buf, len, key);
	lsvd_free(buf);
	return err;
}

int lsvd_lineage_find(struct port *port, int kind, const char *name, struct fmt_volume *ret)
{
	char key[KEY_CAP];
	int err;

	lsvd_key_record(key, kind, name);
	err = read_record(port, key, ret);
	if (err == LSVD_E_CORRUPT)
		err = read_record(port, key, ret); /* an answer may be damaged */
	if (err == -ENOENT)
		return lsvd_fail(-ENOENT, "%s %s: there is none in %s",
				 lsvd_lineage_word(kind), name,
				 port->world->obj->name(port->world));
	if (!err && (strcmp(ret->name, name) != 0 || ret->kind != kind))
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: is the record of %s %s", key,
				lsvd_lineage_word(ret->kind), ret->name);
	return err;
}

int lsvd_lineage_describe(struct world *w, int kind, const char *name, const char *uuid,
			  struct fmt_volume *ret)
{
	memset(ret, 0, sizeof *ret);
	if (!name || !lsvd_name_valid(name))
		return lsvd_fail(-EINVAL, "%s name \"%s\": must be 1 to %u of A-Z a-z 0-9 _ . - "
				 "and not begin with . or -", lsvd_lineage_word(kind),
				 name ? name : "(null)", LSVD_NAME_MAX);
	if (uuid && !lsvd_uuid_parse(&ret->uuid, uuid))
		return lsvd_fail(-EINVAL, "%s %s: \"%s\" is not a UUID", lsvd_lineage_word(kind),
				 name, uuid);
	if (!uuid) {
		w->rnd->fill(w, ret->uuid.b, sizeof ret->uuid.b);
		lsvd_uuid_stamp(&ret->uuid);
	}
	ret->kind = (uint16_t)kind;
	(void)snprintf(ret->name, sizeof ret->name, "%s", name); /* checked to fit */
	ret->created_ms = w->clk->wall_ms(w);
	return 0;
}

/* 0, or -EEXIST: another's record has the name. An answer that was lost is looked for there. */
static int put_record(struct port *port, const char *key, const uint8_t *bytes, size_t bytes_len)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, bytes_len };
	struct obj_io io = { .io = { .kind = IO_PUT }, .iov = &iov, .iovcnt = 1 };
	uint8_t *there;
	size_t len;
	int err;

	memcpy(io.key, key, KEY_CAP);
	err = lsvd_port_run1(port, &io.io);
	if (err != LSVD_E_UNAVAILABLE)
		return err;
	err = lsvd_lineage_run(port, &io);
	if (err != -EEXIST)
		return err;
	err = lsvd_lineage_get(port, key, &there, &len, FMT_VOLUME_BYTES_MAX);
	if (err)
		return err;
	err = len == bytes_len && memcmp(there, bytes, len) == 0 ? 0 : -EEXIST;
	lsvd_free(there);
	return err;
}

int lsvd_lineage_create(struct port *port, const struct fmt_volume *record)
{
	uint8_t buf[FMT_VOLUME_BYTES_MAX];
	char key[KEY_CAP];
	int err;

	lsvd_volume_record_encode(buf, record);
	lsvd_key_record(key, record->kind, record->name);
	err = put_record(port, key, buf, fmt_volume_bytes(record));
	if (err == -EEXIST)
		return lsvd_fail(-EEXIST, "%s %s exists in %s: nothing was changed",
				 lsvd_lineage_word(record->kind), record->name,
				 port->world->obj->name(port->world));
	return err;
}

/*
 * No store removes on condition: between the look and the removal another deletion may have ended,
 * and somebody have taken the name. So each try looks first, and the time between is one request.
 */
int lsvd_lineage_forget(struct port *port, const struct fmt_volume *record)
{
	unsigned tries = 0;
	int err;

	do {
		struct obj_io io = { .io = { .kind = IO_REMOVE } };
		struct fmt_volume there;

		err = lsvd_lineage_find(port, record->kind, record->name, &there);
		if (err)
			break;
		if (!lsvd_uuid_equal(&there.uuid, &record->uuid))
			return 0;
		lsvd_key_record(io.key, record->kind, record->name);
		err = lsvd_port_run1(port, &io.io);
	} while (lsvd_try_again(port, &tries, err));
	return err == -ENOENT ? 0 : err;
}

/* ------------------------------------------------------------------------------------ a visit */

int lsvd_visit_begin(struct visit *v, struct lsvd_store *store)
{
	int err;

	if (!store)
		return lsvd_fail(-EINVAL, "no store");
	err = lsvd_world_real_open(&v->world, store, NULL, false);
	if (err)
		return err;
	v->store = store;
	err = lsvd_port_init(&v->port, v->world);
	if (err)
		lsvd_world_real_close(v->world);
	return err;
}

int lsvd_visit_begin_world(struct visit *v, struct world *world)
{
	v->store = NULL;
	v->world = world;
	return lsvd_port_init(&v->port, world);
}

void lsvd_visit_end(struct visit *v)
{
	lsvd_port_fini(&v->port);
	if (v->store)
		lsvd_world_real_close(v->world);
}

int lsvd_lineage_lookup(struct lsvd_store *store, int kind, const char *name,
			struct fmt_volume *ret)
{
	struct visit v;
	int err;

	if (!name || !lsvd_name_valid(name))
		return lsvd_fail(-EINVAL, "\"%s\" cannot be the name of a %s",
				 name ? name : "(null)", lsvd_lineage_word(kind));
	err = lsvd_visit_begin(&v, store);
	if (err)
		return err;
	err = lsvd_lineage_find(&v.port, kind, name, ret);
	lsvd_visit_end(&v);
	return err;
}

/* ------------------------------------------------------------------------------------ the names */

static int note_name(void *ctx, const struct lsvd_object_info *info)
{
	struct names *n = ctx;
	const char *name = strrchr(info->key, '/') + 1;

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

int lsvd_lineage_names_on(struct port *port, int kind, struct names *n)
{
	unsigned tries = 0;
	char prefix[KEY_CAP];
	int err;

	lsvd_key_record(prefix, kind, "");
	do {
		n->count = 0;
		err = lsvd_lineage_list(port, prefix, note_name, n);
	} while (lsvd_try_again(port, &tries, err));
	return err ? err : n->err;
}

int lsvd_lineage_names(struct lsvd_store *store, int kind, struct names *n)
{
	struct visit v;
	int err = lsvd_visit_begin(&v, store);

	if (err)
		return err;
	err = lsvd_lineage_names_on(&v.port, kind, n);
	lsvd_visit_end(&v);
	return err;
}

/* ------------------------------------------------------------------------------------ removing */

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

/* One by one: a simulated store has no other way. */
static int remove_each(struct visit *v, const struct deletion *d)
{
	int err = 0;

	for (size_t i = 0; i < d->count && !err; i++) {
		struct obj_io io = { .io = { .kind = IO_REMOVE } };

		memcpy(io.key, d->keys[i], KEY_CAP);
		err = lsvd_lineage_run(&v->port, &io);
	}
	return err;
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
	} while (lsvd_try_again(&v->port, &tries, err));
	lsvd_free(keys);
	return err;
}

static int list_keys(struct visit *v, const char *prefix, struct deletion *d)
{
	unsigned tries = 0;
	int err;

	do {
		d->count = 0;
		err = lsvd_lineage_list(&v->port, prefix, note_key, d);
	} while (lsvd_try_again(&v->port, &tries, err));
	return err;
}

/* How far removing has got, by the first keys of listings. */
struct progress {
	char before[KEY_CAP], furthest[KEY_CAP];
	unsigned tries;
};

/*
 * A listing that begins where one before it did, or earlier, is an old one: what comes behind may
 * be on it later. Only one that begins further on than all of them is news: if several old ones
 * take turns, as those of servers that know different things may, that ends, too.
 */
static int await_news(struct visit *v, struct progress *p, const char *first)
{
	bool on = strcmp(first, p->before) > 0;

	memcpy(p->before, first, KEY_CAP);
	if (strcmp(first, p->furthest) > 0) {
		memcpy(p->furthest, first, KEY_CAP);
		p->tries = 0;
	} else if (!on && !lsvd_try_again(&v->port, &p->tries, LSVD_E_UNAVAILABLE)) {
		return lsvd_fail(LSVD_E_UNAVAILABLE,
				 "object %s: has been removed, and is still listed", first);
	}
	return 0;
}

int lsvd_lineage_remove(struct visit *v, const struct uuid *uuid)
{
	struct progress p = { .tries = 0 };
	struct deletion d = { .count = 0 };
	char prefix[KEY_CAP];
	int err = 0;

	lsvd_key_prefix(prefix, uuid, 0);
	d.keys = lsvd_malloc(DELETE_AT_ONCE * sizeof *d.keys);
	if (!d.keys)
		return lsvd_fail_plain(-ENOMEM);
	do {
		err = list_keys(v, prefix, &d);
		if (!err && d.count)
			err = await_news(v, &p, d.keys[0]);
		if (!err && d.count)
			err = v->store ? remove_keys(v, &d) : remove_each(v, &d);
	} while (!err && d.count);
	lsvd_free(d.keys);
	return err;
}
