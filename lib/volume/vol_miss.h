/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_miss.h - what is being fetched from the store, shared by all who need it.
 *
 * A miss is one ranged GET of an object and, once it has ended, its bytes. Whoever needs a range of
 * an object wants it: if a miss covers the range, the want joins it; else a new miss is made. So
 * two reads of the same unit make one GET, and both are told if it fails. A miss that has not been
 * sent yet grows: wants of one batch of operations that lie side by side in an object become one
 * GET.
 *
 * States:  QUEUED -> GETTING -> HERE -> (fill) -> freed       transition by
 *          QUEUED -> GETTING    the batch is over, a slot is free   start_queued()
 *          GETTING -> HERE      the store has answered              get_done()
 *          GETTING -> freed     the GET failed: every want is told  get_done()
 *
 * A miss that is HERE goes on answering wants while anybody holds it: those who verify its bytes,
 * and then the writes that fill the read cache. Bytes that did not verify answer nobody else and
 * are not kept. What was read ahead without a read cache is held until it has been read to its
 * end, or others need the room.
 *
 * Lock held everywhere: the port's.
 */
#ifndef VOLUME_VOL_MISS_H
#define VOLUME_VOL_MISS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "io/tables.h"

struct lsvd_volume;
struct miss;

/* The most that one GET asks for. */
#define MISS_MAX_BYTES (1u << 20)

/* One who needs bytes [first, end) of an object. */
struct miss_want {
	struct list link;            /* the miss's, until `got` */
	struct miss *miss;           /* NULL: wants nothing now */
	uint64_t object, first, end;
	bool ahead;                  /* nobody waits for it */
	bool once;                   /* nobody will read it again there: it is copied elsewhere */
	void (*got)(struct miss_want *w, int err); /* lock held, never inside lsvd_miss_want() */
};

/* Part of struct lsvd_volume. */
struct misses {
	struct list list;            /* all of them, oldest first */
	struct io kick;              /* a step: the batch is over */
	bool kicked;
	unsigned ahead_gets;         /* sent, and nobody waited for them */
	uint64_t ahead_bytes;        /* of misses that were made ahead, in any state */
	uint64_t kept_bytes;         /* of these, held though nobody does anything with them */
};

void lsvd_misses_init(struct misses *m);
/* Frees what is kept; nothing may be in the world. */
void lsvd_misses_fini(struct misses *m);

/* The miss that has, or will have, the range; NULL: none. */
struct miss *lsvd_miss_covering(struct lsvd_volume *v, uint64_t object, uint64_t first,
				uint64_t end);
/* How far the miss that has byte `at` of the object reaches; 0: there is none. */
uint64_t lsvd_miss_end(struct lsvd_volume *v, uint64_t object, uint64_t at);

/* 1: the bytes are here. 0: w->got will be called. -ENOMEM. Each want must leave its miss. */
int lsvd_miss_want(struct lsvd_volume *v, struct miss_want *w);
/* The bytes from w->first on; *ret_len may be less, or more, than was wanted. */
uint8_t *lsvd_miss_bytes(const struct miss_want *w, size_t *ret_len);
/*
 * Has done with the bytes, and how they verified: 0, LSVD_E_CORRUPT, or anything else: not known.
 */
void lsvd_miss_leave(struct miss_want *w, int verdict);

/* Bytes that may still be read ahead. */
uint64_t lsvd_miss_ahead_room(const struct lsvd_volume *v);

#endif
