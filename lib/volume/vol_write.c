/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_write.c - writes, trims and zeroes: queued, gathered into groups of the local log, published.
 *
 * An operation becomes one record, or several in order if it is longer than LSVD_ATOMIC_BYTES. What
 * is queued when the volume is left goes out as one group, that is one write to the log; a few
 * groups may be in the world at once, and what arrives meanwhile makes the next. Filling a group
 * (the one copy of the data, and its hashes) is done without the lock.
 *
 * Publication, in log order: the overlay learns where the data lies, the open segment takes the
 * group, the operations end. When the log has no room, the queue waits; nothing overtakes it.
 */
#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "volume/vol_mirror.h"
#include "volume/volume_internal.h"

/* More groups in the world than this do not make the log faster, only smaller groups. */
#define GROUPS_OUT_MAX 8u
#define STALL_LOOK_MS 50u
#define ANNOUNCE_RECORDS 6u
#define GROUP_RECORDS_MAX 512u

/* What a group is made of: record i is `sectors` of io from byte `off` on. */
struct source {
	struct lsvd_io *io;
	uint64_t off;
};

struct gather {
	uint32_t records, blocks;
};

/*
 * Data is cut to what is promised to be atomic, and in a very small log to what it can take;
 * between 4 KiB blocks of the volume, each of which is old or new after a crash, whatever the start
 * was.
 */
static uint64_t record_sectors(const struct lsvd_volume *v, const struct lsvd_io *io, uint64_t off)
{
	uint64_t most = min_u64(LSVD_ATOMIC_BYTES,
				(uint64_t)BLOCK_BYTES * lsvd_wal_group_blocks(v->wal));
	uint64_t left = io->len - off;

	if (io->kind == LSVD_IO_WRITE && left > most)
		left = most - (io->off + off + most) % BLOCK_BYTES;
	return left / SECTOR_BYTES;
}

static enum wal_kind record_kind(const struct lsvd_io *io)
{
	if (io->kind == LSVD_IO_WRITE)
		return WAL_DATA;
	if (io->kind == LSVD_IO_WRITE_ZEROES && (io->flags & LSVD_IO_NO_HOLE))
		return WAL_ZERO;
	return WAL_HOLE;
}

static struct wal_record make_record(const struct lsvd_volume *v, const struct lsvd_io *io,
				     uint64_t off)
{
	return (struct wal_record){
		.lba = (io->off + off) / SECTOR_BYTES,
		.sectors = record_sectors(v, io, off),
		.kind = record_kind(io),
	};
}

/* ------------------------------------------------------------------------------------- queueing */

static uint64_t *progress(struct lsvd_io *io)
{
	return &vol_op(io)->w.write.progress;
}

void lsvd_vol_write(struct lsvd_volume *v, struct lsvd_io *io)
{
	struct vol_op *op = vol_op(io);

	if (io->len == 0) {
		if (io->flags & LSVD_IO_FUA)
			lsvd_vol_flush(v, io);
		else
			lsvd_vol_end(v, io, 0);
		return;
	}
	io->err = 0;
	op->left = 1;
	op->stalled = 0;
	io->next = NULL;
	*progress(io) = 0;
	list_add_tail(&v->writes, &op->w.write.queue);
}

static struct lsvd_io *queued(struct list *node)
{
	return vol_op_io(lsvd_container_of(node, struct vol_op, w.write.queue));
}

/* How much of the queue goes into the next group. */
static struct gather gather(const struct lsvd_volume *v)
{
	uint32_t max_blocks = lsvd_wal_group_blocks(v->wal);
	struct gather g = { 0, 0 };

	list_for_each(n, &v->writes) {
		struct lsvd_io *io = queued(n);

		for (uint64_t off = *progress(io); off < io->len;) {
			struct wal_record r = make_record(v, io, off);
			uint32_t blocks = wal_record_blocks(&r);

			if (g.records == GROUP_RECORDS_MAX ||
			    (g.records && g.blocks + blocks > max_blocks))
				return g;
			g.records++;
			g.blocks += blocks;
			off += r.sectors * SECTOR_BYTES;
		}
	}
	return g;
}

