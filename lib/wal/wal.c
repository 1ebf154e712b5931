/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wal.c - groups of the local log: room in the ring, writing, publishing in order, giving back.
 *
 * wal.h has the states and the order of the positions; wal_sync.c makes things durable, wal_open.c
 * and wal_replay.c begin, end and recover a log.
 */
#include "wal/wal_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"

/* ----------------------------------------------------------------------------- groups in memory */

struct wal_group *lsvd_wal_group_new(struct wal *w, uint32_t records, uint32_t blocks)
{
	size_t size = sizeof(struct wal_group) + records * sizeof(struct wal_record) +
		      blocks * sizeof(uint64_t);
	struct wal_group *g = lsvd_malloc(size);

	if (!g)
		return NULL;
	memset(g, 0, sizeof *g);
	list_init(&g->link);
	g->wal = w;
	g->records = (struct wal_record *)(g + 1);
	g->hashes = (uint64_t *)(g->records + records);
	g->head.records = records;
	g->head.data_bytes = blocks * BLOCK_BYTES;
	g->head.header_bytes = wal_header_bytes(records, blocks);
	g->span = g->head.header_bytes + g->head.data_bytes;
	return g;
}

void lsvd_wal_group_free(struct wal *w, struct wal_group *g)
{
	lsvd_slice_put(&w->pool, &g->slice);
	lsvd_free(g);
}

static uint32_t block_index(const struct wal *w, uint64_t pos)
{
	return (uint32_t)(pos % w->ring_bytes / BLOCK_BYTES);
}

void lsvd_wal_group_index(struct wal *w, struct wal_group *g)
{
	uint32_t first = block_index(w, wal_data_pos(g));

	for (uint32_t i = 0; i < g->head.data_bytes / BLOCK_BYTES; i++)
		w->at_block[first + i] = g;
}

struct wal_group *lsvd_wal_group_at(struct wal *w, uint64_t pos)
{
	struct wal_group *g = w->at_block[block_index(w, pos)];

	assert(g && pos >= wal_data_pos(g) && pos < g->head.pos + g->span);
	return g;
}

void lsvd_wal_unref(struct wal *w, struct wal_group *g)
{
	assert(g->refs > 0);
	if (--g->refs == 0 && w->room_wanted)
		w->ops->room(w->ctx);
}

void lsvd_wal_forget(struct wal *w, struct wal_group *g)
{
	if (g->refs == 0 && g->state == WAL_PUBLISHED)
		lsvd_slice_put(&w->pool, &g->slice);
}

int lsvd_wal_recall(struct wal *w, struct wal_group *g, struct slice *ret)
{
	return lsvd_slice_get(&w->pool, ret, g->head.header_bytes + g->head.data_bytes);
}

void lsvd_wal_recalled(struct wal *w, struct wal_group *g, struct slice *slice, bool good)
{
	if (good && !g->slice.data) {
		g->slice = *slice;
		*slice = (struct slice){ NULL, NULL };
	} else {
		lsvd_slice_put(&w->pool, slice);
	}
}

bool lsvd_wal_verify_hash(const struct wal *w, const struct wal_group *g, uint32_t block,
			  uint64_t plain)
{
	uint64_t h = plain;

	if (g->bound)
		h = lsvd_wal_bind(h, w->owner, g->head.run,
				  wal_data_pos(g) + (uint64_t)block * BLOCK_BYTES);
	return h == g->hashes[block];
}

bool lsvd_wal_verify(const struct wal *w, const struct wal_group *g, uint32_t block,
		     const void *data, uint32_t bytes)
{
	return lsvd_wal_verify_hash(w, g, block, lsvd_hash(data, bytes));
}

/* ----------------------------------------------------------------------------- room in the ring */

static uint64_t oldest_pos(const struct wal *w)
{
	if (list_empty(&w->groups))
		return w->head;
	return list_first(&w->groups, struct wal_group, link)->head.pos;
}

/* Drops groups that no replay needs and nobody reads, until `need` bytes are free. */
static bool make_room(struct wal *w, uint64_t need)
{
	while (w->head + need - oldest_pos(w) > w->ring_bytes) {
		struct wal_group *g;

		if (list_empty(&w->groups))
			return false;
		g = list_first(&w->groups, struct wal_group, link);
		if (g->head.pos + g->span > w->given_up || g->refs || g->state != WAL_PUBLISHED)
			return false;
		w->ops->purge(w->ctx, g);
		list_del(&g->link);
		lsvd_wal_group_free(w, g);
	}
	return true;
}

