/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tester.h - who tries a whole volume in the simulator: what he knows, what he does, how he judges.
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
 * Then it must be possible to write, flush and read again, and some states go on: more operations
 * on top of the recovered prefix, and another crash.
 *
 * Clones are volumes with a model each, which begins as the history of what they were made of. They
 * are written to by fibers of their own while the base goes on, cloned, made flat and deleted; so
 * does an operator, one thing at a time, what is not writing: snapshots, clones, collection,
 * checkpoints. All of that is crashed, and afterwards read and compared.
 *
 * In some runs the volume lies over a snapshot of another, half as large: what was never written
 * is what that shows, and what was trimmed is not, whatever happens in between.
 *
 * Every sector written carries a tag of its operation and its address, and the rest is made
 * from them: torn, stale, misplaced and foreign data all show.
 *
 *   tester_model.c   what is known of the history, and what a volume has to show by it
 *   tester_io.c      writes, flushes, opening, closing, reading back
 *   tester_past.c    other sizes, snapshots, rollbacks
 *   tester_clones.c  clones: made, written to, made flat, deleted
 *   tester_work.c    workloads of all that, and the lives that consist of them
 *   tester_judge.c   what a crash has left: opened, compared, worked on
 *   tester_case.c    one run: a life, a crash, each loss, the next life
 */
#ifndef TESTER_H
#define TESTER_H

#include "sim_world.h"

#include <errno.h>

#include <lsvd/gc.h>
#include <lsvd/snapshot.h>

#include "t_check.h"

#include "base/bytes.h"
#include "base/hash.h"
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

enum model_kind { MODEL_WRITE, MODEL_ZERO };

struct model_op {
	enum model_kind kind;
	uint32_t lba, sectors;
	uint32_t tag;            /* what its sectors carry; never used twice, also after a crash */
	bool acked;
	bool rolled;             /* after it the volume became what it was after
				  * operation back_to */
	uint32_t back_to;
};

/* A snapshot that was asked for, or asked to go: MAYBE until somebody has looked. */
struct model_snapshot {
	enum { SNAP_NONE, SNAP_MAYBE, SNAP_THERE } state;
	uint32_t op;             /* THERE: it is the volume after this one, … */
	uint32_t chunks;         /* … and of this size */
};

/*
 * A clone of the last snapshot of a volume: of the first, or of another clone. MAKING: nobody
 * knows; it is there if its record is. LOST: its deletion did not end, so it is not looked at any
 * more.
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
	uint32_t inherited;      /* of a clone: so many are its base's,
				  * and its own first is 1 to it */
	uint32_t tags;
	uint32_t acked;          /* newest acknowledged: all before it are too, in order */
	uint32_t flushed;        /* F */
	uint32_t stored;         /* R */
	bool rotten;             /* the log has been damaged */
	bool mirrored;           /* a mirror was complete:
				  * from then on it can be opened offline, … */
	struct model_snapshot snapshots[SNAPSHOTS];
	struct model_clone clones[CLONES]; /* the volume's only */
	bool cloned;             /* the last snapshot may have clones, or entries of some
				  * that never were */
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
	void (*judge)(void *arg); /* of a crash; NULL: recover_and_write() */
	uint64_t from, to;       /* boundaries of what it is about */
	/* of the phase that runs now */
	enum { BY_FLUSH, BY_ACK, BY_STORE } bound;
	uint32_t recovered;      /* k */
	bool flags_needed;
	bool in_duel;
	uint64_t states, points, deep, offline_opens, rots, checks, snapshots_read,
		sizes, clones_read;
	uint64_t clones_written, clones_deleted, clones_of_clones, bases_refused, flattened;
	uint64_t bases_left;     /* found so after a crash in the middle */
	uint64_t rollbacks, rollbacks_found; /* done; found done after a crash in the middle */
};

/* All that is known, of the volume and of its clones. */
struct memory {
	struct model m, heirs[CLONES];
};

/* What a workload does beside its writes. */
/* What a workload does beside its writes. */
enum deed { DEED_LOOK, DEED_SEAL, DEED_PAUSE, DEED_REOPEN, DEED_COLLECT, DEED_SNAPSHOT,
	    DEED_READ_SNAPSHOT, DEED_RESIZE, DEED_CLONE, DEED_READ_CLONE, DEED_VISIT,
	    DEED_DELETE_CLONE, DEED_DELETE_BASE, DEED_CHECKPOINT, DEED_ROLLBACK, DEED_FLATTEN,
	    DEED_WRITE };

