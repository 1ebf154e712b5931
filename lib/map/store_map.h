/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_map.h - where each stored sector lies: ranges of sectors to places in objects.
 *
 * The map is exactly the state after the last object of the acknowledged chain; it is what
 * checkpoints save. It is paged by address: a page covers STORE_MAP_PAGE_SECTORS sectors and is
 * absent while nothing in it is mapped. A page is either a sorted run of packed extents (at most 10
 * bytes each) or, when nearly every 4 KiB block is an extent of its own, a dense array (at most 5.2
 * bytes a block).
 *
 * An extent lies within one page; longer ones are cut by insert and joined by nobody. A page that
 * would be zeroes and nothing else is not mapped: it is a hole (but see
 * lsvd_store_map_keep_zeroes()).
 *
 * A page may be *away*: it has been saved, and is not in memory. Changes to it are noted and made
 * when it is loaded; only then is what they replace reported. What reads the map must see to it
 * that the pages it asks about are here: to lsvd_store_map_find() those that are away do not exist.
 *
 * Places. `object` numbers an object of the volume's lineage (1 …); `off` is a byte offset in the
 * object, a multiple of 16, of the frame of a unit (docs/format.md, "Units"). MAP_RAW: the extent's
 * data is a row of raw units of 4 KiB, 16 + 4096 bytes each (the last may be shorter); `sub` is the
 * extent's first sector within the unit at `off`, 0 … 7. MAP_UNIT: the extent lies in one
 * compressed unit, `sub` sectors after its beginning, 0 … 127. MAP_ZERO: reads as zeroes but is
 * allocated; object, off and sub are 0. What is not mapped is a hole.
 *
 * Memory only, no locks, no I/O.
 */
#ifndef MAP_STORE_MAP_H
#define MAP_STORE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define STORE_MAP_PAGE_SECTORS 8192u   /* 4 MiB of address */

enum map_kind {
	MAP_RAW = 0,
	MAP_UNIT = 1,
	MAP_ZERO = 2,
};

struct map_extent {
	uint64_t lba;
	uint32_t len;      /* sectors, 1 … STORE_MAP_PAGE_SECTORS when found */
	uint32_t off;      /* bytes into the object, a multiple of 16, < 2^27 */
	uint64_t object;   /* < 2^40; 0 for MAP_ZERO */
	uint16_t sub;      /* sectors into the unit */
	uint8_t kind;      /* enum map_kind */
};

/* e moved on by `sectors`, which is less than e->len: the rule for cutting extents. */
struct map_extent lsvd_map_extent_advance(const struct map_extent *e, uint32_t sectors);

struct store_map;

/* A part of an extent that goes away, whole or cut, already advanced to its own first sector. */
typedef void (*map_gone_fn)(void *ctx, const struct map_extent *gone);

int lsvd_store_map_new(struct store_map **ret);
void lsvd_store_map_free(struct store_map *m);

/* Pages of zeroes below that sector are mapped, too: a hole means something else there. */
void lsvd_store_map_keep_zeroes(struct store_map *m, uint64_t sectors);

/* The bounds of a place. */
#define STORE_MAP_OBJECT_LIMIT (UINT64_C(1) << 40)
#define STORE_MAP_OFF_LIMIT (UINT32_C(1) << 27)
#define STORE_MAP_UNIT_SECTORS 128u    /* MAP_UNIT: sub + len is at most this */
#define STORE_MAP_RAW_SPACE 4112u      /* from one raw unit of a row to the next */

/*
 * Maps e's range (any length, it may span pages) to e's place; what lay there is reported to `gone`
 * (may be NULL). -ENOMEM leaves the map valid but perhaps partly changed: the caller repeats the
 * call or gives up the map; repeating is harmless. -EINVAL with a text: the place is out of bounds.
 */
int lsvd_store_map_insert(struct store_map *m, const struct map_extent *e, map_gone_fn gone,
			  void *ctx);