/* An operation has left the queue, or one of its records is published. */
static void put_op(struct lsvd_volume *v, struct lsvd_io *io)
{
	if (--vol_op(io)->left)
		return;
	if (!io->err && (io->flags & LSVD_IO_FUA))
		lsvd_vol_flush(v, io);
	else
		lsvd_vol_end(v, io, io->err);
}

/* Moves what gather() counted from the queue into the group. */
static void load_group(struct lsvd_volume *v, struct wal_group *g, struct source *sources)
{
	uint32_t block = 0;

	for (uint32_t i = 0; i < g->head.records; i++) {
		struct lsvd_io *io = queued(v->writes.next);
		uint64_t off = *progress(io);
		struct wal_record *r = &g->records[i];

		*r = make_record(v, io, off);
		r->block = block;
		block += wal_record_blocks(r);
		sources[i] = (struct source){ io, off };
		vol_op(io)->left++;
		*progress(io) = off + r->sectors * SECTOR_BYTES;
		if (*progress(io) == io->len) {
			list_del(&vol_op(io)->w.write.queue);
			put_op(v, io);
		}
	}
}

/* Without the lock: the one copy of the data, and its hashes. */
static void fill(struct wal_group *g)
{
	const struct source *sources = g->owner;
	uint8_t *data = wal_data(g);

	for (uint32_t i = 0; i < g->head.records; i++) {
		const struct wal_record *r = &g->records[i];
		uint8_t *to = data + (size_t)r->block * BLOCK_BYTES;
		uint32_t blocks = wal_record_blocks(r);

		for (uint32_t b = 0; b < blocks; b++, to += BLOCK_BYTES) {
			uint32_t n = wal_block_bytes(r, b);

			lsvd_iov_from(sources[i].io->iov, sources[i].io->iovcnt,
				      sources[i].off + (uint64_t)b * BLOCK_BYTES, to, n);
			memset(to + n, 0, BLOCK_BYTES - n);
			g->hashes[r->block + b] = lsvd_hash(to, n);
		}
	}
}

/* ------------------------------------------------------------------------------------- stalling */

static void stall_due(struct io *io);

/* Looks again soon: the pace of the store may have changed without anything having happened. */
static void arm_stall(struct lsvd_volume *v)
{
	uint64_t at = lsvd_vol_now(v) + STALL_LOOK_MS;

	if (v->stall_armed)
		return;
	if (v->opt.stall_timeout_ms)
		at = min_u64(at, v->room_since_ms + v->opt.stall_timeout_ms);
	v->stall_armed = true;
	v->stall_timer.io.kind = IO_TIMER;
	v->stall_timer.io.owner = v;
	v->stall_timer.io.done = stall_due;
	v->stall_timer.at_ms = at;
	lsvd_port_start(&v->port, &v->stall_timer.io);
}

static void stall_due(struct io *io)
{
	struct lsvd_volume *v = io->owner;

	v->stall_armed = false;
	if (io->err || !v->waits_for_room || v->closing)
		return;
	if (!v->opt.stall_timeout_ms ||
	    lsvd_vol_now(v) < v->room_since_ms + v->opt.stall_timeout_ms) {
		lsvd_vol_form_groups(v);
		if (v->waits_for_room)
			arm_stall(v);
		return;
	}
	v->waits_for_room = false; /* who comes now has the whole time */
	(void)lsvd_fail(-EIO, "volume %s: the local log has been full for %u ms", v->name,
			v->opt.stall_timeout_ms);
	lsvd_vol_fail_writes(v, -EIO);
}

