/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_iter.c - scans: segments one by one as they were written, or all together by key; and the
 * scan that verifies everything.
 *
 * By key: the index of each segment is walked, and of all walks the least entry is next (a heap).
 * Of equal keys the newest is first: by commit, which collection keeps; then by segment; then by
 * place. Values are read through a window of each walk, which grows while records lie one behind
 * the other.
 *
 * As written: heads say how long records are, so no index is needed; one window reads on.
 *
 * The more segments there are to be scanned by key the less of each is kept: parts of their
 * indices, and of windows only that of the record read last reaches further.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/options.h"
#include "vlog/vlog_internal.h"

#define WINDOW_MIN (64u << 10)
#define WINDOW_MAX (1u << 20)
#define MEMORY_BYTES (UINT64_C(64) << 20)
#define SHARE_MIN 4096u

/* One segment. */
struct walk {
	uint64_t id, commit, footer_at;
	struct vlog_index index;
	struct vlog_window window;
	uint64_t end, reach;         /* of the record read last; how far the window reads on */
};

struct lsvd_vlog_iter {
	struct lsvd_vlog *log;
	struct lsvd_vlog_pin *pin;
	uint32_t flags;
	struct lsvd_vlog_slice first, last;
	uint64_t memory;
	size_t share;                /* of one walk: of its index, and as much of records */
	struct walk *walks;
	struct walk *reading;        /* of which the last value was read */
	size_t count;
	struct walk **heap;          /* by key: those that have an entry, the least first */
	size_t heap_count;
	size_t current;              /* as written */
	uint64_t offset;
	bool stepped;                /* heap[0] was returned, and has to go on */
	bool ended;                  /* there is nothing to go on to */
	uint8_t *key;                /* of the item before */
	size_t key_len, key_room;
	struct lsvd_vlog_value *value;
	int err;                     /* it is over */
};

/* ----------------------------------------------------------------------------------------- heap */

/* Does a's entry come before b's? */
static bool before(const struct walk *a, const struct walk *b)
{
	const struct vlog_entry *x = &a->index.cursor.entry, *y = &b->index.cursor.entry;
	int d = lsvd_vlog_key_compare(x->key, x->key_len, y->key, y->key_len);
	uint64_t cx = x->commit ? x->commit : a->commit, cy = y->commit ? y->commit : b->commit;

	if (d)
		return d < 0;
	if (cx != cy)
		return cx > cy;
	return a->id > b->id; /* within a segment the index has the last one first */
}

static void sift_down(struct lsvd_vlog_iter *it, size_t i)
{
	struct walk **h = it->heap;

	for (;;) {
		size_t least = i, l = 2 * i + 1;

		for (size_t c = l; c < l + 2 && c < it->heap_count; c++)
			if (before(h[c], h[least]))
				least = c;
		if (least == i)
			return;
		struct walk *t = h[i];

		h[i] = h[least];
		h[least] = t;
		i = least;
	}
}

/* The first walk goes on to its next entry, or leaves. */
static int step_first(struct lsvd_vlog_iter *it)
{
	int more = lsvd_vlog_index_next(it->log, &it->heap[0]->index);

	if (more < 0)
		return more;
	if (!more)
		it->heap[0] = it->heap[--it->heap_count];
	sift_down(it, 0);
	return 0;
}

/* -------------------------------------------------------------------------------------- opening */

static int begin_walk(struct lsvd_vlog_iter *it, struct walk *w)
{
	const struct vlog_entry *e = &w->index.cursor.entry;
	int err = lsvd_vlog_index_open(it->log, w->id, it->share, &w->index);
	int more = 0;

	if (err == LSVD_E_CORRUPT && it->flags & LSVD_VLOG_SCAN_DAMAGED)
		return 0; /* whoever verifies has seen it already */
	if (err)
		return err;
	do {
		more = lsvd_vlog_index_next(it->log, &w->index);
	} while (more > 0 && it->first.data &&
		 lsvd_vlog_key_compare(e->key, e->key_len, it->first.data, it->first.size) < 0);
	if (more > 0)
		it->heap[it->heap_count++] = w;
	return more < 0 ? more : 0;
}

