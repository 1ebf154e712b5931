/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_sim_volume.c - a whole volume in the simulator, crashed everywhere, compared with a model.
 *
 * lsvd-test: timeout=600
 *
 * A workload of random operations runs on a tiny volume (a log of some dozen blocks, segments of a
 * few operations, a checkpoint every other segment), so that everything wraps, fills and rolls over
 * in each run. It is stopped at a boundary (any start or end of a request to a file or the store);
 * then every kind of loss of what was not yet stable is tried: each leaves a state from which the
 * volume is opened again and read whole.
 *
 * The model: the history is the list of operations in the order they were submitted. A recovered
 * volume must equal the volume after some prefix k of it, with
 *     k >= the newest operation covered by an acknowledged flush or FUA    (power lost)
 *     k >= the newest acknowledged operation                               (process killed)
 *     k >= the newest operation in an acknowledged segment                 (cache lost)
 * Then it must be possible to write, flush and read again, and some states go on: more operations on
 * top of the recovered prefix, and another crash.
 *
 * Clones are volumes with a model each, which begins as the history of what they were made of. They are
 * written to by fibers of their own while the base goes on, cloned, made flat and deleted; so does an operator, one thing at
 * a time, what is not writing: snapshots, clones, collection, checkpoints. All of that is crashed,
 * and afterwards read and compared.
 *
 * In some runs the volume lies over a snapshot of another, half as large: what was never written
 * is what that shows, and what was trimmed is not, whatever happens in between.
 *
 * Every sector written carries a tag of its operation and its address, and the rest is made
 * from them: torn, stale, misplaced and foreign data all show.
 */
#include "sim_world.h"

#include <errno.h>
#include <stdarg.h>

#include <lsvd/snapshot.h>

#include <lsvd/gc.h>

#include "t_check.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "volume/vol_check.h"
#include "volume/vol_clone.h"
#include "volume/vol_mirror.h"
#include "volume/volume_internal.h"

#define LOG_BYTES (192u << 10)
#define SECTORS 512u             /* that the workload uses, … */
#define CHUNK 64u                /* … this many at the beginning of each page of the map */
#define CHUNKS (SECTORS / CHUNK)
#define CHUNK_SPAN ((uint64_t)STORE_MAP_PAGE_SECTORS * SECTOR_BYTES)
#define BYTES (CHUNKS * CHUNK_SPAN)
#define OPS_MAX 400u
#define WRITE_MAX_SECTORS 40u
#define IN_FLIGHT 6u
#define LOSSES_MAX 24u
#define DEPTH_MAX 3u
#define SNAPSHOTS 4u
#define CLONES 3u
#define LOWER_SECTORS (SECTORS / 2) /* that a lower volume has, */
#define LOWER_TAG (1u << 30)        /* and what they carry */
#define OVERTAKEN_MAX 5u         /* tries of a reader of what somebody writes to */

enum model_kind { MODEL_WRITE, MODEL_ZERO };

struct model_op {
	enum model_kind kind;
	uint32_t lba, sectors;
	uint32_t tag;            /* what its sectors carry; never used twice, also after a crash */
	bool acked;
	bool rolled;             /* after it the volume became what it was after operation back_to */
	uint32_t back_to;
};

/* A snapshot that was asked for, or asked to go: MAYBE until somebody has looked. */
struct model_snapshot {
	enum { SNAP_NONE, SNAP_MAYBE, SNAP_THERE } state;
	uint32_t op;             /* THERE: it is the volume after this one, … */
	uint32_t chunks;         /* … and of this size */
};

/*
 * A clone of the last snapshot of a volume: of the first, or of another clone. MAKING: nobody knows; it is
 * there if its record is. LOST: its deletion did not end, so it is not looked at any more.
 */
struct model_clone {
	enum { CLONE_NONE, CLONE_MAKING, CLONE_THERE, CLONE_LOST } state;
	unsigned of;             /* 0: of the volume; i + 1: of clone i */
	unsigned generation;     /* no name is used again */
	bool leaving;            /* it may not need that any more: it is being made flat, or is */
};

/* What the tester knows; it survives every crash of the host. */
struct model {
	struct model_op ops[OPS_MAX + 1]; /* operation k is ops[k] */
	uint32_t issued;
	uint32_t inherited;      /* of a clone: so many are its base's, and its own first is 1 to it */
	uint32_t tags;
	uint32_t acked;          /* newest acknowledged: all before it are too, in order */
	uint32_t flushed;        /* F */
	uint32_t stored;         /* R */
	bool rotten;             /* the log has been damaged */
	bool mirrored;           /* a mirror was complete: from then on it can be opened offline, … */
	struct model_snapshot snapshots[SNAPSHOTS];
	struct model_clone clones[CLONES]; /* the volume's only */
	bool cloned;             /* the last snapshot may have clones, or entries of some that never were */
	uint32_t chunks;         /* its size, or it was to become another */
	uint32_t chunks_maybe;   /* and is this perhaps; 0: no */
	uint32_t rolling;        /* after this operation it was perhaps rolled back; 0: not */
	bool unlucky;            /* … unless it was given up for want of memory or of a disk */
};

/* What goes wrong beside crashes and single requests to the store. */
enum hardship { HARD_NOTHING, HARD_MEMORY, HARD_DISK, HARD_OUTAGE, HARD_RIVAL };

struct slot {
	struct lsvd_io io;
	struct iovec iov;
	struct tester *tester;
	bool busy;
	uint32_t op;             /* of a write; 0: a flush */
	uint32_t covers;         /* a flush, a FUA: acknowledged when it was submitted, or itself */
	uint8_t data[WRITE_MAX_SECTORS * SECTOR_BYTES];
};

/* What is asked of the operator. */
enum errand { ERRAND_NONE, ERRAND_COLLECT, ERRAND_SNAPSHOT, ERRAND_CLONE, ERRAND_DELETE_CLONE,
	      ERRAND_DELETE_BASE, ERRAND_CHECKPOINT };

struct tester {
	struct sim *sim;
	struct sim_host *host, *other;
	char name[8];            /* of the volume */
	struct tester *base;     /* a clone's is the first volume's, of whatever it is a clone */
	struct tester *heirs;    /* the first volume's: its clones, CLONES of them */
	enum errand errand;      /* being done */
	bool visited;            /* a clone: somebody works on it */
	bool scripted;           /* what it does is laid down */
	struct lsvd_volume *volume;
	struct model m;
	struct slot slots[IN_FLIGHT];
	uint32_t ops_wanted;
	uint32_t readable;       /* sectors of the image that the volume has, else zero */
	uint32_t chunks;         /* that may be written: it has them, and will keep them */
	bool remote;
	bool collects;           /* garbage by itself */
	bool over;               /* it lies over a lower volume */
	uint64_t seed;
	unsigned compression;
	bool unseen;             /* what it was recovered to could not be looked at */
	bool tight;              /* no page of the map stays that can go */
	enum hardship hard;
	bool offline;            /* open on the cache alone */
	bool broken;             /* the local log has failed, as it was made to; or it was fenced */
	uint8_t image[SECTORS * SECTOR_BYTES]; /* as read back */
	char why[400];
	bool failed, finished;
	void (*first)(void *arg); /* the life that is crashed; NULL: first_life() */
	uint64_t from, to;       /* boundaries of what it is about */
	/* of the phase that runs now */
	enum { BY_FLUSH, BY_ACK, BY_STORE } bound;
	uint32_t recovered;      /* k */
	bool flags_needed;
	bool in_duel;
	uint64_t states, points, deep, offline_opens, rots, checks, snapshots_read, sizes, clones_read;
	uint64_t clones_written, clones_deleted, clones_of_clones, bases_refused, flattened;
	uint64_t bases_left;     /* found so after a crash in the middle */
	uint64_t rollbacks, rollbacks_found; /* done; found done after a crash in the middle */
};

/* All that is known, of the volume and of its clones. */
struct memory {
	struct model m, heirs[CLONES];
};

/* ------------------------------------------------------------------------------------ the content */

static void fill_sector(uint8_t *to, uint32_t tag, uint32_t lba)
{
	le32_put(to, UINT32_C(0x5ec70a11));
	le32_put(to + 4, tag);
	le32_put(to + 8, lba);
	le32_put(to + 12, (tag * 2654435761u) ^ lba);
	for (unsigned i = 16; i < SECTOR_BYTES; i += 8)
		le64_put(to + i, tag % 3 ? lsvd_hash_bind(i, tag, lba, 7)
					 : (uint64_t)tag * 0x101010101);
}

/* The tag of the operation a sector was written by, 0 for zeroes, UINT32_MAX for anything else. */
static uint32_t sector_tag(const uint8_t *p, uint32_t lba)
{
	static const uint8_t zeroes[SECTOR_BYTES];
	uint8_t want[SECTOR_BYTES];
	uint32_t tag = le32_get(p + 4);

	if (memcmp(p, zeroes, SECTOR_BYTES) == 0)
		return 0;
	fill_sector(want, tag, lba);
	return memcmp(p, want, SECTOR_BYTES) == 0 ? tag : UINT32_MAX;
}

/* Where the workload's sector `i` lies in the volume, in bytes. */
static uint64_t place_of(uint32_t i)
{
	return ((uint64_t)i / CHUNK * STORE_MAP_PAGE_SECTORS + i % CHUNK) * SECTOR_BYTES;
}

/* --------------------------------------------------------------------------------------- the model */

static void new_model(struct tester *t)
{
	memset(&t->m, 0, sizeof t->m);
	for (unsigned i = 0; i < CLONES; i++)
		memset(&t->heirs[i].m, 0, sizeof t->heirs[i].m);
	t->m.chunks = t->chunks = CHUNKS;
}

static void remember(struct memory *to, const struct tester *t)
{
	to->m = t->m;
	for (unsigned i = 0; i < CLONES; i++)
		to->heirs[i] = t->heirs[i].m;
}

static void recall(struct tester *t, const struct memory *from)
{
	t->m = from->m;
	for (unsigned i = 0; i < CLONES; i++)
		t->heirs[i].m = from->heirs[i];
}

LSVD_PRINTF(2, 3) static void complain(struct tester *t, const char *format, ...)
{
	struct tester *to = t->base ? t->base : t;
	va_list ap;
	int n;

	if (to->failed)
		return;
	t->failed = true;
	to->failed = true;
	n = snprintf(to->why, sizeof to->why, "%s: ", t->name); /* fits */
	va_start(ap, format);
	(void)vsnprintf(to->why + n, sizeof to->why - (size_t)n, format, ap);
	va_end(ap);
}

static uint32_t tag_of(const struct model *m, uint32_t op)
{
	return m->ops[op].kind == MODEL_WRITE ? m->ops[op].tag : 0;
}

/* The tags of P(k), over those of P(0). */
static void content(const struct model *m, uint32_t k, uint32_t want[SECTORS])
{
	uint32_t from = k;

	while (from && !m->ops[from].rolled)
		from--;
	if (from)
		content(m, m->ops[from].back_to, want);
	for (uint32_t i = from + 1; i <= k; i++)
		for (uint32_t j = 0; j < m->ops[i].sectors; j++)
			want[m->ops[i].lba + j] = tag_of(m, i);
}

/* What shows where nothing was written; a clone shows what its base does. */
static void begin_content(const struct tester *t, uint32_t want[SECTORS])
{
	bool over = t->base ? t->base->over : t->over;

	for (uint32_t i = 0; i < SECTORS; i++)
		want[i] = over && i < LOWER_SECTORS ? LOWER_TAG : 0;
}

/* How many sectors differ from P(k): the nearest prefix shows what went wrong. */
static uint32_t distance(const struct tester *t, uint32_t k, bool tell)
{
	uint32_t want[SECTORS], wrong = 0, end = t->offline ? t->readable : SECTORS;

	begin_content(t, want);
	content(&t->m, k, want);
	for (uint32_t i = 0; i < end; i++) {
		uint32_t have = sector_tag(t->image + i * SECTOR_BYTES, i);

		wrong += have != want[i];
		if (tell && have != want[i])
			(void)fprintf(stderr, "  sector %u: tag %d, expected %u\n", i,
				      (int)have, want[i]);
	}
	return wrong;
}

/* The image is not P(k). */
static void explain(struct tester *t, uint32_t k)
{
	uint32_t best = 0;

	for (uint32_t i = 0; i <= t->m.issued; i++)
		if (distance(t, i, false) <= distance(t, best, false))
			best = i;
	(void)fprintf(stderr, "nearest prefix: %u\n", best);
	(void)distance(t, k, true);
	for (uint32_t i = 1; i <= t->m.issued; i++)
		(void)fprintf(stderr, "  operation %u, tag %u: %s %u + %u%s%s %u\n", i,
			      t->m.ops[i].tag, t->m.ops[i].kind == MODEL_WRITE ? "write" : "zero",
			      t->m.ops[i].lba, t->m.ops[i].sectors,
			      t->m.ops[i].acked ? "" : " (not acknowledged)",
			      t->m.ops[i].rolled ? ", then back to" : "", t->m.ops[i].back_to);
	complain(t, "the volume is not what it was after operation %u, but %u is nearest", k, best);
}

static uint32_t least_allowed(const struct tester *t)
{
	uint32_t r = t->m.stored;

	if (t->bound == BY_STORE)
		return t->remote && t->m.flushed > r ? t->m.flushed : r;
	if (t->bound == BY_ACK)
		return t->m.acked > r ? t->m.acked : r;
	return t->m.flushed > r ? t->m.flushed : r;
}

/* ------------------------------------------------------------------------------------ the workload */

static void on_segment(void *ctx, const struct lsvd_segment_event *e)
{
	struct tester *t = ctx;

	if (e->last_op + t->m.inherited > t->m.stored)
		t->m.stored = (uint32_t)e->last_op + t->m.inherited;
}

/* An operation for which there was no memory never was: those after it move up. */
static void withdraw(struct tester *t, uint32_t op)
{
	memmove(&t->m.ops[op], &t->m.ops[op + 1], (t->m.issued - op) * sizeof t->m.ops[0]);
	t->m.issued--;
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		t->slots[i].op -= t->slots[i].op > op;
		t->slots[i].covers -= t->slots[i].covers > op;
	}
}