static void wait_for_room(struct lsvd_volume *v)
{
	if (!v->waits_for_room) {
		v->waits_for_room = true;
		v->room_since_ms = lsvd_vol_now(v);
		if (v->offline)
			lsvd_report(LSVD_LOG_WARN, "volume %s: the local log is full: writes wait "
				    "until it is opened with the store", v->name);
	}
	/* From the end: those that waited before are at the beginning. */
	for (struct list *n = v->writes.prev; n != &v->writes; n = n->prev) {
		struct vol_op *op = vol_op(queued(n));

		if (op->stalled)
			break;
		op->stalled = 1;
		v->stats.stalls++;
	}
	arm_stall(v);
}

void lsvd_vol_fail_writes(struct lsvd_volume *v, int err)
{
	while (!list_empty(&v->writes)) {
		struct lsvd_io *io = queued(v->writes.next);

		list_del(&vol_op(io)->w.write.queue);
		io->err = err;
		put_op(v, io);
	}
}

/* ------------------------------------------------------------------------------------- grouping */

/* One operation fails for want of memory, not the order of the log and not the process. */
static void fail_first(struct lsvd_volume *v, int err)
{
	struct lsvd_io *io = queued(v->writes.next);

	list_del(&vol_op(io)->w.write.queue);
	io->err = err;
	put_op(v, io);
}

/*
 * Forgetting sealed segments keeps memory within its budget whatever the store does; what is left
 * then is the segments being put, the open one, what readers pin and what a round of collection
 * holds. Only far above that, when the pieces of chunks no longer add up, do writers wait for a
 * segment to be stored.
 *
 * If the store is so quick that a wait is a matter of milliseconds, they wait before anything has
 * to be forgotten: what is forgotten is read back from the log, verified and hashed again, and a
 * writer that fills the log faster than it drains would pay that for all it writes, to be no
 * faster.
 */
static bool memory_is_short(struct lsvd_volume *v)
{
	struct wal_stats s;
	uint64_t used;

	if (v->segments_out == 0)
		return false;
	lsvd_wal_stats(v->wal, &s);
	used = s.memory + lsvd_vol_gc_memory(v);
	if (used > v->opt.memory_bytes + 2 * v->opt.segment_bytes + 4 * CHUNK_BYTES)
		return true;
	return used > v->opt.memory_bytes / 4 * 3 && lsvd_vol_store_is_quick(v);
}

static int form_group(struct lsvd_volume *v)
{
	struct gather want = gather(v);
	struct source *sources;
	struct wal_group *g;
	int err;

	err = lsvd_vol_spare_segments(v, v->groups_out + 1);
	if (!err)
		err = lsvd_extent_map_reserve(v->overlay, v->records_out + want.records);
	if (err)
		return err;
	sources = lsvd_malloc(want.records * sizeof *sources);
	if (!sources)
		return lsvd_fail_plain(-ENOMEM);
	g = lsvd_wal_reserve(v->wal, want.records, want.blocks, &err);
	if (!g) {
		lsvd_free(sources);
		return err;
	}
	v->waits_for_room = false;
	g->fill = fill;
	g->owner = sources;
	v->groups_out++;
	v->records_out += want.records;
	load_group(v, g, sources);
	lsvd_wal_write(v->wal, g);
	return 0;
}

void lsvd_vol_form_groups(struct lsvd_volume *v)
{
	int err;

	while (!list_empty(&v->writes) && v->groups_out < GROUPS_OUT_MAX) {
		if (memory_is_short(v)) {
			wait_for_room(v); /* until a segment on its way is stored */
			return;
		}
		err = form_group(v);
		if (err == -ENOSPC) {
			wait_for_room(v);
			return;
		}
		if (err == LSVD_E_FAILED)
			lsvd_vol_fail_writes(v, err);
		else if (err)
			fail_first(v, err);
	}
}

/* ---------------------------------------------------------------------------------- publication */

static const enum extent_kind overlay_kind[] = {
	[WAL_DATA] = EXTENT_DATA,
	[WAL_ZERO] = EXTENT_ZERO,
	[WAL_HOLE] = EXTENT_HOLE,
};

