/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * t_vlog.h - a value log under test: a store in memory, a log on it, and an index that is an array.
 *
 * The index does what <lsvd/vlog.h> asks for: moves are kept until finish, and made where the old
 * handle still stands. It may be told to fail, and to call a function at certain moments.
 */
#ifndef T_VLOG_H
#define T_VLOG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/store.h>
#include <lsvd/store_driver.h>
#include <lsvd/vlog.h>

#include "t_check.h"

struct t_entry {
	unsigned char *key;
	size_t len;
	struct lsvd_vlog_handle h;
	uint64_t raw;
};

struct t_index {
	struct t_entry *at;
	size_t count, room;
	struct lsvd_vlog_move *moves;
	size_t move_count, move_room;
	uint64_t asked;              /* queries answered */
	int fail_finish, fail_ask, fail_relocate;
	void (*before_finish)(void *ctx);
	void *ctx;
	size_t at_next;              /* of the scan */
};

static inline struct t_entry *t_index_find(struct t_index *ix, const void *key, size_t len)
{
	for (size_t i = 0; i < ix->count; i++)
		if (ix->at[i].len == len && memcmp(ix->at[i].key, key, len) == 0)
			return &ix->at[i];
	return NULL;
}

static inline void t_index_set(struct t_index *ix, const void *key, size_t len,
			       const struct lsvd_vlog_handle *h, uint64_t raw)
{
	struct t_entry *e = t_index_find(ix, key, len);

	if (!e) {
		if (ix->count == ix->room) {
			ix->room = ix->room ? ix->room * 2 : 64;
			ix->at = realloc(ix->at, ix->room * sizeof *ix->at);
		}
		e = &ix->at[ix->count++];
		e->key = malloc(len);
		memcpy(e->key, key, len);
		e->len = len;
	}
	e->h = *h;
	e->raw = raw;
}

static inline void t_index_del(struct t_index *ix, const void *key, size_t len)
{
	struct t_entry *e = t_index_find(ix, key, len);

	if (!e)
		return;
	free(e->key);
	*e = ix->at[--ix->count];
}

static inline void t_index_clear(struct t_index *ix)
{
	while (ix->count)
		free(ix->at[--ix->count].key);
}

static inline void t_index_forget_moves(struct t_index *ix)
{
	while (ix->move_count)
		free((void *)(uintptr_t)ix->moves[--ix->move_count].key.data);
}

static inline void t_index_fini(struct t_index *ix)
{
	t_index_clear(ix);
	t_index_forget_moves(ix);
	free(ix->at);
	free(ix->moves);
}

static inline int t_index_is_live(void *ctx, struct lsvd_vlog_query *q, size_t n)
{
	struct t_index *ix = ctx;

	if (ix->fail_ask)
		return ix->fail_ask;
	for (size_t i = 0; i < n; i++) {
		const struct t_entry *e = t_index_find(ix, q[i].key.data, q[i].key.size);

		q[i].live = e && memcmp(&e->h, &q[i].handle, sizeof e->h) == 0;
		ix->asked++;
	}
	return 0;
}

static inline int t_index_relocate(void *ctx, const struct lsvd_vlog_move *m, size_t n)
{
	struct t_index *ix = ctx;

	if (ix->fail_relocate)
		return ix->fail_relocate;
	for (size_t i = 0; i < n; i++) {
		struct lsvd_vlog_move *to;
		void *key = malloc(m[i].key.size);

		if (ix->move_count == ix->move_room) {
			ix->move_room = ix->move_room ? ix->move_room * 2 : 64;
			ix->moves = realloc(ix->moves, ix->move_room * sizeof *ix->moves);
		}
		to = &ix->moves[ix->move_count++];
		*to = m[i];
		memcpy(key, m[i].key.data, m[i].key.size);
		to->key.data = key;
	}
	return 0;
}

static inline int t_index_finish(void *ctx, uint64_t *ret_applied)
{
	struct t_index *ix = ctx;
	uint64_t applied = 0;
	int err = ix->fail_finish;

	if (ix->before_finish)
		ix->before_finish(ix->ctx);
	for (size_t i = 0; i < ix->move_count && !err; i++) {
		const struct lsvd_vlog_move *m = &ix->moves[i];
		struct t_entry *e = t_index_find(ix, m->key.data, m->key.size);

		if (!e || memcmp(&e->h, &m->from, sizeof e->h) != 0)
			continue;
		e->h = m->to;
		applied++;
	}
	t_index_forget_moves(ix);
	*ret_applied = applied;
	return err;
}

static inline void t_index_abort(void *ctx)
{
	t_index_forget_moves(ctx);
}

static inline struct lsvd_vlog_index t_index_ops(struct t_index *ix)
{
	return (struct lsvd_vlog_index){ .size = sizeof(struct lsvd_vlog_index), .ctx = ix,
					 .is_live = t_index_is_live, .relocate = t_index_relocate,
					 .finish = t_index_finish, .abort = t_index_abort };
}