/* What a volume says for ever after it has met its hardship. */
static int final_error(const struct tester *t)
{
	return t->hard == HARD_DISK ? LSVD_E_FAILED : t->hard == HARD_RIVAL ? LSVD_E_FENCED : 0;
}

/* May the operation fail like that? */
static bool was_to_be(struct tester *t, const struct slot *s, int err)
{
	if (err == LSVD_E_SHUTDOWN)
		return true;
	if (t->offline && err == LSVD_E_UNAVAILABLE && t->remote && s->covers)
		return true; /* a flush to the store; what it was to make safe is there all the same */
	if (t->offline && err == LSVD_E_UNAVAILABLE && t->remote && !s->op)
		return true;
	if (t->offline && err == -EIO && s->op) {
		withdraw(t, s->op); /* the log is full, and stays so */
		return true;
	}
	if (t->hard == HARD_MEMORY && err == -ENOMEM) {
		if (s->op)
			withdraw(t, s->op);
		return true;
	}
	if (t->hard && err == final_error(t))
		t->broken = true;
	return t->broken && err == final_error(t);
}

static void on_done(struct lsvd_io *io)
{
	struct slot *s = (struct slot *)(void *)((char *)io - offsetof(struct slot, io));
	struct tester *t = s->tester;

	s->busy = false;
	if (io->err) {
		if (!was_to_be(t, s, io->err))
			complain(t, "operation %u failed: %s", s->op, lsvd_error_name(io->err));
		return;
	}
	if (s->op) {
		t->m.ops[s->op].acked = true;
		while (t->m.acked < t->m.issued && t->m.ops[t->m.acked + 1].acked)
			t->m.acked++;
	}
	if (s->covers > t->m.flushed)
		t->m.flushed = s->covers;
}

static struct lsvd_volume_options options_of(struct tester *t, unsigned flags)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;

	o.flags = flags;
	o.cache_dir = "cache";
	o.log_bytes = LOG_BYTES;
	o.segment_bytes = 24u << 10;
	o.memory_bytes = 16u << 20;
	o.map_memory_bytes = t->tight ? 1 : 0;
	o.checkpoint_segments = 3;
	o.rcache_bytes = UINT64_MAX;
	o.put_window = 3;
	o.compression = t->compression;
	o.seal_after_ms = 400;
	o.gc = t->collects ? LSVD_GC_AUTO : LSVD_GC_OFF;
	o.gc_target_percent = 110 + (uint32_t)(t->seed % 4) * 20;
	o.gc_idle_ms = 700;
	o.gc_bytes_per_second = t->seed % 3 ? 1u << 20 : UINT64_MAX;
	o.gc_space_bytes = t->seed % 5 ? 0 : 256u << 10;
	o.lease_check_ms = 2000;
	o.read_timeout_ms = 3600000; /* some requests take a minute here, and some fail after it */
	o.stall_timeout_ms = flags & LSVD_OPEN_OFFLINE ? 2000 : 0;
	o.flush = t->remote ? LSVD_FLUSH_REMOTE : LSVD_FLUSH_LOCAL;
	o.segment_fn = on_segment;
	o.segment_ctx = t;
	return o;
}

static struct slot *free_slot(struct tester *t)
{
	for (;;) {
		for (unsigned i = 0; i < IN_FLIGHT; i++)
			if (!t->slots[i].busy)
				return &t->slots[i];
		sim_sleep(t->host, 1); /* a yield would keep the clock from going on */
	}
}

static void wait_all(struct tester *t)
{
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		while (t->slots[i].busy)
			sim_sleep(t->host, 1);
}

static uint32_t below(struct tester *t, uint32_t n)
{
	return (uint32_t)sim_random_below(t->sim, n);
}

/* A choice; of a workload that is laid down, the last. */
static unsigned pick(struct tester *t, unsigned n)
{
	return t->scripted ? n - 1 : below(t, n);
}

/* Some sectors of one chunk, often whole blocks. */
static void some_sectors(struct tester *t, struct model_op *op)
{
	op->sectors = 1 + below(t, below(t, 3) ? 12 : WRITE_MAX_SECTORS);
	op->lba = below(t, 4) ? below(t, t->chunks * CHUNK / 8) * 8 : below(t, t->chunks * CHUNK);
	if (op->lba % CHUNK + op->sectors > CHUNK)
		op->sectors = CHUNK - op->lba % CHUNK;
}

/* Whole chunks, and with them the pages of the map that they lie in. */
static void some_chunks(struct tester *t, struct model_op *op)
{
	uint32_t first = below(t, t->chunks), n = 1 + below(t, t->chunks - first);

	op->lba = first * CHUNK;
	op->sectors = n * CHUNK;
}

static void make_write(struct tester *t, struct slot *s)
{
	struct model_op *op = &t->m.ops[++t->m.issued];
	uint32_t kind = below(t, 10);
	bool chunks = kind == 7 && below(t, 4) == 0;

	memset(op, 0, sizeof *op);
	op->tag = ++t->m.tags;
	op->kind = kind < 7 ? MODEL_WRITE : MODEL_ZERO;
	if (chunks)
		some_chunks(t, op);
	else
		some_sectors(t, op);
	s->op = t->m.issued;
	s->io.kind = kind < 7 ? LSVD_IO_WRITE : kind < 9 ? LSVD_IO_TRIM : LSVD_IO_WRITE_ZEROES;
	s->io.off = place_of(op->lba);
	s->io.len = chunks ? op->sectors / CHUNK * STORE_MAP_PAGE_SECTORS * SECTOR_BYTES
			   : op->sectors * SECTOR_BYTES;
	if (kind == 9 && below(t, 2))
		s->io.flags |= LSVD_IO_NO_HOLE;
	if (below(t, 12) == 0) {
		s->io.flags |= LSVD_IO_FUA;
		s->covers = s->op;
	}
	for (uint32_t i = 0; i < op->sectors && kind < 7; i++)
		fill_sector(s->data + i * SECTOR_BYTES, op->tag, op->lba + i);
	s->iov = (struct iovec){ s->data, (size_t)s->io.len };
	s->io.iov = &s->iov;
	s->io.iovcnt = 1;
}

static void submit_this(struct tester *t, bool flush)
{
	struct slot *s = free_slot(t);

	memset(&s->io, 0, sizeof s->io);
	s->tester = t;
	s->busy = true;
	s->op = s->covers = 0;
	s->io.done = on_done;
	if (flush) {
		s->io.kind = LSVD_IO_FLUSH;
		s->covers = t->m.acked;
	} else {
		make_write(t, s);
	}
	lsvd_volume_submit(t->volume, &s->io);
}

static void submit_one(struct tester *t)
{
	submit_this(t, below(t, 7) == 0);
}

static uint32_t chunks_of(const struct lsvd_volume *v)
{
	return (uint32_t)(lsvd_volume_bytes(v) / CHUNK_SPAN);
}

static bool read_from(struct tester *t, struct lsvd_volume *volume)
{
	memset(t->image, 0, sizeof t->image);
	t->readable = chunks_of(volume) * CHUNK;
	for (uint32_t i = 0; i < t->readable; i += CHUNK) {
		int err = -ENOMEM;

		for (unsigned tries = 0; err == -ENOMEM && tries < 50; tries++)
			err = lsvd_volume_read(volume, t->image + i * SECTOR_BYTES, place_of(i),
					       CHUNK * SECTOR_BYTES);
		/* The mirror was given up, so it may lead to what has been deleted since. */
		if (err == LSVD_E_UNAVAILABLE && t->offline && t->m.unlucky)
			return false;
		/* A second writer has taken the volume, and deletes what it does not need. */
		if (err == LSVD_E_FENCED && t->hard == HARD_RIVAL) {
			t->broken = true;
			return false;
		}
		/* A note with another size was still on its way when the volume failed. */
		if (err == -EINVAL && t->hard && i >= chunks_of(t->volume) * CHUNK)
			break;
		/* Failed in the middle of a rollback: it shows nothing any more. */
		if (t->hard && err && err == final_error(t) && t->volume->rolling == ROLL_LOST) {
			t->broken = true;
			return false;
		}
		if (err) {
			complain(t, "read of sector %u: %s: %s", i, lsvd_error_name(err),
				 lsvd_last_error());
			return false;
		}
	}
	return true;
}

static bool read_image(struct tester *t)
{
	return read_from(t, t->volume);
}

/* Waits for the mirror, or does not: what follows may be while it is made. */
static void note_mirror(struct tester *t, struct sim_host *host)
{
	bool settled = false;

	for (unsigned i = below(t, 2) ? 100 : 0; i && !settled; i--) {
		sim_sleep(host, 1);
		lsvd_port_enter(&t->volume->port);
		settled = lsvd_mirror_is_settled(t->volume) && lsvd_mirror_is_there(t->volume);
		lsvd_port_leave(&t->volume->port, false);
	}
	t->m.mirrored = t->m.mirrored || settled;
}

static void check_size(struct tester *t)
{
	uint32_t chunks = chunks_of(t->volume);

	if (t->m.chunks && chunks != t->m.chunks && chunks != t->m.chunks_maybe)
		complain(t, "the volume has %u pages, expected %u", chunks, t->m.chunks);
	t->m.chunks = t->chunks = chunks;
	t->m.chunks_maybe = 0;
}

static bool open_volume(struct tester *t, struct sim_host *host, unsigned flags)
{
	struct lsvd_volume_options o = options_of(t, flags);
	int err = LSVD_E_UNAVAILABLE;

	/* The store is made to fail now and then; an open may say so, and is tried again. */
	for (unsigned i = 0; i < 500 && (err == LSVD_E_UNAVAILABLE || err == -ENOMEM); i++) {
		if (i)
			sim_sleep(host, 1000);
		err = lsvd_volume_open_world(&t->volume, sim_host_world(host), t->name, &o);
	}
	if (err == -EIO && t->hard == HARD_DISK && !t->broken)
		t->broken = true;
	else if (err)
		complain(t, "open: %s: %s", lsvd_error_name(err), lsvd_last_error());
	else if (!t->hard && host == t->host)
		note_mirror(t, host);
	if (!err)
		check_size(t);
	return err == 0;
}

static void wait_for_operator(struct tester *t)
{
	while (t->errand)
		sim_sleep(t->host, 1);
}

static void close_volume(struct tester *t)
{
	int err;

	wait_for_operator(t);
	wait_all(t);
	err = lsvd_volume_close(t->volume, UINT32_MAX);
	t->volume = NULL;
	if (t->hard && err < 0 && err == (t->hard == HARD_DISK ? err : final_error(t))) {
		t->broken = true;
		return;
	}
	if (err)
		complain(t, "close: %d", err);
	t->m.flushed = t->m.stored = t->m.acked;
}

static void check_now(struct tester *t)
{
	wait_all(t);
	if (t->broken || !read_image(t))
		return;
	if (distance(t, t->m.issued, false))
		explain(t, t->m.issued);
	lsvd_vol_check_parts(t->volume);
}

/* ---- sizes */

/*
 * Was the operation that resizing may need one? If not it never was. When the volume has failed nobody
 * knows: it may be there later or not, as any other that was not acknowledged.
 */
static void settle_trim(struct tester *t, uint32_t op, int err)
{
	struct lsvd_stats stats = LSVD_STATS_INIT;

	if (t->hard && err && err == final_error(t)) {
		t->broken = true;
		return;
	}
	if (lsvd_volume_stats(t->volume, &stats) < 0 || stats.last_op + t->m.inherited < op) {
		withdraw(t, op);
		return;
	}
	t->m.ops[op].acked = err == 0;
	if (err == 0)
		t->m.acked = op;
}

static void change_size(struct tester *t)
{
	uint32_t chunks = t->scripted ? CHUNKS / 2 : 1 + below(t, CHUNKS), op = 0, before = t->m.chunks;
	struct model_op trim = { .kind = MODEL_ZERO, .lba = chunks * CHUNK,
				 .sectors = (CHUNKS - chunks) * CHUNK };
	int err;

	wait_all(t);
	if (t->m.issued == OPS_MAX || t->broken || (t->over && chunks < LOWER_SECTORS / CHUNK))
		return;
	if (chunks < t->chunks) {
		op = ++t->m.issued;
		trim.tag = ++t->m.tags;
		t->m.ops[op] = trim;
	}
	t->m.chunks_maybe = chunks;
	t->chunks = (uint32_t)min_u64(chunks, t->chunks);
	err = lsvd_volume_resize(t->volume, chunks * CHUNK_SPAN, LSVD_RESIZE_CUT);
	if (op)
		settle_trim(t, op, err);
	t->chunks = chunks_of(t->volume);
	if (err)
		return; /* as anything else here */
	t->sizes++;
	t->m.chunks = chunks;
	t->m.chunks_maybe = 0;
	if (t->chunks != chunks)
		complain(t, "resized from %u pages to %u the volume has %u", before, chunks, t->chunks);
}

/* ---- snapshots */

static void snapshot_name(char name[8], unsigned i)
{
	(void)snprintf(name, 8, "s%u", i % 10); /* fits */
}

static const struct tester *first_of(const struct tester *t)
{
	return t->base ? t->base : t;
}

/* As in model_clone's `of`. */
static unsigned number_of(const struct tester *t)
{
	return t->base ? (unsigned)(t - t->base->heirs) + 1 : 0;
}

/* Is there a clone of it for certain? */
static bool has_clones(const struct tester *t)
{
	const struct model_clone *clones = first_of(t)->m.clones;

	for (unsigned j = 0; j < CLONES; j++)
		if (clones[j].state == CLONE_THERE && clones[j].of == number_of(t) &&
		    !clones[j].leaving)
			return true;
	return false;
}

static bool has_clone(const struct tester *t, unsigned i)
{
	return i == SNAPSHOTS - 1 && has_clones(t);
}

/* Of two writers each may find that the other has made a clone, fenced or not. */
static bool cloned_in_duel;

static bool clones_need(const struct tester *t, unsigned i)
{
	return i == SNAPSHOTS - 1 && (t->m.cloned || cloned_in_duel);
}

