/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_check.h - is what the store has of a volume whole? (include/lsvd/check.h)
 *
 *   check.c         the call: stages in order, options, what is found
 *   check_store.c   the listing; requests, several at once
 *   check_chain.c   claims, bases, fences: the path of the history, and its end
 *   check_replay.c  the path object by object, and what comes after the root into the map
 *   check_map.c     tables, pages and map against each other and against the listing
 *   check_data.c    every byte of what lives
 *   check_cache.c   the local log and the mirror
 *
 * A check is a procedure on a volume that is not open: a struct lsvd_volume is made for its map,
 * its tables and the functions that fill them; it has a local log to look at, and is never logged
 * to. Unlike an open it does not stop at the first thing that is wrong: it names it, and goes on
 * with what is left. What it cannot know any more then (`partial`: the map is not all of it) it
 * does not judge.
 *
 * A function here returns 0 whatever it finds; negative is what ends the check: the store, no
 * memory, the caller.
 */
#ifndef VOLUME_VOL_CHECK_H
#define VOLUME_VOL_CHECK_H

#include <lsvd/check.h>

#include "volume/checkpoint.h"
#include "volume/volume_internal.h"

#define CHECK_AT_ONCE 32u
#define CHECK_RANGES 8u      /* named of one finding */

/* An object that was listed. */
struct check_object {
	uint64_t epoch, number, bytes;
	uint8_t ancestor;        /* of a clone: whose it is; 0: its own */
	uint8_t kind;            /* enum key_kind */
	bool used;               /* something leads to it */
};

/* Objects 1 … last of an epoch's chain. */
struct check_leg {
	uint64_t epoch, last;
};

struct check {
	struct lsvd_volume *v;
	struct lsvd_check_options opt;
	struct lsvd_check_report report;
	uint64_t anchor_every;
	struct check_object *objects; /* by ancestor, kind, epoch, number */
	size_t count, room;
	unsigned listing;        /* the ancestor that is being listed */
	int list_err;
	uint64_t newest_claim;
	struct check_leg *legs;  /* from the end backwards */
	unsigned leg_count, leg_room;
	bool open_end;           /* nothing is behind the last object: it may grow */
	struct root_ref root;    /* that the last object names; epoch 0: none does */
	struct place root_at;    /* where it stands; epoch 0: there is none, or it is not known */
	bool root_lost;          /* there should be one */
	bool checkpoint_bad;     /* it, or a part of it, is not whole */
	bool table_bad;          /* its nodes of objects are not */
	struct rebuild *rebuild; /* told of the table; NULL: nobody */
	bool partial;            /* the map is not all of it */
	bool unrepairable;       /* something else than the checkpoint is wrong */
	struct wal_found log;    /* what the cache's log has, if log_open */
	bool log_open;
};

/* ---- check.c */
struct check_fault {
	enum lsvd_check_severity severity;
	enum lsvd_check_kind kind;
	const char *object;
	uint64_t off, len;
	const struct lsvd_check_range *ranges;
	unsigned range_count;
	uint64_t affected;
	const char *advice;      /* NULL: none */
	bool checkpoint;         /* it can be made anew from the rest */
};
LSVD_PRINTF(3, 4) void lsvd_check_found(struct check *c, const struct check_fault *f,
					const char *format, ...);
/* The same with the text of the last failure. */
void lsvd_check_found_last(struct check *c, const struct check_fault *f);
/* What kind of fault an error is. */
enum lsvd_check_kind lsvd_check_kind_of(int err);
/* 0 or -ECANCELED. */
int lsvd_check_progress(struct check *c, enum lsvd_check_stage stage, uint64_t done,
			uint64_t total);
/* For the simulator. */
int lsvd_volume_check_world(struct world *world, const char *name,
			    const struct lsvd_check_options *options,
			    struct lsvd_check_report *report);
/* What a repair needs to know: rebuild (vol_rebuild.h) is told of the table of objects. */
int lsvd_check_for_rebuild(struct lsvd_store *store, const char *name, struct rebuild *rebuild,
			   struct lsvd_check_report *report);
int lsvd_check_options(struct lsvd_check_options *ret, const struct lsvd_check_options *given);

/* Ranges of the volume, gathered in order. */
struct check_ranges {
	struct lsvd_check_range at[CHECK_RANGES];
	unsigned count;
	uint64_t bytes;
};
void lsvd_check_add_range(struct check_ranges *r, uint64_t lba, uint64_t sectors);

/* What to do about an object of data, and about one of the chain. */
extern const char *const lsvd_check_advice_data, *const lsvd_check_advice_chain;

/* ---- check_store.c */
int lsvd_check_list(struct check *c);
/* NULL: it was not listed. */
struct check_object *lsvd_check_find(const struct check *c, int kind, uint64_t epoch,
				     uint64_t number);
/* The object of an entry of the table; NULL: it is not there. What was not listed is asked for. */
int lsvd_check_entry(struct check *c, const struct object_entry *e, struct check_object **ret);
void lsvd_check_entry_key(const struct check *c, char key[KEY_CAP], const struct object_entry *e);
int lsvd_check_key_kind(const struct object_entry *e);
/* The first of a kind and epoch, of those listed; they end where kind or epoch do. */
size_t lsvd_check_first(const struct check *c, int kind, uint64_t epoch);
/*
 * Asks the store for objects that were not listed: what is there is added. *ret says whether it is.
 * The listing moves.
 */
int lsvd_check_there(struct check *c, int kind, uint64_t epoch, uint64_t number, bool *ret);
void lsvd_check_key(const struct check *c, char key[KEY_CAP], int kind, uint64_t epoch,
		    uint64_t number);

struct check_get {
	struct obj_io io;
	int err;                 /* 0, -ENOENT, -EIO (what there is cannot be read) */
	void *of;                /* the caller's */
};
/*
 * At most CHECK_AT_ONCE; their io is set but for its kind. What cannot be said now is asked again.
 */
int lsvd_check_run(struct check *c, struct check_get *gets, unsigned n, enum io_kind kind);

/* A header of a chain object. */
struct check_header {
	uint64_t epoch, seq;     /* asked for */
	int err;                 /* 0; -ENOENT; else it is damaged, which has been said */
	struct object_head head;
	struct chain_part chain;
	uint8_t *bytes;
};
/*
 * Reads them, at most CHECK_AT_ONCE, and unless `quiet` says what is wrong with those that are
 * there. err -ENODATA: it ends within its header.
 */
int lsvd_check_headers(struct check *c, struct check_header *headers, unsigned n, bool quiet);
void lsvd_check_free_headers(struct check_header *headers, unsigned n);

/* ---- check_chain.c */
int lsvd_check_claims(struct check *c);
/* Finds the path: c->legs, c->root. */
int lsvd_check_path(struct check *c);
/* Has nobody written since? -EBUSY. */
int lsvd_check_unchanged(struct check *c);

/* ---- check_map.c */
int lsvd_check_root(struct check *c);
int lsvd_check_map(struct check *c);

/* Does the volume, or one of its snapshots, need the object? */
bool lsvd_check_needs(const struct check *c, const struct object_entry *e);

/* ---- check_replay.c */
int lsvd_check_replay(struct check *c);

/* ---- check_data.c, check_cache.c */
int lsvd_check_data(struct check *c);
/* Takes hold of the local log, for the rest of the check. LSVD_E_LOCKED: somebody has it. */
int lsvd_check_lock(struct check *c);
int lsvd_check_cache(struct check *c);

#endif