/* Takes the range out; whole pages go at once. -ENOMEM as above (an extent may be divided). */
int lsvd_store_map_remove(struct store_map *m, uint64_t lba, uint64_t len, map_gone_fn gone,
			  void *ctx);

/*
 * If the page of e, which lies in one, is away: notes that e takes the place of what of its range
 * lies in object `source`, and returns 1; what of e does not get in will be reported as gone when
 * the page is loaded, like what it replaces. 2: the call was a repetition. 0: the page is here,
 * nothing was done. -ENOMEM.
 */
int lsvd_store_map_swap_later(struct store_map *m, const struct map_extent *e, uint64_t source);

/*
 * The first extent of the pages that are here that ends after `lba`, uncut; false: there is none.
 */
bool lsvd_store_map_find(const struct store_map *m, uint64_t lba, struct map_extent *ret);

/*
 * Starts to bring what a call for `lba` will need into the processor's cache, and returns: worth it
 * when there are several calls to make, all announced first. In a large map, where each call waits
 * for memory, it makes them three to four times as fast. Changes nothing.
 */
void lsvd_store_map_prefetch(const struct store_map *m, uint64_t lba);

uint64_t lsvd_store_map_extents(const struct store_map *m); /* of pages that are here */
uint64_t lsvd_store_map_memory(const struct store_map *m);
uint64_t lsvd_store_map_clean_memory(const struct store_map *m); /* what eviction could free */

/* ---- pages, for checkpoints. A page is dirty if it changed since it was last taken or loaded. */

enum map_pages {
	MAP_HERE = 0,          /* has extents and is in memory */
	MAP_DIRTY = 1,         /* changed since it was saved; it may have no extents any more */
	MAP_AWAY = 2,
	MAP_CHANGED_AWAY = 3,  /* away, and changes to it are noted: dirty */
	MAP_KNOWN = 4,         /* here or away */
};

/* The first page number >= `page` of that sort; UINT64_MAX: none. */
uint64_t lsvd_store_map_next_page(const struct store_map *m, uint64_t page, enum map_pages sort);
bool lsvd_store_map_page_dirty(const struct store_map *m, uint64_t page);
bool lsvd_store_map_page_present(const struct store_map *m, uint64_t page);

/* The encoded page into `buf`; returns its length, or -ENOBUFS if `cap` is too small. */
#define STORE_MAP_PAGE_MAX_BYTES (8u + STORE_MAP_PAGE_SECTORS * 16u)
int lsvd_store_map_encode_page(const struct store_map *m, uint64_t page, void *buf, size_t cap);

/*
 * Loads a page from bytes, which may be anything: LSVD_E_CORRUPT with the text saying what is wrong
 * (extents out of order or range, bad kinds, lengths, trailing bytes). The page must be absent.
 */
int lsvd_store_map_decode_page(struct store_map *m, uint64_t page, const void *buf, size_t len);

/* A page that is not in the map, and not dirty, is away from now on. */
int lsvd_store_map_set_away(struct store_map *m, uint64_t page);
bool lsvd_store_map_is_away(const struct store_map *m, uint64_t page);

/*
 * Loads a page that is away, as above, and makes the changes that were noted; what they replace is
 * reported. On failure it stays away. -ENOENT: it is not away.
 */
int lsvd_store_map_load_page(struct store_map *m, uint64_t page, const void *buf, size_t len,
			     map_gone_fn gone, void *ctx);

/*
 * Sends pages away that are not dirty, those first that were not used for longest (about), until
 * the map takes at most `bytes`, or no more for now: a call takes a bounded time.
 */
void lsvd_store_map_evict(struct store_map *m, uint64_t bytes);

/* Marks it saved. Not for a page that is away. */
void lsvd_store_map_page_clean(struct store_map *m, uint64_t page);

void lsvd_store_map_check(const struct store_map *m);
void lsvd_store_map_dump(const struct store_map *m, FILE *out);

#endif
