/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_recover.c - the store map again: from a root and its pages, and the chain objects after it.
 *
 * Procedures, called by lsvd_log_recover() before the volume is shared. Every count, place and
 * length comes from outside and is checked before it is used.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "format/fmt_key.h"
#include "volume/checkpoint.h"

#define PAGES_OBJECT_MAX (64u << 20)
#define PAGES_AT_ONCE 64u
#define PAGES_AT_ONCE_BYTES (UINT64_C(32) << 20) /* but for the last one */

/* ------------------------------------------------------------------------------------------- roots */

static void get_page_ref(struct page_ref *ret, const uint8_t *p)
{
	ret->page = le64_get(p);
	ret->epoch = le64_get(p + 8);
	ret->number = le64_get(p + 16);
	ret->off = le32_get(p + 24);
	ret->len = le32_get(p + 28);
	ret->hash = le64_get(p + 32);
}

static int corrupt_root(const struct object_head *head, const char *what, uint64_t have,
			uint64_t want)
{
	return lsvd_fail(LSVD_E_CORRUPT, "root %llu of epoch %llu: %s %llu, expected %llu",
			 (unsigned long long)head->seq, (unsigned long long)head->epoch, what,
			 (unsigned long long)have, (unsigned long long)want);
}

static int load_objects(struct lsvd_volume *v, const struct object_head *head, const uint8_t *p,
			uint64_t count, uint64_t next_object)
{
	int err = lsvd_object_table_reserve(&v->objects, next_object);

	if (err)
		return err;
	for (uint64_t i = 0, last = 0; i < count; i++, p += ROOT_OBJECT_BYTES) {
		uint64_t number = le64_get(p);
		struct object_entry e = { .epoch = le64_get(p + 8), .seq = le64_get(p + 16),
					  .bytes = le64_get(p + 24), .data = le64_get(p + 32),
					  .live = le64_get(p + 40) };

		if (number >= next_object || (i && number <= last) || !e.epoch)
			return corrupt_root(head, "object number", number, last + 1);
		lsvd_object_table_set(&v->objects, number, &e);
		last = number;
	}
	return 0;
}

/* Nothing has been taken from it yet: it may be read again. */
static int body_damaged(const struct object_head *head, uint64_t is, uint64_t expected)
{
	(void)corrupt_root(head, "body checksum", is, expected); /* for its text */
	return -EBADMSG;
}

static int load_refs(struct lsvd_volume *v, const struct object_head *head, const uint8_t *p,
		     uint64_t count)
{
	uint64_t pages = (v->sectors + STORE_MAP_PAGE_SECTORS - 1) / STORE_MAP_PAGE_SECTORS;

	v->pages = lsvd_malloc(count * sizeof *v->pages);
	if (!v->pages)
		return lsvd_fail_plain(-ENOMEM);
	v->page_count = count;
	for (uint64_t i = 0; i < count; i++, p += ROOT_PAGE_BYTES) {
		get_page_ref(&v->pages[i], p);
		if (v->pages[i].page >= pages || (i && v->pages[i].page <= v->pages[i - 1].page))
			return corrupt_root(head, "page number", v->pages[i].page, pages - 1);
	}
	return 0;
}

/* ------------------------------------------------------------------------------------------- pages */

static int by_place(const void *a, const void *b)
{
	const struct page_ref *x = *(const struct page_ref *const *)a;
	const struct page_ref *y = *(const struct page_ref *const *)b;

	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

static int check_page(const struct lsvd_volume *v, const struct page_ref *r, const uint8_t *object,
		      size_t len, const char *key)
{
	uint64_t hash;

	if (!range_within(r->off, r->len, len))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: page %llu at %u, %u bytes: beyond its %zu",
				 key, (unsigned long long)r->page, r->off, r->len, len);
	hash = lsvd_hash_bind(lsvd_hash(object + r->off, r->len), v->owner, r->page, r->number);
	if (hash != r->hash)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: page %llu: checksum %016llx, expected "
				 "%016llx", key, (unsigned long long)r->page,
				 (unsigned long long)hash, (unsigned long long)r->hash);
	return 0;
}

