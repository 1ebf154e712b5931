/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_world.h - a world in memory: machines with files, one object store, a clock, one seed.
 *
 * The simulator binds the tables of lib/io/tables.h, so that the very code that is shipped runs in
 * it, on one thread, and everything that happens is decided by one seeded generator. A request that
 * is started goes into a pool; a step takes one out and lets it happen. Any order can come about
 * that a real machine, a real network or a second machine could bring about, and the same seed
 * brings about the same order again: sim_digest() is a hash of all that happened.
 *
 * Hosts. A host is a machine: files of its own, memory of its own (what runs on it allocates
 * there), a world of its own to be handed to lsvd_…_open(). All hosts see one store. What a program
 * on a host does is done by fibers (sim_spawn): blocking calls of the library switch to the
 * scheduler and come back. A fiber may also be left out: what is called from main() blocks by
 * running steps.
 *
 *	struct sim *s = sim_new(&(struct sim_options){ .seed = seed });
 *	struct sim_host *h = sim_host_new(s, "a");
 *	sim_spawn(h, workload, &w);
 *	sim_stop_at(s, 117);                       the 117th boundary: see below
 *	if (sim_run(s) == SIM_STOPPED) {
 *		sim_host_halt(h);                  the machine is off: fibers and memory are gone
 *		struct sim_image *image = sim_image_take(s);
 *		n = sim_losses(h, losses, 64);     what the disk may have kept
 *		for (i = 0; i < n; i++) {
 *			sim_image_restore(s, image);
 *			sim_host_settle(h, &losses[i]);
 *			sim_spawn(h, recover_and_check, &w);
 *			sim_run(s);
 *		}
 *	}
 *
 * Boundaries. Every start and every end of a request (file or object), and every file opened or
 * made, counts one. A run stops after the step in which the number given is reached.
 *
 * Files. A write lands in the file as its readers see it when it completes. A sync that ends makes
 * stable all writes that had completed before the sync was started, and nothing else. When the
 * machine loses power each write that is not stable, ended or not, is there, or not, or in part.
 * A killed process loses nothing that had completed. Names of files are durable at once.
 *
 * Objects. A request has its effect in one step and its answer in a later one, so others see the
 * effect before the answer is there, and a GET may answer what is no longer true. A PUT or REMOVE
 * in flight when the machine halts lands, or does not, or lands at any later time: the last kind is
 * called a ghost. Requests may also be made to fail before or after their effect. An object is
 * there whole or not at all, unless a test wants otherwise (SIM_HALF).
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/tables.h"

struct sim;
struct sim_host;

/* Rates are of 1000. */
struct sim_options {
	uint64_t seed;
	unsigned fail_before;    /* store requests that fail without effect */
	unsigned fail_after;     /* PUTs and REMOVEs that have their effect, then fail */
	unsigned fail_late;      /* PUTs and REMOVEs that fail and become ghosts */
	unsigned slow;           /* store requests that take up to a minute */
	unsigned latency_ms;     /* how long each of the others takes; not a rate */
	unsigned inline_files;   /* file reads and writes that end inside their start */
	unsigned ghosts;         /* steps in which a ghost lands, if there is one */
};

struct sim *sim_new(const struct sim_options *options);
void sim_free(struct sim *s);
void sim_set_rates(struct sim *s, const struct sim_options *options); /* all but the seed */

uint64_t sim_digest(const struct sim *s);
uint64_t sim_now_ms(const struct sim *s);
uint64_t sim_random(struct sim *s);
uint64_t sim_random_below(struct sim *s, uint64_t n);   /* [0, n) */

/* ------------------------------------------------------------------------------------ hosts */

struct sim_host *sim_host_new(struct sim *s, const char *name);
struct world *sim_host_world(struct sim_host *h);
const char *sim_host_name(const struct sim_host *h);

/* A frozen host stands still: nothing of it happens until it is thawed. Its requests may land. */
void sim_host_freeze(struct sim_host *h, bool frozen);

/* Starts fn(arg) on the host. `arg` must outlive it or be allocated on the host. */
void sim_spawn(struct sim_host *h, void (*fn)(void *arg), void *arg);

/* In a fiber: lets others run. In main(): runs one step. */
void sim_yield(struct sim_host *h);
/* In a fiber: comes back when the clock shows `ms` more. */
void sim_sleep(struct sim_host *h, uint64_t ms);

/* main() calls the library as a program on `h` would; NULL: as nobody. Returns the host before. */
struct sim_host *sim_act_as(struct sim_host *h);

/* Bytes and blocks of memory that the host has. */
size_t sim_host_memory(const struct sim_host *h, size_t *ret_blocks);
/* The n-th allocation on the host from now on fails, and `times` - 1 after it. 0: none does. */
void sim_host_fail_alloc(struct sim_host *h, uint64_t n, uint64_t times);
/* The n-th file write (sync) on the host from now on fails with -EIO. 0: none does. */
void sim_host_fail_write(struct sim_host *h, uint64_t n);
void sim_host_fail_sync(struct sim_host *h, uint64_t n);

/* ------------------------------------------------------------------------------------ running */

enum sim_result {
	SIM_MORE,      /* something happened */
	SIM_IDLE,      /* nothing is left to happen, ghosts and frozen hosts apart */
	SIM_STOPPED,   /* the boundary was reached; cleared by sim_stop_at() */
};

/* If nothing is pending but timers and slow requests, the clock goes on to the first of them. */
enum sim_result sim_step(struct sim *s);
enum sim_result sim_run(struct sim *s);
/* Until done(ctx), asked after each step: SIM_MORE then. */
enum sim_result sim_run_until(struct sim *s, bool (*done)(void *ctx), void *ctx);
enum sim_result sim_run_steps(struct sim *s, uint64_t steps);

