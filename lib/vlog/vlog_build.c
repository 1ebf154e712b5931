/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_build.c - segments: records laid down in chunks of memory, an index behind them
 * (vlog_build.h).
 *
 * A record that is not in pieces lies in one chunk, so that it is hashed at once; of one in pieces
 * the prefix does, and each piece. What is left free at the end of a chunk is not part of the
 * object.
 */
#include "vlog/vlog_build.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "format/fmt_varint.h"

#define CHUNK_BYTES (1u << 20)
#define ENTRY_BYTES_MAX (10u * 6u)      /* in the index, but for the key */

static const uint8_t tail_magic[8] = "LSVDVSEG";

enum tail_at {
	TAIL_MAGIC = 0,
	TAIL_INDEX_AT = 8,
	TAIL_INDEX_BYTES = 16,
	TAIL_METADATA_BYTES = 24,
	TAIL_ITEMS = 32,
	TAIL_CHECKSUM = 40,
};

/* ------------------------------------------------------------------------------------- chunks */

static int add_chunk(struct vlog_build *b, size_t room)
{
	struct vlog_chunk *c;

	if (b->chunk_count == b->chunk_room) {
		unsigned n = b->chunk_room ? b->chunk_room * 2 : 64;
		void *p = lsvd_realloc(b->chunks, n * sizeof *b->chunks);

		if (!p)
			return lsvd_fail_plain(-ENOMEM);
		b->chunks = p;
		b->chunk_room = n;
	}
	c = &b->chunks[b->chunk_count];
	c->len = 0;
	c->room = room > CHUNK_BYTES ? room : CHUNK_BYTES;
	c->bytes = lsvd_malloc(c->room);
	if (!c->bytes)
		return lsvd_fail_plain(-ENOMEM);
	b->chunk_count++;
	return 0;
}

/* Room for `n` bytes in a row, of which any number may then be taken. NULL: no memory. */
static uint8_t *reserve(struct vlog_build *b, size_t n)
{
	struct vlog_chunk *c = b->chunk_count ? &b->chunks[b->chunk_count - 1] : NULL;

	if (!c || c->room - c->len < n) {
		if (add_chunk(b, n) < 0)
			return NULL;
		c = &b->chunks[b->chunk_count - 1];
	}
	return c->bytes + c->len;
}

static void take(struct vlog_build *b, size_t n)
{
	b->chunks[b->chunk_count - 1].len += n;
	b->offset += n;
}

/* ------------------------------------------------------------------------------------ entries */

static int reserve_entry(struct vlog_build *b)
{
	size_t room;
	void *p;

	if (b->totals.items < b->entry_room)
		return 0;
	room = b->entry_room ? b->entry_room * 2 : 64;
	p = lsvd_realloc(b->entries, room * sizeof *b->entries);
	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	b->entries = p;
	b->entry_room = room;
	return 0;
}

int lsvd_vlog_key_compare(const void *a, size_t a_len, const void *b, size_t b_len)
{
	int d = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return d ? d : a_len < b_len ? -1 : a_len > b_len;
}

/* The record at `p`, which begins at `offset`, is there. */
static void note_entry(struct vlog_build *b, const struct vlog_record *r, const uint8_t *p,
		       uint64_t offset, uint64_t commit, struct lsvd_vlog_handle *ret)
{
	struct vlog_entry *e = &b->entries[b->totals.items];

	*e = (struct vlog_entry){ .key = p + VLOG_RECORD_HEAD, .key_len = r->key_len, .raw = r->raw,
				  .offset = offset, .size = vlog_record_bytes(r),
				  .commit = commit };
	if (b->totals.items &&
	    lsvd_vlog_key_compare(e[-1].key, e[-1].key_len, e->key, e->key_len) >= 0)
		b->unsorted = true;
	b->totals.items++;
	b->totals.raw += r->raw;
	b->totals.stored += r->stored;
	b->totals.records += e->size;
	*ret = (struct lsvd_vlog_handle){ b->id, offset, e->size };
}

