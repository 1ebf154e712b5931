/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_lru.c - the built-in cache of values: those used last, up to a number of bytes.
 *
 * Entries are spread over shards by a hash of log, segment and offset; each shard has a lock, a
 * hash table with chains, a list in order of use, and its part of the bytes. A shard is never
 * smaller than SHARD_BYTES, so that a small cache can keep a large value.
 *
 * A shard that is full takes a value that was missed only if it has been asked for more often, of
 * late, than the one that would have to go. Else a cache smaller than the data, read at random,
 * would be filled anew all the time: each value into memory that no processor's cache has, for
 * nothing. How often is counted by hashes, two bytes each, in a table that is halved now and
 * then. What nobody has asked for, and what a program wants to be brought, is taken as it comes.
 *
 * An entry counts with its value and with itself, so many small values do not take more than was
 * given. Memory that is not to be had means that a value is not kept; nothing fails.
 *
 * A value outlives its entry: whoever got it has a reference.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/lock.h"
#include "vlog/vlog_cache.h"

#define SHARDS_MAX 16u
#define SHARD_BYTES (16u << 20)
#define FIRST_BUCKETS 64u
#define ASKED_PER_BUCKET 4u    /* bytes of the table of askings */

struct entry {
	struct list used;        /* in shard.used */
	struct entry *next;      /* in its bucket */
	uint64_t hash, log;
	struct lsvd_vlog_handle handle;
	struct lsvd_vlog_value *value;
};

struct shard {
	pthread_mutex_t lock;
	struct list used;        /* used longest ago first */
	struct entry **buckets;  /* a power of two of them, or none yet */
	size_t bucket_count, count;
	uint8_t *asked;          /* ASKED_PER_BUCKET for each bucket; saturated */
	size_t asked_since;      /* the halving */
	uint64_t bytes, limit;
	uint64_t hits, misses, inserts, evictions;
};

struct lru {
	unsigned shard_count;    /* a power of two */
	struct shard shards[SHARDS_MAX];
};

static uint64_t hash_of(uint64_t log, const struct lsvd_vlog_handle *h)
{
	uint64_t place[3] = { log, h->segment, h->offset };

	return lsvd_hash(place, sizeof place);
}

/* The upper bits choose the shard, the lower ones the bucket. */
static struct shard *shard_of(struct lru *c, uint64_t hash)
{
	return &c->shards[(hash >> 32) & (c->shard_count - 1)];
}

static uint64_t charge(const struct entry *e)
{
	return sizeof *e + lsvd_vlog_value_size(e->value);
}

/* Where the pointer to this entry stands, or the end of its chain. */
static struct entry **find(struct shard *s, uint64_t hash, uint64_t log,
			   const struct lsvd_vlog_handle *h)
{
	struct entry **p = &s->buckets[hash & (s->bucket_count - 1)];

	while (*p && ((*p)->hash != hash || (*p)->log != log ||
		      (*p)->handle.segment != h->segment || (*p)->handle.offset != h->offset ||
		      (*p)->handle.size != h->size))
		p = &(*p)->next;
	return p;
}

/* Takes the entry at `p` out of the shard and frees it. */
static void evict(struct shard *s, struct entry **p)
{
	struct entry *e = *p;

	*p = e->next;
	list_del(&e->used);
	s->count--;
	s->bytes -= charge(e);
	lsvd_vlog_value_unref(e->value);
	lsvd_free(e);
}

static void make_room(struct shard *s)
{
	while (s->bytes > s->limit) {
		struct entry *e = list_first(&s->used, struct entry, used);

		evict(s, find(s, e->hash, e->log, &e->handle));
		s->evictions++;
	}
}

/* ----------------------------------------------------------------------- how often it was asked */

/*
 * Each has two bytes of one line of memory, shared with different others: the lesser one is right.
 */
static uint8_t *asked_of(const struct shard *s, uint64_t hash, unsigned which)
{
	size_t i = (hash >> 36) & (s->bucket_count * ASKED_PER_BUCKET - 1);

	return &s->asked[which ? i ^ (1 + (hash >> 20) % 63) : i];
}