/*
 * A clone that nobody knows of does not keep what it would be of: should its record come late, it leads to
 * nothing.
 */
static void give_up_unmade(struct tester *t)
{
	struct model_clone *clones = t->base ? t->base->m.clones : t->m.clones;

	for (unsigned j = 0; j < CLONES; j++)
		if (clones[j].state == CLONE_MAKING && clones[j].of == number_of(t))
			clones[j].state = CLONE_LOST;
}

/* It may fail as anything else here; what has become of it is then seen later. */
static void change_snapshot(struct tester *t)
{
	unsigned i = pick(t, SNAPSHOTS);
	struct model_snapshot *s = &t->m.snapshots[i];
	struct lsvd_snapshot_info info = LSVD_SNAPSHOT_INFO_INIT;
	bool there = s->state == SNAP_THERE;
	uint32_t least = t->m.acked;
	char name[8];
	int err;

	if (s->state == SNAP_MAYBE)
		return;
	snapshot_name(name, i);
	s->state = SNAP_MAYBE;
	if (there && i == SNAPSHOTS - 1)
		give_up_unmade(t);
	if (there)
		err = lsvd_snapshot_delete(t->volume, name, UINT32_MAX);
	else
		err = lsvd_snapshot_create(t->volume, name, UINT32_MAX, &info);
	if (err == -ENOENT || err == -EEXIST || (err == -EBUSY && !clones_need(t, i)))
		complain(t, "snapshot %s: %s", name, lsvd_last_error());
	if (err == -EBUSY)
		s->state = SNAP_THERE;
	if (err)
		return;
	if (there && has_clone(t, i))
		complain(t, "snapshot %s went, and has a clone", name);
	s->state = there ? SNAP_NONE : SNAP_THERE;
	if (there)
		return;
	s->op = (uint32_t)info.op + t->m.inherited;
	s->chunks = (uint32_t)(info.bytes / CHUNK_SPAN);
	if (s->op < least || s->op > t->m.issued)
		complain(t, "snapshot %s holds %u operations, expected %u to %u", name, s->op, least,
			 t->m.issued);
}

struct found_snapshots {
	struct tester *t;
	bool there[SNAPSHOTS];
};

static int find_snapshot(void *ctx, const struct lsvd_snapshot_info *info)
{
	struct found_snapshots *f = ctx;
	unsigned i = (unsigned)(info->name[1] - '0');
	uint32_t op = (uint32_t)info->op + f->t->m.inherited;
	struct model_snapshot *s;

	if (info->name[0] != 's' || i >= SNAPSHOTS || f->there[i]) {
		complain(f->t, "there is a snapshot %s", info->name);
		return 1;
	}
	s = &f->t->m.snapshots[i];
	f->there[i] = true;
	if (s->state == SNAP_NONE)
		complain(f->t, "snapshot %s was deleted, or never made", info->name);
	if (s->state == SNAP_THERE && s->op != op)
		complain(f->t, "snapshot %s holds %u operations, expected %u", info->name, op, s->op);
	*s = (struct model_snapshot){ SNAP_THERE, op, (uint32_t)(info->bytes / CHUNK_SPAN) };
	return 0;
}

/* A snapshot, or the volume (snapshot NULL), reads as the volume did after an operation. */
static void check_past(struct tester *t, struct sim_host *host, const char *snapshot, uint32_t op)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume *past;
	int err = LSVD_E_UNAVAILABLE;

	o.flags = LSVD_OPEN_READONLY;
	o.snapshot = snapshot;
	o.read_timeout_ms = 3600000;
	for (unsigned j = 0; j < 500 && (err == LSVD_E_UNAVAILABLE || err == -ENOMEM ||
					 (err == -ENOENT && j < OVERTAKEN_MAX)); j++) {
		if (j)
			sim_sleep(host, 1000);
		err = lsvd_volume_open_world(&past, sim_host_world(host), t->name, &o);
	}
	if (err) {
		complain(t, "open @%s: %s: %s", snapshot ? snapshot : "", lsvd_error_name(err),
			 lsvd_last_error());
	} else {
		if (read_from(t, past) && distance(t, op, false))
			explain(t, op);
		if (lsvd_volume_close(past, 0) != 0)
			complain(t, "close @%s", snapshot ? snapshot : "");
		t->snapshots_read += snapshot != NULL;
	}
}

static void check_snapshot(struct tester *t, struct sim_host *host, unsigned i)
{
	char name[8];

	snapshot_name(name, i);
	check_past(t, host, name, t->m.snapshots[i].op);
}

/* ---- clones, and what is done to them and to the volume beside its writes: by an operator */

/* The clone's tester, with the name that it has now. */
static struct tester *heir_of(struct tester *t, unsigned i)
{
	struct tester *h = &t->heirs[i];

	(void)snprintf(h->name, sizeof h->name, "c%u-%u", i % 10, t->m.clones[i].generation % 1000);
	return h;
}

/* A clone's history begins with that of what it is made of. Its tags are its own. */
static void inherit(struct tester *h, const struct tester *from, uint32_t op)
{
	uint32_t tags = h->m.tags ? h->m.tags : number_of(h) << 24;

	memset(&h->m, 0, sizeof h->m);
	memcpy(h->m.ops, from->m.ops, (op + 1) * sizeof h->m.ops[0]);
	for (uint32_t i = 1; i <= op; i++)
		h->m.ops[i].acked = true;
	h->m.tags = tags;
	h->m.inherited = h->m.issued = h->m.acked = h->m.flushed = h->m.stored = op;
}

/* The place of a clone, or of none: what is laid down takes the last that suits it. */
static unsigned pick_clone(struct tester *t, bool there)
{
	for (unsigned i = t->scripted ? CLONES : 0; i-- > 0;)
		if ((t->m.clones[i].state == CLONE_THERE) == there)
			return i;
	return below(t, CLONES);
}

static void make_clone(struct tester *t)
{
	unsigned i = pick_clone(t, false), of = t->scripted ? 0 : below(t, 1 + CLONES);
	struct model_clone *c = &t->m.clones[i];
	struct tester *from = of && t->m.clones[of - 1].state == CLONE_THERE ? heir_of(t, of - 1) : t;
	const struct model_snapshot *s = &from->m.snapshots[SNAPSHOTS - 1];
	char snapshot[8];
	int err = -ENOENT;

	if (s->state != SNAP_THERE || c->state == CLONE_THERE)
		return;
	snapshot_name(snapshot, SNAPSHOTS - 1);
	*c = (struct model_clone){ CLONE_MAKING, number_of(from), c->generation + 1, false };
	from->m.cloned = true;
	cloned_in_duel = cloned_in_duel || t->in_duel;
	inherit(heir_of(t, i), from, s->op);
	/* Who looks for the end of the chain may be overtaken by deletions, and find an old one. */
	for (unsigned j = 0; j < OVERTAKEN_MAX && err == -ENOENT && s->state == SNAP_THERE; j++) {
		sim_sleep(t->host, 1000 * j);
		err = lsvd_volume_clone_world(sim_host_world(t->host), from->name, snapshot,
					      t->heirs[i].name);
	}
	if (err == -EEXIST || err == LSVD_E_CORRUPT || (err == -ENOENT && s->state == SNAP_THERE))
		complain(t, "clone %s: %s", t->heirs[i].name, lsvd_last_error());
	if (!err && s->state == SNAP_NONE)
		complain(t, "there is a clone %s of what is deleted", t->heirs[i].name);
	/* Without an answer, or memory to look at it, it may be there. */
	c->state = !err ? CLONE_THERE
		   : err == LSVD_E_UNAVAILABLE || err == -ENOMEM ? CLONE_MAKING : CLONE_NONE;
	t->clones_of_clones += !err && c->of;
}

static void delete_clone(struct tester *t)
{
	unsigned i = pick_clone(t, true);
	struct model_clone *c = &t->m.clones[i];
	struct tester *h = heir_of(t, i);
	bool needed = has_clones(h);
	int err;

	if (c->state != CLONE_THERE || h->visited)
		return;
	h->visited = true;
	c->state = CLONE_LOST;
	err = lsvd_volume_delete_world(sim_host_world(t->host), h->name);
	h->visited = false;
	if (!err && needed && has_clones(h))
		complain(t, "%s was deleted, and has clones", h->name);
	if (err == -ENOENT || (err == -EBUSY && !h->m.cloned))
		complain(t, "deletion of %s: %s", h->name, lsvd_last_error());
	c->state = !err ? CLONE_NONE : err == -EBUSY ? CLONE_THERE : CLONE_LOST;
	t->clones_deleted += !err;
}

/* A clone of the volume that is not worked on, and so remains one. */
static struct tester *steady_clone(struct tester *t)
{
	for (unsigned j = 0; j < CLONES; j++) {
		const struct model_clone *c = &t->m.clones[j];

		if (c->state == CLONE_THERE && !c->of && !c->leaving && !t->heirs[j].visited)
			return &t->heirs[j];
	}
	return NULL;
}

static void try_to_delete_base(struct tester *t)
{
	struct tester *h = steady_clone(t);
	int err;

	if (!h)
		return;
	h->visited = true;
	err = lsvd_volume_delete_world(sim_host_world(t->host), t->name);
	h->visited = false;
	if (err != -EBUSY && err != LSVD_E_UNAVAILABLE && err != -ENOMEM)
		complain(t, "deletion of a base: %d", err);
	t->bases_refused += err == -EBUSY;
}

/* What may fail as anything else here; nothing is promised by it. */
static void collect(struct tester *t)
{
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;

	o.percent = 100 + (t->scripted ? 0 : below(t, 80));
	o.timeout_ms = 1 + below(t, 60000);
	o.flags = below(t, 2) ? LSVD_COLLECT_ORPHANS : 0;
	if (!t->scripted && below(t, 4) == 0)
		(void)!lsvd_volume_gc_control(t->volume, LSVD_GC_PAUSE + below(t, 3));
	else
		(void)!lsvd_volume_collect(t->volume, &o, NULL);
}

static void checkpoint(struct tester *t)
{
	(void)!lsvd_volume_checkpoint(t->volume, 1 + below(t, 60000));
}

static void run_errand(void *arg)
{
	struct tester *t = arg;

	switch (t->errand) {
	case ERRAND_COLLECT:
		collect(t);
		break;
	case ERRAND_SNAPSHOT:
		change_snapshot(t);
		break;
	case ERRAND_CLONE:
		make_clone(t);
		break;
	case ERRAND_DELETE_CLONE:
		delete_clone(t);
		break;
	case ERRAND_DELETE_BASE:
		try_to_delete_base(t);
		break;
	default:
		checkpoint(t);
	}
	t->errand = ERRAND_NONE;
}

static void wait_for_heirs(struct tester *t)
{
	for (unsigned i = 0; i < CLONES; i++)
		while (t->heirs[i].visited)
			sim_sleep(t->host, 1);
}

static bool clones_bear_it(const struct tester *t)
{
	return !t->hard || t->hard == HARD_MEMORY || t->hard == HARD_OUTAGE;
}

/* By the operator, if he has nothing else to do; what is laid down is done in any case. */
static void send(struct tester *t, enum errand errand)
{
	if (t->scripted) {
		wait_for_operator(t);
		wait_for_heirs(t);
	}
	if (t->errand || (!clones_bear_it(t) && errand >= ERRAND_CLONE && errand <= ERRAND_DELETE_BASE))
		return;
	t->errand = errand;
	sim_spawn(t->host, run_errand, t);
}

static bool may_have_snapshots(const struct tester *t)
{
	for (unsigned i = 0; i < SNAPSHOTS; i++)
		if (t->m.snapshots[i].state != SNAP_NONE)
			return true;
	return false;
}

/* A clone, which is open. From now on it may need its base no more, unless its snapshots do. */
static int flatten(struct tester *h)
{
	struct model_clone *c = &h->base->m.clones[number_of(h) - 1];
	bool was = c->leaving;
	int err;

	c->leaving = true;
	(void)!lsvd_volume_gc_control(h->volume, LSVD_GC_RESUME); /* or it would wait for that */
	err = lsvd_volume_flatten(h->volume, UINT32_MAX);
	if (err == -EBUSY)
		c->leaving = was;
	if (err == LSVD_E_CORRUPT || (err == -EBUSY && !may_have_snapshots(h)))
		complain(h, "flatten: %s", lsvd_last_error());
	h->base->flattened += !err;
	return err;
}

static void work_a_little_on_clone(struct tester *h)
{
	uint32_t what = below(h, 24);

	if (what == 0)
		(void)lsvd_volume_seal(h->volume);
	else if (what <= 2)
		change_snapshot(h);
	else if (what == 3)
		collect(h);
	else if (what == 4)
		checkpoint(h);
	else if (what == 5)
		change_size(h);
	else if (what == 6)
		check_now(h);
	else if (what == 7 && !h->base->scripted) /* there its base is to be needed */
		(void)flatten(h); /* may fail as anything else here */
	else if (h->m.issued < OPS_MAX)
		submit_one(h);
}

/* A fiber of its own. */
static void work_on_clone(void *arg)
{
	struct tester *h = arg;

	if (open_volume(h, h->host, 0)) {
		check_now(h);
		h->base->clones_written++;
		for (unsigned n = 4 + below(h, 20); n && !h->failed; n--)
			work_a_little_on_clone(h);
		check_now(h);
		close_volume(h);
	}
	h->visited = false;
}

static void visit_clone(struct tester *t)
{
	struct tester *h;
	unsigned i;

	if (t->scripted)
		wait_for_operator(t);
	i = pick_clone(t, true);
	h = heir_of(t, i);
	if (t->m.clones[i].state != CLONE_THERE || h->visited)
		return;
	h->visited = true;
	h->hard = t->hard;
	sim_spawn(h->host, work_on_clone, h);
}

/* Without its log it is what the store has. */
static void read_clone(struct tester *t)
{
	unsigned i = below(t, CLONES);
	struct tester *h = heir_of(t, i);

	if (t->m.clones[i].state != CLONE_THERE || h->visited || h->m.stored != h->m.issued)
		return;
	h->visited = true;
	check_past(h, h->host, NULL, h->m.issued);
	h->visited = false;
	t->clones_read++;
}

