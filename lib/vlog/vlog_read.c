/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_read.c - values by handle: one, many, a part of one.
 *
 * A get is one request of exactly the record's length, into memory that becomes the value's if it
 * is stored as it is. Whether the segment is part of the log is asked before the cache is: what has
 * been dropped or cleared is not answered from memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "vlog/vlog_internal.h"

#define RUNS_AT_ONCE 16u
#define RUN_BYTES_MAX (8u << 20)
#define UNASKED_MAX (1u << 20)  /* so much memory is taken for what a handle only says */

int lsvd_vlog_check_place(const struct lsvd_vlog *log, const struct vlog_segment *s, uint64_t off,
			  uint64_t len)
{
	if (len >= VLOG_RECORD_HEAD && off >= VLOG_SEGMENT_HEADER &&
	    range_within(off, len, s->footer_at))
		return 0;
	return lsvd_fail(-ENOENT, "value log %s: segment %llu has no record of %llu bytes at %llu",
			 log->name, (unsigned long long)s->id, (unsigned long long)len,
			 (unsigned long long)off);
}

int lsvd_vlog_check_handle(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h)
{
	struct vlog_segment *s = NULL;
	int err;

	lsvd_port_enter(&log->port);
	err = lsvd_vlog_find(log, h->segment, &s);
	if (!err)
		err = lsvd_vlog_check_place(log, s, h->offset, h->size);
	lsvd_port_leave(&log->port, false);
	return err;
}

/* -------------------------------------------------------------------------------------- opening */

static int unpack_pieces(const struct lsvd_vlog *log, const struct vlog_record *r,
			 const uint8_t *bytes, uint8_t *to, const char *what)
{
	struct vlog_piece piece = { .at = 0 };
	int err = 0;

	for (uint32_t i = 0; i < vlog_piece_count(r->raw) && !err; i++) {
		err = lsvd_vlog_piece_next(r, bytes, i, &piece, what);
		if (err)
			break;
		if (piece.stored == piece.raw)
			memcpy(to, bytes + piece.at, piece.raw);
		else
			err = lsvd_vlog_unpack(&log->codecs, r->codec, bytes + piece.at,
					       piece.stored, to, piece.raw, what);
		to += piece.raw;
	}
	return err;
}

int lsvd_vlog_open_value(const struct lsvd_vlog *log, const struct vlog_record *r,
			 const uint8_t *bytes, struct lsvd_vlog_value *owned, const char *what,
			 struct lsvd_vlog_value **ret)
{
	const uint8_t *stored = bytes + vlog_prefix_bytes(r);
	struct lsvd_vlog_value *v;
	int err = 0;

	if (r->stored == r->raw && owned) {
		owned->data = stored;
		owned->size = r->raw;
		*ret = owned;
		return 0;
	}
	v = lsvd_vlog_value_alloc(r->raw);
	if (!v)
		err = lsvd_fail_plain(-ENOMEM);
	else if (r->stored == r->raw && r->raw)
		memcpy(v->room, stored, r->raw);
	else if (r->flags & VLOG_PIECES)
		err = unpack_pieces(log, r, bytes, v->room, what);
	else if (r->raw)
		err = lsvd_vlog_unpack(&log->codecs, r->codec, stored, r->stored, v->room, r->raw,
				       what);
	lsvd_vlog_value_unref(owned);
	if (err) {
		lsvd_vlog_value_unref(v);
		return err;
	}
	*ret = v;
	return 0;
}

static int check_key(const struct lsvd_vlog *log, const struct vlog_record *r, const uint8_t *bytes,
		     const struct lsvd_vlog_slice *key, const struct lsvd_vlog_handle *h)
{
	if (!key || !key->data ||
	    (r->key_len == key->size &&
	     memcmp(bytes + VLOG_RECORD_HEAD, key->data, key->size) == 0))
		return 0;
	return lsvd_fail(-ENOENT,
			 "value log %s: the record at %llu of segment %llu has another key",
			 log->name, (unsigned long long)h->offset, (unsigned long long)h->segment);
}

/* ------------------------------------------------------------------------------------------ get */

