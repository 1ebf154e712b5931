/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_mirror.c - a copy of the store map in the cache directory, so that the cache alone is the whole
 * volume: what an offline open starts from (vol_offline.c).
 *
 * The local log holds what the store does not have yet, and what is older is in the store map; that
 * is read from the store at every ordinary open, and there it stays when the store is away. So the
 * map is kept here, too: a snapshot of its pages and objects, and behind it the header of each chain
 * object that joined it since. When these have become as long as the snapshot, the next one is
 * begun in the other of two files; nothing reads them but an offline open.
 *
 *   A file:   HEAD -> PAGES -> OBJECTS -> MARK -> SETTLE -> SEAL -> SEALED -> END   being built (`target`)
 *             then `current`, until the other one is complete
 *
 * An open goes on with the newer file: a mark behind the snapshot, and the records behind that, say how
 * far it has got, and what the chain has beyond is written to it while it is read. If it cannot be known
 * what it lacks, it is built anew at once. If there was none for this log, that waits until the log needs
 * it, unless few pages would have to be brought.
 *
 * The one rule: ring space of the local log is not given up before the objects that hold what lay
 * there are in a complete mirror, synced. So at every moment log and mirror are the whole volume up
 * to its newest operation. The sync rides on the log's own rhythm, one for a sixteenth of the ring,
 * or when somebody waits for room. From SETTLE's sync on, which covers all that the log was told of,
 * the log is told nothing more until the new file is `current`: its head may say COMPLETE on the disk
 * long before we know, and then it is the one that counts.
 *
 * Pages of the map that are away are brought for it, a few at a time, and may go again after that.
 *
 * A snapshot is not of one moment: a page is as it was when its turn came. That does no harm, since
 * what changed meanwhile is in the headers of chain objects, which are replayed over it in order, or,
 * if it is in none of them, in the log.
 *
 * A mirror that cannot be written is given up until the next open, with a warning, and the log goes
 * on without: only an offline open is refused then, for it finds a mirror that ends before the log
 * begins. Nothing here fails an open, or delays one by more than reading what lies behind a snapshot.
 *
 * All of it is protected by the port's lock, but for lsvd_mirror_open() and lsvd_mirror_header(),
 * procedures.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/checkpoint.h"
#include "volume/mirror_read.h"
#include "volume/vol_mirror.h"

#define STEP_BYTES 65536u                /* of a snapshot, in one record, or a page more */
#define STEP_ROOM (STEP_BYTES + MIRROR_PAGE_ENTRY_BYTES + STORE_MAP_PAGE_MAX_BYTES)
#define SYNC_PART 16u                    /* of the ring, told of at once */
#define FIRST_PART 4u                    /* of the ring, filled before the first snapshot is begun */
#define REBUILD_LEAST (UINT64_C(32) << 10)
#define SOON_MOST 512u                   /* pages brought together: they lie side by side */
#define FEW_PAGES 64u
#define AGAIN_MS 1000u
#define REBUILD_MOST (UINT64_C(16) << 20)

enum build_phase {
	BUILD_NONE,
	BUILD_HEAD,
	BUILD_PAGES,
	BUILD_OBJECTS,
	BUILD_MARK,      /* says how far the chain's objects in it have got */
	BUILD_SETTLE,    /* syncs what was written */
	BUILD_SEAL,      /* makes the head say that it is complete */
	BUILD_SEALED,    /* syncs that */
	BUILD_END,
};

struct mirror_file {
	struct file *file;
	struct mirror_head head;
	uint64_t end;            /* the next record goes there */
};

struct mirror {
	struct lsvd_volume *v;
	struct mirror_file files[2];
	struct mirror_file *current; /* complete; NULL: none yet */
	struct mirror_file *target;  /* being built; NULL: none */
	struct mirror_file *goes_on; /* while opening: what becomes `current` */
	struct mirror_mark reach;    /* what that has */
	bool usable;             /* another open could start from what was there before this one */
	bool started;
	int failure;             /* given up, and why */
	bool stopped;
	uint64_t rebuild_least;

	struct wal_group *noted; /* the store has all up to here; the log is yet to be told */
	uint64_t noted_op;
	bool lacks;              /* an adoption that no sync has covered yet: the log lacks it, too */
	bool covers_all;         /* the sync in the world covers it */
	unsigned appends_out;    /* records of chain objects in the world */
	struct file_io sync_io;
	bool syncing, sync_wanted;
	struct wal_group *covered; /* what the sync in the world covers */
	uint64_t covered_op;

	enum build_phase phase;
	bool busy;               /* a request of the build is in the world */
	struct file_io build_io;
	uint8_t *buf;            /* of the build; mirror_span(STEP_ROOM) */
	uint64_t page, object;   /* where the snapshot goes on */
	struct page_wait wait;   /* for page `page`, while `busy` */
	struct timer_io again;   /* or for the time to ask for it again */
	bool again_armed;
};