/* ------------------------------------------------------------------------------------- adding */

static struct vlog_place next_place(const struct vlog_build *b)
{
	return (struct vlog_place){ b->owner, b->id, b->offset };
}

static int add_whole(struct vlog_build *b, struct vlog_packer *packer, struct vlog_record *r,
		     const void *key, const void *value, struct lsvd_vlog_handle *ret)
{
	struct vlog_place at = next_place(b);
	uint8_t *p = reserve(b, VLOG_RECORD_HEAD + r->key_len + (size_t)r->raw);
	uint8_t *to;
	size_t n;

	if (!p)
		return -ENOMEM;
	to = p + VLOG_RECORD_HEAD + r->key_len;
	memcpy(p + VLOG_RECORD_HEAD, key, r->key_len);
	n = r->codec ? lsvd_vlog_pack(packer, value, r->raw, to) : 0;
	r->stored = n ? n : r->raw;
	if (!n) {
		r->codec = LSVD_VLOG_CODEC_NONE;
		if (r->raw)
			memcpy(to, value, r->raw);
	}
	lsvd_vlog_record_encode(p, r);
	lsvd_vlog_record_bind(p, lsvd_vlog_record_hash(p, r), &at);
	note_entry(b, r, p, at.offset, 0, ret);
	take(b, vlog_record_bytes(r));
	return 0;
}

static int add_piece(struct vlog_build *b, struct vlog_packer *packer, struct vlog_record *r,
		     const uint8_t *value, uint32_t len, uint8_t *entry)
{
	uint8_t *p = reserve(b, len);
	size_t n;

	if (!p)
		return -ENOMEM;
	n = r->codec ? lsvd_vlog_pack(packer, value, len, p) : 0;
	if (!n) {
		memcpy(p, value, len);
		n = len;
	}
	le32_put(entry, (uint32_t)n);
	le64_put(entry + 4, lsvd_hash(p, n));
	r->stored += n;
	take(b, n);
	return 0;
}

static int add_pieces(struct vlog_build *b, struct vlog_packer *packer, struct vlog_record *r,
		      const void *key, const uint8_t *value, struct lsvd_vlog_handle *ret)
{
	struct vlog_place at = next_place(b);
	uint8_t *p, *entry;

	r->flags = VLOG_PIECES;
	r->stored = 0;
	p = reserve(b, vlog_prefix_bytes(r));
	if (!p)
		return -ENOMEM;
	take(b, vlog_prefix_bytes(r));
	memcpy(p + VLOG_RECORD_HEAD, key, r->key_len);
	entry = p + VLOG_RECORD_HEAD + r->key_len;
	for (uint64_t off = 0; off < r->raw; off += VLOG_PIECE_BYTES, entry += VLOG_PIECE_ENTRY) {
		uint32_t len = (uint32_t)min_u64(r->raw - off, VLOG_PIECE_BYTES);

		if (add_piece(b, packer, r, value + off, len, entry) < 0)
			return -ENOMEM;
	}
	lsvd_vlog_record_encode(p, r);
	lsvd_vlog_record_bind(p, lsvd_vlog_record_hash(p, r), &at);
	note_entry(b, r, p, at.offset, 0, ret);
	return 0;
}

int lsvd_vlog_build_add(struct vlog_build *b, struct vlog_packer *packer, uint8_t codec,
			const void *key, size_t key_len, const void *value, size_t len,
			struct lsvd_vlog_handle *ret)
{
	struct vlog_record r = { .codec = packer ? codec : 0, .key_len = (uint16_t)key_len,
				 .raw = (uint32_t)len };

	if (reserve_entry(b) < 0)
		return -ENOMEM;
	return len > VLOG_PIECED_BYTES ? add_pieces(b, packer, &r, key, value, ret)
				       : add_whole(b, packer, &r, key, value, ret);
}