uint64_t sim_boundaries(const struct sim *s);
void sim_stop_at(struct sim *s, uint64_t boundary);   /* 0: never */

/* ------------------------------------------------------------------------------------ crashing */

/*
 * The machine is off, or its process is gone: fibers, requests, open files and memory are dropped.
 * What was not stable in its files, and its requests to the store, are undecided until settled.
 */
void sim_host_halt(struct sim_host *h);
bool sim_host_undecided(const struct sim_host *h);

enum sim_keep {
	SIM_KILLED,        /* a killed process: all completed writes stay, of the others some */
	SIM_KEEP_NONE,     /* power lost: of what was not stable, … */
	SIM_KEEP_ALL,
	SIM_KEEP_ALL_BUT,  /* all but write number `which` */
	SIM_KEEP_ONLY,     /* only write number `which` */
	SIM_KEEP_PREFIX,   /* the first `which` writes */
	SIM_KEEP_RANDOM,   /* each or not, by `seed` */
};

enum sim_tear {
	SIM_TEAR_NONE,
	SIM_TEAR_PREFIX,   /* only the first sectors of the write are there */
	SIM_TEAR_SUFFIX,
	SIM_TEAR_SECTORS,  /* some of its sectors */
	SIM_TEAR_GARBAGE,  /* all, but one sector is neither old nor new */
	SIM_TEAR_ZEROED,   /* its range reads as zeroes */
};

enum sim_objects {
	SIM_OBJECTS_RANDOM,/* each PUT and REMOVE in flight lands, or not, or becomes a ghost */
	SIM_OBJECTS_LOST,
	SIM_OBJECTS_LANDED,
	SIM_OBJECTS_GHOSTS,
};

struct sim_loss {
	enum sim_keep keep;
	unsigned which;
	enum sim_tear tear;      /* of one write, chosen by seed */
	enum sim_objects objects;
	uint64_t seed;           /* 0: the simulation's own generator */
};

void sim_host_settle(struct sim_host *h, const struct sim_loss *loss);
/* Halts it (if it runs) and settles it. */
void sim_host_crash(struct sim_host *h, enum sim_keep keep);

/* Writes of a halted host that are not stable. */
unsigned sim_host_unstable(const struct sim_host *h);
/*
 * Everything worth trying with what is undecided: nothing and all, each missing, each alone, each
 * prefix, some random choices, each kind of tear; at most `cap`. Returns how many.
 */
unsigned sim_losses(struct sim_host *h, struct sim_loss *ret, unsigned cap);

/* All hosts must be halted or unused. The image stays good until it is freed. */
struct sim_image *sim_image_take(struct sim *s);
void sim_image_restore(struct sim *s, const struct sim_image *image);
void sim_image_free(struct sim_image *image);

/* ------------------------------------------------------------------------- the store, directly */

/* NULL if there is no such object; the bytes stay until it is changed or removed. */
const uint8_t *sim_store_find(const struct sim *s, const char *key, size_t *ret_len);
void sim_store_put(struct sim *s, const char *key, const void *bytes, size_t len);
void sim_store_remove(struct sim *s, const char *key);
size_t sim_store_count(const struct sim *s);
const char *sim_store_key(const struct sim *s, size_t i); /* in order */
/* While true every request fails with LSVD_E_UNAVAILABLE. */
void sim_store_away(struct sim *s, bool away);
void sim_store_caps(struct sim *s, uint32_t caps);
/* Lets one ghost land, or all. False if there is none. */
bool sim_ghost_land(struct sim *s);
void sim_ghosts_land(struct sim *s);

/*
 * Called in place of each request's effect; returns the result, or SIM_AS_USUAL. For planting
 * faults and for watching: `h` is who sent it.
 */
#define SIM_AS_USUAL 1
#define SIM_DAMAGED 2 /* of a GET: as usual, but one bit of what is answered is wrong */
#define SIM_HALF 3    /* of a PUT: half of it is seen, until its effect comes; asked again then */
typedef int (*sim_store_fn)(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
			    const uint8_t *bytes, size_t len);
void sim_store_watch(struct sim *s, sim_store_fn fn, void *ctx);

/* -------------------------------------------------------------------------- the files, directly */

/* -ENOENT. Of a halted, settled or running host: what a reader would see. */
int sim_file_read(struct sim_host *h, const char *name, uint64_t off, void *buf, size_t len);
/* Changes the disk itself. -ENOENT. */
int sim_file_poke(struct sim_host *h, const char *name, uint64_t off, const void *buf, size_t len);
int sim_file_bytes(struct sim_host *h, const char *name, uint64_t *ret);
void sim_file_remove(struct sim_host *h, const char *name);
/* The files of `from`, as they would be seen after a restart, become those of `to` as well. */
void sim_files_copy(struct sim_host *to, struct sim_host *from);

/* ------------------------------------------------------------------------------------ counts */

struct sim_stats {
	uint64_t steps, switches;
	uint64_t puts, gets, heads, lists, removes;   /* effects */
	uint64_t refused;                              /* PUTs of a name that was taken */
	uint64_t failed_before, failed_after, failed_late, slow, away;
	uint64_t ghosts;                               /* landed */
	uint64_t reads, writes, syncs, jobs, timers;
	uint64_t halts, kept, lost, torn;              /* writes kept, lost, torn when settled */
};
void sim_stats(const struct sim *s, struct sim_stats *ret);

#endif