/* Reads, verifies and opens one record. */
static int read_once(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h,
		     const struct lsvd_vlog_slice *key, struct lsvd_vlog_value **ret)
{
	const struct vlog_place at = { log->owner, h->segment, h->offset };
	struct vlog_fetch f = { .segment = h->segment, .off = h->offset, .len = h->size,
				.record = true };
	struct lsvd_vlog_value *room;
	struct vlog_record r;
	/* else the fetch does */
	int err = h->size > UNASKED_MAX ? lsvd_vlog_check_handle(log, h) : 0;

	if (err)
		return err;
	room = lsvd_vlog_value_alloc(h->size);
	if (!room)
		return lsvd_fail_plain(-ENOMEM);
	f.buf = room->room;
	err = lsvd_vlog_fetch1(log, &f);
	if (!err)
		err = lsvd_vlog_record_decode(&r, f.buf, h->size, &at, f.key);
	if (!err)
		err = lsvd_vlog_record_verify(&r, f.buf, h->size, &at, NULL, f.key);
	if (!err)
		err = check_key(log, &r, f.buf, key, h);
	if (err) {
		lsvd_vlog_value_unref(room);
		return err;
	}
	return lsvd_vlog_open_value(log, &r, f.buf, room, f.key, ret);
}

static int read_value(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h,
		      const struct lsvd_vlog_slice *key, struct lsvd_vlog_value **ret)
{
	int err = read_once(log, h, key, ret);

	if (err == LSVD_E_CORRUPT)
		err = read_once(log, h, key, ret); /* an answer may be damaged */
	if (err == LSVD_E_CORRUPT)
		return lsvd_vlog_judge(log, h, err);
	if (!err)
		lsvd_vlog_cache_insert(log->cache, log->id, h, *ret);
	return err;
}

/* Threads take turns with the lines: as many as there are lines have one each. */
static struct vlog_counter *counter_of(struct lsvd_vlog *log)
{
	static unsigned threads;
	static _Thread_local unsigned mine; /* from 1 on */

	if (!mine)
		mine = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
	return &log->counters[mine % VLOG_COUNTERS];
}

static void count_get(struct lsvd_vlog *log, const struct lsvd_vlog_value *v, bool hit)
{
	struct vlog_counter *c = counter_of(log);

	(void)__atomic_fetch_add(&c->gets, 1, __ATOMIC_RELAXED);
	(void)__atomic_fetch_add(&c->bytes, v->size, __ATOMIC_RELAXED);
	if (hit)
		(void)__atomic_fetch_add(&c->hits, 1, __ATOMIC_RELAXED);
}

void lsvd_vlog_count_gets(const struct lsvd_vlog *log, struct lsvd_vlog_stats *ret)
{
	for (unsigned i = 0; i < VLOG_COUNTERS; i++) {
		const struct vlog_counter *c = &log->counters[i];

		ret->gets += __atomic_load_n(&c->gets, __ATOMIC_RELAXED);
		ret->get_bytes += __atomic_load_n(&c->bytes, __ATOMIC_RELAXED);
		ret->cache_hits += __atomic_load_n(&c->hits, __ATOMIC_RELAXED);
	}
}

/* Whose value it is only the record says. */
static int get_cached(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h,
		      struct lsvd_vlog_value **ret)
{
	int err = lsvd_vlog_check_handle(log, h);

	*ret = err ? NULL : lsvd_vlog_cache_get(log->cache, log->id, h);
	return err;
}

static int get(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h,
	       const struct lsvd_vlog_slice *key, struct lsvd_vlog_value **ret)
{
	struct lsvd_vlog_value *v = NULL;
	bool hit;
	int err = log->cache && !key ? get_cached(log, h, &v) : 0;

	hit = v != NULL;
	if (!err && !hit)
		err = read_value(log, h, key, &v);
	if (err)
		return err;
	count_get(log, v, hit);
	*ret = v;
	return 0;
}

int lsvd_vlog_get(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h,
		  struct lsvd_vlog_value **ret)
{
	return get(log, h, NULL, ret);
}

int lsvd_vlog_get_checked(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h, const void *key,
			  size_t key_len, struct lsvd_vlog_value **ret)
{
	const struct lsvd_vlog_slice k = { key, key_len };

	return get(log, h, &k, ret);
}

/* ----------------------------------------------------------------------------------------- many */