/* Bytes a group must skip at the end of the ring to lie in one piece. */
static uint64_t skip_for(const struct wal *w, uint32_t span)
{
	uint64_t left = w->ring_bytes - w->head % w->ring_bytes;

	return left < span ? left : 0;
}

uint32_t lsvd_wal_group_blocks(const struct wal *w)
{
	/* Four groups must fit side by side whatever is skipped at the end of the ring. */
	uint64_t blocks = w->ring_bytes / BLOCK_BYTES / 8;

	return (uint32_t)min_u64(blocks, (1u << 20) / BLOCK_BYTES);
}

static void no_room(struct wal *w)
{
	w->room_wanted = true;
	lsvd_wal_push_super(w);
	w->ops->want_room(w->ctx);
}

static void take_place(struct wal *w, struct wal_group *g)
{
	struct wal_group_head *h = &g->head;

	h->pos = w->head;
	h->run = w->super.run;
	h->prev_run = w->last_run;
	h->epoch = w->super.epoch;
	h->first_op = w->next_op;
	h->durable = w->durable;
	h->stored_op = w->stored_op;
	w->marked = w->durable;
	w->last_run = h->run;
	w->next_op += h->records;
	w->head += g->span;
	list_add_tail(&w->groups, &g->link);
}

static struct wal_group *new_with_memory(struct wal *w, uint32_t records, uint32_t blocks)
{
	struct wal_group *g = lsvd_wal_group_new(w, records, blocks);

	if (!g)
		return NULL;
	if (lsvd_slice_get(&w->pool, &g->slice, g->span) < 0) {
		lsvd_free(g);
		return NULL;
	}
	return g;
}

/* Fills the end of the ring with a pad, so that the next group starts at its beginning. */
static int write_pad(struct wal *w, uint64_t skip)
{
	struct wal_group *pad = new_with_memory(w, 0, 0);

	if (!pad)
		return -ENOMEM;
	pad->span = (uint32_t)skip;
	pad->head.flags = WAL_GROUP_PAD;
	take_place(w, pad);
	lsvd_wal_write(w, pad);
	return 0;
}

struct wal_group *lsvd_wal_reserve(struct wal *w, uint32_t records, uint32_t blocks, int *ret_err)
{
	uint32_t span = wal_header_bytes(records, blocks) + blocks * BLOCK_BYTES;
	uint64_t skip = skip_for(w, span);
	struct wal_group *g;

	assert(w->running && !w->readonly);
	if (w->failure) {
		*ret_err = LSVD_E_FAILED;
		return NULL;
	}
	if (!make_room(w, skip + span)) {
		*ret_err = -ENOSPC;
		no_room(w);
		return NULL;
	}
	w->room_wanted = false;
	*ret_err = -ENOMEM;
	if (skip && write_pad(w, skip) < 0)
		return NULL;
	g = new_with_memory(w, records, blocks);
	if (!g)
		return NULL;
	take_place(w, g);
	*ret_err = 0;
	return g;
}

/* -------------------------------------------------------------------------- writing, publishing */

uint64_t lsvd_wal_file_off(const struct wal *w, uint64_t pos)
{
	return WAL_RING_START + pos % w->ring_bytes;
}

/* Without the lock. */
void lsvd_wal_group_prepare(struct io *io)
{
	struct wal_group *g = lsvd_container_of(io, struct wal_group, io.io);

	if (g->fill)
		g->fill(g);
	lsvd_wal_group_encode(g->slice.data, &g->head, g->records, g->hashes, g->wal->owner);
}

void lsvd_wal_write(struct wal *w, struct wal_group *g)
{
	g->state = WAL_WRITING;
	g->io.io.kind = IO_FILE_WRITE;
	g->io.io.prepare = lsvd_wal_group_prepare;
	g->io.io.conclude = NULL;
	g->io.io.done = lsvd_wal_group_done;
	g->io.file = w->file;
	g->io.off = lsvd_wal_file_off(w, g->head.pos);
	g->io.buf = g->slice.data;
	g->io.len = g->head.header_bytes + g->head.data_bytes;
	g->io.past_cache = true; /* memory has it for as long as it is likely to be read */
	w->stats.groups++;
	w->stats.bytes += g->io.len;
	lsvd_port_start(w->port, &g->io.io);
}

static void publish(struct wal *w, struct wal_group *g)
{
	g->state = WAL_PUBLISHED;
	w->published += g->span;
	w->published_op += g->head.records;
	if (g->head.records)
		w->dirty = w->published;
	lsvd_wal_group_index(w, g);
	if (!g->head.records)
		lsvd_slice_put(&w->pool, &g->slice);
	w->ops->published(w->ctx, g, 0);
}

static struct wal_group *first_unpublished(struct wal *w)
{
	struct wal_group *found = NULL;

