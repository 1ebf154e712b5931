/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * extent_map.h - ranges of sectors to a 64-bit value that advances with the address.
 *
 * The overlay of a volume: lba ranges to places in the local log. An entry covers [lba, lba + len)
 * and holds the value of its first sector; the value of sector lba + i is value + i * step, where
 * step is 0 or 1 by the entry's kind: places advance, "zero" and "hole" do not.
 *
 * Memory only, no locks, no I/O. Entries never overlap; neighbours are not joined.
 */
#ifndef MAP_EXTENT_MAP_H
#define MAP_EXTENT_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct extent_map;

enum extent_kind {
	EXTENT_DATA = 0,  /* value advances by 1 a sector */
	EXTENT_ZERO = 1,  /* reads as zeroes, allocated; value stays */
	EXTENT_HOLE = 2,  /* reads as zeroes, not allocated; value stays */
};

struct extent {
	uint64_t lba;     /* first sector */
	uint64_t len;     /* sectors, > 0 */
	uint64_t value;   /* of the first sector; < 2^62 */
	enum extent_kind kind;
};

/* A part of an entry that goes away, whole or cut: its value is that of its first sector. */
typedef void (*extent_fn)(void *ctx, const struct extent *gone);

int lsvd_extent_map_new(struct extent_map **ret);
void lsvd_extent_map_free(struct extent_map *m);

/*
 * Memory for the next `n` calls of insert or remove, so that they cannot fail: call it where
 * failing is still possible. -ENOMEM.
 */
int lsvd_extent_map_reserve(struct extent_map *m, unsigned n);

/* Covers e's range with e; what lay there is reported to `gone` (may be NULL), in order of lba. */
void lsvd_extent_map_insert(struct extent_map *m, const struct extent *e, extent_fn gone,
			    void *ctx);

/* Takes the range out. */
void lsvd_extent_map_remove(struct extent_map *m, uint64_t lba, uint64_t len, extent_fn gone,
			    void *ctx);

/*
 * Takes out the first entry that ends after `lba` if it begins before `end` and `wanted` says so;
 * *ret is that entry, taken or not. False if there is none. Needs no memory and no reserve.
 */
typedef bool (*extent_wanted_fn)(void *ctx, const struct extent *e);
bool lsvd_extent_map_drop(struct extent_map *m, uint64_t lba, uint64_t end,
			  extent_wanted_fn wanted, void *ctx, struct extent *ret);

/*
 * The first entry that ends after `lba`: the one covering it, else the next one. Its range is the
 * entry's own, not cut to lba. False if there is none.
 */
bool lsvd_extent_map_find(const struct extent_map *m, uint64_t lba, struct extent *ret);

/* Something is soon to be done at `lba`: brings the memory it will need nearer. */
void lsvd_extent_map_prefetch(const struct extent_map *m, uint64_t lba);

uint64_t lsvd_extent_map_count(const struct extent_map *m);
uint64_t lsvd_extent_map_memory(const struct extent_map *m); /* bytes */

/* Asserts the invariants; for tests. */
void lsvd_extent_map_check(const struct extent_map *m);
void lsvd_extent_map_dump(const struct extent_map *m, FILE *out);

#endif