int lsvd_vlog_build_copy(struct vlog_build *b, const struct vlog_record *r, const uint8_t *bytes,
			 uint64_t hash, uint64_t commit, struct lsvd_vlog_handle *ret)
{
	struct vlog_place at = next_place(b);
	uint64_t size = vlog_record_bytes(r);
	uint8_t *p = reserve_entry(b) < 0 ? NULL : reserve(b, size);

	if (!p)
		return -ENOMEM;
	memcpy(p, bytes, size);
	lsvd_vlog_record_bind(p, hash, &at);
	note_entry(b, r, p, at.offset, commit, ret);
	take(b, size);
	return 0;
}

/* ------------------------------------------------------------------------------------- sealing */

/* Of equal keys the last written first. */
static int by_key(const void *a, const void *b)
{
	const struct vlog_entry *x = a, *y = b;
	int d = lsvd_vlog_key_compare(x->key, x->key_len, y->key, y->key_len);

	return d ? d : x->offset > y->offset ? -1 : x->offset < y->offset;
}

static uint32_t shared_bytes(const struct vlog_entry *a, const struct vlog_entry *b)
{
	uint32_t n = 0;

	while (n < a->key_len && n < b->key_len && a->key[n] == b->key[n])
		n++;
	return n;
}

static uint8_t *put_entry(uint8_t *p, const struct vlog_entry *e, const struct vlog_entry *before)
{
	uint32_t shared = before ? shared_bytes(before, e) : 0;

	p += lsvd_varint_put(p, shared);
	p += lsvd_varint_put(p, e->key_len - shared);
	memcpy(p, e->key + shared, e->key_len - shared);
	p += e->key_len - shared;
	p += lsvd_varint_put(p, e->offset);
	p += lsvd_varint_put(p, e->size);
	p += lsvd_varint_put(p, e->raw);
	return p + lsvd_varint_put(p, e->commit);
}

static uint64_t footer_room(const struct vlog_build *b, size_t metadata_len)
{
	uint64_t n = metadata_len + VLOG_TAIL_BYTES;

	for (uint64_t i = 0; i < b->totals.items; i++)
		n += b->entries[i].key_len + ENTRY_BYTES_MAX;
	return n;
}

static uint64_t footer_checksum(const uint8_t *footer, size_t len, uint64_t owner, uint64_t id,
				uint64_t at)
{
	return lsvd_hash_bind(lsvd_hash(footer, len - 8), owner, id, at);
}

static size_t write_footer(struct vlog_build *b, const void *metadata, size_t metadata_len)
{
	uint8_t *p = b->footer;
	size_t index_bytes;

	for (uint64_t i = 0; i < b->totals.items; i++)
		p = put_entry(p, &b->entries[i], i ? &b->entries[i - 1] : NULL);
	index_bytes = (size_t)(p - b->footer);
	if (metadata_len)
		memcpy(p, metadata, metadata_len);
	p += metadata_len;
	memcpy(p + TAIL_MAGIC, tail_magic, sizeof tail_magic);
	le64_put(p + TAIL_INDEX_AT, b->offset);
	le64_put(p + TAIL_INDEX_BYTES, index_bytes);
	le64_put(p + TAIL_METADATA_BYTES, metadata_len);
	le64_put(p + TAIL_ITEMS, b->totals.items);
	p += VLOG_TAIL_BYTES;
	le64_put(p - 8, footer_checksum(b->footer, (size_t)(p - b->footer), b->owner, b->id,
					b->offset));
	return (size_t)(p - b->footer);
}