static inline int t_index_next(void *ctx, struct lsvd_vlog_handle *h, uint64_t *raw)
{
	struct t_index *ix = ctx;

	if (ix->at_next == ix->count) {
		ix->at_next = 0;
		return 0;
	}
	*h = ix->at[ix->at_next].h;
	*raw = ix->at[ix->at_next++].raw;
	return 1;
}

/* ---------------------------------------------------------------------------------------- a log */

struct t_vlog {
	struct lsvd_store *store;
	struct lsvd_vlog *log;
	struct lsvd_vlog_options options;
	struct t_index ix;
	struct lsvd_vlog_index ops;
};

static inline void t_vlog_open(struct t_vlog *t)
{
	ck_assert_ok(lsvd_vlog_open(&t->log, t->store, "log", &t->options));
}

static inline void t_vlog_close(struct t_vlog *t)
{
	ck_assert_ok(lsvd_vlog_close(t->log));
	t->log = NULL;
}

static inline void t_vlog_reopen(struct t_vlog *t)
{
	t_vlog_close(t);
	t_vlog_open(t);
}

static inline void t_vlog_init(struct t_vlog *t, const char *url)
{
	const struct lsvd_store_options so = { .size = sizeof so, .flags = LSVD_STORE_CREATE };

	memset(t, 0, sizeof *t);
	ck_assert_ok(lsvd_store_open(&t->store, url, &so));
	t->options = (struct lsvd_vlog_options)LSVD_VLOG_OPTIONS_INIT;
	t->options.flags = LSVD_VLOG_CREATE;
	t->ops = t_index_ops(&t->ix);
	t_vlog_open(t);
}

static inline void t_vlog_fini(struct t_vlog *t)
{
	ck_assert_ok(lsvd_vlog_close(t->log));
	lsvd_store_close(t->store);
	t_index_fini(&t->ix);
}

static inline struct lsvd_vlog_writer *t_writer(struct t_vlog *t)
{
	struct lsvd_vlog_writer *w = NULL;

	ck_assert_ok(lsvd_vlog_writer_open(t->log, &w));
	return w;
}

/* The bytes of a value: `seed` decides them. */
static inline unsigned char *t_value(size_t len, uint64_t seed)
{
	unsigned char *v = malloc(len ? len : 1);

	t_fill(v, len, seed);
	return v;
}

static inline struct lsvd_vlog_handle t_put(struct lsvd_vlog_writer *w, const char *key, size_t len,
					    uint64_t seed)
{
	struct lsvd_vlog_handle h = { 0, 0, 0 };
	unsigned char *v = t_value(len, seed);

	ck_assert_ok(lsvd_vlog_put(w, key, strlen(key), v, len, &h));
	free(v);
	return h;
}

/* Commit, index, release: of one key. */
static inline struct lsvd_vlog_handle t_store(struct t_vlog *t, const char *key, size_t len,
					      uint64_t seed)
{
	struct lsvd_vlog_writer *w = t_writer(t);
	struct lsvd_vlog_handle h = t_put(w, key, len, seed);
	struct lsvd_vlog_pin *pin = NULL;

	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	t_index_set(&t->ix, key, strlen(key), &h, len);
	lsvd_vlog_pin_release(pin);
	return h;
}

/* The same of several, keys "a", "b", …; the seed of each is its letter plus `seed`. */
static inline void t_store_letters(struct t_vlog *t, unsigned n, size_t len, uint64_t seed)
{
	struct lsvd_vlog_writer *w = t_writer(t);
	struct lsvd_vlog_pin *pin = NULL;

	for (unsigned i = 0; i < n; i++) {
		const char key[2] = { (char)('a' + i), 0 };
		struct lsvd_vlog_handle h = t_put(w, key, len, seed + (unsigned char)key[0]);

		t_index_set(&t->ix, key, 1, &h, len);
	}
	ck_assert_ok(lsvd_vlog_commit(w, &pin));
	lsvd_vlog_pin_release(pin);
}

static inline void t_same(const struct lsvd_vlog_value *v, size_t len, uint64_t seed)
{
	unsigned char *want = t_value(len, seed);

	ck_assert_uint_eq(lsvd_vlog_value_size(v), len);
	ck_assert(memcmp(lsvd_vlog_value_data(v), want, len) == 0);
	free(want);
}

static inline void t_reads(struct t_vlog *t, const struct lsvd_vlog_handle *h, size_t len,
			   uint64_t seed)
{
	struct lsvd_vlog_value *v = NULL;

	ck_assert_ok(lsvd_vlog_get(t->log, h, &v));
	t_same(v, len, seed);
	lsvd_vlog_value_unref(v);
}

