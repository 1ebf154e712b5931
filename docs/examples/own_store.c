/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * own_store.c - a store of one's own: the driver of <lsvd/store_driver.h> over a sorted list.
 *
 *   cc own_store.c $(pkg-config --cflags --libs lsvd) -pthread -o own_store && ./own_store /tmp/x
 *
 * The objects are in memory, so this is of use only to learn from and for tests; a driver for a
 * database or a network service has the same six functions. Two things matter most: a put must be
 * whole or not there at all, and of two puts of one key exactly one may succeed.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/lsvd.h>
#include <lsvd/store_driver.h>

struct object {
	struct object *next; /* in byte order of the keys: that is the order of a listing */
	char key[LSVD_KEY_MAX + 1];
	size_t len;
	unsigned char data[];
};

/* The operations come from several threads at once. */
struct shelf {
	pthread_mutex_t lock;
	struct object *first;
};

/* Where the object of this name is linked, or would be. */
static struct object **find(struct shelf *s, const char *key)
{
	struct object **at = &s->first;

	while (*at && strcmp((*at)->key, key) < 0)
		at = &(*at)->next;
	return at;
}

static int holds(struct object *const *at, const char *key)
{
	return *at && !strcmp((*at)->key, key);
}

static struct object *object_new(const char *key, const struct iovec *iov, int iovcnt)
{
	struct object *o;
	size_t len = 0;

	for (int i = 0; i < iovcnt; i++)
		len += iov[i].iov_len;
	o = malloc(sizeof *o + len);
	if (!o)
		return NULL;
	snprintf(o->key, sizeof o->key, "%s", key);
	o->len = 0;
	for (int i = 0; i < iovcnt; i++) {
		if (iov[i].iov_len) /* an empty part may have no address */
			memcpy(o->data + o->len, iov[i].iov_base, iov[i].iov_len);
		o->len += iov[i].iov_len;
	}
	return o;
}

static int shelf_put(void *ctx, const char *key, const struct iovec *iov, int iovcnt)
{
	struct shelf *s = ctx;
	struct object *o = object_new(key, iov, iovcnt), **at;
	int err = 0;

	if (!o)
		return -ENOMEM;
	pthread_mutex_lock(&s->lock);
	at = find(s, key);
	if (holds(at, key)) {
		err = -EEXIST;
	} else {
		o->next = *at;
		*at = o;
		o = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	free(o);
	return err;
}

static int shelf_get(void *ctx, const char *key, uint64_t off, void *buf, size_t len,
		     size_t *ret_len)
{
	struct shelf *s = ctx;
	struct object **at;
	int err = 0;

	pthread_mutex_lock(&s->lock);
	at = find(s, key);
	if (!holds(at, key)) {
		err = lsvd_store_fail(-ENOENT, "get %s: no such object", key);
	} else if (off >= (*at)->len) {
		*ret_len = 0;
	} else {
		size_t there = (*at)->len - (size_t)off;

		*ret_len = len < there ? len : there;
		memcpy(buf, (*at)->data + off, *ret_len);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

static int shelf_head(void *ctx, const char *key, uint64_t *ret_bytes)
{
	struct shelf *s = ctx;
	struct object **at;
	int err = 0;

	pthread_mutex_lock(&s->lock);
	at = find(s, key);
	if (holds(at, key))
		*ret_bytes = (*at)->len;
	else
		err = -ENOENT;
	pthread_mutex_unlock(&s->lock);
	return err;
}

static int shelf_list(void *ctx, const char *prefix, lsvd_object_fn fn, void *fn_ctx)
{
	struct shelf *s = ctx;
	struct object *o;

	pthread_mutex_lock(&s->lock);
	for (o = *find(s, prefix); o && !strncmp(o->key, prefix, strlen(prefix)); o = o->next) {
		struct lsvd_object_info info = { o->key, o->len, 0 };

		if (fn(fn_ctx, &info))
			break;
	}
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int shelf_remove(void *ctx, const char *key)
{
	struct shelf *s = ctx;
	struct object **at, *o = NULL;

	pthread_mutex_lock(&s->lock);
	at = find(s, key);
	if (holds(at, key)) {
		o = *at;
		*at = o->next;
	}
	pthread_mutex_unlock(&s->lock);
	free(o);
	return 0;
}

static void shelf_close(void *ctx)
{
	struct shelf *s = ctx;

	while (s->first) {
		struct object *o = s->first;

		s->first = o->next;
		free(o);
	}
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static const struct lsvd_store_ops shelf_ops = {
	.size = sizeof shelf_ops,
	.caps = LSVD_STORE_CAP_CREATE,
	.put_if_absent = shelf_put,
	.get = shelf_get,
	.head = shelf_head,
	.list = shelf_list,
	.remove = shelf_remove,
	.close = shelf_close,
};

static int shelf_open(struct lsvd_store **ret)
{
	struct shelf *s = calloc(1, sizeof *s);
	int err;

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	err = lsvd_store_new(ret, "shelf", &shelf_ops, s);
	if (err)
		shelf_close(s); /* on failure it stays ours */
	return err;
}

/* ------------------------------------------------------------------------------ a disk on it */

static int show(void *ctx, const struct lsvd_object_info *info)
{
	(void)ctx;
	printf("%8llu  %s\n", (unsigned long long)info->bytes, info->key);
	return 0;
}

static int use(struct lsvd_store *store, const char *cache_dir)
{
	struct lsvd_volume_options options = LSVD_VOLUME_OPTIONS_INIT;
	unsigned char block[4096];
	struct lsvd_volume *volume;
	int err, closed;

	memset(block, 'x', sizeof block);
	options.cache_dir = cache_dir;
	options.log_bytes = 16u << 20;
	err = lsvd_volume_create(store, "own", UINT64_C(1) << 30, NULL, NULL);
	if (err)
		return err;
	err = lsvd_volume_open(&volume, store, "own", &options);
	if (err)
		return err;
	err = lsvd_volume_write(volume, block, 0, sizeof block, LSVD_IO_FUA);
	closed = lsvd_volume_close(volume, UINT32_MAX);
	return err ? err : closed;
}

int main(int argc, char **argv)
{
	struct lsvd_store *store;
	int err;

	if (argc != 2) {
		fprintf(stderr, "usage: own_store DIR\n");
		return 2;
	}
	err = shelf_open(&store);
	if (err < 0) {
		fprintf(stderr, "own_store: %s\n", lsvd_strerror(err));
		return 1;
	}
	err = use(store, argv[1]);
	if (!err)
		err = lsvd_store_list(store, "", show, NULL);
	if (err)
		fprintf(stderr, "own_store: %s\n", lsvd_last_error());
	lsvd_store_close(store);
	return err != 0;
}