/* A chain object's header, or a mark, on its way into a file. */
struct append {
	struct file_io io;
	struct mirror *m;
	const struct mirror_head *head;
	enum mirror_kind kind;
	uint32_t bytes;
	uint8_t buf[];
};

static void pump(struct mirror *m);

void lsvd_mirror_name(char *ret, size_t cap, const char *volume, unsigned which)
{
	(void)snprintf(ret, cap, "%s.map%u", volume, which); /* MIRROR_NAME_CAP is enough */
}

/* ---------------------------------------------------------------------------- what the log is told */

static void tell_log(struct mirror *m, struct wal_group *g, uint64_t op)
{
	if (!g)
		return;
	if (m->noted == g)
		m->noted = NULL;
	lsvd_wal_stored(m->v->wal, g, op);
}

/* The log goes on without; an offline open will see that the mirror ends too early. */
static void give_up(struct mirror *m, int err)
{
	if (m->failure)
		return;
	m->failure = err;
	m->current = m->target = NULL;
	m->phase = BUILD_NONE;
	lsvd_report(LSVD_LOG_WARN, "volume %s: its map cannot be kept in the cache directory (%s): until "
		    "it is opened again, it cannot be opened offline", m->v->name,
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
		give_up(m, io->err);
		return;
	}
	tell_log(m, m->covered, m->covered_op);
	if (m->covers_all)
		m->lacks = false;
	lsvd_port_changed(&m->v->port);
	pump(m);
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
	m->sync_io = (struct file_io){ .io = { .kind = IO_FILE_SYNC, .done = sync_done, .owner = m },
				       .file = m->current->file };
	lsvd_port_start(&m->v->port, &m->sync_io.io);
}

/* ------------------------------------------------------------------------------------- appending */

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
		give_up(m, err);
	else
		pump(m);
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