static int by_place(const void *a, const void *b)
{
	const struct lsvd_vlog_handle *x = &(*(struct lsvd_vlog_request *const *)a)->handle;
	const struct lsvd_vlog_handle *y = &(*(struct lsvd_vlog_request *const *)b)->handle;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Which of them have to be asked of the store, by place. */
static size_t choose(struct lsvd_vlog *log, struct lsvd_vlog_request *q, size_t n,
		     struct lsvd_vlog_request **ret)
{
	size_t chosen = 0;

	for (size_t i = 0; i < n; i++) {
		q[i].value = NULL;
		q[i].err = lsvd_vlog_check_handle(log, &q[i].handle);
		if (!q[i].err && !q[i].key.data)
			q[i].value = lsvd_vlog_cache_get(log->cache, log->id, &q[i].handle);
		if (q[i].value)
			count_get(log, q[i].value, true);
		else if (!q[i].err)
			ret[chosen++] = &q[i];
	}
	qsort(ret, chosen, sizeof(*ret), by_place);
	return chosen;
}

/* How many of the first are one request; *ret_end: where it ends. */
static size_t run_of(const struct lsvd_vlog *log, struct lsvd_vlog_request **q, size_t n,
		     uint64_t *ret_end)
{
	const struct lsvd_vlog_handle *first = &q[0]->handle;
	uint64_t end = first->offset + first->size;
	size_t i = 1;

	for (; i < n; i++) {
		const struct lsvd_vlog_handle *h = &q[i]->handle;
		uint64_t h_end = max_u64(end, h->offset + h->size);

		if (h->segment != first->segment || h->offset > end + log->join_bytes ||
		    h_end - first->offset > RUN_BYTES_MAX)
			break;
		end = h_end;
	}
	*ret_end = end;
	return i;
}

/* One record out of what a run has read; what does not verify there is asked for alone. */
static void answer(struct lsvd_vlog *log, struct lsvd_vlog_request *q, const struct vlog_fetch *f)
{
	const struct lsvd_vlog_handle *h = &q->handle;
	const struct vlog_place at = { log->owner, h->segment, h->offset };
	const uint8_t *p = f->buf + (h->offset - f->off);
	struct vlog_record r;

	q->err = f->err;
	if (!q->err)
		q->err = lsvd_vlog_record_decode(&r, p, h->size, &at, f->key);
	if (!q->err)
		q->err = lsvd_vlog_record_verify(&r, p, h->size, &at, NULL, f->key);
	if (q->err == LSVD_E_CORRUPT) {
		q->err = read_value(log, h, &q->key, &q->value);
	} else if (!q->err) {
		q->err = check_key(log, &r, p, &q->key, h);
		if (!q->err)
			q->err = lsvd_vlog_open_value(log, &r, p, NULL, f->key, &q->value);
		if (!q->err)
			lsvd_vlog_cache_insert(log->cache, log->id, h, q->value);
	}
	if (!q->err)
		count_get(log, q->value, false);
}

/* As many runs as are read at the same time; returns how many requests they answer. */
static size_t read_runs(struct lsvd_vlog *log, struct lsvd_vlog_request **q, size_t n,
			struct vlog_fetch *f)
{
	size_t taken[RUNS_AT_ONCE], at = 0;
	unsigned runs = 0;

	for (; at < n && runs < RUNS_AT_ONCE; at += taken[runs++]) {
		uint64_t end;

		taken[runs] = run_of(log, q + at, n - at, &end);
		f[runs] = (struct vlog_fetch){ .segment = q[at]->handle.segment,
					       .off = q[at]->handle.offset };
		f[runs].len = end - f[runs].off;
		f[runs].buf = lsvd_malloc(f[runs].len);
		if (!f[runs].buf)
			break;
	}
	if (runs)
		lsvd_vlog_fetch(log, f, runs);
	at = 0;
	for (unsigned i = 0; i < runs; i++) {
		for (size_t j = 0; j < taken[i]; j++)
			answer(log, q[at + j], &f[i]);
		at += taken[i];
		lsvd_free(f[i].buf);
	}
	return at;
}

int lsvd_vlog_get_many(struct lsvd_vlog *log, struct lsvd_vlog_request *requests, size_t n)
{
	struct lsvd_vlog_request **q = lsvd_calloc(n + 1, sizeof(*q));
	struct vlog_fetch *f = lsvd_calloc(RUNS_AT_ONCE, sizeof *f);
	size_t chosen, done = 0;

	if (!q || !f) {
		lsvd_free(q);
		lsvd_free(f);
		return lsvd_fail_plain(-ENOMEM);
	}
	chosen = choose(log, requests, n, q);
	while (done < chosen) {
		size_t now = read_runs(log, q + done, chosen - done, f);

		if (!now) {
			q[done]->err = lsvd_fail_plain(-ENOMEM);
			now = 1;
		}
		done += now;
	}
	lsvd_free(q);
	lsvd_free(f);
	return 0;
}

/* --------------------------------------------------------------------------------------- a part */

/* The pieces of the value that [off, off + len) touches, in one request. */
static int read_pieces(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h,
		       const struct vlog_record *r, const uint8_t *prefix, uint64_t off,
		       uint8_t *buf, size_t len, const char *what)
{
	uint32_t first = (uint32_t)(off / VLOG_PIECE_BYTES);
	uint32_t last = (uint32_t)((off + len - 1) / VLOG_PIECE_BYTES);
	struct vlog_piece piece = { .at = 0 };
	struct vlog_fetch f = { .segment = h->segment };
	uint8_t *raw = lsvd_malloc(VLOG_PIECE_BYTES);
	uint64_t begin = 0;
	int err = raw ? 0 : lsvd_fail_plain(-ENOMEM);

	for (uint32_t i = 0; i <= last && !err; i++) {
		err = lsvd_vlog_piece_next(r, prefix, i, &piece, what);
		if (i == first)
			begin = piece.at;
	}
	if (!err) {
		f.off = h->offset + begin;
		f.len = piece.at + piece.stored - begin;
		f.buf = lsvd_malloc(f.len);
		err = f.buf ? lsvd_vlog_fetch1(log, &f) : lsvd_fail_plain(-ENOMEM);
	}
	for (uint32_t i = 0; i <= last && !err; i++) {
		uint64_t at = (uint64_t)i * VLOG_PIECE_BYTES, from = max_u64(at, off), to;
		const uint8_t *data = raw;

		err = lsvd_vlog_piece_next(r, prefix, i, &piece, what);
		if (i < first || err)
			continue;
		err = lsvd_vlog_piece_verify(&piece, f.buf + (piece.at - begin), what);
		if (!err && piece.stored == piece.raw)
			data = f.buf + (piece.at - begin);
		else if (!err)
			err = lsvd_vlog_unpack(&log->codecs, r->codec, f.buf + (piece.at - begin),
					       piece.stored, raw, piece.raw, what);
		to = min_u64(at + piece.raw, off + len);
		if (!err)
			memcpy(buf + (from - off), data + (from - at), to - from);
	}
	lsvd_free(f.buf);
	lsvd_free(raw);
	return err;
}

/* Head, key and table, verified; allocated. */
static int read_prefix(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h,
		       struct vlog_record *r, uint8_t **ret, char what[KEY_CAP])
{
	const struct vlog_place at = { log->owner, h->segment, h->offset };
	/*
	 * Mostly all of it: a key of some bytes, and the table of a value of as
	 * much as fits a record.
	 */
	uint64_t want = min_u64(h->size, VLOG_RECORD_HEAD + 256 +
				(h->size / VLOG_PIECE_BYTES + 2) * 2 * VLOG_PIECE_ENTRY);
	uint8_t *buf = NULL;
	int err = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct vlog_fetch f = { .segment = h->segment, .off = h->offset, .len = want };

		lsvd_free(buf);
		buf = f.buf = lsvd_malloc(want);
		err = buf ? lsvd_vlog_fetch1(log, &f) : lsvd_fail_plain(-ENOMEM);
		if (!err)
			err = lsvd_vlog_record_decode(r, buf, h->size, &at, f.key);
		memcpy(what, f.key, KEY_CAP);
		if (err || vlog_prefix_bytes(r) <= want)
			break;
		want = vlog_prefix_bytes(r);
	}
	if (!err && r->flags & VLOG_PIECES)
		err = lsvd_vlog_record_verify(r, buf, vlog_prefix_bytes(r), &at, NULL, what);
	if (err) {
		lsvd_free(buf);
		return err;
	}
	*ret = buf;
	return 0;
}