/* The value of an overlay entry: the sector of the log where its data lies. */
static uint64_t place_of(const struct wal_group *g, const struct wal_record *r)
{
	return (wal_data_pos(g) + (uint64_t)r->block * BLOCK_BYTES) / SECTOR_BYTES;
}

/*
 * Tells the overlay of the records that follow number `i` a little later, or of the first ones:
 * what the cache misses is then fetched for several at once.
 */
static void announce(const struct lsvd_volume *v, const struct wal_group *g, uint32_t i)
{
	uint32_t from = i ? i + ANNOUNCE_RECORDS : 0;
	uint32_t end = (uint32_t)min_u64(g->head.records, (uint64_t)i + ANNOUNCE_RECORDS + 1);

	for (; from < end; from++)
		lsvd_extent_map_prefetch(v->overlay, g->records[from].lba);
}

void lsvd_vol_put_in_overlay(struct lsvd_volume *v, struct wal_group *g)
{
	for (uint32_t i = 0; i < g->head.records; i++) {
		const struct wal_record *r = &g->records[i];
		struct extent e = { .lba = r->lba, .len = r->sectors, .value = place_of(g, r),
				    .kind = overlay_kind[r->kind] };

		announce(v, g, i);
		lsvd_extent_map_insert(v->overlay, &e, NULL, NULL);
	}
}

static void published(void *ctx, struct wal_group *g, int err)
{
	struct lsvd_volume *v = ctx;
	struct source *sources = g->owner;

	if (!err) {
		lsvd_vol_put_in_overlay(v, g);
		v->last_op = g->head.first_op + g->head.records - 1;
		lsvd_vol_take_group(v, g);
	}
	if (!sources)
		return; /* the log's own: a pad, a watermark */
	for (uint32_t i = 0; i < g->head.records; i++) {
		if (err)
			sources[i].io->err = err;
		put_op(v, sources[i].io);
	}
	lsvd_free(sources);
	g->owner = NULL;
	v->groups_out--;
	v->records_out -= g->head.records;
	lsvd_vol_check_lease(v);
	lsvd_vol_form_groups(v);
}

/* ------------------------------------------------------------------------- the log's ring space */

struct purge {
	const struct wal_record *r;
	uint64_t place;
};

/*
 * Entries are forgotten only if they still point into the record. Those that do lie within its
 * range: an entry is made of one record, and is only ever cut.
 */
static bool points_into(void *ctx, const struct extent *e)
{
	const struct purge *p = ctx;
	uint64_t into = p->r->kind == WAL_DATA && e->lba > p->r->lba ? e->lba - p->r->lba : 0;

	return e->lba >= p->r->lba && e->kind == overlay_kind[p->r->kind] &&
	       e->value == p->place + into;
}

static void purge_record(struct lsvd_volume *v, const struct wal_group *g,
			 const struct wal_record *r)
{
	struct purge p = { r, place_of(g, r) };
	uint64_t lba = r->lba, end = r->lba + r->sectors;
	struct extent e;

	while (lba < end && lsvd_extent_map_drop(v->overlay, lba, end, points_into, &p, &e) &&
	       e.lba < end)
		lba = e.lba + e.len;
}

static void purge(void *ctx, struct wal_group *g)
{
	struct lsvd_volume *v = ctx;

	for (uint32_t i = 0; i < g->head.records; i++) {
		announce(v, g, i);
		purge_record(v, g, &g->records[i]);
	}
}

static void want_room(void *ctx)
{
	struct lsvd_volume *v = ctx;

	v->want_room = true;
	lsvd_mirror_want_room(v);
	lsvd_vol_destage(v);
}

static void room(void *ctx)
{
	lsvd_vol_form_groups(ctx);
}

static void failed(void *ctx, int err)
{
	(void)err; /* the log has said which; what matters here is that it is final */
	lsvd_vol_fail(ctx, LSVD_E_FAILED, "the local log failed: no more writes, reads go on");
}

const struct wal_ops lsvd_vol_wal_ops = {
	.published = published,
	.purge = purge,
	.want_room = want_room,
	.room = room,
	.failed = failed,
};
