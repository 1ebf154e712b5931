/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mirror_internal.h - what a mirror is, for those who make it: vol_mirror.c (what follows a
 * snapshot, and what the local log is told), mirror_build.c (the snapshot), mirror_open.c (the file
 * that is there).
 */
#ifndef VOLUME_MIRROR_INTERNAL_H
#define VOLUME_MIRROR_INTERNAL_H

#include "volume/vol_mirror.h"

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
	bool lacks;              /* an adoption that no sync has covered yet:
				  * the log lacks it, too */
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

/* ---- vol_mirror.c */

/* The log goes on without; an offline open will see that the mirror ends too early. */
void lsvd_mirror_give_up(struct mirror *m, int err);
/* Begins whatever can be begun. */
void lsvd_mirror_pump(struct mirror *m);
/* Begins a snapshot, if one is due. */
void lsvd_mirror_maybe_build(struct mirror *m);
/* How far the chain has got, in terms of file `f`. */
struct mirror_mark lsvd_mirror_mark_of(const struct mirror *m, const struct mirror_file *f);

/* ---- mirror_build.c */

/* Into the file that is not `current`. */
void lsvd_mirror_begin_build(struct mirror *m);
/* What the phase does next. False: there is nothing to do, or it has to wait. */
bool lsvd_mirror_build_step(struct mirror *m);

#endif
