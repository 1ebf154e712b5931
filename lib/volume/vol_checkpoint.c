/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_checkpoint.c - saving the store map: the pages that changed, then a root that names them all.
 *
 * A checkpoint is the store map after exactly one chain object: it waits while an object is in the
 * map in part. While the changed pages are encoded
 * (on a processor's thread) nothing is applied to the map: acknowledged segments wait, and reads do
 * not notice, for the overlay has them. Then the map moves on while pages, and after them the root,
 * are put as free objects. Only when the root is acknowledged do chain objects name it.
 *
 *   FROZEN (encoding) -> PAGES (putting) -> ROOT (putting) -> done
 *
 * A put that fails for good ends checkpoints for this open: what was marked saved is not. Nothing is
 * lost by that but time at the next open.
 *
 * docs/format.md, "Pages" and "Roots", has the bytes.
 */
#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "format/fmt_key.h"
#include "volume/checkpoint.h"

#define PAGES_OBJECT_BYTES (8u << 20)

struct page_object {
	uint8_t *bytes;            /* header and body */
	uint32_t len, room;
	uint64_t number;
	struct iovec iov;
	struct log_free_put put;
};

struct checkpoint {
	struct lsvd_volume *v;
	struct job_io job;
	uint64_t epoch, seq, last_op; /* the chain object it stands at, and R there */
	uint64_t next_object, number;
	struct page_object *objects;
	unsigned object_count;
	unsigned puts_left;
	struct page_ref *pages;      /* of this checkpoint, in order of page */
	uint64_t page_count, page_room;
	uint64_t *saved;             /* page numbers encoded */
	uint64_t saved_count, saved_room;
	uint8_t *root;
	size_t root_len;
	struct iovec root_iov;
	struct log_free_put root_put;
	struct root_ref ref;
	int err;
};

static void free_checkpoint(struct checkpoint *c)
{
	for (unsigned i = 0; i < c->object_count; i++)
		lsvd_free(c->objects[i].bytes);
	lsvd_free(c->objects);
	lsvd_free(c->pages);
	lsvd_free(c->saved);
	lsvd_free(c->root);
	lsvd_free(c);
}

/* ---------------------------------------------------------------------- encoding, without the lock */

static int grow(void **array, uint64_t *room, uint64_t count, size_t size)
{
	uint64_t want = *room ? *room * 2 : 64;
	void *p;

	if (count < *room)
		return 0;
	p = lsvd_realloc(*array, want * size);
	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	*array = p;
	*room = want;
	return 0;
}

static int add_ref(struct checkpoint *c, const struct page_ref *ref)
{
	int err = grow((void **)&c->pages, &c->page_room, c->page_count, sizeof *c->pages);

	if (!err)
		c->pages[c->page_count++] = *ref;
	return err;
}

static struct page_object *new_object(struct checkpoint *c)
{
	struct page_object *o;
	void *p = lsvd_realloc(c->objects, (c->object_count + 1) * sizeof *c->objects);

	if (!p)
		return NULL;
	c->objects = p;
	o = &c->objects[c->object_count];
	memset(o, 0, sizeof *o);
	o->room = PAGES_OBJECT_BYTES;
	o->bytes = lsvd_malloc(o->room);
	if (!o->bytes)
		return NULL;
	memset(o->bytes, 0, OBJECT_HEAD_BYTES);
	o->len = OBJECT_HEAD_BYTES;
	o->number = c->number++;
	c->object_count++;
	return o;
}

static struct page_object *object_with_room(struct checkpoint *c)
{
	struct page_object *o = c->object_count ? &c->objects[c->object_count - 1] : NULL;

	if (o && o->len + STORE_MAP_PAGE_MAX_BYTES <= o->room)
		return o;
	return new_object(c);
}

static int save_page(struct checkpoint *c, uint64_t page)
{
	struct page_object *o = object_with_room(c);
	struct page_ref ref = { .page = page, .epoch = lsvd_log_epoch(c->v->log) };
	int n, err;

	if (!o)
		return lsvd_fail_plain(-ENOMEM);
	n = lsvd_store_map_encode_page(c->v->map, page, o->bytes + o->len, o->room - o->len);
	if (n < 0)
		return n;
	ref.number = o->number;
	ref.off = o->len;
	ref.len = (uint32_t)n;
	ref.hash = lsvd_hash_bind(lsvd_hash(o->bytes + o->len, (size_t)n), c->v->owner, page,
				  ref.number);
	o->len += (uint32_t)n;
	err = add_ref(c, &ref);
	return err;
}

static int note_saved(struct checkpoint *c, uint64_t page)
{
	int err = grow((void **)&c->saved, &c->saved_room, c->saved_count, sizeof *c->saved);

	if (!err)
		c->saved[c->saved_count++] = page;
	return err;
}

/* The old references and the changed pages, merged in order of page. */
static int encode_pages(struct checkpoint *c)
{
	const struct lsvd_volume *v = c->v;
	uint64_t page = lsvd_store_map_next_page(v->map, 0, true), i = 0;
	int err = 0;

	while (!err && (page != UINT64_MAX || i < v->page_count)) {
		if (i < v->page_count && v->pages[i].page < page) {
			err = add_ref(c, &v->pages[i++]);
			continue;
		}
		if (i < v->page_count && v->pages[i].page == page)
			i++;
		if (lsvd_store_map_page_present(v->map, page))
			err = save_page(c, page);
		if (!err)
			err = note_saved(c, page);
		page = lsvd_store_map_next_page(v->map, page + 1, true);
	}
	return err;
}

static void finish_objects(struct checkpoint *c)
{
	for (unsigned i = 0; i < c->object_count; i++) {
		struct page_object *o = &c->objects[i];
		struct object_head head = {
			.kind = OBJECT_PAGES, .header_bytes = OBJECT_HEAD_BYTES,
			.volume = c->v->uuid, .epoch = lsvd_log_epoch(c->v->log),
			.seq = o->number, .body_bytes = o->len - OBJECT_HEAD_BYTES,
		};

		lsvd_object_head_encode(o->bytes, &head);
	}
}

static uint8_t *put_page_ref(uint8_t *p, const struct page_ref *r)
{
	le64_put(p, r->page);
	le64_put(p + 8, r->epoch);
	le64_put(p + 16, r->number);
	le32_put(p + 24, r->off);
	le32_put(p + 28, r->len);
	le64_put(p + 32, r->hash);
	return p + ROOT_PAGE_BYTES;
}

static uint8_t *put_object(uint8_t *p, uint64_t number, const struct object_entry *e)
{
	le64_put(p, number);
	le64_put(p + 8, e->epoch);
	le64_put(p + 16, e->seq);
	le64_put(p + 24, e->bytes);
	le64_put(p + 32, e->data);
	le64_put(p + 40, e->live);
	return p + ROOT_OBJECT_BYTES;
}

static int encode_root(struct checkpoint *c)
{
	const struct lsvd_volume *v = c->v;
	size_t body = c->page_count * ROOT_PAGE_BYTES + v->objects.used * ROOT_OBJECT_BYTES;
	struct object_head head = { .kind = OBJECT_ROOT, .header_bytes = ROOT_HEADER_BYTES,
				    .volume = v->uuid, .epoch = c->ref.epoch,
				    .seq = c->ref.number, .body_bytes = body };
	uint8_t *p;

	c->root_len = ROOT_HEADER_BYTES + body;
	c->root = lsvd_malloc(c->root_len);
	if (!c->root)
		return lsvd_fail_plain(-ENOMEM);
	p = c->root + ROOT_HEADER_BYTES;
	for (uint64_t i = 0; i < c->page_count; i++)
		p = put_page_ref(p, &c->pages[i]);
	for (uint64_t i = 0; i < v->objects.count; i++)
		if (lsvd_object_table_get(&v->objects, i))
			p = put_object(p, i, &v->objects.entries[i]);
	assert(p == c->root + c->root_len);
	memset(c->root, 0, ROOT_HEADER_BYTES);
	p = c->root + OBJECT_HEAD_BYTES;
	le64_put(p, c->epoch);
	le64_put(p + 8, c->seq);
	le64_put(p + 16, c->last_op);
	le64_put(p + 24, c->next_object);
	le64_put(p + 32, v->bytes);
	le64_put(p + 40, c->page_count);
	le64_put(p + 48, v->objects.used);
	le64_put(p + 56, lsvd_hash_seeded(c->root + ROOT_HEADER_BYTES, body, v->owner));
	lsvd_object_head_encode(c->root, &head);
	return 0;
}

static void run_job(struct job_io *job)
{
	struct checkpoint *c = lsvd_container_of(job, struct checkpoint, job);
	int err = encode_pages(c);

	finish_objects(c);
	if (!err)
		err = encode_root(c);
	job->io.err = err;
}

/* ------------------------------------------------------------------------------------- putting */

static void give_up(struct checkpoint *c, int err)
{
	struct lsvd_volume *v = c->v;

	if (!v->failed && !v->closing)
		lsvd_report(LSVD_LOG_WARN, "volume %s: checkpoint at object %llu failed (%s): none "
			    "until the next open", v->name, (unsigned long long)c->seq,
			    lsvd_error_name(err));
	v->checkpoints_off = true;
	v->checkpoint = NULL;
	free_checkpoint(c);
	lsvd_port_changed(&v->port);
}

static void root_put(struct log_free_put *put, int err)
{
	struct checkpoint *c = put->owner;
	struct lsvd_volume *v = c->v;

	if (err) {
		give_up(c, err);
		return;
	}
	v->stats.checkpoint_puts++;
	v->stats.checkpoint_put_bytes += c->root_len;
	lsvd_free(v->pages);
	v->pages = c->pages;
	v->page_count = c->page_count;
	c->pages = NULL;
	v->checkpoints++;
	v->root_seq = c->seq;
	(void)lsvd_log_set_root(v->log, c->ref);
	v->checkpoint = NULL;
	free_checkpoint(c);
	lsvd_port_changed(&v->port);
	lsvd_vol_maybe_checkpoint(v);
}

static void put_root(struct checkpoint *c)
{
	if (c->err) {
		give_up(c, c->err);
		return;
	}
	lsvd_key_root(c->root_put.key, &c->v->uuid, c->ref.epoch, c->ref.number);
	c->root_iov = (struct iovec){ c->root, c->root_len };
	c->root_put.iov = &c->root_iov;
	c->root_put.iovcnt = 1;
	c->root_put.done = root_put;
	c->root_put.owner = c;
	lsvd_log_put_free(c->v->log, &c->root_put);
}

static void pages_put(struct log_free_put *put, int err)
{
	struct checkpoint *c = put->owner;

	if (err)
		c->err = err;
	c->v->stats.checkpoint_puts++;
	c->v->stats.checkpoint_put_bytes += put->iov->iov_len;
	if (--c->puts_left == 0)
		put_root(c);
}

static void put_pages(struct checkpoint *c)
{
	c->puts_left = c->object_count + 1;
	for (unsigned i = 0; i < c->object_count; i++) {
		struct page_object *o = &c->objects[i];

		lsvd_key_free(o->put.key, &c->v->uuid, lsvd_log_epoch(c->v->log), o->number);
		o->iov = (struct iovec){ o->bytes, o->len };
		o->put.iov = &o->iov;
		o->put.iovcnt = 1;
		o->put.done = pages_put;
		o->put.owner = c;
		lsvd_log_put_free(c->v->log, &o->put);
	}
	if (--c->puts_left == 0)
		put_root(c);
}

static void encoded(struct io *io)
{
	struct checkpoint *c = lsvd_container_of(io, struct checkpoint, job.io);
	struct lsvd_volume *v = c->v;

	v->frozen = false;
	if (io->err) {
		/* Nothing has been marked saved: the next segment brings another try. */
		lsvd_report(LSVD_LOG_WARN, "volume %s: no checkpoint now: %s", v->name,
			    lsvd_error_name(io->err));
		v->checkpoint = NULL;
		v->checkpoint_wanted = false;
		free_checkpoint(c);
	} else {
		for (uint64_t i = 0; i < c->saved_count; i++)
			lsvd_store_map_page_clean(v->map, c->saved[i]);
		v->segments_since_root = 0;
		v->free_number = c->number;
		put_pages(c);
	}
	lsvd_port_changed(&v->port);
	lsvd_vol_apply(v);
}

void lsvd_vol_start_checkpoint(struct lsvd_volume *v)
{
	struct checkpoint *c;

	if (v->checkpoint || v->checkpoints_off || v->failed || !v->log)
		return;
	v->checkpoint_wanted = lsvd_vol_is_between(v);
	if (v->checkpoint_wanted)
		return; /* begun when the rest of that object is in the map */
	c = lsvd_calloc(1, sizeof *c);
	if (!c)
		return;
	v->checkpoint = c;
	v->frozen = true;
	c->v = v;
	c->epoch = lsvd_log_epoch(v->log);
	c->seq = v->stored_seq;
	c->last_op = v->stored_op;
	c->next_object = v->objects.count;
	c->ref = (struct root_ref){ c->epoch, v->free_number };
	c->number = v->free_number + 1;
	c->job.run = run_job;
	c->job.io.kind = IO_JOB;
	c->job.io.done = encoded;
	lsvd_port_start(&v->port, &c->job.io);
}

void lsvd_vol_maybe_checkpoint(struct lsvd_volume *v)
{
	if (v->checkpoint_wanted || v->segments_since_root >= v->opt.checkpoint_segments)
		lsvd_vol_start_checkpoint(v);
}