/* All that must be there are, no other, and one of them, by chance, is what it was. */
static void check_snapshots(struct tester *t, struct sim_host *host)
{
	struct found_snapshots f = { .t = t };
	unsigned i = below(t, SNAPSHOTS);

	if (lsvd_snapshot_list(t->volume, find_snapshot, &f) < 0)
		return; /* no memory */
	for (unsigned j = 0; j < SNAPSHOTS; j++) {
		struct model_snapshot *s = &t->m.snapshots[j];

		if (!f.there[j] && s->state == SNAP_THERE)
			complain(t, "snapshot s%u of operation %u is gone", j, s->op);
		if (!f.there[j])
			s->state = SNAP_NONE;
		else if (s->op > t->m.issued)
			complain(t, "snapshot s%u holds %u operations of %u", j, s->op, t->m.issued);
	}
	if (!t->failed && f.there[i])
		check_snapshot(t, host, i);
}

static void check_snapshot_now(struct tester *t)
{
	unsigned i = below(t, SNAPSHOTS);

	if (t->errand != ERRAND_SNAPSHOT && t->m.snapshots[i].state == SNAP_THERE)
		check_snapshot(t, t->host, i);
}

/* ---- rollbacks */

/* An operation that nothing stands at but the rollback after it: a snapshot says by it what it has. */
static bool mark(struct tester *t)
{
	uint32_t before = t->m.issued;

	if (before == OPS_MAX)
		return false;
	submit_this(t, false);
	wait_all(t);
	return !t->broken && t->m.issued == before + 1 && t->m.acked == t->m.issued;
}

static void rolled_back(struct tester *t, uint32_t chunks)
{
	t->rollbacks++;
	t->m.rolling = 0;
	t->m.flushed = t->m.stored = t->m.issued;
	t->m.chunks = chunks;
	t->m.chunks_maybe = 0;
	t->chunks = chunks_of(t->volume);
	if (t->chunks != chunks)
		complain(t, "rolled back to %u pages the volume has %u", chunks, t->chunks);
	else if (!t->hard)
		note_mirror(t, t->host);
}

/* It may fail as anything else here: before it has changed anything, or for good. */
static void roll_back(struct tester *t)
{
	unsigned i = pick(t, SNAPSHOTS);
	const struct model_snapshot *s = &t->m.snapshots[i];
	struct model_op *op;
	char name[8];
	int err;

	wait_all(t);
	if (t->errand == ERRAND_SNAPSHOT)
		wait_for_operator(t);
	if (s->state != SNAP_THERE || t->m.chunks_maybe || !mark(t))
		return;
	snapshot_name(name, i);
	op = &t->m.ops[t->m.issued];
	op->back_to = s->op;
	t->m.rolling = t->m.issued;
	t->m.chunks_maybe = s->chunks;
	t->m.mirrored = false;
	err = lsvd_snapshot_rollback(t->volume, name, UINT32_MAX);
	if (err == -EBUSY || err == -ENOENT || err == LSVD_E_CORRUPT)
		complain(t, "rollback to %s: %s", name, lsvd_last_error());
	if (!err) {
		op->rolled = true;
		rolled_back(t, s->chunks);
	} else if (t->volume->rolling != ROLL_LOST) {
		t->m.rolling = t->m.chunks_maybe = 0;
	} else {
		t->broken = true;
		if (!t->hard)
			complain(t, "rollback to %s failed half-way: %s", name, lsvd_last_error());
	}
}

/*
 * Was it rolled back, if that had begun? What is found says so. Who sees only a part of it may not be able
 * to tell; then it does not matter to him, and the next one tells.
 */
static void settle_rollback(struct tester *t, uint32_t k)
{
	struct model_op *op = &t->m.ops[t->m.rolling];
	bool may_be, may_not;

	if (!t->m.rolling)
		return;
	if (k < t->m.rolling) {
		t->m.rolling = 0;
		return;
	}
	op->rolled = false;
	may_not = distance(t, k, false) == 0;
	op->rolled = true;
	may_be = distance(t, k, false) == 0;
	op->rolled = may_be;
	t->rollbacks_found += may_be && !may_not;
	if (!t->offline || may_be != may_not)
		t->m.rolling = 0;
}

/* A failure that is to come soon. */
static void arm_hardship(struct tester *t)
{
	t->m.unlucky = true;
	if (t->hard == HARD_MEMORY)
		sim_host_fail_alloc(t->host, 1 + below(t, 60), 1 + below(t, 8));
	else if (t->hard == HARD_DISK && below(t, 2))
		sim_host_fail_write(t->host, 1 + below(t, 20));
	else if (t->hard == HARD_DISK)
		sim_host_fail_sync(t->host, 1 + below(t, 6));
}

/* What a workload does beside its writes. */
enum deed { DEED_LOOK, DEED_SEAL, DEED_PAUSE, DEED_REOPEN, DEED_COLLECT, DEED_SNAPSHOT,
	    DEED_READ_SNAPSHOT, DEED_RESIZE, DEED_CLONE, DEED_READ_CLONE, DEED_VISIT,
	    DEED_DELETE_CLONE, DEED_DELETE_BASE, DEED_CHECKPOINT, DEED_ROLLBACK, DEED_WRITE };

/* By chance: one of these, of so many DEEDS of which the rest are writes. */
#define DEEDS 64u
static const uint8_t usual_deeds[] = {
	DEED_LOOK, DEED_SEAL, DEED_PAUSE, DEED_REOPEN, DEED_COLLECT, DEED_SNAPSHOT, DEED_SNAPSHOT,
	DEED_SNAPSHOT, DEED_READ_SNAPSHOT, DEED_RESIZE, DEED_CLONE, DEED_CLONE, DEED_CLONE,
	DEED_READ_CLONE, DEED_VISIT, DEED_VISIT, DEED_DELETE_CLONE, DEED_DELETE_BASE, DEED_CHECKPOINT,
	DEED_ROLLBACK,
};

static uint32_t some_deed(struct tester *t)
{
	uint32_t i = below(t, DEEDS);

	return i < sizeof usual_deeds ? usual_deeds[i] : DEED_WRITE;
}

/* All of it once, in an order in which each has to do with the one before. */
static const uint8_t script[] = {
	DEED_WRITE, DEED_WRITE, DEED_WRITE, DEED_SNAPSHOT, DEED_WRITE, DEED_WRITE, DEED_CLONE,
	DEED_WRITE, DEED_WRITE, DEED_VISIT, DEED_WRITE, DEED_WRITE, DEED_DELETE_BASE, DEED_WRITE,
	DEED_COLLECT, DEED_WRITE, DEED_WRITE, DEED_WRITE, DEED_CHECKPOINT, DEED_WRITE,
	DEED_SNAPSHOT /* is needed */, DEED_WRITE, DEED_CLONE, DEED_WRITE, DEED_WRITE, DEED_COLLECT,
	DEED_RESIZE, DEED_WRITE,
	DEED_DELETE_CLONE, DEED_WRITE, DEED_DELETE_BASE /* is needed */, DEED_WRITE, DEED_DELETE_CLONE,
	DEED_WRITE, DEED_ROLLBACK, DEED_WRITE, DEED_WRITE, DEED_SNAPSHOT /* goes */, DEED_WRITE, DEED_WRITE,
	DEED_COLLECT, DEED_WRITE, DEED_WRITE, DEED_LOOK, DEED_REOPEN, DEED_WRITE,
};

/* False: the volume is of no more use. */
static bool do_deed(struct tester *t, uint32_t what)
{
	switch (what) {
	case DEED_LOOK:
		check_now(t);
		return true;
	case DEED_SEAL:
		(void)lsvd_volume_seal(t->volume);
		return true;
	case DEED_PAUSE:
		sim_sleep(t->host, 50 + below(t, 1000));
		return true;
	case DEED_REOPEN:
		if (t->hard == HARD_RIVAL)
			break;
		close_volume(t);
		return !t->broken && open_volume(t, t->host, 0) && !t->broken;
	case DEED_COLLECT:
		send(t, ERRAND_COLLECT);
		return true;
	case DEED_SNAPSHOT:
		send(t, ERRAND_SNAPSHOT);
		return true;
	case DEED_READ_SNAPSHOT:
		if (!t->hard)
			check_snapshot_now(t);
		return true;
	case DEED_RESIZE:
		change_size(t);
		return true;
	case DEED_CLONE:
		send(t, ERRAND_CLONE);
		return true;
	case DEED_READ_CLONE:
		if (!t->hard)
			read_clone(t);
		return true;
	case DEED_VISIT:
		if (clones_bear_it(t))
			visit_clone(t);
		return true;
	case DEED_DELETE_CLONE:
		send(t, ERRAND_DELETE_CLONE);
		return true;
	case DEED_DELETE_BASE:
		send(t, ERRAND_DELETE_BASE);
		return true;
	case DEED_CHECKPOINT:
		send(t, ERRAND_CHECKPOINT);
		return true;
	case DEED_ROLLBACK:
		roll_back(t);
		return !t->broken;
	default:
		break;
	}
	submit_one(t);
	return true;
}

/* A phase: some operations on an open volume, with a reopening, a look and a pause now and then. */
static void work(struct tester *t)
{
	uint32_t stop = t->m.issued + t->ops_wanted, line = 0;
	bool goes_on = true;

	if (stop > OPS_MAX)
		stop = OPS_MAX;
	while (goes_on && t->m.issued < stop && !t->failed && !t->broken &&
	       !(t->scripted && line == sizeof script)) {
		if (t->hard && below(t, 10) == 0)
			arm_hardship(t);
		goes_on = do_deed(t, t->scripted ? script[line++] : some_deed(t));
	}
	wait_for_operator(t);
	wait_for_heirs(t);
	if (goes_on)
		check_now(t);
}

/* Before what is to be crashed. */
static void found_lower(void *arg)
{
	struct tester *t = arg;
	struct lsvd_volume_options o = options_of(t, 0);
	struct world *w = sim_host_world(t->host);
	struct lsvd_volume *v = NULL;
	uint8_t data[SECTOR_BYTES];
	int err = LSVD_E_UNAVAILABLE;

	o.segment_fn = NULL;
	for (unsigned i = 0; err == LSVD_E_UNAVAILABLE && i < 50; i++)
		err = lsvd_volume_create_world(w, "low", LOWER_SECTORS / CHUNK * CHUNK_SPAN, NULL,
					       NULL);
	err = LSVD_E_UNAVAILABLE;
	for (unsigned i = 0; err == LSVD_E_UNAVAILABLE && i < 50; i++)
		err = lsvd_volume_open_world(&v, w, "low", &o);
	for (uint32_t i = 0; i < LOWER_SECTORS && !err; i++) {
		fill_sector(data, LOWER_TAG, i);
		err = lsvd_volume_write(v, data, place_of(i), SECTOR_BYTES, 0);
	}
	if (!err)
		err = lsvd_snapshot_create(v, "s", UINT32_MAX, NULL);
	if (!err)
		err = lsvd_volume_close(v, UINT32_MAX);
	if (err)
		complain(t, "lower volume: %s: %s", lsvd_error_name(err), lsvd_last_error());
	t->finished = true;
}

static int create(struct tester *t)
{
	const struct lsvd_lower lower = { "low", "s", 0 };
	struct world *w = sim_host_world(t->host);

	return t->over ? lsvd_volume_create_over_world(w, t->name, BYTES, &lower, 1)
		       : lsvd_volume_create_world(w, t->name, BYTES, NULL, NULL);
}

static bool create_and_open(struct tester *t)
{
	int err = LSVD_E_UNAVAILABLE;
	unsigned tries = 0;

	for (; err == LSVD_E_UNAVAILABLE && tries < 50; tries++)
		err = create(t);
	if (err && !(err == -EEXIST && tries > 1)) /* an earlier try may have got through */
		complain(t, "create: %s: %s", lsvd_error_name(err), lsvd_last_error());
	return !t->failed && open_volume(t, t->host, 0);
}

/* What the crashes are tried in is one rollback. */
static void rolling_life(void *arg)
{
	struct tester *t = arg;
	uint64_t before = t->rollbacks;

	if (create_and_open(t)) {
		for (unsigned i = 0; i < 40; i++)
			if (i % 10 == 9)
				change_snapshot(t);
			else
				submit_one(t);
		wait_all(t);
		t->from = sim_boundaries(t->sim);
		for (unsigned i = 0; i < 20 && t->rollbacks == before && !t->failed; i++)
			roll_back(t);
		t->to = sim_boundaries(t->sim);
		check_now(t);
	}
	t->finished = true;
}

static void flatten_it(void *arg)
{
	struct tester *h = arg;

	while (!h->failed && flatten(h) == LSVD_E_UNAVAILABLE)
		sim_sleep(h->host, 1000);
	h->visited = false;
}

/* What the crashes are tried in is a clone that is made flat while it is written to. */
static void flattening_life(void *arg)
{
	struct tester *t = arg, *h = heir_of(t, CLONES - 1);
	static const enum deed deeds[] = { DEED_WRITE, DEED_SEAL, DEED_WRITE, DEED_WRITE, DEED_CHECKPOINT,
					   DEED_WRITE, DEED_WRITE, DEED_SNAPSHOT, DEED_WRITE, DEED_CLONE };

	t->scripted = true;
	if (create_and_open(t)) {
		for (unsigned i = 0; i < sizeof deeds / sizeof deeds[0] && !t->failed; i++)
			(void)do_deed(t, deeds[i]);
		wait_for_operator(t);
	}
	t->scripted = false;
	h = heir_of(t, CLONES - 1); /* by its name */
	if (!t->failed && t->m.clones[CLONES - 1].state == CLONE_THERE && open_volume(h, h->host, 0)) {
		submit_one(h);
		if (t->seed % 2)
			checkpoint(h);
		t->from = sim_boundaries(t->sim);
		h->visited = true;
		sim_spawn(h->host, flatten_it, h);
		for (unsigned i = 0; i < 3; i++)
			submit_one(h);
		while (h->visited)
			sim_sleep(h->host, 1);
		t->to = sim_boundaries(t->sim);
		check_now(h);
	}
	t->finished = true;
}

