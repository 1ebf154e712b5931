/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mirror_build.c - a snapshot of the store map in a file of a mirror, phase by phase
 * (vol_mirror.c).
 *
 * One request at a time; headers of chain objects come in between. Lock held everywhere.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/checkpoint.h"
#include "volume/mirror_internal.h"

#define STEP_BYTES 65536u                /* of a snapshot, in one record, or a page more */
#define STEP_ROOM (STEP_BYTES + MIRROR_PAGE_ENTRY_BYTES + STORE_MAP_PAGE_MAX_BYTES)
#define SOON_MOST 512u                   /* pages brought together: they lie side by side */
#define AGAIN_MS 1000u

static void build_done(struct io *io)
{
	struct mirror *m = io->owner;

	m->busy = false;
	if (m->failure)
		return;
	if (io->err)
		lsvd_mirror_give_up(m, io->err);
	else
		lsvd_mirror_pump(m);
}

static void build_start(struct mirror *m, enum io_kind kind, uint64_t off, uint64_t len)
{
	m->busy = true;
	m->build_io = (struct file_io){ .io = { .kind = kind, .done = build_done, .owner = m },
					.file = m->target->file, .off = off, .buf = m->buf,
					.len = len };
	lsvd_port_start(&m->v->port, &m->build_io.io);
}

static void write_head(struct mirror *m)
{
	lsvd_mirror_head_encode(m->buf, &m->target->head);
	build_start(m, IO_FILE_WRITE, 0, MIRROR_HEAD_BYTES);
}

static void write_step(struct mirror *m, enum mirror_kind kind, uint32_t bytes)
{
	struct mirror_file *f = m->target;
	uint64_t span = mirror_span(bytes);

	memset(m->buf + MIRROR_RECORD_BYTES + bytes, 0, span - MIRROR_RECORD_BYTES - bytes);
	lsvd_mirror_record_encode(m->buf, &f->head, f->end, kind, bytes);
	build_start(m, IO_FILE_WRITE, f->end, span);
	f->end += span;
}

static void page_came(struct page_wait *w, int err);

static void again_due(struct io *io)
{
	struct mirror *m = io->owner;

	m->again_armed = m->busy = false;
	if (!io->err)
		lsvd_mirror_pump(m);
}

/* The store is away, or there is no memory. */
static void ask_again(struct mirror *m)
{
	m->again_armed = m->busy = true;
	m->again = (struct timer_io){ .io = { .kind = IO_TIMER, .done = again_due, .owner = m },
				      .at_ms = lsvd_vol_now(m->v) + AGAIN_MS };
	lsvd_port_start(&m->v->port, &m->again.io);
	lsvd_port_changed(&m->v->port); /* a close waits no longer */
}

/* The store takes what is put, but does not give the page: writes cannot wait for that. */
static bool is_in_the_way(const struct mirror *m)
{
	return m->noted && !m->current && m->v->waits_for_room && !m->v->store_err &&
	       !m->v->closing;
}

/* The page that is next is away. */
static void bring_page(struct mirror *m)
{
	struct lsvd_volume *v = m->v;

	m->busy = true;
	m->wait = (struct page_wait){ .page = m->page, .done = page_came };
	if (lsvd_vol_want_page(v, &m->wait))
		ask_again(m);
	else
		lsvd_vol_want_soon(v, m->page * STORE_MAP_PAGE_SECTORS, UINT64_MAX,
				   (unsigned)min_u64(SOON_MOST, v->opt.map_memory_bytes >> 16));
}

static void page_came(struct page_wait *w, int err)
{
	struct mirror *m = lsvd_container_of(w, struct mirror, wait);

	m->busy = false;
	if (m->failure || m->stopped)
		return;
	if (err == LSVD_E_CORRUPT || err == LSVD_E_FENCED || (err && is_in_the_way(m)))
		lsvd_mirror_give_up(m, err);
	else if (err)
		ask_again(m);
	else
		lsvd_mirror_pump(m);
}

/* Some pages into the buffer; the bytes they take, or a negative code. */
static int take_pages(struct mirror *m)
{
	const struct store_map *map = m->v->map;
	uint8_t *at = m->buf + MIRROR_RECORD_BYTES;
	int bytes = 0, n;

	while (m->page != UINT64_MAX && bytes < (int)STEP_BYTES) {
		uint8_t *entry = at + bytes;

		if (lsvd_store_map_is_away(map, m->page))
			return bytes;
		n = lsvd_store_map_encode_page(map, m->page, entry + MIRROR_PAGE_ENTRY_BYTES,
					       STORE_MAP_PAGE_MAX_BYTES);
		if (n < 0)
			return n;
		le64_put(entry, m->page);
		le32_put(entry + 8, (uint32_t)n);
		le32_put(entry + 12, 0);
		bytes += (int)MIRROR_PAGE_ENTRY_BYTES + n;
		m->page = lsvd_store_map_next_page(map, m->page + 1, MAP_KNOWN);
	}
	return bytes;
}

