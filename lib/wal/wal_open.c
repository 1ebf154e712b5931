/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wal_open.c - beginning and ending the use of a log file: procedures, before and after the log is
 * shared.
 *
 * Open reads the superblocks and the groups and changes nothing: whether the log is still part of
 * the volume is decided by the store's chain. lsvd_wal_begin_run() then notes a new run, synced,
 * before the first record of this open is written.
 */
#include "wal/wal_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/err.h"

#define LOG_BYTES_DEFAULT (UINT64_C(512) << 20)

static int run_file_io(struct wal *w, enum io_kind kind, uint64_t off, void *buf, size_t len)
{
	struct file_io io = { .io = { .kind = kind }, .file = w->file, .off = off, .buf = buf,
			      .len = len };

	return lsvd_port_run1(w->port, &io.io);
}

/* The slot that is newest now must be synced before the other one is written. */
static int write_super(struct wal *w)
{
	int err;

	err = run_file_io(w, IO_FILE_SYNC, 0, NULL, 0);
	if (err)
		return lsvd_fail_context(err, "%s", w->name);
	w->super.generation++;
	lsvd_wal_super_encode(w->super_buf, &w->super);
	err = run_file_io(w, IO_FILE_WRITE, (w->super.generation & 1) * WAL_SLOT_BYTES,
			  w->super_buf, WAL_SLOT_BYTES);
	if (!err)
		err = run_file_io(w, IO_FILE_SYNC, 0, NULL, 0);
	if (err)
		lsvd_fail_context(err, "%s: superblock", w->name);
	return err;
}

static void fill(struct job_io *job)
{
	struct wal *w = lsvd_container_of(job, struct wal, making);

	job->io.err = w->port->world->file->fill(w->file, WAL_RING_START + w->ring_bytes);
	/* is as long */
	(void)snprintf(w->making_text, sizeof w->making_text, "%s", lsvd_last_error());
}

static void filled(struct io *io)
{
	struct wal *w = lsvd_container_of(io, struct wal, making.io);

	w->filling = false;
}

/*
 * A new file: every block written once, then a superblock that says nothing was acknowledged.
 * Writing the blocks takes its time, and is a job: nobody needs them before the first run begins.
 */
static void make_file(struct wal *w, const struct wal_options *o)
{
	struct world *world = w->port->world;

	w->ring_bytes = round_down(o->log_bytes ? o->log_bytes : LOG_BYTES_DEFAULT, BLOCK_BYTES);
	w->super = (struct wal_super){ .volume = o->volume, .ring_bytes = w->ring_bytes,
				       .tail_op = 1, .flags = WAL_SUPER_EMPTY };
	world->rnd->fill(world, w->super.cache_id.b, sizeof w->super.cache_id.b);
	lsvd_uuid_stamp(&w->super.cache_id);
	w->unmade = w->filling = true;
	w->making.io = (struct io){ .kind = IO_JOB, .done = filled };
	w->making.run = fill;
	lsvd_port_enter(w->port);
	lsvd_port_start(w->port, &w->making.io);
	lsvd_port_leave(w->port, false);
}

static void wait_filled(struct wal *w)
{
	lsvd_port_enter(w->port);
	while (w->filling)
		lsvd_port_wait(w->port);
	lsvd_port_leave(w->port, true);
}

int lsvd_wal_made(struct wal *w)
{
	if (!w->unmade)
		return 0;
	wait_filled(w);
	if (w->making.io.err) {
		lsvd_error_restore(w->making_text);
		return w->making.io.err;
	}
	w->unmade = false;
	return write_super(w);
}

static int read_slot(struct wal *w, unsigned slot)
{
	struct file_io io = { .io = { .kind = IO_FILE_READ }, .file = w->file,
			      .off = slot * WAL_SLOT_BYTES, .buf = w->super_buf,
			      .len = WAL_SLOT_BYTES, .past_cache = true };

	return lsvd_port_run1(w->port, &io.io);
}