static void write_header(struct vlog_build *b, size_t footer_bytes)
{
	struct object_head head = {
		.kind = OBJECT_VALUES,
		.header_bytes = VLOG_SEGMENT_HEADER,
		.volume = b->log,
		.epoch = b->epoch,
		.seq = b->id,
		.object = b->id,
		.body_bytes = b->offset - VLOG_SEGMENT_HEADER + footer_bytes,
	};

	memset(b->header + OBJECT_HEAD_BYTES, 0, VLOG_SEGMENT_HEADER - OBJECT_HEAD_BYTES);
	le64_put(b->header + OBJECT_HEAD_BYTES, (uint64_t)b->created_ms);
	lsvd_object_head_encode(b->header, &head);
}

int lsvd_vlog_build_seal(struct vlog_build *b, const void *metadata, size_t metadata_len)
{
	size_t footer_bytes;

	if (b->unsorted)
		qsort(b->entries, b->totals.items, sizeof *b->entries, by_key);
	b->footer = lsvd_malloc(footer_room(b, metadata_len));
	b->iov = lsvd_malloc((b->chunk_count + 2) * sizeof *b->iov);
	if (!b->footer || !b->iov)
		return lsvd_fail_plain(-ENOMEM);
	footer_bytes = write_footer(b, metadata, metadata_len);
	write_header(b, footer_bytes);
	b->iov[b->iovcnt++] = (struct iovec){ b->header, sizeof b->header };
	for (unsigned i = 0; i < b->chunk_count; i++)
		if (b->chunks[i].len)
			b->iov[b->iovcnt++] = (struct iovec){ b->chunks[i].bytes,
							      b->chunks[i].len };
	b->iov[b->iovcnt++] = (struct iovec){ b->footer, footer_bytes };
	b->footer_at = b->offset;
	b->object_bytes = b->offset + footer_bytes;
	return 0;
}

int lsvd_vlog_build_new(struct vlog_build **ret, const struct uuid *log, uint64_t epoch,
			uint64_t id)
{
	struct vlog_build *b = lsvd_calloc(1, sizeof *b);

	if (!b)
		return lsvd_fail_plain(-ENOMEM);
	b->log = *log;
	b->owner = lsvd_uuid_seed(log);
	b->epoch = epoch;
	b->id = id;
	b->offset = VLOG_SEGMENT_HEADER;
	*ret = b;
	return 0;
}

void lsvd_vlog_build_free(struct vlog_build *b)
{
	if (!b)
		return;
	for (unsigned i = 0; i < b->chunk_count; i++)
		lsvd_free(b->chunks[i].bytes);
	lsvd_free(b->chunks);
	lsvd_free(b->entries);
	lsvd_free(b->footer);
	lsvd_free(b->iov);
	lsvd_free(b);
}

/* ------------------------------------------------------------------------------------- footers */

static int bad_footer(const char *what, uint64_t is, uint64_t expected, const char *field)
{
	return lsvd_fail(LSVD_E_CORRUPT, "object %s: footer: %s %" PRIx64 ", expected %" PRIx64,
			 what, field, is, expected);
}

static int check_tail(struct vlog_footer *f, size_t len, uint64_t owner, uint64_t id,
		      uint64_t footer_at, const char *what)
{
	const uint8_t *t = f->bytes + len - VLOG_TAIL_BYTES;
	uint64_t sum = footer_checksum(f->bytes, len, owner, id, footer_at);
	uint64_t metadata_bytes = le64_get(t + TAIL_METADATA_BYTES);

	if (memcmp(t, tail_magic, sizeof tail_magic) != 0)
		return bad_footer(what, le64_get(t), le64_get(tail_magic), "magic");
	if (sum != le64_get(t + TAIL_CHECKSUM))
		return bad_footer(what, le64_get(t + TAIL_CHECKSUM), sum, "checksum");
	f->index = f->bytes;
	f->index_bytes = le64_get(t + TAIL_INDEX_BYTES);
	f->metadata_bytes = (uint32_t)metadata_bytes;
	f->items = le64_get(t + TAIL_ITEMS);
	if (metadata_bytes > LSVD_VLOG_METADATA_MAX || f->index_bytes > len ||
	    f->index_bytes + metadata_bytes + VLOG_TAIL_BYTES != len)
		return bad_footer(what, f->index_bytes + metadata_bytes + VLOG_TAIL_BYTES, len,
				  "length");
	f->metadata = f->bytes + f->index_bytes;
	return 0;
}

