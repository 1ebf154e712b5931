/* SPDX-License-Identifier: BSD-2-Clause */
/* vlog_table.c - segments, the dead, and the bytes that say so (vlog_table.h). */
#include "vlog/vlog_table.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "format/fmt_varint.h"

#define SEGMENT_BYTES_MAX (10u * 16u)
#define DEAD_BYTES_MAX (10u * 4u)
#define FLAG_UNCERTAIN 1u

/* ------------------------------------------------------------------------------------ the table */

void lsvd_vlog_table_fini(struct vlog_table *t)
{
	for (size_t i = 0; i < t->count; i++)
		lsvd_free(t->at[i]);
	lsvd_free(t->at);
	lsvd_free(t->dead);
	*t = (struct vlog_table){ .at = NULL };
}

/* Where the segment is, or belongs. */
static size_t position(const struct vlog_table *t, uint64_t id)
{
	size_t lo = 0, hi = t->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->at[mid]->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct vlog_segment *lsvd_vlog_table_find(const struct vlog_table *t, uint64_t id)
{
	size_t i = position(t, id);

	return i < t->count && t->at[i]->id == id ? t->at[i] : NULL;
}

static int grow(void **at, size_t *room, size_t want, size_t each)
{
	size_t n = *room;
	void *p;

	if (want <= n)
		return 0;
	n = want + want / 2 + 16;
	p = lsvd_realloc(*at, n * each);
	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	*at = p;
	*room = n;
	return 0;
}

int lsvd_vlog_table_reserve(struct vlog_table *t, size_t segments, size_t dead)
{
	void *at = t->at, *d = t->dead;
	int err;

	err = grow(&at, &t->room, t->count + segments, sizeof *t->at);
	t->at = at;
	if (!err)
		err = grow(&d, &t->dead_room, t->dead_count + dead, sizeof *t->dead);
	t->dead = d;
	return err;
}

void lsvd_vlog_table_add(struct vlog_table *t, struct vlog_segment *s)
{
	size_t i = position(t, s->id);

	assert(t->count < t->room);
	memmove(t->at + i + 1, t->at + i, (t->count - i) * sizeof *t->at);
	t->at[i] = s;
	t->count++;
}

void lsvd_vlog_table_bury(struct vlog_table *t, const struct vlog_dead *d)
{
	assert(t->dead_count < t->dead_room);
	t->dead[t->dead_count++] = *d;
}

void lsvd_vlog_table_retire(struct vlog_table *t, struct vlog_segment *s)
{
	const struct vlog_dead d = { .kind = KEY_FREE, .epoch = s->epoch, .number = s->id,
				     .bytes = s->object_bytes };
	size_t i = position(t, s->id);

	assert(i < t->count && t->at[i] == s);
	memmove(t->at + i, t->at + i + 1, (t->count - i - 1) * sizeof *t->at);
	t->count--;
	s->retired = true;
	lsvd_vlog_table_bury(t, &d);
}

void lsvd_vlog_all_stale(struct vlog_segment *s)
{
	s->stale_items = s->totals.items;
	s->stale_raw = s->totals.raw;
	s->stale_records = s->totals.records;
}

void lsvd_vlog_add_stale(struct vlog_segment *s, uint64_t items, uint64_t raw, uint64_t records)
{
	s->stale_items += min_u64(items, s->totals.items - s->stale_items);
	s->stale_raw += min_u64(raw, s->totals.raw - s->stale_raw);
	s->stale_records += min_u64(records, s->totals.records - s->stale_records);
}

/* -------------------------------------------------------------------------------------- numbers */

struct reader {
	const uint8_t *p, *end;
	bool bad;                /* a number was none: all that follow are 0 */
};

static uint64_t get(struct reader *r)
{
	uint64_t v = 0;
	size_t n = r->bad ? 0 : lsvd_varint_get(r->p, (size_t)(r->end - r->p), &v);

	if (n == 0) {
		r->bad = true;
		return 0;
	}
	r->p += n;
	return v;
}

/* A number of things of which each takes a byte at least. */
static size_t get_count(struct reader *r)
{
	uint64_t n = get(r);

	if (n > (uint64_t)(r->end - r->p))
		r->bad = true;
	return r->bad ? 0 : (size_t)n;
}

static uint8_t *put_segment(uint8_t *p, const struct vlog_segment *s)
{
	const uint64_t numbers[] = {
		s->id, s->epoch, s->commit, s->object_bytes, s->footer_at, s->totals.items,
		s->totals.raw, s->totals.stored, s->totals.records, (uint64_t)s->created_ms,
		s->uncertain || s->unconfirmed ? FLAG_UNCERTAIN : 0,
		s->stale_items, s->stale_raw, s->stale_records,
	};

	_Static_assert(sizeof numbers / sizeof numbers[0] * 10 <= SEGMENT_BYTES_MAX, "fits");
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		p += lsvd_varint_put(p, numbers[i]);
	return p;
}

static bool is_possible(const struct vlog_segment *s)
{
	const struct vlog_totals *t = &s->totals;

	return s->id && s->id < OBJECT_NUMBER_LIMIT && s->epoch && t->items &&
	       s->object_bytes < OBJECT_NUMBER_LIMIT && s->footer_at >= VLOG_SEGMENT_HEADER &&
	       s->object_bytes >= s->footer_at + VLOG_TAIL_BYTES &&
	       s->object_bytes - s->footer_at <= VLOG_FOOTER_MAX &&
	       t->items <= t->records / VLOG_RECORD_HEAD &&
	       t->records == s->footer_at - VLOG_SEGMENT_HEADER && t->stored <= t->raw &&
	       t->stored <= t->records && s->stale_items <= t->items && s->stale_raw <= t->raw &&
	       s->stale_records <= t->records;
}

static void get_segment(struct reader *r, struct vlog_segment *s)
{
	*s = (struct vlog_segment){ .id = get(r) };
	s->epoch = get(r);
	s->commit = get(r);
	s->object_bytes = get(r);
	s->footer_at = get(r);
	s->totals.items = get(r);
	s->totals.raw = get(r);
	s->totals.stored = get(r);
	s->totals.records = get(r);
	s->created_ms = (int64_t)get(r);
	s->uncertain = get(r) & FLAG_UNCERTAIN;
	s->stale_items = get(r);
	s->stale_raw = get(r);
	s->stale_records = get(r);
	r->bad |= !is_possible(s);
}

/* ------------------------------------------------------------------------- records of the chain */

void lsvd_vlog_change_fini(struct vlog_change *c)
{
	for (size_t i = 0; i < c->add_count; i++)
		lsvd_free(c->add[i]);
	lsvd_free(c->add);
	lsvd_free(c->ids);
	*c = (struct vlog_change){ .add = NULL };
}

size_t lsvd_vlog_change_room(const struct vlog_change *c)
{
	return 20 + c->add_count * SEGMENT_BYTES_MAX + c->id_count * 10;
}

size_t lsvd_vlog_change_encode(uint8_t *at, int type, const struct vlog_change *c)
{
	uint8_t *p = at;

	if (type == RECORD_VLOG_COMMIT) {
		p += lsvd_varint_put(p, c->add_count);
		for (size_t i = 0; i < c->add_count; i++)
			p = put_segment(p, c->add[i]);
	}
	p += lsvd_varint_put(p, c->id_count);
	for (size_t i = 0; i < c->id_count; i++)
		p += lsvd_varint_put(p, c->ids[i]);
	return (size_t)(p - at);
}

static int decode_segments(struct vlog_change *c, struct reader *r)
{
	size_t n = get_count(r);

	c->add = lsvd_calloc(n + 1, sizeof(*c->add));
	if (!c->add)
		return lsvd_fail_plain(-ENOMEM);
	while (c->add_count < n && !r->bad) {
		struct vlog_segment *s = lsvd_malloc(sizeof *s);

		if (!s)
			return lsvd_fail_plain(-ENOMEM);
		get_segment(r, s);
		c->add[c->add_count++] = s;
	}
	return 0;
}

static int decode_ids(struct vlog_change *c, struct reader *r)
{
	size_t n = get_count(r);

	c->ids = lsvd_calloc(n + 1, sizeof *c->ids);
	if (!c->ids)
		return lsvd_fail_plain(-ENOMEM);
	while (c->id_count < n && !r->bad)
		c->ids[c->id_count++] = get(r);
	return 0;
}

int lsvd_vlog_change_decode(struct vlog_change *ret, int type, const uint8_t *p, size_t len,
			    const char *what)
{
	struct vlog_change c = { .add = NULL };
	struct reader r = { p, p + len, false };
	int err = 0;

	if (type == RECORD_VLOG_COMMIT)
		err = decode_segments(&c, &r);
	if (!err)
		err = decode_ids(&c, &r);
	if (!err && (r.bad || r.p != r.end))
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: record of type %d: what it says at "
				"byte %zu of %zu cannot be", what, type, (size_t)(r.p - p), len);
	if (err) {
		lsvd_vlog_change_fini(&c);
		return err;
	}
	*ret = c;
	return 0;
}