static int decode_page(struct lsvd_volume *v, const struct page_ref *r, const uint8_t *object,
		       const char *key)
{
	int err = lsvd_store_map_decode_page(v->map, r->page, object + r->off, r->len);

	if (err)
		return lsvd_fail_context(err, "object %s", key);
	lsvd_store_map_page_clean(v->map, r->page);
	return 0;
}

/* One object of pages that is being read: from its beginning to the end of the last page wanted. */
struct pages_get {
	struct obj_io io;
	struct page_ref **refs;
	uint64_t n;
};

static int check_pages(struct lsvd_volume *v, const struct pages_get *g)
{
	const char *key = g->io.key;
	struct object_head head;
	int err;

	v->stats.recovery_gets++;
	v->stats.recovery_get_bytes += g->io.ret_len;
	err = lsvd_object_head_decode(&head, g->io.buf, g->io.ret_len, key);
	if (!err)
		err = lsvd_object_head_expect(&head, &v->uuid, OBJECT_PAGES, g->refs[0]->epoch,
					      g->refs[0]->number, key);
	for (uint64_t i = 0; i < g->n && !err; i++)
		err = check_page(v, g->refs[i], g->io.buf, g->io.ret_len, key);
	return err == -ENODATA ? lsvd_fail(LSVD_E_CORRUPT, "object %s: cut short", key) : err;
}

/* Alone, and patiently. */
static int get_again(struct lsvd_volume *v, struct pages_get *g)
{
	int err;

	g->io.io = (struct io){ .kind = IO_GET };
	err = lsvd_vol_run_patiently(&v->port, &g->io);
	if (err == -ENOENT)
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: missing, though the root names it",
				g->io.key);
	return err ? err : check_pages(v, g);
}

/* What the first try has brought, or else another. LSVD_E_CORRUPT: nothing of it is to be used. */
static int take_pages(struct lsvd_volume *v, struct pages_get *g)
{
	int err = g->io.io.err ? get_again(v, g) : check_pages(v, g);

	if (err == LSVD_E_CORRUPT) {
		v->stats.bad_gets++; /* an answer may be damaged */
		err = get_again(v, g);
	}
	for (uint64_t i = 0; i < g->n && !err; i++)
		err = decode_page(v, g->refs[i], g->io.buf, g->io.key);
	return err;
}

/* The next object's pages, of `left` that are sorted by their places. */
static int next_get(const struct lsvd_volume *v, struct pages_get *ret, struct page_ref **refs,
		    uint64_t left)
{
	uint64_t need = OBJECT_HEAD_BYTES, n = 0;

	for (; n < left && refs[n]->epoch == refs[0]->epoch && refs[n]->number == refs[0]->number; n++)
		need = max_u64(need, (uint64_t)refs[n]->off + refs[n]->len);
	*ret = (struct pages_get){ .io = { .io = { .kind = IO_GET }, .len = need },
				   .refs = refs, .n = n };
	lsvd_key_free(ret->io.key, &v->uuid, refs[0]->epoch, refs[0]->number);
	if (need > PAGES_OBJECT_MAX)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: a page ends at byte %llu, at most %u",
				 ret->io.key, (unsigned long long)need, PAGES_OBJECT_MAX);
	ret->io.buf = lsvd_malloc(need);
	return ret->io.buf ? 0 : lsvd_fail_plain(-ENOMEM);
}

/* Several objects at the same time. *ret_done: so many references are dealt with. */
static int load_some(struct lsvd_volume *v, struct page_ref **refs, uint64_t left,
		     uint64_t *ret_done)
{
	struct pages_get *gets = lsvd_calloc(PAGES_AT_ONCE, sizeof *gets);
	struct io *ios[PAGES_AT_ONCE];
	uint64_t done = 0, bytes = 0;
	unsigned n = 0;
	int err = 0;

	if (!gets)
		return lsvd_fail_plain(-ENOMEM);
	while (n < PAGES_AT_ONCE && done < left && bytes < PAGES_AT_ONCE_BYTES && !err) {
		err = next_get(v, &gets[n], refs + done, left - done);
		bytes += gets[n].io.len;
		done += gets[n].n;
		ios[n] = &gets[n].io.io;
		n++;
	}
	if (!err)
		(void)lsvd_port_run(&v->port, ios, n); /* each has its own result */
	for (unsigned i = 0; i < n; i++) {
		if (!err)
			err = take_pages(v, &gets[i]);
		lsvd_free(gets[i].io.buf);
	}
	lsvd_free(gets);
	*ret_done = done;
	return err;
}

