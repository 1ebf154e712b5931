/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_mem.c - objects in this process's memory, for tests, examples and measurements.
 *
 * Objects stand in one array sorted by key. They are counted: a reader copies from an object
 * without the lock, and one that is removed meanwhile goes when the last reader has left. Stores
 * with a name are found again in a list of the process.
 *
 * Locks: registry, then mem->lock; neither is held over a copy, an allocation of a body or a
 * callback.
 */
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"

struct object {
	unsigned refs;               /* protected by mem->lock */
	int64_t modified_ms;
	size_t bytes;
	uint8_t *body;               /* behind the key, in the same piece of memory */
	char key[];
};

struct mem {
	struct mem *next;            /* registry, protected by its lock */
	unsigned opens;              /* protected by the registry's lock */
	char *name;

	pthread_mutex_t lock;
	/* protected by lock */
	struct object **objects;     /* by key */
	size_t count, room;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mem *registry;

/* -------------------------------------------------------------------------------------- objects */

static int64_t wall_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts); /* cannot fail: every system has it */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static struct object *object_new(const char *key, const struct iovec *iov, int iovcnt)
{
	size_t key_len = strlen(key) + 1, bytes = lsvd_iov_bytes(iov, iovcnt);
	struct object *o;
	uint8_t *p;

	if (bytes > SIZE_MAX / 2)
		return NULL;
	o = lsvd_malloc(sizeof *o + key_len + bytes);
	if (!o)
		return NULL;
	o->refs = 1;
	o->modified_ms = wall_ms();
	o->bytes = bytes;
	memcpy(o->key, key, key_len);
	o->body = (uint8_t *)o->key + key_len;
	p = o->body;
	for (int i = 0; i < iovcnt; i++) {
		if (iov[i].iov_len == 0)
			continue;
		memcpy(p, iov[i].iov_base, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	return o;
}

/* The place of the first key that is not below `key`. */
static size_t lower_bound_locked(const struct mem *m, const char *key)
{
	size_t lo = 0, hi = m->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(m->objects[mid]->key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_at_locked(const struct mem *m, size_t i, const char *key)
{
	return i < m->count && strcmp(m->objects[i]->key, key) == 0;
}

static int grow_locked(struct mem *m)
{
	size_t room = m->room ? m->room * 2 : 64;
	struct object **objects;

	if (m->count < m->room)
		return 0;
	objects = lsvd_realloc(m->objects, room * sizeof *objects);
	if (!objects)
		return -ENOMEM;
	m->objects = objects;
	m->room = room;
	return 0;
}

static int insert_locked(struct mem *m, struct object *o)
{
	size_t i = lower_bound_locked(m, o->key);
	int err;

	if (is_at_locked(m, i, o->key))
		return -EEXIST;
	err = grow_locked(m);
	if (err < 0)
		return err;
	memmove(m->objects + i + 1, m->objects + i, (m->count - i) * sizeof *m->objects);
	m->objects[i] = o;
	m->count++;
	return 0;
}

static struct object *take(struct mem *m, const char *key)
{
	struct object *o = NULL;
	size_t i;

	pthread_mutex_lock(&m->lock);
	i = lower_bound_locked(m, key);
	if (is_at_locked(m, i, key)) {
		o = m->objects[i];
		o->refs++;
	}
	pthread_mutex_unlock(&m->lock);
	return o;
}

static void put_back(struct mem *m, struct object *o)
{
	bool last;

	if (!o)
		return;
	pthread_mutex_lock(&m->lock);
	last = --o->refs == 0;
	pthread_mutex_unlock(&m->lock);
	if (last)
		lsvd_free(o);
}

/* ----------------------------------------------------------------------------------- operations */

static int exists(const char *key)
{
	return lsvd_store_fail(-EEXIST, "put %s: there is an object of this name", key);
}

static int absent(const char *verb, const char *key)
{
	return lsvd_store_fail(-ENOENT, "%s %s: no such object", verb, key);
}

static int mem_put(void *ctx, const char *key, const struct iovec *iov, int iovcnt)
{
	struct mem *m = ctx;
	struct object *o = take(m, key);
	int err;

	/* Not to copy what will be refused; the decision itself falls in insert_locked(). */
	if (o) {
		put_back(m, o);
		return exists(key);
	}
	o = object_new(key, iov, iovcnt);
	if (!o)
		return lsvd_store_fail(-ENOMEM, "put %s: no memory for %zu bytes", key,
				       lsvd_iov_bytes(iov, iovcnt));
	pthread_mutex_lock(&m->lock);
	err = insert_locked(m, o);
	pthread_mutex_unlock(&m->lock);
	if (err < 0)
		lsvd_free(o);
	return err == -EEXIST ? exists(key) : err;
}

static int mem_get(void *ctx, const char *key, uint64_t off, void *buf, size_t len,
		   size_t *ret_len)
{
	struct mem *m = ctx;
	struct object *o = take(m, key);
	size_t n;

	if (!o)
		return absent("get", key);
	n = off < o->bytes ? (size_t)min_u64(o->bytes - off, len) : 0;
	if (n > 0)
		memcpy(buf, o->body + off, n);
	put_back(m, o);
	*ret_len = n;
	return 0;
}

static int mem_head(void *ctx, const char *key, uint64_t *ret_bytes)
{
	struct mem *m = ctx;
	struct object *o = take(m, key);

	if (!o)
		return absent("head", key);
	*ret_bytes = o->bytes;
	put_back(m, o);
	return 0;
}

/* The first object at or, if `beyond`, after `key`. */
static struct object *take_next(struct mem *m, const char *key, bool beyond)
{
	struct object *o = NULL;
	size_t i;

	pthread_mutex_lock(&m->lock);
	i = lower_bound_locked(m, key);
	if (beyond && is_at_locked(m, i, key))
		i++;
	if (i < m->count) {
		o = m->objects[i];
		o->refs++;
	}
	pthread_mutex_unlock(&m->lock);
	return o;
}

/* From one object to the next: the function may itself put and remove. */
static int mem_list(void *ctx, const char *prefix, lsvd_object_fn fn, void *fn_ctx)
{
	struct mem *m = ctx;
	struct object *o = take_next(m, prefix, false), *next;
	size_t len = strlen(prefix);

	while (o && strncmp(o->key, prefix, len) == 0) {
		struct lsvd_object_info info = { o->key, o->bytes, o->modified_ms };

		if (fn(fn_ctx, &info))
			break;
		next = take_next(m, o->key, true);
		put_back(m, o);
		o = next;
	}
	put_back(m, o);
	return 0;
}

static int mem_remove(void *ctx, const char *key)
{
	struct mem *m = ctx;
	struct object *o = NULL;
	size_t i;

	pthread_mutex_lock(&m->lock);
	i = lower_bound_locked(m, key);
	if (is_at_locked(m, i, key)) {
		o = m->objects[i];
		m->count--;
		memmove(m->objects + i, m->objects + i + 1, (m->count - i) * sizeof *m->objects);
	}
	pthread_mutex_unlock(&m->lock);
	put_back(m, o);
	return 0;
}

/* ------------------------------------------------------------------------------------- lifetime */

static void mem_free(struct mem *m)
{
	for (size_t i = 0; i < m->count; i++)
		lsvd_free(m->objects[i]);
	lsvd_free(m->objects);
	lsvd_free(m->name);
	(void)pthread_mutex_destroy(&m->lock); /* nobody holds it */
	lsvd_free(m);
}

static void unlink_locked(struct mem *m)
{
	struct mem **at = &registry;

	while (*at && *at != m)
		at = &(*at)->next;
	if (*at)
		*at = m->next;
}

static void mem_close(void *ctx)
{
	struct mem *m = ctx;
	bool last;

	pthread_mutex_lock(&registry_lock);
	last = --m->opens == 0;
	if (last)
		unlink_locked(m);
	pthread_mutex_unlock(&registry_lock);
	if (last)
		mem_free(m);
}

static struct mem *mem_new(const char *name)
{
	struct mem *m = lsvd_calloc(1, sizeof *m);

	if (!m)
		return NULL;
	m->opens = 1;
	m->name = lsvd_strdup(name);
	if (!m->name || pthread_mutex_init(&m->lock, NULL) != 0) {
		lsvd_free(m->name);
		lsvd_free(m);
		return NULL;
	}
	return m;
}

static struct mem *find_or_add_locked(const char *name)
{
	struct mem *m = registry;

	while (m && strcmp(m->name, name) != 0)
		m = m->next;
	if (m) {
		m->opens++;
		return m;
	}
	m = mem_new(name);
	if (m) {
		m->next = registry;
		registry = m;
	}
	return m;
}

static struct mem *mem_open(const char *name)
{
	struct mem *m;

	if (!*name)
		return mem_new(name);
	pthread_mutex_lock(&registry_lock);
	m = find_or_add_locked(name);
	pthread_mutex_unlock(&registry_lock);
	return m;
}

static const struct lsvd_store_ops mem_ops = {
	.size = sizeof mem_ops,
	.caps = LSVD_STORE_CAP_CREATE | LSVD_STORE_CAP_INLINE,
	.put_if_absent = mem_put,
	.get = mem_get,
	.head = mem_head,
	.list = mem_list,
	.remove = mem_remove,
	.close = mem_close,
};

int lsvd_store_mem_open(struct lsvd_store **ret, const char *url, const char *name)
{
	struct mem *m = mem_open(name);
	int err;

	if (!m)
		return lsvd_fail_plain(-ENOMEM);
	err = lsvd_store_new(ret, url, &mem_ops, m);
	if (err < 0)
		mem_close(m);
	return err;
}
