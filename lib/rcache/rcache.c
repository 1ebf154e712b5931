/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rcache.c - the read cache's index: sets of 8 slots, a fingerprint and a use bit each.
 *
 * The file: the index (4 bytes a slot: bit 31 used, bit 30 touched, 30 bits of the key's hash),
 * padded to 4 KiB, then the slots. A key belongs to one set; within it the slot to be reused is found
 * by the clock: the first that has not been touched since the hand passed. The index is the file's
 * own pages, mapped: it outlives the process without being written, and whatever is wrong in it after
 * a power cut costs misses.
 */
#include "rcache/rcache.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <lsvd/error.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"

#define WAYS 8u
#define USED UINT32_C(0x80000000)
#define TOUCHED UINT32_C(0x40000000)
#define PRINT_MASK UINT32_C(0x3fffffff)
#define FILES_MAX 64u

struct rcache {
	struct port *port;
	struct file *file;
	uint64_t sets;
	uint64_t data_off;       /* where slot 0 begins */
	pthread_mutex_t lock;
	/* protected by lock */
	uint32_t *tags;          /* sets * WAYS, the file's own pages */
	uint8_t *hands;          /* of each set */
};

struct place {
	uint64_t set;
	uint32_t print;
};

static struct place place_of(const struct rcache *c, uint64_t owner, uint64_t object, uint32_t line)
{
	uint64_t h = lsvd_hash_bind(0, owner, object, line);

	return (struct place){ (h >> 30) % c->sets, (uint32_t)h & PRINT_MASK };
}

static uint64_t slot_off(const struct rcache *c, uint64_t set, unsigned way)
{
	return c->data_off + (set * WAYS + way) * RCACHE_LINE_BYTES;
}

/* The way that holds the print, or -1; lock held. */
static int find_way(const struct rcache *c, const struct place *p)
{
	const uint32_t *tags = c->tags + p->set * WAYS;

	for (unsigned i = 0; i < WAYS; i++)
		if ((tags[i] & ~TOUCHED) == (USED | p->print))
			return (int)i;
	return -1;
}

bool lsvd_rcache_find(struct rcache *c, uint64_t owner, uint64_t object, uint32_t line,
		      uint64_t *ret_off)
{
	struct place p = place_of(c, owner, object, line);
	int way;

	pthread_mutex_lock(&c->lock);
	way = find_way(c, &p);
	if (way >= 0)
		c->tags[p.set * WAYS + (unsigned)way] |= TOUCHED;
	pthread_mutex_unlock(&c->lock);
	if (way < 0)
		return false;
	*ret_off = slot_off(c, p.set, (unsigned)way);
	return true;
}

/* The next way of the set whose touched bit is clear; clears those it passes. Lock held. */
static unsigned victim(struct rcache *c, uint64_t set)
{
	uint32_t *tags = c->tags + set * WAYS;

	for (;;) {
		unsigned way = c->hands[set];

		c->hands[set] = (uint8_t)((way + 1) % WAYS);
		if (!(tags[way] & TOUCHED))
			return way;
		tags[way] &= ~TOUCHED;
	}
}

uint64_t lsvd_rcache_place(struct rcache *c, uint64_t owner, uint64_t object, uint32_t line)
{
	struct place p = place_of(c, owner, object, line);
	int way;

	pthread_mutex_lock(&c->lock);
	way = find_way(c, &p);
	if (way < 0) {
		way = (int)victim(c, p.set);
		c->tags[p.set * WAYS + (unsigned)way] = USED | p.print;
	}
	pthread_mutex_unlock(&c->lock);
	return slot_off(c, p.set, (unsigned)way);
}

void lsvd_rcache_forget(struct rcache *c, uint64_t owner, uint64_t object, uint32_t line)
{
	struct place p = place_of(c, owner, object, line);
	int way;

	pthread_mutex_lock(&c->lock);
	way = find_way(c, &p);
	if (way >= 0)
		c->tags[p.set * WAYS + (unsigned)way] = 0;
	pthread_mutex_unlock(&c->lock);
}

struct file *lsvd_rcache_file(const struct rcache *c)
{
	return c->file;
}

uint64_t lsvd_rcache_slots(const struct rcache *c)
{
	return c->sets * WAYS;
}

/* -------------------------------------------------------------------------------- opening, closing */

static size_t index_bytes(const struct rcache *c)
{
	return (size_t)round_up(c->sets * WAYS * sizeof *c->tags, BLOCK_BYTES);
}

/* Every block of the index is written, so that a full disk cannot fail a store to the mapping. */
static int clear_index(struct rcache *c)
{
	struct file_io io = { .io = { .kind = IO_FILE_WRITE }, .file = c->file,
			      .len = index_bytes(c) };
	int err;

	io.buf = lsvd_calloc(1, io.len);
	if (!io.buf)
		return lsvd_fail_plain(-ENOMEM);
	err = lsvd_port_run1(c->port, &io.io);
	lsvd_free(io.buf);
	return err;
}

/* The first file that nobody else has. */
static int open_file(struct rcache *c)
{
	struct world *w = c->port->world;
	char name[32];
	int err = LSVD_E_LOCKED;

	for (unsigned i = 0; i < FILES_MAX && err == LSVD_E_LOCKED; i++) {
		(void)snprintf(name, sizeof name, "rcache.%u", i); /* fits */
		err = w->file->open(w, name, FILE_CREATE | FILE_EXCLUSIVE, &c->file);
	}
	return err;
}

/* The index as it was left; an empty one if the file is new or of another size. */
static int load_index(struct rcache *c)
{
	struct world *w = c->port->world;
	uint64_t want = c->data_off + c->sets * WAYS * RCACHE_LINE_BYTES, have;
	void *tags = NULL;
	int err = w->file->size(c->file, &have);

	if (!err && have != want) {
		err = w->file->resize(c->file, want);
		if (!err)
			err = clear_index(c);
	}
	if (!err)
		err = w->file->map(c->file, index_bytes(c), &tags);
	c->tags = tags;
	return err;
}

int lsvd_rcache_open(struct rcache **ret, struct port *port, uint64_t bytes)
{
	struct rcache *c = lsvd_calloc(1, sizeof *c);
	int err;

	if (!c)
		return lsvd_fail_plain(-ENOMEM);
	c->port = port;
	c->sets = max_u64(1, bytes / (WAYS * RCACHE_LINE_BYTES));
	c->data_off = index_bytes(c);
	err = -pthread_mutex_init(&c->lock, NULL);
	if (err) {
		lsvd_free(c);
		return lsvd_fail_plain(err);
	}
	c->hands = lsvd_calloc(c->sets, 1);
	err = c->hands ? open_file(c) : lsvd_fail_plain(-ENOMEM);
	if (!err)
		err = load_index(c);
	if (err) {
		lsvd_rcache_close(c);
		return lsvd_fail_context(err, "read cache");
	}
	*ret = c;
	return 0;
}

void lsvd_rcache_close(struct rcache *c)
{
	if (!c)
		return;
	if (c->file)
		c->port->world->file->close(c->file);
	pthread_mutex_destroy(&c->lock);
	lsvd_free(c->hands);
	lsvd_free(c);
}