static inline int t_get(struct t_vlog *t, const struct lsvd_vlog_handle *h)
{
	struct lsvd_vlog_value *v = NULL;
	int err = lsvd_vlog_get(t->log, h, &v);

	lsvd_vlog_value_unref(v);
	return err;
}

static inline void t_key_reads(struct t_vlog *t, const char *key, size_t len, uint64_t seed)
{
	const struct t_entry *e = t_index_find(&t->ix, key, strlen(key));

	ck_assert_ptr_nonnull(e);
	t_reads(t, &e->h, len, seed);
}

static inline struct lsvd_vlog_report t_report(struct t_vlog *t)
{
	struct lsvd_vlog_report r = LSVD_VLOG_REPORT_INIT;

	ck_assert_ok(lsvd_vlog_report(t->log, &r));
	return r;
}

static inline struct lsvd_vlog_report t_scan(struct t_vlog *t)
{
	struct lsvd_vlog_report r = LSVD_VLOG_REPORT_INIT;

	ck_assert_ok(lsvd_vlog_scan_for_stats(t->log, t_index_next, &t->ix, &r));
	return r;
}

static inline struct lsvd_vlog_gc_result t_drop(struct t_vlog *t)
{
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;

	ck_assert_ok(lsvd_vlog_drop_stale(t->log, &t->ops, &r));
	return r;
}

static inline struct lsvd_vlog_gc_result t_compact(struct t_vlog *t)
{
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;

	ck_assert_ok(lsvd_vlog_rollover(t->log, NULL, 0, &t->ops, NULL, &r));
	return r;
}

static inline struct lsvd_vlog_gc_result t_gc(struct t_vlog *t, uint32_t kind, double value)
{
	const struct lsvd_vlog_strategy s = { .size = sizeof s, .kind = kind, .value = value };
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;

	ck_assert_ok(lsvd_vlog_gc(t->log, &s, &t->ops, NULL, &r));
	return r;
}

static inline int t_note_segment(void *ctx, const struct lsvd_vlog_segment *s)
{
	struct lsvd_vlog_segment **p = ctx;

	*(*p)++ = *s;
	return 0;
}

/* At most 64; how many. */
static inline size_t t_segments(struct t_vlog *t, struct lsvd_vlog_segment ret[64])
{
	struct lsvd_vlog_segment *p = ret;

	ck_assert_uint_le(lsvd_vlog_segment_count(t->log), 64);
	ck_assert_ok(lsvd_vlog_segments(t->log, t_note_segment, &p));
	return (size_t)(p - ret);
}

/* ------------------------------------------------------------------------------- what is stored */

struct t_keys {
	char keys[512][LSVD_KEY_MAX + 1];
	size_t count;
};

static inline int t_note_key(void *ctx, const struct lsvd_object_info *info)
{
	struct t_keys *k = ctx;

	(void)snprintf(k->keys[k->count++], sizeof k->keys[0], "%s", info->key);
	return k->count == 512;
}

/* Objects of one kind ('f': segments), by name; static. */
static inline const struct t_keys *t_objects(struct t_vlog *t, char kind)
{
	static struct t_keys keys;
	struct lsvd_vlog_info info = { .size = sizeof info };
	char prefix[LSVD_KEY_MAX + 1];

	ck_assert_ok(lsvd_vlog_lookup(t->store, "log", &info));
	(void)snprintf(prefix, sizeof prefix, "v/%s/%c/", info.uuid, kind);
	keys.count = 0;
	ck_assert_ok(lsvd_store_list(t->store, prefix, t_note_key, &keys));
	return &keys;
}

/* The object's bytes; allocated. */
static inline unsigned char *t_object_get(struct t_vlog *t, const char *key, size_t *ret_len)
{
	unsigned char *bytes;
	uint64_t len;

	ck_assert_ok(lsvd_store_head(t->store, key, &len));
	bytes = malloc(len + 1);
	ck_assert_ok(lsvd_store_get(t->store, key, 0, bytes, len, ret_len));
	ck_assert_uint_eq(*ret_len, len);
	return bytes;
}

static inline void t_object_set(struct t_vlog *t, const char *key, const void *bytes, size_t len)
{
	const struct iovec iov = { (void *)(uintptr_t)bytes, len };

	ck_assert_ok(lsvd_store_remove(t->store, key));
	ck_assert_ok(lsvd_store_put_if_absent(t->store, key, &iov, 1));
}

/* One bit of it becomes another. */
static inline void t_object_flip(struct t_vlog *t, const char *key, uint64_t off)
{
	size_t len;
	unsigned char *bytes = t_object_get(t, key, &len);

	ck_assert_uint_lt(off, len);
	bytes[off] ^= 0x10;
	t_object_set(t, key, bytes, len);
	free(bytes);
}

#endif
