/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shared_rcache.h - one read cache for all volumes that this process opens in a cache directory.
 *
 * The first volume opens it, with its size; the last one closes it. It stands on a world of its
 * own, so that it outlives the volume that opened it.
 */
#ifndef VOLUME_SHARED_RCACHE_H
#define VOLUME_SHARED_RCACHE_H

#include "rcache/rcache.h"

/* Procedures, any thread. */
int lsvd_shared_rcache_get(struct rcache **ret, const char *cache_dir, uint64_t bytes);
void lsvd_shared_rcache_put(struct rcache *c);   /* NULL does nothing */

#endif
