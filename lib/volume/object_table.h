/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object_table.h - the objects of a volume by number: where each is, its size, how much of it
 * lives.
 *
 * In the table is whatever may be deleted one day: data objects, what garbage collection moved,
 * page objects, roots. An object is *born* at the place in the history (a chain object) with which
 * it became part of it, and *dies* at the place with which nothing refers to it any more: data,
 * when the map has no sector left in it; a page object, at the root that names nothing in it any
 * more; a root, at the next one. The state after place p needs an object if born <= p < died. What
 * is dead stays in the table until it has left the store.
 *
 * Object numbers are given away in order and never reused, so the table is an array of nodes of
 * OBJECT_NODE entries, of which those without entries are absent. Checkpoints save nodes, those
 * that changed. A number that was given away for an object that never came to be stays empty.
 */
#ifndef VOLUME_OBJECT_TABLE_H
#define VOLUME_OBJECT_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "volume/ancestry.h"

#define OBJECT_NODE 256u

/* A place in the history; places are ordered by epoch, then seq. Epoch 0: none. */
struct place {
	uint64_t epoch, seq;
};

static inline bool place_at_or_before(struct place a, struct place b)
{
	return a.epoch < b.epoch || (a.epoch == b.epoch && a.seq <= b.seq);
}

/* Some bytes in a page object: a page of the map, a node of the root. Object 0: there are none. */
struct blob_ref {
	uint64_t epoch;        /* of the page object's name */
	uint64_t object;       /* its number */
	uint32_t off, len;
	uint64_t hash;
};

enum object_home {
	HOME_CHAIN = 1,        /* DATA */
	HOME_MOVED = 2,        /* a free object */
	HOME_PAGES = 3,
	HOME_ROOT = 4,
	HOME_NOTE = 5,         /* in the chain: dead when it is born, but deleted like all others */
};

struct object_entry {
	uint64_t epoch, seq;   /* of its name: of a free object, a root: number. Epoch 0: empty */
	struct place born, died; /* died.epoch 0: it lives */
	uint32_t bytes;        /* of the whole object, as stored */
	uint32_t data;         /* user bytes it was made with */
	uint32_t live;         /* of these, what the map refers to; of PAGES: bytes referred to */
	uint32_t readers;      /* reads of it on their way */
	uint8_t home;          /* enum object_home */
	uint8_t ancestor;      /* whose it is, by ancestor_of(): set by the table */
	bool damaged;          /* found so since the open: garbage collection leaves it alone */
	uint8_t class;         /* enum gc_class; in memory only, as are the next */
	uint64_t written;      /* lsvd_volume.written when the newest of its data was, */
	uint64_t sealed;       /* and when it was made */
};

/* Does it hold data of the user's, not of the map's? */
static inline bool lsvd_object_is_data(const struct object_entry *e)
{
	return e->home == HOME_CHAIN || e->home == HOME_MOVED;
}

/* Is its name a place in the chain? */
static inline bool lsvd_object_is_in_chain(const struct object_entry *e)
{
	return e->home == HOME_CHAIN || e->home == HOME_NOTE;
}

struct object_node {
	struct blob_ref saved; /* in the newest root */
	bool dirty;            /* changed since */
	uint32_t used;         /* entries not empty */
	struct object_entry entries[OBJECT_NODE];
};

struct object_table {
	const struct ancestry *ancestry; /* of a clone, else NULL */
	struct object_node **nodes;
	uint64_t count;        /* numbers with a place in the array of nodes;
				* a multiple of OBJECT_NODE */
	uint64_t capacity;     /* nodes */
	uint64_t used;         /* entries not empty */
	uint64_t live, bytes;  /* sums over the volume's own data objects, moved or not */
	uint64_t data;         /* … made with, of those of which something lives */
	uint64_t dead_bytes;   /* of bytes, those of objects in which nothing lives */
	uint64_t died_bytes;   /* counter: of data objects that have died */
	uint64_t meta_bytes;   /* of its own page objects and roots */
};

void lsvd_object_table_fini(struct object_table *t);
/* Room for the number, so that set cannot fail. -ENOMEM. */
int lsvd_object_table_reserve(struct object_table *t, uint64_t number);
void lsvd_object_table_set(struct object_table *t, uint64_t number, const struct object_entry *e);
/* NULL if there is no such object. */
struct object_entry *lsvd_object_table_get(const struct object_table *t, uint64_t number);
/* `at`: the place that changes it; where the object dies if nothing is left, and it has not. */
void lsvd_object_table_live(struct object_table *t, uint64_t number, int64_t bytes,
			    struct place at);
/* Dies, if it has not. */
void lsvd_object_table_died(struct object_table *t, uint64_t number, struct place at);
/* What died is referred to again. */
void lsvd_object_table_revive(struct object_table *t, uint64_t number);
/* It has left the store. */
void lsvd_object_table_clear(struct object_table *t, uint64_t number);
/* The first number >= `number` that is not empty; UINT64_MAX: there is none. */
uint64_t lsvd_object_table_next(const struct object_table *t, uint64_t number);
/* An empty node that has been noted as such: its memory. */
void lsvd_object_table_drop_node(struct object_table *t, uint64_t index);

#endif
