/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rcache.c - the read cache's index: sets of 8 slots, a fingerprint and a use bit each.
 *
 * The file: the index (4 bytes a slot: bit 31 used, bit 30 touched, 30 bits of the key's hash),
 * padded to 4 KiB, then the slots. A key may be in either of two sets, and goes to the one with
 * more slots to spare: with one set only, some sets of a cache that is half full would have more
 * lines than slots, and one line in fifty would miss for ever; with two hardly any misses in one
 * that is four fifths full. Within the set the slot to be reused is an empty one or found by the
 * clock: the first that has not been touched since the hand passed. The index is the file's own
 * pages, mapped: it outlives the process without being written, and whatever is wrong in it after a
 * power cut costs misses.
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
#define TRY_BYTES (1u << 20)

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

/* Where a key may be, and how it is known there. */
struct place {
	uint64_t sets[2];
	uint32_t print;
};

struct slot {
	uint64_t set;
	unsigned way;
};

static struct place place_of(const struct rcache *c, uint64_t owner, uint64_t object, uint32_t line)
{
	uint64_t h = lsvd_hash_bind(0, owner, object, line);
	uint64_t other = h * UINT64_C(0x9e3779b97f4a7c15);

	return (struct place){ { (h >> 30) % c->sets, (other >> 30) % c->sets },
			       (uint32_t)h & PRINT_MASK };
}

static uint32_t *tag_of(const struct rcache *c, struct slot s)
{
	return &c->tags[s.set * WAYS + s.way];
}

static uint64_t slot_off(const struct rcache *c, struct slot s)
{
	return c->data_off + (s.set * WAYS + s.way) * RCACHE_LINE_BYTES;
}

/* The slot that holds the print; lock held. */
static bool find_slot(const struct rcache *c, const struct place *p, struct slot *ret)
{
	for (unsigned i = 0; i < 2; i++) {
		struct slot s = { p->sets[i], 0 };

		for (; s.way < WAYS; s.way++) {
			if ((*tag_of(c, s) & ~TOUCHED) != (USED | p->print))
				continue;
			*ret = s;
			return true;
		}
	}
	return false;
}

bool lsvd_rcache_find(struct rcache *c, uint64_t owner, uint64_t object, uint32_t line,
		      uint64_t *ret_off)
{
	struct place p = place_of(c, owner, object, line);
	struct slot s;
	bool found;

	pthread_mutex_lock(&c->lock);
	found = find_slot(c, &p, &s);
	if (found && !(*tag_of(c, s) & TOUCHED))
		*tag_of(c, s) |= TOUCHED;
	pthread_mutex_unlock(&c->lock);
	if (found)
		*ret_off = slot_off(c, s);
	return found;
}

bool lsvd_rcache_has(struct rcache *c, uint64_t owner, uint64_t object, uint32_t line)
{
	struct place p = place_of(c, owner, object, line);
	struct slot s;
	bool found;

	pthread_mutex_lock(&c->lock);
	found = find_slot(c, &p, &s);
	pthread_mutex_unlock(&c->lock);
	return found;
}

/* How gladly a set takes one more: empty slots count most, then those not touched. Lock held. */
static unsigned to_spare(const struct rcache *c, uint64_t set)
{
	unsigned n = 0;

	for (struct slot s = { set, 0 }; s.way < WAYS; s.way++) {
		uint32_t tag = *tag_of(c, s);

		n += !(tag & USED) ? 2 * WAYS : !(tag & TOUCHED);
	}
	return n;
}

/* The next slot of the set that is empty or has not been touched; clears the others. Lock held. */
static struct slot victim(struct rcache *c, uint64_t set)
{
	struct slot s = { set, 0 };

	for (; s.way < WAYS; s.way++)
		if (!(*tag_of(c, s) & USED))
			return s;
	for (;;) {
		s.way = c->hands[set];
		c->hands[set] = (uint8_t)((s.way + 1) % WAYS);
		if (!(*tag_of(c, s) & TOUCHED))
			return s;
		*tag_of(c, s) &= ~TOUCHED;
	}
}

static struct slot choose(struct rcache *c, const struct place *p)
{
	bool second = to_spare(c, p->sets[1]) > to_spare(c, p->sets[0]);

	return victim(c, p->sets[second]);
}

uint64_t lsvd_rcache_place(struct rcache *c, uint64_t owner, uint64_t object, uint32_t line)
{
	struct place p = place_of(c, owner, object, line);
	struct slot s;

	pthread_mutex_lock(&c->lock);
	if (!find_slot(c, &p, &s)) {
		s = choose(c, &p);
		*tag_of(c, s) = USED | p.print;
	}
	pthread_mutex_unlock(&c->lock);
	return slot_off(c, s);
}

struct file *lsvd_rcache_file(const struct rcache *c)
{
	return c->file;
}

uint64_t lsvd_rcache_slots(const struct rcache *c)
{
	return c->sets * WAYS;
}

/* ----------------------------------------------------------------------------- opening, closing */

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

/*
 * Reads all of it, for nothing but to see that it can be read: a page of a mapping that the disk
 * does not give up is a signal later, which would end the process.
 */
static int try_index(struct rcache *c)
{
	struct file_io io = { .io = { .kind = IO_FILE_READ }, .file = c->file };
	size_t left = index_bytes(c);
	int err = 0;

	io.buf = lsvd_malloc(min_u64(left, TRY_BYTES));
	if (!io.buf)
		return lsvd_fail_plain(-ENOMEM);
	for (; left && !err; left -= io.len, io.off += io.len) {
		io.len = (size_t)min_u64(left, TRY_BYTES);
		err = lsvd_port_run1(c->port, &io.io);
	}
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

/* The index as it was left; an empty one if the file is new, of another size, or cannot be read. */
static int prepare_index(struct rcache *c)
{
	const struct file_ops *ops = c->port->world->file;
	uint64_t want = c->data_off + c->sets * WAYS * RCACHE_LINE_BYTES, have;
	int err = ops->size(c->file, &have);

	if (!err && have != want)
		err = ops->resize(c->file, want);
	else if (!err && try_index(c) == 0)
		return 0;
	return err ? err : clear_index(c);
}

static int load_index(struct rcache *c)
{
	void *tags = NULL;
	int err = prepare_index(c);

	if (!err)
		err = c->port->world->file->map(c->file, index_bytes(c), &tags);
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
