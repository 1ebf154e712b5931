/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ancestry.h - whose an object is: a clone's, or one of its ancestors'.
 *
 * A clone goes on from its base's object numbers, so a number says which volume the object was made
 * by: whose name it has, and what its checksums are bound to.
 */
#ifndef VOLUME_ANCESTRY_H
#define VOLUME_ANCESTRY_H

#include "format/fmt_volume.h"

struct ancestor {
	uint64_t first;        /* objects from this one up to the next ancestor's are its */
	struct uuid volume;
	uint64_t owner;        /* lsvd_uuid_seed(volume) */
};

struct ancestry {
	unsigned count;        /* at least 1; the last is the base */
	uint64_t own_first;    /* the clone's own objects begin here */
	struct ancestor list[FMT_ANCESTORS_MAX];
};

/* The ancestor that the object is of, from 1; 0: it is the volume's own. `a` may be NULL. */
static inline unsigned ancestor_of(const struct ancestry *a, uint64_t object)
{
	unsigned i;

	if (!a || object >= a->own_first)
		return 0;
	for (i = a->count; i > 1 && object < a->list[i - 1].first; i--)
		;
	return i;
}

#endif
