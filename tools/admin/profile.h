/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * profile.h - ranges of a volume that are worth having in the cache, as text.
 *
 *	lsvd-profile 1
 *	OFFSET LENGTH
 *
 * Bytes in decimal, multiples of 512, a range a line, in the order they are to be fetched in. Blank
 * lines and those that begin with # mean nothing. Failures are printed where they are met.
 */
#ifndef ADMIN_PROFILE_H
#define ADMIN_PROFILE_H

#include <stddef.h>
#include <stdint.h>

#include <lsvd/volume.h>

#include "admin/long.h"

struct profile {
	struct admin_range *ranges;
	size_t count;
	uint64_t bytes;      /* of all ranges */
};

int profile_add(struct profile *p, uint64_t off, uint64_t len);
/* What of the ranges ends beyond `bytes` is cut. */
int profile_read(struct profile *p, const char *path, uint64_t bytes);
/* A new file, which replaces one of that name. */
int profile_write(const struct profile *p, const char *path, const char *volume);
/* What the read cache of the volume holds. */
int profile_of_cache(struct profile *p, struct lsvd_volume *volume);
void profile_fini(struct profile *p);

#endif