static unsigned times_asked(const struct shard *s, uint64_t hash)
{
	uint8_t a = *asked_of(s, hash, 0), b = *asked_of(s, hash, 1);

	return a < b ? a : b;
}

static void count_asking(struct shard *s, uint64_t hash)
{
	size_t n = s->bucket_count * ASKED_PER_BUCKET;

	for (unsigned i = 0; n && i < 2; i++) {
		uint8_t *asked = asked_of(s, hash, i);

		*asked = (uint8_t)(*asked + (*asked < UINT8_MAX));
	}
	if (++s->asked_since < 2 * n)
		return;
	for (size_t i = 0; i < n; i++)
		s->asked[i] /= 2;
	s->asked_since = 0;
}

/* Is it worth more than the first that would go for it? */
static bool is_wanted(struct shard *s, uint64_t hash, uint64_t bytes)
{
	unsigned asked;

	if (s->bytes + bytes <= s->limit || !s->count)
		return true;
	asked = times_asked(s, hash);
	return !asked || asked > times_asked(s, list_first(&s->used, struct entry, used)->hash);
}

/* ---------------------------------------------------------------------------------- the entries */

/*
 * As many buckets as entries; without memory the chains get longer. False: there are none at all.
 */
static bool grow(struct shard *s)
{
	size_t n = s->bucket_count ? 2 * s->bucket_count : FIRST_BUCKETS;
	struct entry **fresh, **old = s->buckets;
	uint8_t *asked;

	if (s->count < s->bucket_count)
		return true;
	fresh = lsvd_calloc(n, sizeof(struct entry *));
	asked = lsvd_calloc(n, ASKED_PER_BUCKET);
	if (!fresh || !asked) {
		lsvd_free(fresh);
		lsvd_free(asked);
		return s->bucket_count > 0;
	}
	for (size_t i = 0; i < s->bucket_count; i++)
		while (old[i]) {
			struct entry *e = old[i];

			old[i] = e->next;
			e->next = fresh[e->hash & (n - 1)];
			fresh[e->hash & (n - 1)] = e;
		}
	lsvd_free(old);
	lsvd_free(s->asked); /* counted anew */
	s->buckets = fresh;
	s->asked = asked;
	s->asked_since = 0;
	s->bucket_count = n;
	return true;
}

/* ------------------------------------------------------------------------------------ the table */

static struct lsvd_vlog_value *lru_get(void *ctx, uint64_t log, const struct lsvd_vlog_handle *h)
{
	uint64_t hash = hash_of(log, h);
	struct shard *s = shard_of(ctx, hash);
	struct lsvd_vlog_value *v = NULL;
	struct entry *e;

	(void)pthread_mutex_lock(&s->lock);
	count_asking(s, hash);
	e = s->bucket_count ? *find(s, hash, log, h) : NULL;
	if (e) {
		list_del(&e->used);
		list_add_tail(&s->used, &e->used);
		v = lsvd_vlog_value_ref(e->value);
		s->hits++;
	} else {
		s->misses++;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return v;
}

/* With the lock held. False: it is there already, or there is no memory for it. */
static bool place(struct shard *s, struct entry *e)
{
	struct entry **p;

	if (!grow(s))
		return false;
	p = find(s, e->hash, e->log, &e->handle);
	if (*p)
		return false;
	*p = e;
	list_add_tail(&s->used, &e->used);
	s->count++;
	s->bytes += charge(e);
	s->inserts++;
	make_room(s);
	return true;
}

static void insert(struct lru *c, uint64_t log, const struct lsvd_vlog_handle *h,
		   struct lsvd_vlog_value *value, bool always)
{
	uint64_t hash = hash_of(log, h), bytes = sizeof(struct entry) + lsvd_vlog_value_size(value);
	struct shard *s = shard_of(c, hash);
	struct entry *e;
	bool wanted;