/* The newer of the valid slots. */
static int read_super(struct wal *w)
{
	struct wal_super slot[2];
	int err[2];

	for (unsigned i = 0; i < 2; i++) {
		err[i] = read_slot(w, i);
		if (!err[i])
			err[i] = lsvd_wal_super_decode(&slot[i], w->super_buf, w->name);
	}
	if (err[0] && err[1])
		return err[0];
	w->super = err[1] || (!err[0] && slot[0].generation > slot[1].generation) ? slot[0]
										  : slot[1];
	w->ring_bytes = w->super.ring_bytes;
	return 0;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/*
 * Was the file made only in part? The first superblock goes into slot 1, and slot 0 stays zeroes
 * until the first run begins: while slot 0 is zeroes and slot 1 not valid nothing was ever
 * acknowledged from this file. (Should both be rot, the log made anew has no history, and the store
 * will ask for a flag before it lets that pass.)
 */
static int is_unborn(struct wal *w, uint64_t size, bool *ret)
{
	struct wal_super super;
	int err;

	*ret = true;
	if (size < 2 * WAL_SLOT_BYTES)
		return 0;
	err = read_slot(w, 0);
	if (err)
		return err;
	*ret = all_zero(w->super_buf, WAL_SLOT_BYTES);
	if (!*ret)
		return 0;
	err = read_slot(w, 1);
	if (!err)
		*ret = lsvd_wal_super_decode(&super, w->super_buf, w->name) == LSVD_E_CORRUPT;
	return err;
}

static int check_file(struct wal *w, const struct wal_options *o, uint64_t size)
{
	char want[UUID_TEXT_LEN + 1], have[UUID_TEXT_LEN + 1];

	if (!lsvd_uuid_equal(&w->super.volume, &o->volume)) {
		lsvd_uuid_format(&o->volume, want);
		lsvd_uuid_format(&w->super.volume, have);
		return lsvd_fail(LSVD_E_FOREIGN_CACHE,
				 "%s belongs to volume %s, not %s: use another cache directory",
				 w->name, have, want);
	}
	if (size < WAL_RING_START + w->ring_bytes)
		return lsvd_fail(LSVD_E_CORRUPT, "%s: %llu bytes, its superblock says %llu",
				 w->name, (unsigned long long)size,
				 (unsigned long long)(WAL_RING_START + w->ring_bytes));
	return 0;
}

/* Is what lies there another volume's, and of no use to anybody? */
static bool is_refuse(struct wal *w, const struct wal_options *o)
{
	return !lsvd_uuid_equal(&w->super.volume, &o->volume) && o->is_gone &&
	       o->is_gone(w->ctx, &w->super.volume);
}

/* Nothing of the file is left before it is made: cut off half-way, it is the old one or unborn. */
static int make_anew(struct wal *w, const struct wal_options *o)
{
	int err;

	if (o->readonly || o->existing)
		return lsvd_fail(-ENOENT, "%s: no log yet", w->name);
	err = w->port->world->file->resize(w->file, 0);
	lsvd_report(LSVD_LOG_INFO, "%s: is of a volume that was deleted: made anew", w->name);
	if (!err)
		make_file(w, o);
	return err;
}

static int load_file(struct wal *w, const struct wal_options *o)
{
	uint64_t size;
	bool unborn;
	int err;

	err = w->port->world->file->size(w->file, &size);
	if (err)
		return err;
	err = is_unborn(w, size, &unborn);
	if (err)
		return err;
	if (unborn && (o->readonly || o->existing))
		return lsvd_fail(-ENOENT, "%s: no log yet", w->name);
	if (unborn) {
		make_file(w, o);
		return 0;
	}
	err = read_super(w);
	if (err)
		return err;
	return is_refuse(w, o) ? make_anew(w, o) : check_file(w, o, size);
}

static int allocate(struct wal *w)
{
	w->at_block = lsvd_calloc(w->ring_bytes / BLOCK_BYTES, sizeof *w->at_block);
	if (!w->at_block)
		return lsvd_fail(-ENOMEM, "%s: no memory for the index of a ring of %llu bytes",
				 w->name, (unsigned long long)w->ring_bytes);
	return 0;
}

int lsvd_wal_open(struct wal **ret, struct wal_found *found, struct port *port,
		  const struct wal_options *o, const struct wal_ops *ops, void *ctx)
{
	unsigned flags = o->readonly ? FILE_READONLY | FILE_SHARED : FILE_EXCLUSIVE |
				       (o->existing ? 0 : FILE_CREATE);
	struct wal *w = lsvd_calloc(1, sizeof *w);
	int err;

	if (!w)
		return lsvd_fail_plain(-ENOMEM);
	w->port = port;
	w->ops = ops;
	w->ctx = ctx;
	w->readonly = o->readonly;
	w->owner = lsvd_uuid_seed(&o->volume);
	(void)snprintf(w->name, sizeof w->name, "local log %s", o->name); /* cut at worst */
	list_init(&w->groups);
	list_init(&w->tickets);
	lsvd_chunk_pool_init(&w->pool);
	err = -ENOMEM;
	w->super_buf = lsvd_aligned_alloc(BLOCK_BYTES, WAL_SLOT_BYTES);
	if (!w->super_buf)
		goto fail;
	err = port->world->file->open(port->world, o->name, flags, &w->file);
	if (err)
		goto fail;
	err = load_file(w, o);
	if (err)
		goto fail;
	err = allocate(w);
	if (err)
		goto fail;
	lsvd_wal_sync_init(w);
	err = lsvd_wal_replay(w, found);
	if (err)
		goto fail;
	*ret = w;
	return 0;
fail:
	lsvd_wal_close(w);
	return err;
}

static void drop_groups(struct wal *w)
{
	struct list *n;

	while ((n = list_pop(&w->groups)))
		lsvd_wal_group_free(w, list_entry(n, struct wal_group, link));
}

static int begin(struct wal *w)
{
	int err;

	assert(!w->readonly && !w->running && !w->unmade);
	w->super.run++;
	w->super.run_start = w->head;
	if (w->head == w->super.tail)
		w->super.tail_run = w->stored_run = w->last_run = w->super.run;
	w->super.flags &= ~WAL_SUPER_EMPTY;
	/* It begins with a sync, which covers all that was found: that had been written before. */
	w->super.durable = w->published;
	err = write_super(w);
	if (err)
		return err;
	w->durable = w->published;
	w->durable_op = w->published_op;
	w->running = true;
	return 0;
}

/* What it holds is void, from the next run on. */
static void discard_all(struct wal *w, uint64_t next_op)
{
	drop_groups(w);
	w->stored = w->given_up = w->published = w->durable = w->dirty = w->head;
	w->super.tail = w->head;
	w->super.tail_op = next_op;
	w->super.stored_op = next_op - 1;
	w->super.whole_run = w->super.run + 1;
	w->stored_op = w->published_op = w->durable_op = next_op - 1;
	w->next_op = next_op;
}

int lsvd_wal_begin_run(struct wal *w, uint64_t epoch, uint64_t base_epoch, bool discard,
		       uint64_t next_op)
{
	int err = lsvd_wal_made(w);

	if (err)
		return err;
	if (discard)
		discard_all(w, next_op);
	assert(next_op == w->next_op);
	w->super.epoch = epoch;
	w->super.base_epoch = base_epoch;
	w->super.offline_op = 0;
	return begin(w);
}

int lsvd_wal_begin_offline(struct wal *w)
{
	if (!w->super.offline_op)
		w->super.offline_op = w->next_op;
	return begin(w);
}

/* A superblock that was written and not synced is synced before the next is written. */
static bool is_idle(const struct wal *w)
{
	return !w->syncing && !w->mark_armed && w->super_state != SUPER_WRITING &&
	       w->published == w->head && list_empty(&w->tickets);
}

int lsvd_wal_empty(struct wal *w)
{
	int err;

	lsvd_port_enter(w->port);
	while (!w->failure && !is_idle(w)) {
		lsvd_wal_quiesce(w);
		lsvd_port_wait(w->port);
	}
	err = w->failure ? LSVD_E_FAILED : 0;
	if (!err) {
		w->running = false;
		discard_all(w, w->next_op);
		w->super_state = SUPER_IDLE;
		w->super_wanted = w->room_wanted = false;
	}
	lsvd_port_leave(w->port, true);
	if (!err)
		err = begin(w);
	if (err) {
		lsvd_port_enter(w->port);
		lsvd_wal_fail(w, err);
		lsvd_port_leave(w->port, false);
	}
	return err;
}

int lsvd_wal_end_run(struct wal *w)
{
	if (!w->running || w->failure)
		return w->failure ? LSVD_E_FAILED : 0;
	w->super.tail = w->stored;
	w->super.tail_op = w->stored_op + 1;
	w->super.tail_run = w->stored_run ? w->stored_run : w->super.tail_run;
	w->super.durable = w->published;
	w->super.stored_op = w->stored_op;
	w->running = false;
	return write_super(w);
}

void lsvd_wal_close(struct wal *w)
{
	if (!w)
		return;
	wait_filled(w);
	drop_groups(w);
	lsvd_chunk_pool_fini(&w->pool);
	if (w->file)
		w->port->world->file->close(w->file);
	lsvd_free(w->at_block);
	lsvd_free(w->super_buf);
	lsvd_free(w);
}
