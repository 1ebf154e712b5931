/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_dir_held.c - objects that stay open after they were read, for who reads parts of few of
 * them.
 *
 * Off until it is asked for (keep_open of <lsvd/store_driver.h>): an object that is held is read
 * even if another process has removed it, or has put other bytes in its place, which no driver
 * does. What this store removes is let go.
 *
 * What is put then is written so that reading it is cheap (store_dir_write.c).
 *
 * At most `room` files are held, those used last. The table has a reference to each, and so has who
 * reads it: whoever gives the last one back closes it.
 */
#include "store/store_dir.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/lock.h"

#define BUCKETS 64u

struct dir_held {
	struct list lru;             /* held->lru, used last first; in none once it is let go */
	struct dir_held *next;       /* in its bucket */
	uint64_t hash;
	int fd;
	uint64_t bytes;              /* of the object */
	unsigned refs;               /* atomic; taken with the lock held, given back without */
	char key[];
};

struct dir_holding {
	pthread_mutex_t lock;
	/* protected by lock */
	struct dir_held *buckets[BUCKETS];
	struct list lru;
	unsigned count, room;
	uint64_t opened, reused;
};

static struct dir_holding *holding_new(void)
{
	struct dir_holding *h = lsvd_calloc(1, sizeof *h);

	if (!h)
		return NULL;
	if (lsvd_lock_init(&h->lock) < 0) {
		lsvd_free(h);
		return NULL;
	}
	list_init(&h->lru);
	return h;
}

void lsvd_dir_hold(struct dir *d, unsigned room)
{
	struct dir_holding *h;

	pthread_mutex_lock(&d->lock);
	h = d->holding ? d->holding : holding_new();
	if (h) {
		pthread_mutex_lock(&h->lock);
		h->room = room > h->room ? room : h->room;
		pthread_mutex_unlock(&h->lock);
		/* Others may be reading: they see all of it or nothing. */
		__atomic_store_n(&d->holding, h, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&d->lock);
}

static struct dir_holding *holding_of(const struct dir *d)
{
	return __atomic_load_n(&d->holding, __ATOMIC_ACQUIRE);
}

bool lsvd_dir_is_holding(const struct dir *d)
{
	return holding_of(d) != NULL;
}

static struct dir_held **find(struct dir_holding *h, const char *key, uint64_t hash)
{
	struct dir_held **at = &h->buckets[hash % BUCKETS];

	while (*at && ((*at)->hash != hash || strcmp((*at)->key, key) != 0))
		at = &(*at)->next;
	return at;
}

/* lock held: out of the table, whose reference is the caller's now. */
static struct dir_held *let_go(struct dir_holding *h, struct dir_held **at)
{
	struct dir_held *e = *at;

	*at = e->next;
	list_del(&e->lru);
	h->count--;
	return e;
}

static void unref(struct dir_held *e)
{
	if (e && __atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		lsvd_dir_close_fd(e->fd);
		lsvd_free(e);
	}
}

struct dir_held *lsvd_dir_held_get(struct dir *d, const char *key, int *ret_fd, uint64_t *ret_bytes)
{
	struct dir_holding *h = holding_of(d);
	uint64_t hash;
	struct dir_held *e;

	if (!h)
		return NULL;
	hash = lsvd_hash(key, strlen(key));
	pthread_mutex_lock(&h->lock);
	e = *find(h, key, hash);
	if (e) {
		(void)__atomic_add_fetch(&e->refs, 1, __ATOMIC_RELAXED);
		list_del(&e->lru);
		list_add_tail(&h->lru, &e->lru);
		h->reused++;
		*ret_fd = e->fd;
		*ret_bytes = e->bytes;
	} else {
		h->opened++;
	}
	pthread_mutex_unlock(&h->lock);
	return e;
}

void lsvd_dir_held_put(struct dir_held *e)
{
	unref(e);
}

/* lock held: the one that was used longest ago, out of the table. */
static struct dir_held *evict(struct dir_holding *h)
{
	struct dir_held *e = list_first(&h->lru, struct dir_held, lru);

	return let_go(h, find(h, e->key, e->hash));
}

bool lsvd_dir_held_add(struct dir *d, const char *key, int fd, uint64_t bytes)
{
	struct dir_holding *h = holding_of(d);
	size_t len = strlen(key) + 1;
	struct dir_held *e = h ? lsvd_calloc(1, sizeof *e + len) : NULL, *old = NULL, **at;
	bool added = false;

	if (!e)
		return false;
	e->refs = 1;
	e->hash = lsvd_hash(key, len - 1);
	e->fd = fd;
	e->bytes = bytes;
	memcpy(e->key, key, len);
	pthread_mutex_lock(&h->lock);
	at = find(h, key, e->hash);
	if (!*at) {
		*at = e;
		list_add_tail(&h->lru, &e->lru);
		added = true;
		if (++h->count > h->room)
			old = evict(h);
	}
	pthread_mutex_unlock(&h->lock);
	unref(old);
	if (!added)
		lsvd_free(e); /* another reader was faster */
	return added;
}

void lsvd_dir_held_forget(struct dir *d, const char *key)
{
	struct dir_holding *h = holding_of(d);
	struct dir_held **at, *gone = NULL;

	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	at = find(h, key, lsvd_hash(key, strlen(key)));
	if (*at)
		gone = let_go(h, at);
	pthread_mutex_unlock(&h->lock);
	unref(gone);
}

void lsvd_dir_held_count(struct dir *d, uint64_t *ret_opened, uint64_t *ret_reused)
{
	struct dir_holding *h = holding_of(d);

	*ret_opened = *ret_reused = 0;
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	*ret_opened = h->opened;
	*ret_reused = h->reused;
	pthread_mutex_unlock(&h->lock);
}

void lsvd_dir_held_fini(struct dir *d)
{
	struct dir_holding *h = d->holding;
	struct list *node;

	if (!h)
		return;
	while ((node = list_pop(&h->lru)))
		unref(list_entry(node, struct dir_held, lru));
	(void)pthread_mutex_destroy(&h->lock); /* nobody holds it */
	lsvd_free(h);
}