static int take_objects(struct mirror *m)
{
	const struct object_table *t = &m->v->objects;
	uint8_t *at = m->buf + MIRROR_RECORD_BYTES;
	int bytes = 0;

	for (; m->object < t->count && bytes < (int)STEP_BYTES; m->object++) {
		const struct object_entry *e = lsvd_object_table_get(t, m->object);

		if (!e || !lsvd_object_is_data(e))
			continue;
		le64_put(at + bytes, m->object);
		le64_put(at + bytes + 8, e->epoch);
		le64_put(at + bytes + 16, e->seq);
		le64_put(at + bytes + 24, e->bytes);
		le32_put(at + bytes + 32, e->data);
		le32_put(at + bytes + 36, e->home);
		le64_put(at + bytes + 40, e->live);
		bytes += (int)MIRROR_OBJECT_ENTRY_BYTES;
	}
	return bytes;
}

/* Writes what was taken; if that was nothing, there is no more. */
static void put_step(struct mirror *m, enum mirror_kind kind, int bytes, enum build_phase next)
{
	if (bytes < 0)
		lsvd_mirror_give_up(m, bytes);
	else if (bytes > 0)
		write_step(m, kind, (uint32_t)bytes);
	else
		m->phase = next;
}

/* All that the map was told of has been written, so far. */
static void mark(struct mirror *m)
{
	struct mirror_file *f = m->target;
	const struct mirror_mark mark = lsvd_mirror_mark_of(m, f);

	f->head.snapshot_end = f->end;
	lsvd_mirror_mark_encode(m->buf + MIRROR_RECORD_BYTES, &mark);
	write_step(m, MIRROR_MARK, MIRROR_MARK_BYTES);
	m->phase = BUILD_SETTLE;
}

static void settle(struct mirror *m)
{
	build_start(m, IO_FILE_SYNC, 0, 0);
	m->phase = BUILD_SEAL;
}

static void seal(struct mirror *m)
{
	struct mirror_head *h = &m->target->head;

	h->next_object = m->v->objects.count;
	h->flags = MIRROR_COMPLETE;
	write_head(m);
	m->phase = BUILD_SEALED;
}

static void end_build(struct mirror *m)
{
	m->current = m->target;
	m->target = NULL;
	m->phase = BUILD_NONE;
	lsvd_free(m->buf);
	m->buf = NULL;
	m->sync_wanted = true;
	lsvd_port_changed(&m->v->port);
	lsvd_vol_delete_dead(m->v);
}

bool lsvd_mirror_build_step(struct mirror *m)
{
	switch (m->phase) {
	case BUILD_NONE:
		return false;
	case BUILD_HEAD:
		write_head(m);
		m->phase = BUILD_PAGES;
		return true;
	case BUILD_PAGES:
		if (m->page != UINT64_MAX && lsvd_store_map_is_away(m->v->map, m->page))
			bring_page(m);
		else
			put_step(m, MIRROR_PAGES, take_pages(m), BUILD_OBJECTS);
		return true;
	case BUILD_OBJECTS:
		put_step(m, MIRROR_OBJECTS, take_objects(m), BUILD_MARK);
		return true;
	case BUILD_MARK:
		mark(m);
		return true;
	case BUILD_SETTLE:
		if (m->appends_out == 0 && !m->syncing)
			settle(m);
		return m->busy;
	case BUILD_SEAL:
		seal(m);
		return true;
	case BUILD_SEALED:
		build_start(m, IO_FILE_SYNC, 0, 0);
		m->phase = BUILD_END;
		return true;
	default:
		end_build(m);
		return false;
	}
}

void lsvd_mirror_begin_build(struct mirror *m)
{
	struct lsvd_volume *v = m->v;
	struct mirror_file *f = m->current == &m->files[0] ? &m->files[1] : &m->files[0];
	uint64_t generation = max_u64(m->files[0].head.generation, m->files[1].head.generation) + 1;

	m->buf = lsvd_aligned_alloc(BLOCK_BYTES, mirror_span(STEP_ROOM));
	if (!m->buf) {
		lsvd_mirror_give_up(m, -ENOMEM);
		return;
	}
	f->head = (struct mirror_head){
		.generation = generation,
		.volume = v->uuid,
		.cache_id = *lsvd_wal_cache_id(v->wal),
		.run = lsvd_wal_run(v->wal),
		.volume_bytes = v->chain_bytes,
		.epoch = v->log ? lsvd_log_epoch(v->log) : 0,
		.seq = v->stored_seq,
		.last_op = v->stored_op,
	};
	v->world->rnd->fill(v->world, &f->head.nonce, sizeof f->head.nonce);
	f->end = MIRROR_HEAD_BYTES;
	m->target = f;
	m->page = lsvd_store_map_next_page(v->map, 0, MAP_KNOWN);
	m->object = 0;
	m->phase = BUILD_HEAD;
}