static void first_life(void *arg)
{
	struct tester *t = arg;

	if (create_and_open(t))
		work(t);
	if (!t->failed && t->volume && below(t, 2))
		close_volume(t);
	t->finished = true;
}

/* Before what is to be crashed: clones that chance would take long to come to. */
static void found_family(void *arg)
{
	struct tester *t = arg;
	static const enum deed deeds[] = { DEED_WRITE, DEED_WRITE, DEED_WRITE, DEED_WRITE,
					   DEED_SNAPSHOT, DEED_WRITE, DEED_WRITE, DEED_CLONE, DEED_VISIT };
	uint32_t ops = t->ops_wanted;

	t->ops_wanted = 0;
	first_life(t);
	t->finished = false;
	t->ops_wanted = ops;
	t->scripted = true;
	if (!t->failed && !t->volume)
		(void)open_volume(t, t->host, 0);
	for (unsigned i = 0; i < sizeof deeds / sizeof deeds[0] && !t->failed; i++)
		(void)do_deed(t, deeds[i]);
	t->scripted = false;
	wait_for_heirs(t);
	if (!t->failed)
		close_volume(t);
	t->finished = true;
}

static void later_life(void *arg)
{
	struct tester *t = arg;

	if (open_volume(t, t->host, 0))
		work(t);
	if (!t->failed && t->volume && below(t, 2))
		close_volume(t);
	t->finished = true;
}

/* ------------------------------------------------------------------------------------- recovering */

/* What was acknowledged on a state that is gone does not bind the next one. */
static void cut_history(struct tester *t, uint32_t k)
{
	t->recovered = k;
	t->m.issued = k;
	for (uint32_t i = 1; i <= k; i++)
		t->m.ops[i].acked = true;
	t->m.acked = k;
	t->m.flushed = t->m.flushed > k ? k : t->m.flushed;
	t->m.stored = t->m.stored > k ? k : t->m.stored;
}

/* Is there anything to find? A volume whose creation was not acknowledged need not be there. */
static bool exists(struct tester *t)
{
	char key[32];
	size_t len;

	(void)snprintf(key, sizeof key, "volumes/%s", t->name); /* fits */
	return sim_store_find(t->sim, key, &len) != NULL;
}

/* What was found must be one prefix, and long enough. */
static bool check_recovered(struct tester *t)
{
	uint32_t least = least_allowed(t), k = UINT32_MAX;
	struct lsvd_stats stats = LSVD_STATS_INIT;

	if (!read_image(t))
		return false;
	if (lsvd_volume_stats(t->volume, &stats) == 0)
		k = (uint32_t)stats.last_op + t->m.inherited;
	if (k < least || k > t->m.issued) {
		complain(t, "recovered up to operation %u, expected %u to %u", k, least, t->m.issued);
		return false;
	}
	settle_rollback(t, k);
	if (distance(t, k, false)) {
		explain(t, k);
		return false;
	}
	lsvd_vol_check_parts(t->volume);
	cut_history(t, k);
	return true;
}

/* ---- without the store */

/* Only data can be read, so that the volume can be compared; a PUT that comes now is a ghost's. */
static int only_data(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
		     const uint8_t *bytes, size_t len)
{
	(void)ctx, (void)h, (void)bytes, (void)len;
	return kind == IO_GET && (strstr(key, "/d/") || strstr(key, "/f/")) ? SIM_AS_USUAL : LSVD_E_UNAVAILABLE;
}

/* False: it is not open; that is right only as long as there never was a mirror. */
static bool open_offline(struct tester *t)
{
	struct lsvd_volume_options o = options_of(t, LSVD_OPEN_OFFLINE);
	int err;

	sim_store_watch(t->sim, only_data, NULL);
	err = lsvd_volume_open_world(&t->volume, sim_host_world(t->host), "v", &o);
	t->offline = err == 0;
	t->offline_opens += err == 0;
	if (!err) /* it may not know yet of another size */
		t->chunks = (uint32_t)min_u64(chunks_of(t->volume),
					      min_u64(t->m.chunks, t->m.chunks_maybe ? t->m.chunks_maybe
										     : CHUNKS));
	if (err)
		sim_store_watch(t->sim, NULL, NULL);
	if (err && (err != LSVD_E_UNAVAILABLE || (t->m.mirrored && !t->m.unlucky)))
		complain(t, "open offline: %s: %s", lsvd_error_name(err), lsvd_last_error());
	return err == 0;
}

static void close_offline(struct tester *t)
{
	int err;

	wait_all(t);
	err = lsvd_volume_close(t->volume, 0);
	t->volume = NULL;
	if (err != 0 && err != 1)
		complain(t, "close offline: %d", err);
	if (!t->remote && !t->unseen) /* else what is flushed has to be in the store */
		t->m.flushed = t->m.acked;
	t->offline = t->unseen = false;
	sim_store_watch(t->sim, NULL, NULL);
}

/* Opened offline, looked at, written to. */
static bool offline_life(struct tester *t, uint32_t ops)
{
	if (!open_offline(t))
		return false;
	t->unseen = !check_recovered(t);
	if (t->unseen)
		return true;
	for (uint32_t i = 0; i < ops && t->m.issued < OPS_MAX && !t->failed; i++)
		submit_one(t);
	wait_all(t);
	if (!t->failed && !t->remote && lsvd_volume_flush(t->volume) < 0)
		complain(t, "flush offline: %s", lsvd_last_error());
	if (!t->failed && !t->remote)
		t->m.flushed = t->m.acked;
	if (!t->failed)
		check_now(t);
	return true;
}

/* A visit between a crash and the next ordinary open. */
static void maybe_offline(struct tester *t)
{
	if (t->bound == BY_STORE || t->hard || t->m.rotten || below(t, 3))
		return; /* a mirror that was cut short by the crash need not have what is rotten */
	if (offline_life(t, 3) && !t->failed) {
		bool seen = !t->unseen;

		close_offline(t);
		t->bound = seen ? BY_ACK : t->bound;
	}
}

/* ---- rot in the local log */

static bool group_at(const uint8_t *log, uint64_t block, struct wal_group_head *h)
{
	const uint8_t *p = log + block * BLOCK_BYTES;
	uint64_t pos = le64_get(p + 8);

	return pos % LOG_BYTES == block * BLOCK_BYTES && lsvd_wal_group_peek(h, p, pos);
}

/* Where the newest group ends. What begins a ring before that may have been written over in part. */
static uint64_t newest_end(const uint8_t *log)
{
	struct wal_group_head h;
	uint64_t end = 0;

	for (unsigned i = 0; i < LOG_BYTES / BLOCK_BYTES; i++)
		if (group_at(log, i, &h))
			end = max_u64(end, h.pos + h.header_bytes + h.data_bytes);
	return end;
}

/*
 * Is there a group at the block whose operations the store has all? Its length, or 0. Not the newest
 * of them: a log that ends before the store does looks like an old copy, and is refused as one.
 */
static uint32_t stored_group(const struct tester *t, const uint8_t *log, uint64_t block)
{
	struct wal_group_head h;

	if (!group_at(log, block, &h) || !h.records || h.pos + LOG_BYTES < newest_end(log) ||
	    h.first_op + h.records - 1 >= t->m.stored)
		return 0;
	return h.header_bytes + h.data_bytes;
}

/* A byte is altered of something that the store has: nothing may be lost by that. */
static void maybe_rot(struct tester *t)
{
	static uint8_t log[LOG_BYTES];
	uint64_t block = below(t, LOG_BYTES / BLOCK_BYTES), off;
	uint32_t len = 0;

	if (t->bound == BY_STORE || t->hard || below(t, 3) ||
	    sim_file_read(t->host, "v.log", WAL_RING_START, log, sizeof log) < 0)
		return;
	for (unsigned i = 0; i < LOG_BYTES / BLOCK_BYTES && !len; i++) {
		block = (block + 1) % (LOG_BYTES / BLOCK_BYTES);
		len = stored_group(t, log, block);
	}
	if (!len)
		return;
	off = block * BLOCK_BYTES + min_u64(below(t, 2) * below(t, len) + below(t, 90), len - 1);
	log[off] ^= 0x40;
	if (sim_file_poke(t->host, "v.log", WAL_RING_START + off, log + off, 1) == 0) {
		t->m.rotten = true;
		t->rots++;
	}
}

#define FINDING_BYTES 300u

/* ---- what the store has is whole, also before anybody has opened it */
static void first_finding(void *ctx, const struct lsvd_check_finding *f)
{
	char *text = ctx;

	if (f->severity >= LSVD_CHECK_WARNING && !*text)
		(void)snprintf(text, FINDING_BYTES, "%s: %s", f->object, f->text);
}

/* Sometimes a late request of the host that died changes the store meanwhile: then it may be anything. */
static void check_store(struct tester *t, struct sim_host *host)
{
	struct lsvd_check_options o = LSVD_CHECK_OPTIONS_INIT;
	struct lsvd_check_report r = LSVD_CHECK_REPORT_INIT;
	char text[FINDING_BYTES] = "";
	int err;

	o.flags = LSVD_CHECK_DEEP;
	err = lsvd_volume_check_world(sim_host_world(host), t->name, &o, &r);
	if (!err && r.errors + r.warnings) {
		o.finding = first_finding;
		o.ctx = text;
		err = lsvd_volume_check_world(sim_host_world(host), t->name, &o, &r);
	}
	if (!err && *text)
		complain(t, "check: %s", text);
	t->checks += !err;
	if (err && err != -EBUSY && err != LSVD_E_UNAVAILABLE && err != -ENOMEM)
		complain(t, "check: %s: %s", lsvd_error_name(err), lsvd_last_error());
}

#define CHECK_EVERY 8u   /* states */

/* ---- clones, after a crash */

/* A clone that was being made is there, or not. What was lost is lost to clones, too. */
static void settle_clones(struct tester *t)
{
	for (unsigned i = 0; i < CLONES; i++) {
		t->heirs[i].bound = t->bound;
		t->heirs[i].hard = HARD_NOTHING;
		if (t->m.clones[i].state == CLONE_MAKING && exists(heir_of(t, i)))
			t->m.clones[i].state = CLONE_THERE;
	}
}

static void recover_clone(struct tester *h, struct sim_host *host)
{
	if (!open_volume(h, host, h->bound == BY_STORE ? LSVD_OPEN_ACCEPT_ROLLBACK : 0))
		return;
	if (!check_recovered(h))
		return;
	check_snapshots(h, host);
	for (unsigned i = 0; i < 2 && h->m.issued < OPS_MAX && !h->failed; i++)
		submit_one(h);
	check_now(h);
	if (!h->failed)
		close_volume(h);
}

static void recover_clones(struct tester *t, struct sim_host *host, bool check)
{
	for (unsigned i = 0; i < CLONES && !t->failed; i++) {
		struct tester *h = heir_of(t, i);

		if (t->m.clones[i].state != CLONE_THERE)
			continue;
		if (check)
			check_store(h, host);
		if (!t->failed && below(t, 2))
			recover_clone(h, host);
	}
}

static void recover(void *arg)
{
	struct tester *t = arg;
	struct sim_host *host = t->bound == BY_STORE ? t->other : t->host;
	bool check = t->states % CHECK_EVERY == 0;

	t->finished = true;
	if (!exists(t)) {
		if (t->m.issued)
			complain(t, "the volume is gone");
		return;
	}
	t->finished = false;
	settle_clones(t);
	if (check)
		check_store(t, host);
	if (t->failed)
		return;
	maybe_offline(t);
	if (t->failed)
		return;
	maybe_rot(t);
	if (!open_volume(t, host, t->bound == BY_STORE ? LSVD_OPEN_ACCEPT_ROLLBACK : 0))
		return;
	if (!check_recovered(t))
		return;
	check_snapshots(t, host);
	if (!t->failed)
		recover_clones(t, host, check);
	t->finished = !t->failed;
}

/* After recovery: more of the workload, on top of the prefix that was found. */
static void next_life(void *arg)
{
	struct tester *t = arg;

	if (exists(t) && !t->m.rotten && below(t, 3) == 0 && offline_life(t, 1 + below(t, 12))) {
		if (!t->failed && below(t, 2))
			close_offline(t);
		t->finished = true;
		return;
	}
	if (t->failed)
		return;
	recover(t);
	if (t->failed || !t->volume)
		return;
	t->finished = false;
	work(t);
	if (!t->failed && below(t, 2))
		close_volume(t);
	t->finished = true;
}

/* 0, also if an earlier try had got that far, or -EBUSY. */
static int delete_patiently(struct tester *t, struct sim_host *host)
{
	int err = LSVD_E_UNAVAILABLE;

	for (unsigned i = 0; i < 50 && err == LSVD_E_UNAVAILABLE; i++) {
		err = lsvd_volume_delete_world(sim_host_world(host), t->name);
		if (i && err == -ENOENT)
			err = 0;
	}
	if (err && err != -EBUSY)
		complain(t, "deletion of the base: %s: %s", lsvd_error_name(err), lsvd_last_error());
	return err;
}

/* It goes on where it was, and then the base goes. */
static void finish_flattening(struct tester *h, struct sim_host *host)
{
	int err = LSVD_E_UNAVAILABLE;

	for (unsigned i = 0; i < 50 && err == LSVD_E_UNAVAILABLE && !h->failed; i++)
		err = flatten(h);
	check_now(h);
	if (err)
		complain(h, "flatten after a crash: %s", lsvd_last_error());
	if (!h->failed && delete_patiently(h->base, host) == -EBUSY)
		complain(h, "the base of a flat clone: %s", lsvd_last_error());
}

/* The base goes at once, if nothing keeps it: then the clone has no use for it. */
static void leave_base_behind(struct tester *t, struct sim_host *host)
{
	struct tester *h = heir_of(t, CLONES - 1);
	int err;

	close_volume(t);
	err = t->failed ? 0 : delete_patiently(t, host);
	t->bases_left += !err;
	if (t->failed || !open_volume(h, host, h->bound == BY_STORE ? LSVD_OPEN_ACCEPT_ROLLBACK : 0) ||
	    !check_recovered(h))
		return;
	if (err)
		finish_flattening(h, host);
	for (unsigned i = 0; i < 2 && !h->failed; i++)
		submit_one(h);
	check_now(h);
	if (!h->failed)
		close_volume(h);
	if (!h->failed && t->states % CHECK_EVERY == 0)
		check_store(h, host);
}