static int begin_walks(struct lsvd_vlog_iter *it)
{
	int err = 0;

	it->walks = lsvd_calloc(it->pin->count + 1, sizeof *it->walks);
	it->heap = lsvd_calloc(it->pin->count + 1, sizeof(*it->heap));
	if (!it->walks || !it->heap)
		return lsvd_fail_plain(-ENOMEM);
	it->count = it->pin->count;
	/* As written, one is read after the other. */
	it->share = max_u64(it->memory / 2 / (it->flags & LSVD_VLOG_SCAN_STORED ? 1
										: it->count + 1),
			    SHARE_MIN);
	for (size_t i = 0; i < it->count; i++) {
		/* Of a pinned segment these do not change. */
		it->walks[i].id = it->pin->segments[i]->id;
		it->walks[i].commit = it->pin->segments[i]->commit;
		it->walks[i].footer_at = it->pin->segments[i]->footer_at;
	}
	for (size_t i = 0; i < it->count && !err && !(it->flags & LSVD_VLOG_SCAN_STORED); i++)
		err = begin_walk(it, &it->walks[i]);
	for (size_t i = it->heap_count / 2; i-- > 0;)
		sift_down(it, i);
	return err;
}

static int check_scan(const struct lsvd_vlog *log, const struct lsvd_vlog_scan *s)
{
	if (s->flags & ~(LSVD_VLOG_SCAN_ALL | LSVD_VLOG_SCAN_KEYS | LSVD_VLOG_SCAN_STORED |
			 LSVD_VLOG_SCAN_DAMAGED))
		return lsvd_fail(-EINVAL, "value log %s: there are no flags %#x of a scan",
				 log->name, s->flags);
	if (s->flags & LSVD_VLOG_SCAN_STORED && (s->first.data || s->last.data))
		return lsvd_fail(-EINVAL, "value log %s: a scan in the order of writing, flags "
				 "%#x, has no bounds of keys", log->name, s->flags);
	return 0;
}

int lsvd_vlog_iter_open(struct lsvd_vlog *log, const struct lsvd_vlog_scan *scan,
			struct lsvd_vlog_iter **ret)
{
	struct lsvd_vlog_scan s;
	struct lsvd_vlog_iter *it;
	int err;

	err = lsvd_options_copy(&s, sizeof s, scan, sizeof s, "scan");
	if (!err)
		err = check_scan(log, &s);
	if (err)
		return err;
	it = lsvd_calloc(1, sizeof *it);
	if (!it)
		return lsvd_fail_plain(-ENOMEM);
	it->log = log;
	it->flags = s.flags;
	it->first = s.first;
	it->last = s.last;
	it->memory = s.memory_bytes ? s.memory_bytes : MEMORY_BYTES;
	it->offset = VLOG_SEGMENT_HEADER;
	err = s.segments ? lsvd_vlog_pin_ids(log, s.segments, s.segment_count, &it->pin)
			 : lsvd_vlog_snapshot(log, &it->pin);
	if (!err)
		err = begin_walks(it);
	if (err) {
		lsvd_vlog_iter_close(it);
		return err;
	}
	*ret = it;
	return 0;
}

void lsvd_vlog_iter_close(struct lsvd_vlog_iter *it)
{
	if (!it)
		return;
	for (size_t i = 0; i < it->count; i++) {
		lsvd_vlog_index_fini(&it->walks[i].index);
		lsvd_vlog_window_fini(&it->walks[i].window);
	}
	lsvd_vlog_pin_release(it->pin);
	lsvd_vlog_value_unref(it->value);
	lsvd_free(it->walks);
	lsvd_free(it->heap);
	lsvd_free(it->key);
	lsvd_free(it);
}

/* -------------------------------------------------------------------------------------- reading */