	if (bytes > s->limit)
		return;
	(void)pthread_mutex_lock(&s->lock);
	wanted = always || is_wanted(s, hash, bytes);
	(void)pthread_mutex_unlock(&s->lock);
	e = wanted ? lsvd_malloc(sizeof *e) : NULL;
	if (!e)
		return;
	*e = (struct entry){ .hash = hash, .log = log, .handle = *h,
			     .value = lsvd_vlog_value_ref(value) };
	(void)pthread_mutex_lock(&s->lock);
	wanted = place(s, e);
	(void)pthread_mutex_unlock(&s->lock);
	if (!wanted) {
		lsvd_vlog_value_unref(value);
		lsvd_free(e);
	}
}

static void lru_insert(void *ctx, uint64_t log, const struct lsvd_vlog_handle *h,
		       struct lsvd_vlog_value *value)
{
	insert(ctx, log, h, value, false);
}

static void lru_bring(void *ctx, uint64_t log, const struct lsvd_vlog_handle *h,
		      struct lsvd_vlog_value *value)
{
	insert(ctx, log, h, value, true);
}

static void drop_from(struct shard *s, uint64_t log, uint64_t segment)
{
	(void)pthread_mutex_lock(&s->lock);
	list_for_each_safe(it, &s->used) {
		struct entry *e = list_entry(it, struct entry, used);

		if (e->log == log && (segment == UINT64_MAX || e->handle.segment == segment))
			evict(s, find(s, e->hash, e->log, &e->handle));
	}
	(void)pthread_mutex_unlock(&s->lock);
}

static void lru_drop(void *ctx, uint64_t log, uint64_t segment)
{
	struct lru *c = ctx;

	for (unsigned i = 0; i < c->shard_count; i++)
		drop_from(&c->shards[i], log, segment);
}

static void lru_stats(void *ctx, struct lsvd_vlog_cache_stats *ret)
{
	struct lru *c = ctx;

	for (unsigned i = 0; i < c->shard_count; i++) {
		struct shard *s = &c->shards[i];

		(void)pthread_mutex_lock(&s->lock);
		ret->hits += s->hits;
		ret->misses += s->misses;
		ret->inserts += s->inserts;
		ret->evictions += s->evictions;
		ret->bytes += s->bytes;
		ret->values += s->count;
		(void)pthread_mutex_unlock(&s->lock);
	}
}

static void lru_close(void *ctx)
{
	struct lru *c = ctx;

	for (unsigned i = 0; i < c->shard_count; i++) {
		struct shard *s = &c->shards[i];

		s->limit = 0;
		make_room(s);
		lsvd_free(s->buckets);
		lsvd_free(s->asked);
		(void)pthread_mutex_destroy(&s->lock);
	}
	lsvd_free(c);
}

static const struct lsvd_vlog_cache_ops lru_ops = {
	.size = sizeof(struct lsvd_vlog_cache_ops),
	.insert = lru_insert,
	.get = lru_get,
	.drop = lru_drop,
	.close = lru_close,
	.stats = lru_stats,
	.bring = lru_bring,
};

static unsigned shards_for(uint64_t bytes)
{
	unsigned n = 1;

	while (n < SHARDS_MAX && bytes / (2 * n) >= SHARD_BYTES)
		n *= 2;
	return n;
}

int lsvd_vlog_cache_new(struct lsvd_vlog_cache **ret, uint64_t bytes)
{
	struct lru *c;
	int err;

	if (!ret)
		return lsvd_fail(-EINVAL, "cache of values: nowhere to put it");
	c = lsvd_calloc(1, sizeof *c);
	if (!c)
		return lsvd_fail_plain(-ENOMEM);
	c->shard_count = shards_for(bytes);
	for (unsigned i = 0; i < c->shard_count; i++) {
		(void)lsvd_lock_init(&c->shards[i].lock); /* cannot fail: nothing is allocated */
		list_init(&c->shards[i].used);
		c->shards[i].limit = bytes / c->shard_count;
	}
	err = lsvd_vlog_cache_new_ops(ret, &lru_ops, c);
	if (err < 0)
		lru_close(c);
	return err;
}
