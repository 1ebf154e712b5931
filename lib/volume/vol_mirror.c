/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_mirror.c - a copy of the store map in the cache directory, so that the cache alone is the
 * whole volume: what an offline open starts from (vol_offline.c).
 *
 * The local log holds what the store does not have yet, and what is older is in the store map; that
 * is read from the store at every ordinary open, and there it stays when the store is away. So the
 * map is kept here, too: a snapshot of its pages and objects, and behind it the header of each
 * chain object that joined it since. When these have become as long as the snapshot, the next one
 * is begun in the other of two files; nothing reads them but an offline open.
 *
 *   A file:   HEAD -> PAGES -> OBJECTS -> MARK -> SETTLE -> SEAL -> SEALED -> END
 *             being built (`target`)
 *             then `current`, until the other one is complete
 *
 * An open goes on with the newer file: a mark behind the snapshot, and the records behind that, say
 * how far it has got, and what the chain has beyond is written to it while it is read. If it cannot
 * be known what it lacks, it is built anew at once. If there was none for this log, that waits
 * until the log needs it, unless few pages would have to be brought.
 *
 * The one rule: ring space of the local log is not given up before the objects that hold what lay
 * there are in a complete mirror, synced. So at every moment log and mirror are the whole volume up
 * to its newest operation. The sync rides on the log's own rhythm, one for a sixteenth of the ring,
 * or when somebody waits for room. From SETTLE's sync on, which covers all that the log was told
 * of, the log is told nothing more until the new file is `current`: its head may say COMPLETE on
 * the disk long before we know, and then it is the one that counts.
 *
 * Pages of the map that are away are brought for it, a few at a time, and may go again after that.
 *
 * A snapshot is not of one moment: a page is as it was when its turn came. That does no harm, since
 * what changed meanwhile is in the headers of chain objects, which are replayed over it in order,
 * or, if it is in none of them, in the log.
 *
 * A mirror that cannot be written is given up until the next open, with a warning, and the log goes
 * on without: only an offline open is refused then, for it finds a mirror that ends before the log
 * begins. Nothing here fails an open, or delays one by more than reading what lies behind a
 * snapshot.
 *
 * All of it is protected by the port's lock, but for lsvd_mirror_open() and lsvd_mirror_header(),
 * procedures.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/mirror_internal.h"

#define SYNC_PART 16u    /* of the ring, told of at once */
#define FIRST_PART 4u    /* of the ring, filled before the first snapshot is begun */

/* A chain object's header, or a mark, on its way into a file. */
struct append {
	struct file_io io;
	struct mirror *m;
	const struct mirror_head *head;
	enum mirror_kind kind;
	uint32_t bytes;
	uint8_t buf[];
};

void lsvd_mirror_name(char *ret, size_t cap, const char *volume, unsigned which)
{
	(void)snprintf(ret, cap, "%s.map%u", volume, which); /* MIRROR_NAME_CAP is enough */
}

/* ------------------------------------------------------------------------- what the log is told */

static void tell_log(struct mirror *m, struct wal_group *g, uint64_t op)
{
	if (!g)
		return;
	if (m->noted == g)
		m->noted = NULL;
	lsvd_wal_stored(m->v->wal, g, op);
}

void lsvd_mirror_give_up(struct mirror *m, int err)
{
	if (m->failure)
		return;
	m->failure = err;
	m->current = m->target = NULL;
	m->phase = BUILD_NONE;
	lsvd_report(LSVD_LOG_WARN, "volume %s: its map cannot be kept in the cache directory (%s): "
		    "until it is opened again, it cannot be opened offline", m->v->name,
		    lsvd_error_name(err));
	tell_log(m, m->noted, m->noted_op);
	lsvd_port_changed(&m->v->port);
	lsvd_vol_delete_dead(m->v);
}

static void sync_done(struct io *io)
{
	struct mirror *m = io->owner;

	m->syncing = false;
	if (m->failure)
		return; /* the log has been told */
	if (io->err) {
		lsvd_mirror_give_up(m, io->err);
		return;
	}
	tell_log(m, m->covered, m->covered_op);
	if (m->covers_all)
		m->lacks = false;
	lsvd_port_changed(&m->v->port);
	lsvd_mirror_pump(m);
	lsvd_vol_delete_dead(m->v);
}