static void recover_and_leave(struct tester *t)
{
	struct sim_host *host = t->bound == BY_STORE ? t->other : t->host;

	t->finished = false;
	settle_clones(t);
	if (open_volume(t, host, t->bound == BY_STORE ? LSVD_OPEN_ACCEPT_ROLLBACK : 0) &&
	    check_recovered(t))
		leave_base_behind(t, host);
	t->finished = !t->failed;
}

/* A round trip, so that a state that reads well but cannot go on is found too. */
static void recover_and_write(void *arg)
{
	struct tester *t = arg;

	if (t->first == flattening_life) {
		recover_and_leave(t);
		return;
	}
	recover(t);
	if (t->failed || !t->volume)
		return;
	t->finished = false;
	for (unsigned i = 0; i < 3 && t->m.issued < OPS_MAX; i++)
		submit_one(t);
	wait_all(t);
	if (lsvd_volume_flush(t->volume) < 0)
		complain(t, "flush after recovery: %s", lsvd_last_error());
	check_now(t);
	t->finished = true;
}

static void begin_phase(struct tester *t)
{
	t->volume = NULL;
	t->finished = t->offline = t->unseen = t->visited = false;
	t->errand = ERRAND_NONE;
	memset(t->slots, 0, sizeof t->slots);
}

/* A clone is worked on as its base is, from the same host. */
static void begin_phases(struct tester *t)
{
	begin_phase(t);
	for (unsigned i = 0; i < CLONES; i++) {
		struct tester *h = &t->heirs[i];

		begin_phase(h);
		h->base = t;
		h->sim = t->sim;
		h->host = t->host;
		h->other = t->other;
		h->remote = t->remote;
		h->seed = t->seed;
		h->collects = t->collects;
		h->compression = t->compression;
		h->tight = t->tight;
		h->failed = false;
		h->hard = HARD_NOTHING;
	}
}

static void run_phase(struct tester *t, void (*life)(void *), struct sim_host *host)
{
	begin_phases(t);
	sim_store_watch(t->sim, NULL, NULL);
	sim_spawn(host, life, t);
}

static void halt_all(struct tester *t)
{
	sim_host_halt(t->host);
	sim_host_halt(t->other);
}

static const struct sim_options usual_rates = {
	.fail_before = 10, .fail_after = 10, .fail_late = 5, .slow = 5, .inline_files = 300,
	.ghosts = 20,
};

static bool phase_over(void *ctx)
{
	struct tester *t = ctx;

	return t->finished || t->failed;
}

/*
 * One state: restored, settled by the loss, recovered. Deep states go on with another life that is
 * crashed in its turn.
 */
static void try_state(struct tester *t, const struct memory *before, const struct sim_image *image,
		      const struct sim_loss *loss, bool lost_cache)
{
	struct sim_host *host = lost_cache ? t->other : t->host;

	sim_image_restore(t->sim, image);
	sim_host_settle(t->host, loss);
	sim_host_settle(t->other, loss);
	recall(t, before);
	t->bound = lost_cache ? BY_STORE : loss->keep == SIM_KILLED ? BY_ACK : BY_FLUSH;
	run_phase(t, recover_and_write, host);
	(void)sim_run_until(t->sim, phase_over, t);
	t->states++;
	if (!t->failed && !t->finished)
		complain(t, "recovery hangs");
	halt_all(t);
}

static void settle_both(struct tester *t, const struct sim_loss *loss)
{
	sim_host_settle(t->host, loss);
	sim_host_settle(t->other, loss);
}

/*
 * The run stands at a crash point, machines off: every loss is tried from here, then one of them is
 * taken for the next life. False when a check failed.
 */
static bool try_point(struct tester *t, struct sim_loss *taken)
{
	struct sim_loss losses[LOSSES_MAX];
	struct sim_image *image = sim_image_take(t->sim);
	struct memory before;
	unsigned n = sim_losses(t->host, losses, LOSSES_MAX - 2);
	static const struct sim_loss killed = { .keep = SIM_KILLED };

	remember(&before, t);
	losses[n++] = killed;
	t->points++;
	for (unsigned i = 0; i < n && !t->failed; i++) {
		try_state(t, &before, image, &losses[i], false);
		if (t->failed)
			(void)fprintf(stderr, "loss: keep %d which %u tear %d objects %d\n",
				      losses[i].keep, losses[i].which, losses[i].tear,
				      losses[i].objects);
	}
	if (!t->failed)
		try_state(t, &before, image, &losses[below(t, n)], true);
	*taken = losses[below(t, n)];
	if (!t->failed) {
		sim_image_restore(t->sim, image);
		recall(t, &before);
	}
	sim_image_free(image);
	return !t->failed;
}

/* Power loss may have taken what is not promised for good. */
static void lower_bounds(struct tester *t)
{
	t->m.acked = least_allowed(t);
	for (unsigned i = 0; i < CLONES; i++) {
		t->heirs[i].bound = t->bound;
		t->heirs[i].m.acked = least_allowed(&t->heirs[i]);
	}
}

static struct tester heirs[CLONES], rival_heirs[CLONES];
static struct tester tester = { .name = "v", .heirs = heirs };

/* Runs the first life to boundary `at` (0: to its end), then the losses, then lives on top. */
static void run_case(struct tester *t, uint64_t seed, uint64_t at, unsigned depth)
{
	struct sim_options o = usual_rates;
	struct sim_loss taken;

	o.seed = seed;
	new_model(t);
	t->sim = sim_new(&o);
	t->host = sim_host_new(t->sim, "a");
	t->other = sim_host_new(t->sim, "b");
	t->remote = seed % 4 == 3;
	t->seed = seed;
	t->collects = seed % 8 != 5;
	t->compression = 1 + seed % 3;
	t->tight = seed / 3 % 3;
	t->ops_wanted = 60;
	t->failed = false;
	if (t->over) {
		run_phase(t, found_lower, t->host);
		(void)sim_run_until(t->sim, phase_over, t);
	}
	if (!t->failed && depth && seed % 2) {
		run_phase(t, found_family, t->host);
		(void)sim_run_until(t->sim, phase_over, t);
	}
	if (!t->failed)
		run_phase(t, t->first ? t->first : depth && seed % 2 ? later_life : first_life,
			  t->host);
	sim_stop_at(t->sim, at ? sim_boundaries(t->sim) + at : 0);
	(void)sim_run_until(t->sim, phase_over, t);
	sim_stop_at(t->sim, 0);
	for (unsigned d = 0; !t->failed && at; d++) {
		halt_all(t);
		if (!try_point(t, &taken) || d == depth)
			break;
		t->bound = taken.keep == SIM_KILLED ? BY_ACK : BY_FLUSH;
		lower_bounds(t);
		settle_both(t, &taken);
		t->ops_wanted = 25;
		t->deep++;
		run_phase(t, next_life, t->host);
		sim_stop_at(t->sim, sim_boundaries(t->sim) + 1 + below(t, 500));
		(void)sim_run_until(t->sim, phase_over, t);
		sim_stop_at(t->sim, 0);
	}
	if (!t->failed && !at && !t->finished)
		complain(t, "the workload hangs");
}

/* Under a sanitizer everything takes many times as long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define USUAL_RUNS 20
#define ROLLBACK_SEEDS 1
#define FLATTEN_SEEDS 1
#define SCRIPT_STRIDE 10
#else
#define USUAL_RUNS 200
#define ROLLBACK_SEEDS 3
#define FLATTEN_SEEDS 2
#define SCRIPT_STRIDE 2
#endif

static uint64_t env_u64(const char *name, uint64_t usual)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : usual;
}

static void expect_well(struct tester *t, uint64_t seed, uint64_t at)
{
	ck_assert_msg(!t->failed, "seed %" PRIu64 ", boundary %" PRIu64 ": %s "
		      "(issued %u, acknowledged %u, flushed %u, stored %u)", seed, at, t->why,
		      t->m.issued, t->m.acked, t->m.flushed, t->m.stored);
}

static void trace(void *ctx, enum lsvd_log_level level, const char *text)
{
	(void)ctx;
	(void)fprintf(stderr, "[%d] %s\n", (int)level, text);
}

/* LSVD_SIM_TRACE=1 shows what the library says; for looking at one seed. */
static void maybe_trace(void)
{
	if (env_u64("LSVD_SIM_TRACE", 0))
		lsvd_set_log(trace, NULL, LSVD_LOG_DEBUG);
}

/* ------------------------------------------------------------------------------------------- tests */

START_TEST(a_workload_without_a_crash_reads_what_it_wrote)
{
	struct tester *t = &tester;

	for (uint64_t seed = 1; seed <= 40; seed++) {
		run_case(t, seed, 0, 0);
		expect_well(t, seed, 0);
		halt_all(t);
		sim_free(t->sim);
	}
}
END_TEST

START_TEST(the_same_seed_gives_the_same_digest)
{
	struct tester *t = &tester;
	uint64_t digest[2];

	for (unsigned i = 0; i < 2; i++) {
		t->states = 0; /* by it, some are checked */
		run_case(t, 5, 400, 1);
		expect_well(t, 5, 400);
		digest[i] = sim_digest(t->sim);
		sim_free(t->sim);
	}
	ck_assert_uint_eq(digest[0], digest[1]);
}
END_TEST

static uint64_t boundaries_of(struct tester *t, uint64_t seed)
{
	uint64_t n;

	run_case(t, seed, 0, 0);
	expect_well(t, seed, 0);
	n = sim_boundaries(t->sim);
	halt_all(t);
	sim_free(t->sim);
	return n;
}

static void reset_counts(struct tester *t)
{
	t->states = t->points = t->deep = t->offline_opens = t->rots = t->checks = 0;
	t->snapshots_read = t->sizes = t->clones_read = t->clones_written = t->clones_deleted = 0;
	t->clones_of_clones = t->bases_refused = t->rollbacks = t->rollbacks_found = 0;
	t->flattened = t->bases_left = 0;
}

/*
 * All that the operator can do is in it, in an order in which each has to do with the one before. So many
 * requests are passed over each time: LSVD_SIM_STRIDE=1 leaves none out.
 */
START_TEST(a_crash_anywhere_in_one_workload_leaves_a_prefix)
{
	struct tester *t = &tester;
	uint64_t seed = env_u64("LSVD_SIM_SEED", 1), stride = env_u64("LSVD_SIM_STRIDE", SCRIPT_STRIDE), n;

	maybe_trace();
	t->scripted = true;
	reset_counts(t);
	n = boundaries_of(t, seed);
	ck_assert_uint_gt(t->clones_written, 0);
	ck_assert_uint_gt(t->clones_deleted, 0);
	ck_assert_uint_gt(t->bases_refused, 0);
	ck_assert_uint_gt(t->sizes, 0);
	ck_assert_uint_gt(t->rollbacks, 0);
	for (uint64_t at = env_u64("LSVD_SIM_AT", 1); at <= n; at += stride) {
		run_case(t, seed, at, 0);
		expect_well(t, seed, at);
		halt_all(t);
		sim_free(t->sim);
	}
	t->scripted = false;
	printf("%" PRIu64 " crash points, %" PRIu64 " states\n", t->points, t->states);
}
END_TEST

START_TEST(a_crash_at_every_request_of_a_rollback_leaves_what_was_or_what_is_then)
{
	struct tester *t = &tester;
	uint64_t first = env_u64("LSVD_SIM_SEED", 1), to;

	t->first = rolling_life;
	reset_counts(t);
	for (uint64_t seed = first; seed < first + ROLLBACK_SEEDS; seed++) {
		(void)boundaries_of(t, seed);
		to = t->to;
		for (uint64_t at = t->from + 1; at <= to; at++) {
			run_case(t, seed, at, 0);
			expect_well(t, seed, at);
			halt_all(t);
			sim_free(t->sim);
		}
	}
	t->first = NULL;
	printf("%" PRIu64 " crash points, %" PRIu64 " states, %" PRIu64 " of them rolled back\n",
	       t->points, t->states, t->rollbacks_found);
	ck_assert_uint_gt(t->rollbacks_found, 0);
}
END_TEST

START_TEST(a_crash_at_every_request_of_a_flattening_leaves_what_the_clone_needs)
{
	struct tester *t = &tester;
	uint64_t first = env_u64("LSVD_SIM_SEED", 1), to;

	maybe_trace();
	t->first = flattening_life;
	reset_counts(t);
	for (uint64_t seed = first; seed < first + FLATTEN_SEEDS; seed++) {
		(void)boundaries_of(t, seed);
		to = t->to;
		for (uint64_t at = env_u64("LSVD_SIM_AT", t->from + 1); at <= to; at++) {
			run_case(t, seed, at, 0);
			expect_well(t, seed, at);
			halt_all(t);
			sim_free(t->sim);
		}
	}
	t->first = NULL;
	printf("%" PRIu64 " crash points, %" PRIu64 " states, in %" PRIu64 " of them the base was left\n",
	       t->points, t->states, t->bases_left);
	ck_assert_uint_gt(t->bases_left, 0);
	ck_assert_uint_gt(t->states, t->bases_left);
	ck_assert_uint_gt(t->flattened, 0);
}
END_TEST

/*
 * That the workloads do all they can do. A few of them need not: which ones do what changes with
 * every request more or less that the library makes.
 */
static void expect_variety(const struct tester *t, uint64_t runs)
{
	if (runs < 200)
		return;
	ck_assert_uint_gt(t->snapshots_read, 0);
	ck_assert_uint_gt(t->sizes, 0);
	ck_assert_uint_gt(t->clones_read, 0);
	ck_assert_uint_gt(t->clones_written, 0);
	ck_assert_uint_gt(t->offline_opens, 0);
	ck_assert_uint_gt(t->checks, 0);
	ck_assert_uint_gt(t->rots, 0);
}