	/* From the newest backwards: few are not published, many may lie before them. */
	for (struct list *n = w->groups.prev; n != &w->groups; n = n->prev) {
		struct wal_group *g = list_entry(n, struct wal_group, link);

		if (g->state == WAL_PUBLISHED)
			break;
		found = g;
	}
	return found;
}

static void publish_in_order(struct wal *w)
{
	struct wal_group *g = first_unpublished(w);

	while (g && g->state == WAL_WRITTEN) {
		struct list *next = g->link.next;

		publish(w, g);
		g = next == &w->groups ? NULL : list_entry(next, struct wal_group, link);
	}
}

/* Everything from the first unpublished group on is not part of the log and never will be. */
static void give_up_unpublished(struct wal *w)
{
	struct wal_group *g;

	while ((g = first_unpublished(w))) {
		if (g->state == WAL_WRITING)
			return; /* its completion comes here again: answers stay in order */
		list_del(&g->link);
		w->ops->published(w->ctx, g, LSVD_E_FAILED);
		lsvd_wal_group_free(w, g);
	}
}

void lsvd_wal_group_done(struct io *io)
{
	struct wal_group *g = lsvd_container_of(io, struct wal_group, io.io);
	struct wal *w = g->wal;

	g->state = WAL_WRITTEN;
	if (io->err)
		lsvd_wal_fail(w, io->err);
	if (w->failure) {
		give_up_unpublished(w);
		return;
	}
	publish_in_order(w);
	lsvd_wal_start_sync(w);
}

void lsvd_wal_fail(struct wal *w, int err)
{
	if (w->failure)
		return;
	w->failure = err;
	lsvd_report(LSVD_LOG_ERROR, "%s: the local log failed (%s): writes are refused from now "
		    "on, reads go on", w->name, lsvd_error_name(err));
	lsvd_wal_fail_tickets(w, LSVD_E_FAILED);
	w->ops->failed(w->ctx, err);
}

/* ---------------------------------------------------------------------------------- giving back */

void lsvd_wal_stored(struct wal *w, struct wal_group *g, uint64_t stored_op)
{
	uint64_t end = g->head.pos + g->span;

	assert(end >= w->stored && end <= w->published);
	w->stored = end;
	w->stored_op = stored_op;
	w->stored_run = g->head.run;
	/* Every eighth of the ring at the latest, so that replay is short and room is at hand. */
	if (w->room_wanted || w->stored - w->super.tail >= w->ring_bytes / 8)
		lsvd_wal_push_super(w);
}

/* -------------------------------------------------------------------------------------- looking */

uint64_t lsvd_wal_flush_pos(const struct wal *w)
{
	return w->dirty;
}

uint64_t lsvd_wal_durable(const struct wal *w)
{
	return w->durable;
}

uint64_t lsvd_wal_durable_op(const struct wal *w)
{
	return w->durable_op;
}

uint64_t lsvd_wal_next_op(const struct wal *w)
{
	return w->next_op;
}

struct file *lsvd_wal_file(const struct wal *w)
{
	return w->file;
}

struct list *lsvd_wal_groups(struct wal *w)
{
	return &w->groups;
}

int lsvd_wal_failure(const struct wal *w)
{
	return w->failure;
}

const struct uuid *lsvd_wal_cache_id(const struct wal *w)
{
	return &w->super.cache_id;
}

uint64_t lsvd_wal_run(const struct wal *w)
{
	return w->super.run;
}

uint64_t lsvd_wal_whole_run(const struct wal *w)
{
	return w->super.whole_run;
}

uint64_t lsvd_wal_stored_pos(const struct wal *w)
{
	return w->stored;
}

void lsvd_wal_stats(const struct wal *w, struct wal_stats *ret)
{
	*ret = w->stats;
	ret->capacity = w->ring_bytes;
	ret->used = w->head - w->given_up;
	ret->memory = lsvd_chunk_pool_used(&w->pool);
}

void lsvd_wal_check(const struct wal *w)
{
	uint64_t pos = oldest_pos(w);

	assert(pos <= w->given_up || list_empty(&w->groups));
	assert(w->given_up <= w->stored && w->stored <= w->published);
	assert(w->durable <= w->published && w->published <= w->head);
	assert(w->head - pos <= w->ring_bytes);
	list_for_each(n, &w->groups) {
		const struct wal_group *g = list_entry(n, struct wal_group, link);

		assert(g->head.pos == pos);
		pos += g->span;
	}
	/* What was given up when the log failed has left a gap at the end. */
	assert(w->failure ? pos <= w->head : pos == w->head);
	(void)pos;
}