static void start_sync(struct mirror *m)
{
	m->sync_wanted = false;
	if (!m->noted && !m->lacks)
		return;
	m->syncing = true;
	m->covers_all = m->lacks;
	m->covered = m->noted;
	m->covered_op = m->noted_op;
	m->sync_io = (struct file_io){ .io = { .kind = IO_FILE_SYNC, .done = sync_done,
					       .owner = m },
				       .file = m->current->file };
	lsvd_port_start(&m->v->port, &m->sync_io.io);
}

/* ------------------------------------------------------------------------------------ appending */

/* Without the lock. */
static void append_prepare(struct io *io)
{
	struct append *a = lsvd_container_of(io, struct append, io.io);

	lsvd_mirror_record_encode(a->buf, a->head, a->io.off, a->kind, a->bytes);
}

static void append_done(struct io *io)
{
	struct append *a = lsvd_container_of(io, struct append, io.io);
	struct mirror *m = a->m;
	int err = io->err;

	lsvd_free(a);
	m->appends_out--;
	if (err)
		lsvd_mirror_give_up(m, err);
	else
		lsvd_mirror_pump(m);
}

static int append(struct mirror *m, struct mirror_file *f, enum mirror_kind kind,
		  const uint8_t *payload, uint32_t bytes)
{
	uint64_t span = mirror_span(bytes);
	struct append *a = lsvd_malloc(sizeof *a + span);

	if (!a)
		return -ENOMEM;
	memcpy(a->buf + MIRROR_RECORD_BYTES, payload, bytes);
	memset(a->buf + MIRROR_RECORD_BYTES + bytes, 0, span - MIRROR_RECORD_BYTES - bytes);
	a->m = m;
	a->head = &f->head;
	a->kind = kind;
	a->bytes = bytes;
	a->io = (struct file_io){ .io = { .kind = IO_FILE_WRITE, .prepare = append_prepare,
					  .done = append_done },
				  .file = f->file, .off = f->end, .buf = a->buf, .len = span };
	f->end += span;
	m->appends_out++;
	lsvd_port_start(&m->v->port, &a->io.io);
	return 0;
}

struct mirror_mark lsvd_mirror_mark_of(const struct mirror *m, const struct mirror_file *f)
{
	const struct lsvd_volume *v = m->v;

	return (struct mirror_mark){ lsvd_log_epoch(v->log), v->stored_seq, v->stored_op,
				     f->head.nonce };
}

static int append_mark(struct mirror *m, struct mirror_file *f)
{
	const struct mirror_mark mark = lsvd_mirror_mark_of(m, f);
	uint8_t payload[MIRROR_MARK_BYTES];

	lsvd_mirror_mark_encode(payload, &mark);
	return append(m, f, MIRROR_MARK, payload, sizeof payload);
}

/* To every file that is being written; false: given up. */
static bool append_to_all(struct mirror *m, const uint8_t *header, uint32_t bytes)
{
	int err = 0;

	if (m->current)
		err = append(m, m->current, MIRROR_CHAIN, header, bytes);
	if (m->target && !err)
		err = append(m, m->target, MIRROR_CHAIN, header, bytes);
	if (err)
		lsvd_mirror_give_up(m, err);
	return !err;
}

/* The log has more than a part of it to give up, as soon as it is told. */
static bool has_noted(const struct mirror *m, unsigned part)
{
	struct wal_stats s;

	lsvd_wal_stats(m->v->wal, &s);
	return m->noted && (m->v->waits_for_room ||
			    m->noted->head.pos + m->noted->span - lsvd_wal_stored_pos(m->v->wal) >=
				    s.capacity / part);
}

/* What has been appended is as long as the snapshot: time for the next one. */
static bool has_grown(const struct mirror *m)
{
	const struct mirror_file *f = m->current;

	return f && f->end - f->head.snapshot_end > max_u64(f->head.snapshot_end, m->rebuild_least);
}

/* The first snapshot of all has been put off, since pages would have to be brought for it. */
static bool is_waiting(const struct mirror *m)
{
	return m->started && !m->current && !m->target && !m->failure;
}