/* ---------------------------------------------------------------------------------------- roots */

enum root_at {
	ROOT_EPOCH = OBJECT_HEAD_BYTES,
	ROOT_SEQ = ROOT_EPOCH + 8,
	ROOT_COMMITS = ROOT_SEQ + 8,
	ROOT_SEGMENTS = ROOT_COMMITS + 8,
	ROOT_DEAD = ROOT_SEGMENTS + 4,
	ROOT_BODY = ROOT_DEAD + 4,
};

static uint64_t body_checksum(const struct object_head *head, const uint8_t *body)
{
	return lsvd_hash_bind(lsvd_hash(body, head->body_bytes), lsvd_uuid_seed(&head->volume),
			      head->epoch, head->seq);
}

static size_t encode_body(const struct vlog_table *t, uint8_t *body)
{
	uint8_t *p = body;

	for (size_t i = 0; i < t->count; i++)
		p = put_segment(p, t->at[i]);
	for (size_t i = 0; i < t->dead_count; i++) {
		const struct vlog_dead *d = &t->dead[i];

		p += lsvd_varint_put(p, d->kind);
		p += lsvd_varint_put(p, d->epoch);
		p += lsvd_varint_put(p, d->number);
		p += lsvd_varint_put(p, d->bytes);
	}
	return (size_t)(p - body);
}