static int append_mark(struct mirror *m, struct mirror_file *f)
{
	const struct mirror_mark mark = { lsvd_log_epoch(m->v->log), m->v->stored_seq,
					  m->v->stored_op, f->head.nonce };
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
		give_up(m, err);
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

static void begin_build(struct mirror *m);

/* The first snapshot of all has been put off, since pages would have to be brought for it. */
static bool is_waiting(const struct mirror *m)
{
	return m->started && !m->current && !m->target && !m->failure;
}

static void maybe_build(struct mirror *m)
{
	if ((!m->target && has_grown(m)) || (is_waiting(m) && has_noted(m, FIRST_PART)))
		begin_build(m);
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
	maybe_build(m);
	pump(m);
}

void lsvd_mirror_object(struct lsvd_volume *v, const uint8_t *header, uint32_t header_bytes)
{
	struct mirror *m = v->mirror;

	if (!m || m->failure || !append_to_all(m, header, header_bytes))
		return;
	m->lacks = m->sync_wanted = true;
	m->covers_all = false; /* a sync that has begun came too early */
	pump(m);
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
		give_up(m, err);
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

/* ------------------------------------------------------------------------------------ the snapshot */

static void build_done(struct io *io)
{
	struct mirror *m = io->owner;

	m->busy = false;
	if (m->failure)
		return;
	if (io->err)
		give_up(m, io->err);
	else
		pump(m);
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
		pump(m);
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
		give_up(m, err);
	else if (err)
		ask_again(m);
	else
		pump(m);
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
		give_up(m, bytes);
	else if (bytes > 0)
		write_step(m, kind, (uint32_t)bytes);
	else
		m->phase = next;
}

/* All that the map was told of has been written, so far. */
static void mark(struct mirror *m)
{
	struct mirror_file *f = m->target;
	const struct mirror_mark mark = { lsvd_log_epoch(m->v->log), m->v->stored_seq,
					  m->v->stored_op, f->head.nonce };

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

/* What the phase does next. False: there is nothing to do, or it has to wait. */
static bool build_step(struct mirror *m)
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

static void pump(struct mirror *m)
{
	while (!m->failure && !m->stopped && !m->busy && build_step(m))
		;
	if (m->sync_wanted && !m->syncing && !m->appends_out && m->current && !m->stopped &&
	    m->phase <= BUILD_SETTLE)
		start_sync(m);
}

static void begin_build(struct mirror *m)
{
	struct lsvd_volume *v = m->v;
	struct mirror_file *f = m->current == &m->files[0] ? &m->files[1] : &m->files[0];
	uint64_t generation = max_u64(m->files[0].head.generation, m->files[1].head.generation) + 1;

	m->buf = lsvd_aligned_alloc(BLOCK_BYTES, mirror_span(STEP_ROOM));
	if (!m->buf) {
		give_up(m, -ENOMEM);
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

/* ------------------------------------------------------------------------- beginning and ending */

static int read_head(struct mirror *m, struct mirror_file *f, const char *name)
{
	struct file_io io = { .io = { .kind = IO_FILE_READ }, .file = f->file, .buf = m->buf,
			      .len = MIRROR_HEAD_BYTES, .past_cache = true };
	int err = lsvd_port_run1(&m->v->port, &io.io);

	if (!err && lsvd_mirror_head_decode(&f->head, m->buf, name) < 0)
		f->head = (struct mirror_head){ .flags = 0 };
	return err;
}

/*
 * What the file's head says, if there is one: the newer complete file is left as it is for now. It
 * must last: whoever made it complete may have been killed before he could sync that.
 */
static int look_at(struct mirror *m, unsigned which)
{
	struct mirror_file *f = &m->files[which];
	struct lsvd_volume *v = m->v;
	char name[MIRROR_NAME_CAP];
	uint64_t bytes;
	int err;

	lsvd_mirror_name(name, sizeof name, v->name, which);
	err = v->world->file->open(v->world, name, FILE_CREATE, &f->file);
	if (!err)
		err = v->world->file->size(f->file, &bytes);
	if (err || bytes < MIRROR_HEAD_BYTES)
		return err;
	struct file_io sync = { .io = { .kind = IO_FILE_SYNC }, .file = f->file };

	err = lsvd_port_run1(&v->port, &sync.io);
	return err ? err : read_head(m, f, name);
}

/* The file that must last until the other is complete. */
static struct mirror_file *newest(struct mirror *m)
{
	struct mirror_file *a = &m->files[0], *b = &m->files[1];
	bool a_is = a->head.flags & MIRROR_COMPLETE, b_is = b->head.flags & MIRROR_COMPLETE;

	if (a_is && b_is)
		return a->head.generation > b->head.generation ? a : b;
	return a_is ? a : b_is ? b : NULL;
}

static bool is_after_reach(const struct mirror *m, const struct place *at)
{
	return at->epoch > m->reach.epoch || (at->epoch == m->reach.epoch && at->seq > m->reach.seq);
}

/* Behind what there is, at once. */
static int write_record(struct mirror *m, struct mirror_file *f, enum mirror_kind kind,
			const uint8_t *payload, uint32_t bytes)
{
	uint64_t span = mirror_span(bytes);
	uint8_t *buf = lsvd_aligned_alloc(BLOCK_BYTES, span);
	struct file_io io = { .io = { .kind = IO_FILE_WRITE }, .file = f->file, .off = f->end,
			      .buf = buf, .len = span };
	int err;

	if (!buf)
		return lsvd_fail_plain(-ENOMEM);
	memcpy(buf + MIRROR_RECORD_BYTES, payload, bytes);
	memset(buf + MIRROR_RECORD_BYTES + bytes, 0, span - MIRROR_RECORD_BYTES - bytes);
	lsvd_mirror_record_encode(buf, &f->head, f->end, kind, bytes);
	err = lsvd_port_run1(&m->v->port, &io.io);
	lsvd_free(buf);
	f->end += span;
	return err;
}

/* Is it this log's, of the history it has now? */
static bool goes_with_log(const struct mirror *m, const struct mirror_file *f)
{
	const struct wal *wal = m->v->wal;

	return lsvd_uuid_equal(&f->head.volume, &m->v->uuid) &&
	       lsvd_uuid_equal(&f->head.cache_id, lsvd_wal_cache_id(wal)) &&
	       f->head.run >= lsvd_wal_whole_run(wal) && f->head.run < lsvd_wal_run(wal);
}

/* From here on under a nonce of its own: what was torn off behind it is not to follow. */
static int turn_over(struct mirror *m, struct mirror_file *f)
{
	struct lsvd_volume *v = m->v;
	uint8_t payload[MIRROR_MARK_BYTES];
	int err;

	v->world->rnd->fill(v->world, &m->reach.nonce, sizeof m->reach.nonce);
	lsvd_mirror_mark_encode(payload, &m->reach);
	err = write_record(m, f, MIRROR_MARK, payload, sizeof payload);
	f->head.nonce = m->reach.nonce;
	return err;
}

/* Whatever is wrong with it, it is built anew. */
static void look_whether_it_goes_on(struct mirror *m)
{
	struct mirror_file *f = newest(m);
	struct mirror_in in = { .v = m->v, .past_cache = true };
	int err;

	if (!f || !goes_with_log(m, f))
		return;
	m->usable = true;
	if (m->v->rebuild)
		return; /* the map may become one that it never was */
	lsvd_mirror_name(in.name, sizeof in.name, m->v->name, f != &m->files[0]);
	in.file = f->file;
	in.head = f->head;
	err = m->v->world->file->size(f->file, &in.bytes);
	if (!err)
		err = lsvd_mirror_reach(&in);
	lsvd_mirror_in_fini(&in);
	if (err || !in.marked)
		return;
	m->reach = (struct mirror_mark){ in.at.epoch, in.at.seq, in.last_op, in.nonce };
	f->end = in.end;
	f->head.nonce = in.nonce;
	if (turn_over(m, f) == 0)
		m->goes_on = f;
}

static int open_files(struct mirror *m)
{
	struct wal_stats s;
	int err;

	m->buf = lsvd_aligned_alloc(BLOCK_BYTES, MIRROR_HEAD_BYTES);
	if (!m->buf)
		return lsvd_fail_plain(-ENOMEM);
	err = look_at(m, 0);
	if (!err)
		err = look_at(m, 1);
	lsvd_free(m->buf);
	m->buf = NULL;
	if (!err)
		look_whether_it_goes_on(m);
	lsvd_wal_stats(m->v->wal, &s);
	m->rebuild_least = min_u64(REBUILD_MOST, max_u64(REBUILD_LEAST, s.capacity / 16));
	return err;
}

void lsvd_mirror_open(struct lsvd_volume *v)
{
	struct mirror *m = lsvd_calloc(1, sizeof *m);
	int err = m ? 0 : -ENOMEM;

	if (m) {
		m->v = v;
		v->mirror = m;
		err = open_files(m);
	}
	if (!err)
		return;
	lsvd_report(LSVD_LOG_WARN, "volume %s: its map cannot be kept in the cache directory (%s): until "
		    "it is opened again, it cannot be opened offline", v->name, lsvd_last_error());
	lsvd_mirror_free(v);
}

/* What changes the map, or may. */
static int take_header(struct mirror *m, const struct object_head *head,
		       const struct chain_part *chain, const uint8_t *bytes)
{
	if (head->kind != OBJECT_DATA && head->kind != OBJECT_NOTE)
		return 0;
	if (is_after_reach(m, &m->v->root_at) || chain->first_op != m->reach.last_op + 1)
		return -ENODATA;
	m->reach.last_op = chain->last_op;
	m->lacks = true;
	return write_record(m, m->goes_on, MIRROR_CHAIN, bytes, head->header_bytes);
}

int lsvd_mirror_header(void *volume, const struct object_head *head, const struct chain_part *chain,
		       const uint8_t *bytes)
{
	struct lsvd_volume *v = volume;
	struct mirror *m = v->mirror;
	const struct place at = { head->epoch, head->seq };

	if (!m || !m->goes_on || !is_after_reach(m, &at))
		return 0;
	if (take_header(m, head, chain, bytes) < 0)
		m->goes_on = NULL;
	m->reach.epoch = at.epoch;
	m->reach.seq = at.seq;
	return 0;
}

/* To be brought for the first snapshot without being asked: no more than a read brings. */
static bool few_are_away(const struct lsvd_volume *v)
{
	uint64_t most = min_u64(FEW_PAGES, v->opt.map_memory_bytes >> 16), n = 0;
	uint64_t page = lsvd_store_map_next_page(v->map, 0, MAP_AWAY);

	for (; page != UINT64_MAX && n <= most; n++)
		page = lsvd_store_map_next_page(v->map, page + 1, MAP_AWAY);
	return n <= most;
}

/* What is gone on with is the map that was read: as far as the chain goes, and nothing else. */
static bool has_everything(const struct mirror *m)
{
	const struct log_opened *o = &m->v->opened;

	return m->goes_on && m->reach.last_op == o->last_op && !is_after_reach(m, &m->v->root_at) &&
	       (m->reach.epoch < o->base_epoch ||
		(m->reach.epoch == o->base_epoch && m->reach.seq <= o->base_seq));
}

/* What comes from now on follows. */
static void go_on(struct mirror *m)
{
	m->current = m->goes_on;
	m->sync_wanted = true;
	lsvd_mirror_mark(m->v);
}

void lsvd_mirror_start(struct lsvd_volume *v)
{
	struct mirror *m = v->mirror;

	if (!m || m->failure)
		return;
	m->started = true;
	if (has_everything(m)) {
		go_on(m);
	} else if (m->usable || few_are_away(v)) {
		m->current = newest(m);  /* so that the other one is built */
		begin_build(m);
		m->current = NULL;       /* that one is not whole, and grows no more */
	}
	maybe_build(m);
	pump(m);
}

void lsvd_mirror_want_room(struct lsvd_volume *v)
{
	struct mirror *m = v->mirror;

	if (!m || m->failure)
		return;
	m->sync_wanted = true;
	if (!v->closing)
		maybe_build(m);
	pump(m);
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