/* The window reads on for as long as records follow one another, twice as far each time. */
static uint64_t reach(const struct lsvd_vlog_iter *it, struct walk *w,
		      const struct lsvd_vlog_handle *h)
{
	bool follows = h->offset >= w->end && h->offset <= w->end + it->log->join_bytes;

	w->reach = !w->end ? WINDOW_MIN : !follows ? 0 : max_u64(w->reach * 2, WINDOW_MIN);
	w->reach = min_u64(w->reach, min_u64(it->share, WINDOW_MAX));
	w->end = h->offset + h->size;
	return min_u64(h->offset + w->reach, w->footer_at);
}

static int read_item(struct lsvd_vlog_iter *it, struct walk *w, const struct lsvd_vlog_handle *h,
		     struct lsvd_vlog_item *ret)
{
	struct lsvd_vlog *log = it->log;
	struct vlog_record r;
	const uint8_t *p;
	int err;

	if (it->reading && it->reading != w && it->reading->window.room > it->share)
		lsvd_vlog_window_fini(&it->reading->window); /* of a long record */
	it->reading = w;
	err = lsvd_vlog_window_get(log, &w->window, h, reach(it, w, h), &r, &p, NULL);
	if (err)
		return err;
	ret->key = (struct lsvd_vlog_slice){ p + VLOG_RECORD_HEAD, r.key_len };
	ret->raw_bytes = r.raw;
	ret->codec = r.codec;
	if (it->flags & LSVD_VLOG_SCAN_KEYS)
		return 0;
	if (r.stored == r.raw) {
		ret->value = (struct lsvd_vlog_slice){ p + vlog_prefix_bytes(&r), r.raw };
		return 0;
	}
	lsvd_vlog_value_unref(it->value);
	it->value = NULL;
	err = lsvd_vlog_open_value(log, &r, p, NULL, w->window.key, &it->value);
	if (!err)
		ret->value = (struct lsvd_vlog_slice){ it->value->data, it->value->size };
	return err;
}

/* Of a damaged record what the index says of it, if that is wanted. */
static int settle_item(struct lsvd_vlog_iter *it, struct lsvd_vlog_item *ret, int err)
{
	if (err == LSVD_E_CORRUPT)
		lsvd_vlog_mark_damaged(it->log, ret->handle.segment);
	if (err == LSVD_E_CORRUPT && it->flags & LSVD_VLOG_SCAN_DAMAGED) {
		ret->err = err;
		return 1;
	}
	return err ? err : 1;
}

/* --------------------------------------------------------------------------------------- by key */

static int remember_key(struct lsvd_vlog_iter *it, const struct vlog_entry *e)
{
	if (e->key_len > it->key_room) {
		uint8_t *p = lsvd_realloc(it->key, e->key_len + 64);

		if (!p)
			return lsvd_fail_plain(-ENOMEM);
		it->key = p;
		it->key_room = e->key_len + 64;
	}
	memcpy(it->key, e->key, e->key_len);
	it->key_len = e->key_len;
	return 0;
}

/* Goes on to the entry that is next; 0: there is none. */
static int next_entry(struct lsvd_vlog_iter *it)
{
	for (;; it->stepped = true) {
		const struct vlog_entry *e;
		int err = it->stepped ? step_first(it) : 0;

		if (err)
			return err;
		if (!it->heap_count)
			return 0;
		e = &it->heap[0]->index.cursor.entry;
		if (it->last.data && lsvd_vlog_key_compare(e->key, e->key_len, it->last.data,
							   it->last.size) > 0)
			return 0;
		if (it->flags & LSVD_VLOG_SCAN_ALL || !it->key_len ||
		    lsvd_vlog_key_compare(e->key, e->key_len, it->key, it->key_len) != 0)
			break;
	}
	it->stepped = true;
	return 1;
}