static int load_pages(struct lsvd_volume *v)
{
	struct page_ref **refs = lsvd_malloc(v->page_count * sizeof *refs);
	int err = 0;

	if (!refs)
		return lsvd_fail_plain(-ENOMEM);
	for (uint64_t i = 0; i < v->page_count; i++)
		refs[i] = &v->pages[i];
	qsort(refs, v->page_count, sizeof *refs, by_place);
	for (uint64_t i = 0, n = 0; i < v->page_count && !err; i += n)
		err = load_some(v, refs + i, v->page_count - i, &n);
	lsvd_free(refs);
	return err;
}

int lsvd_vol_load_root(void *ctx, const struct object_head *head, const uint8_t *object, size_t len)
{
	struct lsvd_volume *v = ctx;
	const uint8_t *part = object + OBJECT_HEAD_BYTES, *body = object + ROOT_HEADER_BYTES;
	uint64_t pages, objects, next_object, sum;
	int err;

	if (head->header_bytes != ROOT_HEADER_BYTES || len < ROOT_HEADER_BYTES ||
	    head->body_bytes != len - ROOT_HEADER_BYTES)
		return corrupt_root(head, "length", len, ROOT_HEADER_BYTES + head->body_bytes);
	next_object = le64_get(part + 24);
	pages = le64_get(part + 40);
	objects = le64_get(part + 48);
	if (pages > head->body_bytes / ROOT_PAGE_BYTES ||
	    objects > head->body_bytes / ROOT_OBJECT_BYTES ||
	    pages * ROOT_PAGE_BYTES + objects * ROOT_OBJECT_BYTES != head->body_bytes ||
	    next_object > OBJECT_NUMBER_LIMIT)
		return corrupt_root(head, "body length", head->body_bytes,
				    pages * ROOT_PAGE_BYTES + objects * ROOT_OBJECT_BYTES);
	sum = lsvd_hash_seeded(body, head->body_bytes, v->owner);
	if (sum != le64_get(part + 56))
		return body_damaged(head, sum, le64_get(part + 56));
	err = load_refs(v, head, body, pages);
	if (!err)
		err = load_objects(v, head, body + pages * ROOT_PAGE_BYTES, objects, next_object);
	return err ? err : load_pages(v);
}

/* ----------------------------------------------------------------------------------- chain objects */

int lsvd_vol_replay(void *ctx, const struct object_head *head, const struct chain_part *chain,
		    const struct seg_extent *extents, uint32_t count)
{
	struct lsvd_volume *v = ctx;
	struct object_entry entry = { .epoch = head->epoch, .seq = head->seq,
				      .bytes = head->header_bytes + head->body_bytes };
	int err;

	(void)chain;
	if (head->kind != OBJECT_DATA)
		return 0;
	if (head->object == 0 || head->object >= OBJECT_NUMBER_LIMIT)
		return lsvd_fail(LSVD_E_CORRUPT, "object %llu of epoch %llu: number %llu in the lineage",
				 (unsigned long long)head->seq, (unsigned long long)head->epoch,
				 (unsigned long long)head->object);
	for (uint32_t i = 0; i < count; i++)
		if (extents[i].kind == SEG_RAW || extents[i].kind == SEG_UNIT)
			entry.data += extents[i].sectors * SECTOR_BYTES;
	err = lsvd_vol_apply_object(v, head->object, &entry);
	for (uint32_t i = 0; i < count && !err; i++)
		err = lsvd_vol_apply_extent(v, head->object, &extents[i]);
	v->stats.replayed_segments++;
	return err;
}