/* The same numbers always: what CI tries is what was tried before. LSVD_SIM_RUNS for more. */
START_TEST(crashes_of_crashes_of_random_workloads_leave_a_prefix)
{
	struct tester *t = &tester;
	uint64_t first = env_u64("LSVD_TEST_SEED", 1000), runs = env_u64("LSVD_SIM_RUNS", USUAL_RUNS);

	maybe_trace();
	reset_counts(t);
	for (uint64_t seed = first; seed < first + runs; seed++) {
		uint64_t at = 1 + lsvd_hash_bind(seed, 1, 2, 3) % 1500;

		run_case(t, seed, at, DEPTH_MAX);
		expect_well(t, seed, at);
		halt_all(t);
		sim_free(t->sim);
	}
	printf("%" PRIu64 " runs, %" PRIu64 " crash points, %" PRIu64 " of them after a recovery, "
	       "%" PRIu64 " states, %" PRIu64 " opened offline, %" PRIu64 " with rot, %" PRIu64
	       " snapshots read; clones: %" PRIu64 " read, %" PRIu64 " written, %" PRIu64 " deleted, %" PRIu64
	       " of clones, %" PRIu64 " of a base that stayed; %" PRIu64 " rollbacks, %" PRIu64
	       " found after a crash\n", runs, t->points, t->deep, t->states,
	       t->offline_opens, t->rots, t->snapshots_read, t->clones_read, t->clones_written,
	       t->clones_deleted, t->clones_of_clones, t->bases_refused, t->rollbacks,
	       t->rollbacks_found);
	expect_variety(t, runs);
}
END_TEST

/* ------------------------------------------------------------------------------------ hardships */

/* The store goes away and comes back, now and then for longer than the log has room. */
static void weather(void *arg)
{
	struct tester *t = arg;

	while (!t->finished && !t->failed) {
		sim_sleep(t->other, below(t, 3000));
		sim_store_away(t->sim, true);
		sim_sleep(t->other, below(t, 4) ? below(t, 500) : below(t, 100000));
		sim_store_away(t->sim, false);
	}
}

/* A failed log, a fenced writer: reads go on, and show what was acknowledged or was in flight. */
static void check_broken(struct tester *t)
{
	struct lsvd_stats stats = LSVD_STATS_INIT;

	bool whole;

	wait_all(t);
	whole = read_image(t);
	if (t->failed)
		return;
	if (lsvd_volume_stats(t->volume, &stats) < 0 || stats.last_op < t->m.acked ||
	    stats.last_op > t->m.issued)
		complain(t, "after a failure the volume shows operation %" PRIu64, stats.last_op);
	else if (whole && distance(t, (uint32_t)stats.last_op, false))
		explain(t, (uint32_t)stats.last_op);
	if (!t->failed && lsvd_volume_flush(t->volume) != final_error(t))
		complain(t, "a flush after a failure was acknowledged");
	if (!t->failed && lsvd_volume_close(t->volume, 0) != final_error(t))
		complain(t, "a close after a failure says that nothing is wrong");
	t->volume = NULL;
}

static void hard_life(void *arg)
{
	struct tester *t = arg;
	enum hardship hard = t->hard;

	t->hard = HARD_NOTHING;
	first_life(t);
	t->finished = false;
	if (!t->failed && t->volume)
		close_volume(t);
	t->hard = hard;
	if (hard != HARD_OUTAGE)
		t->m.mirrored = false; /* it may be given up, until the next open */
	if (hard == HARD_OUTAGE)
		sim_spawn(t->other, weather, t);
	if (!t->failed && open_volume(t, t->host, 0) && !t->broken)
		work(t);
	sim_host_fail_alloc(t->host, 0, 0);
	sim_host_fail_write(t->host, 0);
	sim_host_fail_sync(t->host, 0);
	if (t->volume && lsvd_volume_status(t->volume, NULL, 0) == LSVD_E_FAILED)
		t->broken = true; /* nobody may have noticed yet */
	if (t->broken && t->volume && !t->failed)
		check_broken(t);
	t->hard = HARD_NOTHING;
	if (!t->failed && t->volume)
		close_volume(t);
	t->bound = BY_FLUSH;
	t->broken = false;
	if (!t->failed)
		recover_and_write(t);
	t->finished = true;
}

/* ---- two writers */

static struct tester rival = { .name = "v", .heirs = rival_heirs };

/* The first writer is stopped in its tracks now and then, while it lasts. */
static void freezer(void *arg)
{
	struct tester *t = arg;
	while (!t->finished && !t->failed) {
		sim_sleep(t->other, below(t, 2000));
		sim_host_freeze(t->host, true);
		sim_sleep(t->other, below(t, 20000));
		sim_host_freeze(t->host, false);
	}
}

static void first_writer(void *arg)
{
	struct tester *t = arg;

	t->hard = HARD_RIVAL;
	while (!t->failed && !t->broken && t->m.issued + 50 < OPS_MAX) {
		work(t);
		if (t->remote && !t->broken)
			sim_sleep(t->host, below(t, 5000));
	}
	if (!t->failed && lsvd_volume_status(t->volume, NULL, 0) == LSVD_E_FENCED)
		t->broken = true;
	if (!t->failed && t->broken)
		check_broken(t);
	else if (!t->failed)
		close_volume(t);
	t->finished = true;
}

/* The second takes the volume over, and goes on from what it finds. */
static void second_writer(void *arg)
{
	struct tester *t = arg, *first = &tester;
	struct lsvd_stats stats = LSVD_STATS_INIT;
	static struct memory known;

	sim_sleep(t->host, below(t, 10000));
	t->m.chunks = 0; /* not known */
	if (!open_volume(t, t->host, LSVD_OPEN_ACCEPT_ROLLBACK))
		return;
	if (lsvd_volume_stats(t->volume, &stats) < 0)
		complain(t, "no statistics");
	remember(&known, first);
	recall(t, &known);
	check_size(t);
	t->m.tags = 1u << 20;
	cut_history(t, (uint32_t)stats.last_op);
	t->m.flushed = t->m.stored = t->m.issued;
	if (!read_image(t))
		return;
	settle_rollback(t, t->m.issued);
	if (distance(t, t->m.issued, false))
		explain(t, t->m.issued);
	t->ops_wanted = 40;
	if (!t->failed)
		work(t);
	if (!t->failed)
		close_volume(t);
	t->finished = true;
}

/*
 * The first one's cache comes back: it is refused, or shows what the second one made. What either has
 * deleted is needed by nothing, be it the volume, a snapshot or a clone.
 */
static void come_back(void *arg)
{
	struct tester *t = arg;
	struct lsvd_volume_options o;
	int err = LSVD_E_UNAVAILABLE;

	check_store(t, t->other);
	for (unsigned i = 0; i < CLONES && !t->failed; i++)
		if (t->m.clones[i].state == CLONE_THERE)
			check_store(heir_of(t, i), t->other);
	t->remote = tester.remote;
	o = options_of(t, 0);
	for (unsigned i = 0; err == LSVD_E_UNAVAILABLE && i < 50; i++)
		err = lsvd_volume_open_world(&t->volume, sim_host_world(t->other), "v", &o);
	if (!err)
		check_now(t);
	else if (err != LSVD_E_FOREIGN_CACHE)
		complain(t, "the old cache: %s: %s", lsvd_error_name(err), lsvd_last_error());
	t->finished = true;
}

static bool both_over(void *ctx)
{
	(void)ctx;
	return (tester.finished && rival.finished) || tester.failed || rival.failed;
}

static bool rival_over(void *ctx)
{
	(void)ctx;
	return rival.finished || rival.failed;
}

static void check_duel(struct tester *t, uint32_t taken_at)
{
	if (t->m.stored > taken_at)
		complain(t, "operation %u was stored, the second writer begins after %u",
			 t->m.stored, taken_at);
	if (t->remote && t->m.flushed > taken_at)
		complain(t, "operation %u was flushed to the store, the second writer begins "
			 "after %u", t->m.flushed, taken_at);
}

static void run_duel(uint64_t seed)
{
	struct tester *t = &tester;
	struct sim_options o = usual_rates;

	o.seed = seed;
	new_model(t);
	t->sim = rival.sim = sim_new(&o);
	t->host = rival.other = sim_host_new(t->sim, "a");
	t->other = rival.host = sim_host_new(t->sim, "b");
	t->remote = rival.remote = seed % 2;
	t->seed = rival.seed = seed;
	t->collects = rival.collects = true;
	t->compression = rival.compression = LSVD_COMPRESS_LZ4;
	t->broken = t->failed = rival.failed = rival.finished = false;
	t->hard = rival.hard = HARD_NOTHING;
	t->in_duel = rival.in_duel = true;
	cloned_in_duel = false;
	t->ops_wanted = 20;
	t->volume = NULL;
	run_phase(t, first_life, t->host);
	(void)sim_run_until(t->sim, phase_over, t);
	if (!t->failed && !t->volume) {
		halt_all(t);
		sim_free(t->sim);
		t->in_duel = cloned_in_duel = false;
		return; /* closed: there is nobody to be fenced */
	}
	t->finished = false;
	begin_phases(&rival);
	sim_spawn(t->host, first_writer, t);
	sim_spawn(t->other, freezer, t);
	sim_spawn(rival.host, second_writer, &rival);
	if (sim_run_until(t->sim, both_over, t) != SIM_MORE)
		complain(t, "the writers hang");
	expect_well(&rival, seed, 0);
	check_duel(t, rival.recovered);
	t->points += t->broken;
	expect_well(t, seed, 0);
	rival.finished = false;
	sim_spawn(t->host, come_back, &rival);
	if (sim_run_until(t->sim, rival_over, t) != SIM_MORE)
		complain(&rival, "coming back hangs");
	expect_well(&rival, seed, 0);
	halt_all(t);
	sim_free(t->sim);
	t->hard = HARD_NOTHING;
	t->in_duel = cloned_in_duel = false;
}

START_TEST(a_second_writer_loses_nothing_that_the_first_was_promised)
{
	uint64_t first = env_u64("LSVD_TEST_SEED", 1000), runs = env_u64("LSVD_SIM_RUNS", USUAL_RUNS);

	maybe_trace();
	tester.points = 0;
	for (uint64_t seed = first; seed < first + runs; seed++)
		run_duel(seed);
	printf("%" PRIu64 " duels, %" PRIu64 " of them fenced a writer\n", runs, tester.points);
	ck_assert_uint_gt(tester.points, 0);
}
END_TEST

/* ---- one deletes what another makes a clone of */

/* What is known of it; -1: not yet, or never. */
static struct {
	int cloned, deleted;
	bool of_snapshot;        /* that is what is deleted, else the volume */
} quarrel;

static void prepare_quarrel(void *arg)
{
	struct tester *t = arg;

	t->ops_wanted = 6;
	first_life(t);
	t->finished = false;
	if (!t->failed && !t->volume)
		(void)open_volume(t, t->host, 0);
	t->scripted = true; /* the snapshot that clones are made of */
	for (unsigned i = 0; i < 20 && !t->failed && t->m.snapshots[SNAPSHOTS - 1].state != SNAP_THERE; i++)
		change_snapshot(t);
	t->scripted = false;
	if (!t->failed && !quarrel.of_snapshot)
		close_volume(t);
	t->finished = true;
}

static void quarrel_delete(void *arg)
{
	struct tester *t = arg;
	char name[8];

	sim_sleep(t->host, below(t, 120));
	snapshot_name(name, SNAPSHOTS - 1);
	quarrel.deleted = quarrel.of_snapshot
				  ? lsvd_snapshot_delete(t->volume, name, UINT32_MAX)
				  : lsvd_volume_delete_world(sim_host_world(t->host), t->name);
}

static void quarrel_clone(void *arg)
{
	struct tester *t = arg;
	char name[8];

	sim_sleep(t->other, below(t, 30));
	snapshot_name(name, SNAPSHOTS - 1);
	quarrel.cloned = lsvd_volume_clone_world(sim_host_world(t->other), t->name, name,
						 t->heirs[0].name);
}

static bool quarrel_over(void *ctx)
{
	struct tester *t = ctx;

	return t->failed || (quarrel.cloned <= 0 && quarrel.deleted <= 0);
}

/* The record of a clone that was not made may be there, come late: then it leads to the clone, or nowhere. */
static void check_quarrel(void *arg)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct tester *t = arg, *h = &t->heirs[0];
	struct lsvd_volume *v = NULL;

	o.flags = LSVD_OPEN_READONLY;
	/* Whoever died in the middle of the deletion, the next one finds the clone's entry. */
	if (quarrel.cloned == 0 && lsvd_volume_delete_world(sim_host_world(t->other), t->name) == 0)
		complain(t, "what a clone stands on was deleted by the next one");
	if (quarrel.cloned == 0 ||
	    lsvd_volume_open_world(&v, sim_host_world(t->other), h->name, &o) == 0)
		check_past(h, t->other, NULL, h->m.issued);
	if (v)
		(void)lsvd_volume_close(v, 0); /* a reader has nothing to lose */
	t->finished = true;
}

static void run_quarrel(struct tester *t, uint64_t seed, uint64_t *cloned, uint64_t *deleted)
{
	static const struct sim_loss killed = { .keep = SIM_KILLED };
	struct sim_options o = usual_rates;

	o.seed = seed;
	o.fail_late = 30;
	new_model(t);
	t->sim = sim_new(&o);
	t->host = sim_host_new(t->sim, "a");
	t->other = sim_host_new(t->sim, "b");
	t->remote = false;
	t->compression = LSVD_COMPRESS_LZ4;
	t->failed = false;
	quarrel.of_snapshot = seed % 2;
	quarrel.cloned = quarrel.deleted = 1;
	run_phase(t, prepare_quarrel, t->host);
	(void)sim_run_until(t->sim, phase_over, t);
	t->m.clones[0].generation = 900; /* a name that the life before has not given */
	(void)heir_of(t, 0);
	inherit(&t->heirs[0], t, t->m.snapshots[SNAPSHOTS - 1].op);
	sim_spawn(t->host, quarrel_delete, t);
	sim_spawn(t->other, quarrel_clone, t);
	sim_stop_at(t->sim, seed % 3 ? sim_boundaries(t->sim) + 1 + below(t, 200) : 0);
	(void)sim_run_until(t->sim, quarrel_over, t);
	sim_stop_at(t->sim, 0);
	halt_all(t);
	settle_both(t, &killed);
	if (below(t, 2))
		sim_ghosts_land(t->sim);
	if (!t->failed && quarrel.cloned == 0 && quarrel.deleted == 0)
		complain(t, "it is deleted, and there is a clone of it");
	if (!t->failed && quarrel.cloned == 0 && !exists(&t->heirs[0]))
		complain(t, "the clone is gone");
	*cloned += quarrel.cloned == 0;
	*deleted += quarrel.deleted == 0;
	run_phase(t, check_quarrel, t->other);
	if (!t->failed && sim_run_until(t->sim, phase_over, t) != SIM_MORE)
		complain(t, "the clone cannot be opened");
	expect_well(t, seed, 0);
	halt_all(t);
	sim_free(t->sim);
}