static int next_by_key(struct lsvd_vlog_iter *it, struct lsvd_vlog_item *ret)
{
	const struct vlog_entry *e;
	struct walk *w;
	int err = next_entry(it);

	if (err <= 0)
		return err;
	w = it->heap[0];
	e = &w->index.cursor.entry;
	err = remember_key(it, e);
	if (err)
		return err;
	*ret = (struct lsvd_vlog_item){ .key = { it->key, it->key_len }, .raw_bytes = e->raw,
					.handle = { w->id, e->offset, e->size } };
	if (it->flags & LSVD_VLOG_SCAN_KEYS)
		return 1;
	err = read_item(it, w, &ret->handle, ret);
	ret->key = (struct lsvd_vlog_slice){ it->key, it->key_len };
	return settle_item(it, ret, err);
}

/* ----------------------------------------------------------------------------------- as written */

/* How long the record at the iterator's place is. */
static int next_size(struct lsvd_vlog_iter *it, struct walk *w, uint64_t *ret)
{
	const struct vlog_place at = { it->log->owner, w->id, it->offset };
	const struct vlog_window *win = &w->window;
	uint8_t head[VLOG_RECORD_HEAD];
	struct vlog_fetch f = { .segment = w->id, .off = it->offset, .len = sizeof head,
				.buf = head };
	struct vlog_record r;
	int err = 0;

	if (win->segment == w->id && it->offset >= win->off &&
	    it->offset + sizeof head <= win->off + win->len)
		memcpy(head, win->buf + (it->offset - win->off), sizeof head);
	else if (it->offset + sizeof head <= w->footer_at)
		err = lsvd_vlog_fetch1(it->log, &f);
	else
		err = lsvd_fail(LSVD_E_CORRUPT, "segment %llu: %llu bytes after its last record",
				(unsigned long long)w->id,
				(unsigned long long)(w->footer_at - it->offset));
	if (!err)
		err = lsvd_vlog_record_decode(&r, head, 0, &at, win->key);
	if (!err && !range_within(it->offset, vlog_record_bytes(&r), w->footer_at))
		err = lsvd_fail(LSVD_E_CORRUPT, "segment %llu: record at %llu of %llu bytes, "
				"expected its end before %llu", (unsigned long long)w->id,
				(unsigned long long)it->offset,
				(unsigned long long)vlog_record_bytes(&r),
				(unsigned long long)w->footer_at);
	if (!err)
		*ret = vlog_record_bytes(&r);
	return err;
}

/* The record at the iterator's place; its size is 0 if that cannot be told. */
static int read_stored(struct lsvd_vlog_iter *it, struct walk *w, struct lsvd_vlog_item *ret)
{
	int err;

	*ret = (struct lsvd_vlog_item){ .handle = { w->id, it->offset, 0 } };
	err = next_size(it, w, &ret->handle.size);
	return err ? err : read_item(it, w, &ret->handle, ret);
}

static int next_stored(struct lsvd_vlog_iter *it, struct lsvd_vlog_item *ret)
{
	struct walk *w;
	int err;

	while (it->current < it->count && it->offset >= it->walks[it->current].footer_at) {
		lsvd_vlog_window_fini(&it->walks[it->current].window);
		it->current++;
		it->offset = VLOG_SEGMENT_HEADER;
	}
	if (it->current == it->count)
		return 0;
	w = &it->walks[it->current];
	err = read_stored(it, w, ret);
	if (err == LSVD_E_CORRUPT) {
		w->window.segment = 0; /* an answer may be damaged */
		err = read_stored(it, w, ret);
	}
	if (ret->handle.size)
		it->offset += ret->handle.size;
	else
		it->offset = w->footer_at; /* where the next one begins nobody knows */
	return settle_item(it, ret, err);
}

int lsvd_vlog_iter_next(struct lsvd_vlog_iter *it, struct lsvd_vlog_item *ret)
{
	struct lsvd_vlog_item item;
	int more;

	if (it->err || it->ended)
		return it->err;
	more = it->flags & LSVD_VLOG_SCAN_STORED ? next_stored(it, &item) : next_by_key(it, &item);
	if (more < 0)
		it->err = more;
	if (more > 0)
		*ret = item;
	it->ended = !more;
	return more;
}

/* ------------------------------------------------------------------------------------ verifying */

struct verifying {
	struct lsvd_vlog *log;
	lsvd_vlog_bad_fn fn;
	void *ctx;
	uint64_t bad;
};

