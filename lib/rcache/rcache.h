/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rcache.h - the read cache: clean copies of ranges of objects, on the local disk.
 *
 * A line is 64 KiB of an object, at a multiple of 64 KiB; a slot of the cache file holds one line,
 * or whatever parts of it have been filled. The cache does not know which: objects are immutable
 * and what is read from them is units, each of which proves itself (segment/unit.h), so a slot that
 * holds something else, or nothing yet, is a miss and never a wrong answer. That is why the index
 * needs only 4 bytes a slot (a fingerprint and a use bit, in sets of 8), why it may be written
 * lazily, why it survives a crash, and why readers need no pins.
 *
 * It is shared by the volumes of a process, and has a lock of its own, held only over the index.
 */
#ifndef RCACHE_RCACHE_H
#define RCACHE_RCACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "io/port.h"

#define RCACHE_LINE_BYTES 65536u

struct rcache;

/*
 * Procedure: opens or makes a cache of about `bytes` bytes in the world's cache directory: the
 * first of rcache.0, rcache.1, … that no other process has. -ENOSPC, -ENOMEM, -errno.
 */
int lsvd_rcache_open(struct rcache **ret, struct port *port, uint64_t bytes);
/* Procedure. */
void lsvd_rcache_close(struct rcache *c);

/* Where the line's slot begins in the file, if the index has it. `owner`: the volume's seed. */
bool lsvd_rcache_find(struct rcache *c, uint64_t owner, uint64_t object, uint32_t line,
		      uint64_t *ret_off);
/* Only asks: the line does not count as used by that. */
bool lsvd_rcache_has(struct rcache *c, uint64_t owner, uint64_t object, uint32_t line);
/* The line's slot, taken from another line if need be: where to write a fill. */
uint64_t lsvd_rcache_place(struct rcache *c, uint64_t owner, uint64_t object, uint32_t line);

struct file *lsvd_rcache_file(const struct rcache *c);
uint64_t lsvd_rcache_slots(const struct rcache *c);

#endif