START_TEST(what_is_deleted_while_it_is_cloned_goes_or_has_a_clone)
{
	uint64_t first = env_u64("LSVD_TEST_SEED", 1000), cloned = 0, deleted = 0;
	uint64_t runs = 25 * env_u64("LSVD_SIM_RUNS", USUAL_RUNS); /* each is short */

	maybe_trace();
	for (uint64_t seed = first; seed < first + runs; seed++)
		run_quarrel(&tester, seed, &cloned, &deleted);
	printf("%" PRIu64 " quarrels: %" PRIu64 " clones made, %" PRIu64 " deletions\n", runs, cloned,
	       deleted);
	ck_assert_uint_gt(cloned, 0);
	ck_assert_uint_gt(deleted, 0);
}
END_TEST

static void run_hard(struct tester *t, uint64_t seed, enum hardship hard)
{
	struct sim_options o = usual_rates;

	o.seed = seed;
	o.inline_files = seed % 5 == 0 ? 1000 : o.inline_files;
	new_model(t);
	t->sim = sim_new(&o);
	t->host = sim_host_new(t->sim, "a");
	t->other = sim_host_new(t->sim, "b");
	t->remote = seed % 4 == 3;
	t->seed = seed;
	t->collects = seed % 8 != 5;
	t->compression = 1 + seed % 3;
	t->tight = seed / 3 % 3;
	t->hard = hard;
	t->broken = t->failed = false;
	t->ops_wanted = 60;
	run_phase(t, hard_life, t->host);
	if (sim_run_until(t->sim, phase_over, t) != SIM_MORE)
		complain(t, "the workload hangs");
	expect_well(t, seed, 0);
	halt_all(t);
	sim_free(t->sim);
	t->hard = HARD_NOTHING;
}

static void run_hardships(enum hardship hard)
{
	uint64_t first = env_u64("LSVD_TEST_SEED", 1000), runs = env_u64("LSVD_SIM_RUNS", USUAL_RUNS);

	maybe_trace();
	for (uint64_t seed = first; seed < first + runs; seed++)
		run_hard(&tester, seed, hard);
}

START_TEST(allocations_that_fail_lose_nothing_and_hang_nothing)
{
	run_hardships(HARD_MEMORY);
}
END_TEST

START_TEST(a_local_disk_that_fails_ends_writing_and_keeps_what_was_flushed)
{
	run_hardships(HARD_DISK);
}
END_TEST

START_TEST(outages_are_waited_out_also_when_the_log_is_full)
{
	run_hardships(HARD_OUTAGE);
}
END_TEST

/* Claims cannot be asked for; everything else is as usual. */
static int refuse_looks(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
			const uint8_t *bytes, size_t len)
{
	(void)h, (void)key, (void)bytes, (void)len;
	if (kind != IO_HEAD)
		return SIM_AS_USUAL;
	++*(unsigned *)ctx;
	return LSVD_E_UNAVAILABLE;
}

static void count_looks(struct tester *t, unsigned *looks)
{
	sim_store_watch(t->sim, refuse_looks, looks);
	if (t->remote)
		submit_this(t, true); /* chance may want none */
	for (unsigned i = 0; i < 600 && !t->failed; i++) {
		if (t->m.issued < OPS_MAX && !(t->remote && i + 1 >= IN_FLIGHT))
			submit_one(t); /* what flushes must not wait for a place: none ends */
		sim_sleep(t->host, 100);
	}
	sim_store_watch(t->sim, NULL, NULL);
}

static void looking_life(void *arg)
{
	struct tester *t = arg;
	unsigned looks = 0;

	t->ops_wanted = 10;
	first_life(t);
	t->finished = false;
	if (!t->failed && !t->volume)
		(void)open_volume(t, t->host, 0);
	if (!t->failed)
		count_looks(t, &looks);
	if (!t->failed)
		close_volume(t);
	if (looks > 60)
		complain(t, "%u looks in a minute", looks);
	if (!looks)
		complain(t, "no looks at all");
	t->finished = true;
}

/* One life without chance. */
static void run_plain(void (*life)(void *), bool remote)
{
	struct tester *t = &tester;

	new_model(t);
	t->sim = sim_new(&(struct sim_options){ .seed = 1 });
	t->host = sim_host_new(t->sim, "a");
	t->other = sim_host_new(t->sim, "b");
	t->remote = remote;
	t->collects = false; /* its deletions look, too */
	t->compression = LSVD_COMPRESS_LZ4;
	t->failed = false;
	run_phase(t, life, t->host);
	if (sim_run_until(t->sim, phase_over, t) != SIM_MORE)
		complain(t, "the workload hangs");
	expect_well(t, 1, 0);
	halt_all(t);
	sim_free(t->sim);
}

START_TEST(a_flush_that_cannot_look_for_a_claim_asks_ever_more_rarely)
{
	run_plain(looking_life, true);
}
END_TEST

START_TEST(a_writer_that_cannot_look_for_a_claim_asks_no_more_often)
{
	run_plain(looking_life, false);
}
END_TEST

#define STALL_MS 10000u

/* Away; back for half a second, nine seconds later; and away again for less than a stall may take. */
static void two_outages(void *arg)
{
	struct tester *t = arg;

	sim_store_away(t->sim, true);
	sim_sleep(t->other, 9000);
	sim_store_away(t->sim, false);
	lsvd_port_enter(&t->volume->port); /* a pause may be longer than the store is back */
	lsvd_log_retry(t->volume->log);
	lsvd_port_leave(&t->volume->port, false);
	sim_sleep(t->other, 500);
	sim_store_away(t->sim, true);
	sim_sleep(t->other, 4000);
	sim_store_away(t->sim, false);
}

/* Writes for so long, ten a second; the first error. */
static int write_for(struct tester *t, uint64_t ms)
{
	uint64_t until = sim_now_ms(t->sim) + ms;
	static uint8_t data[16384];
	int err = 0;

	while (!err && sim_now_ms(t->sim) < until) {
		sim_sleep(t->host, 10);
		err = lsvd_volume_write(t->volume, data, place_of(0), sizeof data, 0);
	}
	return err;
}

static void stalling_life(void *arg)
{
	struct tester *t = arg;
	struct lsvd_volume_options o = options_of(t, 0);
	uint64_t began;

	o.stall_timeout_ms = STALL_MS;
	if (lsvd_volume_create_world(sim_host_world(t->host), "v", BYTES, NULL, NULL) < 0 ||
	    lsvd_volume_open_world(&t->volume, sim_host_world(t->host), "v", &o) < 0)
		complain(t, "open: %s", lsvd_last_error());
	if (t->failed)
		return;
	sim_spawn(t->other, two_outages, t);
	if (write_for(t, 20000))
		complain(t, "a write failed in a stall of less than its time: %s", lsvd_last_error());
	sim_store_away(t->sim, true);
	if (write_for(t, 20000) != -EIO)
		complain(t, "no write gave up");
	began = sim_now_ms(t->sim);
	if (write_for(t, 20000) != -EIO || sim_now_ms(t->sim) < began + STALL_MS)
		complain(t, "the next write did not wait as long: %" PRIu64 " ms",
			 sim_now_ms(t->sim) - began);
	sim_store_away(t->sim, false);
	if (!t->failed && lsvd_volume_close(t->volume, UINT32_MAX) != 0)
		complain(t, "close: %s", lsvd_last_error());
	t->finished = true;
}

START_TEST(each_stall_has_its_own_time)
{
	run_plain(stalling_life, false);
}
END_TEST

/* After so many GETs that are answered nothing is, of any kind. */
struct silence {
	unsigned answered, gets;
};

static int fall_silent(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
		       const uint8_t *bytes, size_t len)
{
	struct silence *s = ctx;

	(void)h, (void)key, (void)bytes, (void)len;
	s->gets += kind == IO_GET;
	return s->gets <= s->answered ? SIM_AS_USUAL : LSVD_E_UNAVAILABLE;
}

static void write_twice(struct tester *t)
{
	static uint8_t data[SECTOR_BYTES];
	int err = lsvd_volume_gc_control(t->volume, LSVD_GC_PAUSE);

	for (unsigned turn = 0; turn < 2; turn++)
		for (uint32_t i = 0; i < SECTORS && !err; i += 1 + turn) {
			fill_sector(data, turn, i);
			err = lsvd_volume_write(t->volume, data, place_of(i), sizeof data, 0);
		}
	if (!err)
		err = lsvd_volume_sync(t->volume, UINT32_MAX);
	if (err)
		complain(t, "%s", lsvd_last_error());
}

static struct lsvd_gc_status collection_of(struct tester *t)
{
	struct lsvd_gc_status s = { .size = sizeof s };

	if (lsvd_volume_gc_status(t->volume, &s) < 0)
		complain(t, "%s", lsvd_last_error());
	return s;
}

/* Half of what is stored is dead when the store falls silent. */
static void collect_in_silence(struct tester *t, unsigned answered)
{
	struct silence silence = { .answered = answered };
	struct lsvd_gc_status before, after;

	write_twice(t);
	before = collection_of(t);
	sim_store_watch(t->sim, fall_silent, &silence);
	if (lsvd_volume_gc_control(t->volume, LSVD_GC_RESUME) < 0)
		complain(t, "%s", lsvd_last_error());
	sim_sleep(t->host, 90000);
	after = collection_of(t);
	sim_store_watch(t->sim, NULL, NULL);
	if (after.failed_rounds < before.failed_rounds + 2)
		complain(t, "it is not tried again");
	if (silence.gets > answered + 130)
		complain(t, "%u GETs in 90 s without an answer", silence.gets - answered);
	sim_sleep(t->host, 60000);
	before = after;
	after = collection_of(t);
	if (after.rounds - after.failed_rounds <= before.rounds - before.failed_rounds)
		complain(t, "no round succeeds when the store is back");
}

static void collecting_life(void *arg)
{
	struct tester *t = arg;

	t->collects = true;
	if (create_and_open(t))
		for (unsigned answered = 0; answered <= 12 && !t->failed; answered += 6)
			collect_in_silence(t, answered);
	if (!t->failed)
		close_volume(t);
	t->finished = true;
}

START_TEST(garbage_collection_asks_ever_more_rarely_while_the_store_is_away)
{
	run_plain(collecting_life, false);
}
END_TEST

START_TEST(crashes_of_a_volume_over_a_lower_one_leave_a_prefix_over_what_that_shows)
{
	struct tester *t = &tester;
	uint64_t first = env_u64("LSVD_TEST_SEED", 5000);
	uint64_t runs = env_u64("LSVD_SIM_RUNS", USUAL_RUNS) / 5;

	maybe_trace();
	reset_counts(t);
	t->over = true;
	for (uint64_t seed = first; seed < first + runs; seed++) {
		uint64_t at = 1 + lsvd_hash_bind(seed, 1, 2, 3) % 1500;

		run_case(t, seed, at, DEPTH_MAX);
		expect_well(t, seed, at);
		halt_all(t);
		sim_free(t->sim);
	}
	t->over = false;
	printf("%" PRIu64 " runs over a lower volume, %" PRIu64 " crash points, %" PRIu64 " states, "
	       "%" PRIu64 " snapshots and %" PRIu64 " clones read, %" PRIu64 " made flat, %" PRIu64
	       " rollbacks\n", runs, t->points, t->states, t->snapshots_read, t->clones_read,
	       t->flattened, t->rollbacks);
	ck_assert_uint_gt(t->states, 0);
}
END_TEST

static void add(Suite *s, const char *name, const TTest *test)
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, 1500);
	tcase_add_test(c, test);
	suite_add_tcase(s, c);
}

static Suite *suite(void)
{
	Suite *s = suite_create("sim_volume");

	add(s, "workload", a_workload_without_a_crash_reads_what_it_wrote);
	add(s, "digest", the_same_seed_gives_the_same_digest);
	add(s, "script", a_crash_anywhere_in_one_workload_leaves_a_prefix);
	add(s, "rollback", a_crash_at_every_request_of_a_rollback_leaves_what_was_or_what_is_then);
	add(s, "flatten", a_crash_at_every_request_of_a_flattening_leaves_what_the_clone_needs);
	add(s, "memory", allocations_that_fail_lose_nothing_and_hang_nothing);
	add(s, "disk", a_local_disk_that_fails_ends_writing_and_keeps_what_was_flushed);
	add(s, "outage", outages_are_waited_out_also_when_the_log_is_full);
	add(s, "rival", a_second_writer_loses_nothing_that_the_first_was_promised);
	add(s, "quarrel", what_is_deleted_while_it_is_cloned_goes_or_has_a_clone);
	add(s, "look", a_flush_that_cannot_look_for_a_claim_asks_ever_more_rarely);
	add(s, "stall", each_stall_has_its_own_time);
	add(s, "lease", a_writer_that_cannot_look_for_a_claim_asks_no_more_often);
	add(s, "silence", garbage_collection_asks_ever_more_rarely_while_the_store_is_away);
	add(s, "lower", crashes_of_a_volume_over_a_lower_one_leave_a_prefix_over_what_that_shows);
	add(s, "random", crashes_of_crashes_of_random_workloads_leave_a_prefix);
	return s;
}

T_MAIN(suite)