int lsvd_vlog_root_encode(const struct vlog_table *t, struct object_head *head, uint64_t seq,
			  uint8_t **ret, size_t *ret_len)
{
	uint8_t *p = lsvd_malloc(VLOG_ROOT_HEADER + t->count * SEGMENT_BYTES_MAX +
				 t->dead_count * DEAD_BYTES_MAX);

	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	memset(p, 0, VLOG_ROOT_HEADER);
	head->kind = OBJECT_ROOT;
	head->header_bytes = VLOG_ROOT_HEADER;
	head->body_bytes = encode_body(t, p + VLOG_ROOT_HEADER);
	le64_put(p + ROOT_EPOCH, head->epoch);
	le64_put(p + ROOT_SEQ, seq);
	le64_put(p + ROOT_COMMITS, t->commits);
	le32_put(p + ROOT_SEGMENTS, (uint32_t)t->count);
	le32_put(p + ROOT_DEAD, (uint32_t)t->dead_count);
	le64_put(p + ROOT_BODY, body_checksum(head, p + VLOG_ROOT_HEADER));
	lsvd_object_head_encode(p, head);
	*ret = p;
	*ret_len = VLOG_ROOT_HEADER + head->body_bytes;
	return 0;
}

static bool is_corpse(const struct vlog_dead *d)
{
	return (d->kind == KEY_CHAIN || d->kind == KEY_FREE || d->kind == KEY_ROOT) && d->epoch;
}

static int decode_body(struct vlog_table *t, struct reader *r, uint32_t segments, uint32_t dead)
{
	uint64_t last = 0;
	int err = lsvd_vlog_table_reserve(t, segments, dead);

	for (uint32_t i = 0; i < segments && !err && !r->bad; i++) {
		struct vlog_segment *s = lsvd_malloc(sizeof *s);

		if (!s)
			return lsvd_fail_plain(-ENOMEM);
		get_segment(r, s);
		r->bad |= s->id <= last; /* each once, in order */
		last = s->id;
		if (r->bad)
			lsvd_free(s);
		else
			lsvd_vlog_table_add(t, s);
	}
	for (uint32_t i = 0; i < dead && !err && !r->bad; i++) {
		struct vlog_dead d = { .kind = (enum key_kind)get(r), .listed = true };

		d.epoch = get(r);
		d.number = get(r);
		d.bytes = get(r);
		r->bad |= !is_corpse(&d);
		if (!r->bad)
			lsvd_vlog_table_bury(t, &d);
	}
	return err;
}

int lsvd_vlog_root_decode(struct vlog_table *t, const struct object_head *head,
			  const uint8_t *object, size_t len, const char *what)
{
	struct reader r = { object + head->header_bytes, object + len, false };
	uint32_t segments, dead;
	uint64_t sum;
	int err;

	if (head->header_bytes != VLOG_ROOT_HEADER || len - head->header_bytes != head->body_bytes)
		return lsvd_fail(-EBADMSG, "object %s: header of %u and body of %" PRIu64
				 " bytes in %zu", what, head->header_bytes, head->body_bytes, len);
	sum = body_checksum(head, r.p);
	if (sum != le64_get(object + ROOT_BODY))
		return lsvd_fail(-EBADMSG, "object %s: checksum of the body %016" PRIx64
				 ", expected %016" PRIx64, what, sum, le64_get(object + ROOT_BODY));
	t->commits = le64_get(object + ROOT_COMMITS);
	segments = le32_get(object + ROOT_SEGMENTS);
	dead = le32_get(object + ROOT_DEAD);
	if ((uint64_t)segments + dead > head->body_bytes)
		r.bad = true;
	err = r.bad ? 0 : decode_body(t, &r, segments, dead);
	if (!err && (r.bad || r.p != r.end))
		err = lsvd_fail(LSVD_E_CORRUPT,
				"object %s: what it says at byte %zu of %zu cannot be", what,
				(size_t)(r.p - object), len);
	return err;
}