static void tell(struct verifying *v, const struct lsvd_vlog_handle *h, uint64_t records, int err)
{
	v->bad += records;
	if (v->fn)
		v->fn(v->ctx, h, err, lsvd_last_error());
}

static int verify_head_once(struct lsvd_vlog *log, const struct vlog_segment *s)
{
	uint8_t header[VLOG_SEGMENT_HEADER];
	struct vlog_fetch f = { .segment = s->id, .len = sizeof header, .buf = header };
	struct object_head head;
	int err = lsvd_vlog_fetch1(log, &f);

	if (!err)
		err = lsvd_object_head_decode(&head, header, sizeof header, f.key);
	if (err == -ENODATA)
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: header of %u bytes, expected %u", f.key,
				head.header_bytes, VLOG_SEGMENT_HEADER);
	if (!err)
		err = lsvd_object_head_expect(&head, &log->uuid, OBJECT_VALUES, s->epoch,
					      s->id, f.key);
	if (!err && (head.object != s->id ||
		     head.header_bytes + head.body_bytes != s->object_bytes))
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: number %llu of %llu bytes, "
				"expected %llu of %llu", f.key, (unsigned long long)head.object,
				(unsigned long long)(head.header_bytes + head.body_bytes),
				(unsigned long long)s->id, (unsigned long long)s->object_bytes);
	return err;
}

/* The head of the object, which no other reader looks at. */
static int verify_head(struct lsvd_vlog *log, const struct vlog_segment *s)
{
	int err = verify_head_once(log, s);

	/* an answer may be damaged */
	return err == LSVD_E_CORRUPT ? verify_head_once(log, s) : err;
}

static int verify_records(struct verifying *v, const struct vlog_segment *s)
{
	const struct lsvd_vlog_scan scan = { .size = sizeof scan, .segments = &s->id,
					     .segment_count = 1,
					     .flags = LSVD_VLOG_SCAN_ALL | LSVD_VLOG_SCAN_DAMAGED };
	struct lsvd_vlog_iter *it;
	struct lsvd_vlog_item item;
	uint64_t seen = 0;
	int err = lsvd_vlog_iter_open(v->log, &scan, &it), more = 0;

	if (err)
		return err;
	while ((more = lsvd_vlog_iter_next(it, &item)) > 0) {
		seen++;
		if (item.err)
			tell(v, &item.handle, 1, item.err);
	}
	lsvd_vlog_iter_close(it);
	if (more == 0 && seen != s->totals.items)
		more = lsvd_fail(LSVD_E_CORRUPT, "segment %llu: %llu records, expected %llu",
				 (unsigned long long)s->id, (unsigned long long)seen,
				 (unsigned long long)s->totals.items);
	return more;
}

static int verify_segment(struct verifying *v, const struct vlog_segment *s)
{
	struct lsvd_vlog_handle h = { .segment = s->id };
	struct vlog_footer f;
	uint64_t footer_at;
	int err = verify_head(v->log, s);

	if (!err)
		err = lsvd_vlog_footer_get(v->log, s->id, &f, &footer_at);
	if (!err) {
		lsvd_vlog_footer_free(&f);
		err = verify_records(v, s);
	}
	if (err != LSVD_E_CORRUPT)
		return err;
	tell(v, &h, s->totals.items, err);
	lsvd_vlog_mark_damaged(v->log, s->id);
	return 0;
}

int lsvd_vlog_verify(struct lsvd_vlog *log, lsvd_vlog_bad_fn fn, void *ctx, uint64_t *ret_bad)
{
	struct verifying v = { .log = log, .fn = fn, .ctx = ctx };
	struct lsvd_vlog_pin *pin;
	int err = lsvd_vlog_snapshot(log, &pin);

	if (err)
		return err;
	for (size_t i = 0; i < pin->count && !err; i++)
		err = verify_segment(&v, pin->segments[i]);
	lsvd_vlog_pin_release(pin);
	if (!err)
		*ret_bad = v.bad;
	return err;
}