static int range_of_whole(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h, uint64_t off,
			  void *buf, size_t len, size_t *ret_len)
{
	struct lsvd_vlog_value *v = NULL;
	int err = get(log, h, NULL, &v);

	if (err)
		return err;
	*ret_len = off < v->size ? min_u64(len, v->size - off) : 0;
	if (*ret_len)
		memcpy(buf, v->data + off, *ret_len);
	lsvd_vlog_value_unref(v);
	return 0;
}

static int range_once(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h, uint64_t off,
		      void *buf, size_t len, size_t *ret_len)
{
	char what[KEY_CAP];
	struct vlog_record r;
	uint8_t *prefix = NULL;
	size_t there;
	int err = read_prefix(log, h, &r, &prefix, what);

	if (err)
		return err;
	if (!(r.flags & VLOG_PIECES)) {
		lsvd_free(prefix);
		return range_of_whole(log, h, off, buf, len, ret_len);
	}
	there = off < r.raw ? min_u64(len, r.raw - off) : 0;
	if (there)
		err = read_pieces(log, h, &r, prefix, off, buf, there, what);
	lsvd_free(prefix);
	if (!err)
		*ret_len = there;
	return err;
}

int lsvd_vlog_read_range(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h, uint64_t off,
			 void *buf, size_t len, size_t *ret_len)
{
	int err = lsvd_vlog_check_handle(log, h);

	if (err)
		return err;
	if (h->size <= VLOG_PIECED_BYTES / 2)
		return range_of_whole(log, h, off, buf, len, ret_len);
	err = range_once(log, h, off, buf, len, ret_len);
	if (err == LSVD_E_CORRUPT)
		err = range_once(log, h, off, buf, len, ret_len); /* an answer may be damaged */
	return lsvd_vlog_judge(log, h, err);
}