void lsvd_mirror_maybe_build(struct mirror *m)
{
	if ((!m->target && has_grown(m)) || (is_waiting(m) && has_noted(m, FIRST_PART)))
		lsvd_mirror_begin_build(m);
}

void lsvd_mirror_note(struct lsvd_volume *v, struct wal_group *last, uint64_t last_op,
		      const uint8_t *header, uint32_t header_bytes)
{
	struct mirror *m = v->mirror;

	if (!m || m->failure) {
		lsvd_wal_stored(v->wal, last, last_op);
		return;
	}
	m->noted = last;
	m->noted_op = last_op;
	if (header && !append_to_all(m, header, header_bytes))
		return;
	if (has_noted(m, SYNC_PART))
		m->sync_wanted = true;
	lsvd_mirror_maybe_build(m);
	lsvd_mirror_pump(m);
}

void lsvd_mirror_object(struct lsvd_volume *v, const uint8_t *header, uint32_t header_bytes)
{
	struct mirror *m = v->mirror;

	if (!m || m->failure || !append_to_all(m, header, header_bytes))
		return;
	m->lacks = m->sync_wanted = true;
	m->covers_all = false; /* a sync that has begun came too early */
	lsvd_mirror_pump(m);
}

void lsvd_mirror_mark(struct lsvd_volume *v)
{
	struct mirror *m = v->mirror;
	int err = 0;

	if (!m || m->failure)
		return;
	if (m->current)
		err = append_mark(m, m->current);
	if (m->target && !err)
		err = append_mark(m, m->target);
	if (err)
		lsvd_mirror_give_up(m, err);
}

bool lsvd_mirror_is_whole(const struct lsvd_volume *v)
{
	const struct mirror *m = v->mirror;

	return !m || m->failure || m->stopped || (m->current && !m->lacks) ||
	       (is_waiting(m) && !m->usable);
}

bool lsvd_mirror_is_there(const struct lsvd_volume *v)
{
	return v->mirror && v->mirror->current;
}

void lsvd_mirror_pump(struct mirror *m)
{
	while (!m->failure && !m->stopped && !m->busy && lsvd_mirror_build_step(m))
		;
	if (m->sync_wanted && !m->syncing && !m->appends_out && m->current && !m->stopped &&
	    m->phase <= BUILD_SETTLE)
		start_sync(m);
}

/* --------------------------------------------------------------------------------------- ending */

void lsvd_mirror_want_room(struct lsvd_volume *v)
{
	struct mirror *m = v->mirror;

	if (!m || m->failure)
		return;
	m->sync_wanted = true;
	if (!v->closing)
		lsvd_mirror_maybe_build(m);
	lsvd_mirror_pump(m);
}

bool lsvd_mirror_is_settled(const struct lsvd_volume *v)
{
	const struct mirror *m = v->mirror;

	if (!m || m->failure)
		return true;
	/* The mirror before this one, if there was one, and the log have everything. */
	if (is_waiting(m) || (m->again_armed && !m->current))
		return true;
	return m->current && m->phase == BUILD_NONE && !m->noted && !m->syncing && !m->appends_out;
}

void lsvd_mirror_stop(struct lsvd_volume *v)
{
	if (!v->mirror)
		return;
	v->mirror->stopped = true;
	if (v->mirror->again_armed)
		v->world->clk->cancel(v->world, &v->mirror->again);
}

void lsvd_mirror_resume(struct lsvd_volume *v)
{
	if (!v->mirror || v->stopping)
		return;
	v->mirror->stopped = false;
	lsvd_mirror_pump(v->mirror);
}

bool lsvd_mirror_is_idle(const struct lsvd_volume *v)
{
	const struct mirror *m = v->mirror;

	return !m || (!m->busy && !m->syncing && !m->appends_out && !m->again_armed);
}

void lsvd_mirror_free(struct lsvd_volume *v)
{
	struct mirror *m = v->mirror;

	if (!m)
		return;
	for (unsigned i = 0; i < 2; i++)
		if (m->files[i].file)
			v->world->file->close(m->files[i].file);
	lsvd_free(m->buf);
	lsvd_free(m);
	v->mirror = NULL;
}