/* Under a sanitizer everything takes many times as long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define USUAL_RUNS 20
#else
#define USUAL_RUNS 200
#endif

#define CHECK_EVERY 8u   /* states */

extern struct tester tester;
extern const struct sim_options usual_rates;
/* Of two writers each may find that the other has made a clone, fenced or not. */
extern bool cloned_in_duel;

/* ---- tester_model.c */
void fill_sector(uint8_t *to, uint32_t tag, uint32_t lba);
uint64_t place_of(uint32_t i);
void new_model(struct tester *t);
void remember(struct memory *to, const struct tester *t);
void recall(struct tester *t, const struct memory *from);
LSVD_PRINTF(2, 3) void complain(struct tester *t, const char *format, ...);
uint32_t distance(const struct tester *t, uint32_t k, bool tell);
void explain(struct tester *t, uint32_t k);
uint32_t least_allowed(const struct tester *t);
void cut_history(struct tester *t, uint32_t k);
void lower_bounds(struct tester *t);

/* ---- tester_io.c */
void withdraw(struct tester *t, uint32_t op);
int final_error(const struct tester *t);
struct lsvd_volume_options options_of(struct tester *t, unsigned flags);
void wait_all(struct tester *t);
uint32_t below(struct tester *t, uint32_t n);
unsigned pick(struct tester *t, unsigned n);
void submit_this(struct tester *t, bool flush);
void submit_one(struct tester *t);
uint32_t chunks_of(const struct lsvd_volume *v);
bool read_from(struct tester *t, struct lsvd_volume *volume);
bool read_image(struct tester *t);
void note_mirror(struct tester *t, struct sim_host *host);
void check_size(struct tester *t);
bool open_volume(struct tester *t, struct sim_host *host, unsigned flags);
void wait_for_operator(struct tester *t);
void close_volume(struct tester *t);
void check_now(struct tester *t);

/* ---- tester_past.c */
void change_size(struct tester *t);
void snapshot_name(char name[8], unsigned i);
unsigned number_of(const struct tester *t);
bool has_clones(const struct tester *t);
void change_snapshot(struct tester *t);
void check_past(struct tester *t, struct sim_host *host, const char *snapshot, uint32_t op);
void check_snapshots(struct tester *t, struct sim_host *host);
void check_snapshot_now(struct tester *t);
void roll_back(struct tester *t);
void settle_rollback(struct tester *t, uint32_t k);

/* ---- tester_clones.c */
struct tester *heir_of(struct tester *t, unsigned i);
void inherit(struct tester *h, const struct tester *from, uint32_t op);
void make_clone(struct tester *t);
void delete_clone(struct tester *t);
void try_to_delete_base(struct tester *t);
void wait_for_heirs(struct tester *t);
int flatten(struct tester *h);
void visit_clone(struct tester *t);
void flatten_clone_of_clone(struct tester *t);
void read_clone(struct tester *t);
/* Of the volume: 0, also if an earlier try had got that far, or -EBUSY. */
int delete_patiently(struct tester *t, struct sim_host *host);

/* ---- tester_work.c */
void collect(struct tester *t);
void checkpoint(struct tester *t);
bool do_deed(struct tester *t, uint32_t what);
void work(struct tester *t);
bool create_and_open(struct tester *t);
void first_life(void *arg);
void found_family(void *arg);
void later_life(void *arg);

/* ---- tester_judge.c */
bool exists(struct tester *t);
bool check_recovered(struct tester *t);
void check_store(struct tester *t, struct sim_host *host);
void settle_clones(struct tester *t);
void next_life(void *arg);
void recover_and_write(void *arg);
void check_broken(struct tester *t);

/* ---- tester_case.c */
void begin_phases(struct tester *t);
void run_phase(struct tester *t, void (*life)(void *), struct sim_host *host);
void halt_all(struct tester *t);
bool phase_over(void *ctx);
void settle_both(struct tester *t, const struct sim_loss *loss);
void run_case(struct tester *t, uint64_t seed, uint64_t at, unsigned depth);
uint64_t env_u64(const char *name, uint64_t usual);
void expect_well(struct tester *t, uint64_t seed, uint64_t at);
void maybe_trace(void);
uint64_t boundaries_of(struct tester *t, uint64_t seed);
void reset_counts(struct tester *t);
void run_plain(void (*life)(void *), bool remote);
/* One test as a case of its own: CK_RUN_CASE chooses it. */
void add_case(Suite *s, const char *name, const TTest *test);

#endif