int lsvd_vlog_footer_decode(struct vlog_footer *ret, uint8_t *bytes, size_t len, uint64_t owner,
			    uint64_t id, uint64_t footer_at, const char *what)
{
	struct vlog_footer f = { .bytes = bytes };
	int err;

	err = len < VLOG_TAIL_BYTES ? bad_footer(what, len, VLOG_TAIL_BYTES, "length")
				    : check_tail(&f, len, owner, id, footer_at, what);
	if (err) {
		lsvd_free(bytes);
		return err;
	}
	*ret = f;
	return 0;
}

void lsvd_vlog_footer_free(struct vlog_footer *f)
{
	lsvd_free(f->bytes);
	*f = (struct vlog_footer){ .bytes = NULL };
}

void lsvd_vlog_cursor_init(struct vlog_cursor *c, const struct vlog_footer *f, uint64_t segment,
			   uint64_t footer_at)
{
	*c = (struct vlog_cursor){ .footer = f, .p = f->index, .left = f->items, .segment = segment,
				   .footer_at = footer_at };
}

void lsvd_vlog_cursor_fini(struct vlog_cursor *c)
{
	lsvd_free(c->key);
	c->key = NULL;
}

static int bad_entry(const struct vlog_cursor *c)
{
	return lsvd_fail(LSVD_E_CORRUPT, "segment %" PRIu64 ": index: entry %" PRIu64 " of %" PRIu64
			 " cannot be", c->segment, c->footer->items - c->left, c->footer->items);
}

static int grow_key(struct vlog_cursor *c, size_t len)
{
	size_t room = len > 128 ? len * 2 : 256;
	uint8_t *p;

	if (len <= c->key_room)
		return 0;
	p = lsvd_realloc(c->key, room);
	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	c->key = p;
	c->key_room = room;
	return 0;
}

static bool get_number(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
	size_t n = lsvd_varint_get(*p, (size_t)(end - *p), ret);

	*p += n;
	return n != 0;
}

/* The key: what it shares with the one before, and what follows. */
static int next_key(struct vlog_cursor *c, const uint8_t **p, const uint8_t *end)
{
	uint64_t shared, more;
	int err;

	if (!get_number(p, end, &shared) || !get_number(p, end, &more) ||
	    shared > c->entry.key_len || more > LSVD_VLOG_KEY_MAX - shared || shared + more == 0 ||
	    more > (uint64_t)(end - *p))
		return bad_entry(c);
	err = grow_key(c, shared + more);
	if (err)
		return err;
	memcpy(c->key + shared, *p, more);
	*p += more;
	c->entry.key = c->key;
	c->entry.key_len = (uint32_t)(shared + more);
	return 0;
}

int lsvd_vlog_cursor_next(struct vlog_cursor *c)
{
	const uint8_t *end = c->footer->index + c->footer->index_bytes;
	struct vlog_entry *e = &c->entry;
	uint64_t raw;
	int err;

	if (c->left == 0)
		return c->p == end ? 0 : bad_entry(c);
	err = next_key(c, &c->p, end);
	if (err)
		return err;
	if (!get_number(&c->p, end, &e->offset) || !get_number(&c->p, end, &e->size) ||
	    !get_number(&c->p, end, &raw) || !get_number(&c->p, end, &e->commit) ||
	    raw > LSVD_VLOG_VALUE_MAX || e->offset < VLOG_SEGMENT_HEADER ||
	    e->size < VLOG_RECORD_HEAD || !range_within(e->offset, e->size, c->footer_at))
		return bad_entry(c);
	e->raw = (uint32_t)raw;
	c->left--;
	return 1;
}
