/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_null.c - keeps the beginning of each object.
 *
 * It stands on a memory store, whose object of the same key holds the true length (8 bytes) and
 * then the beginning.
 */
#include "store_null.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/store.h>

#define LENGTH_BYTES 8u

struct null {
	struct lsvd_store *inner;
	size_t keep;
	bool maps; /* what is no chain object is kept whole */
};

static size_t kept_of(const struct null *n, const char *key)
{
	return n->maps && !strstr(key, "/d/") ? SIZE_MAX : n->keep;
}

static int null_put(void *ctx, const char *key, const struct iovec *iov, int iovcnt)
{
	struct null *n = ctx;
	uint64_t bytes = 0;
	size_t left = kept_of(n, key);
	struct iovec *kept = calloc((size_t)iovcnt + 1, sizeof *kept);
	int count = 1, err;

	if (!kept)
		return lsvd_store_fail(-ENOMEM, "put %s: no memory", key);
	for (int i = 0; i < iovcnt; i++) {
		bytes += iov[i].iov_len;
		if (left == 0)
			continue;
		kept[count] = iov[i];
		if (kept[count].iov_len > left)
			kept[count].iov_len = left;
		left -= kept[count++].iov_len;
	}
	kept[0] = (struct iovec){ &bytes, LENGTH_BYTES };
	err = lsvd_store_put_if_absent(n->inner, key, kept, count);
	free(kept);
	return err;
}

static int null_head(void *ctx, const char *key, uint64_t *ret_bytes)
{
	struct null *n = ctx;
	uint64_t bytes = 0;
	size_t got;
	int err = lsvd_store_get(n->inner, key, 0, &bytes, LENGTH_BYTES, &got);

	if (err == 0)
		*ret_bytes = bytes;
	return err;
}

static int null_get(void *ctx, const char *key, uint64_t off, void *buf, size_t len,
		    size_t *ret_len)
{
	struct null *n = ctx;
	uint64_t bytes = 0;
	size_t got = 0;
	int err = null_head(ctx, key, &bytes);

	if (err < 0)
		return err;
	if (off >= bytes)
		len = 0;
	else if (len > bytes - off)
		len = (size_t)(bytes - off);
	if (off < kept_of(n, key))
		err = lsvd_store_get(n->inner, key, off + LENGTH_BYTES, buf, len, &got);
	if (err < 0)
		return err;
	if (got < len)
		memset((char *)buf + got, 0, len - got);
	*ret_len = len;
	return 0;
}

struct listing {
	struct null *null;
	lsvd_object_fn fn;
	void *ctx;
};

static int with_true_length(void *ctx, const struct lsvd_object_info *info)
{
	struct listing *l = ctx;
	struct lsvd_object_info truth = *info;

	if (null_head(l->null, info->key, &truth.bytes) < 0)
		return 0; /* removed meanwhile */
	return l->fn(l->ctx, &truth);
}

static int null_list(void *ctx, const char *prefix, lsvd_object_fn fn, void *fn_ctx)
{
	struct null *n = ctx;
	struct listing l = { n, fn, fn_ctx };

	return lsvd_store_list(n->inner, prefix, with_true_length, &l);
}

static int null_remove(void *ctx, const char *key)
{
	struct null *n = ctx;

	return lsvd_store_remove(n->inner, key);
}

static void null_close(void *ctx)
{
	struct null *n = ctx;

	lsvd_store_close(n->inner);
	free(n);
}

static const struct lsvd_store_ops null_ops = {
	.size = sizeof null_ops,
	.caps = LSVD_STORE_CAP_CREATE | LSVD_STORE_CAP_INLINE,
	.put_if_absent = null_put,
	.get = null_get,
	.head = null_head,
	.list = null_list,
	.remove = null_remove,
	.close = null_close,
};

static int open_null(struct lsvd_store **ret, size_t keep, bool maps)
{
	struct null *n = calloc(1, sizeof *n);
	int err;

	if (!n)
		return lsvd_store_fail(-ENOMEM, "null store: no memory");
	n->keep = keep ? keep : STORE_NULL_KEEP;
	n->maps = maps;
	err = lsvd_store_open(&n->inner, "mem:", NULL);
	if (err == 0) {
		err = lsvd_store_new(ret, "null:", &null_ops, n);
		if (err < 0)
			lsvd_store_close(n->inner);
	}
	if (err < 0)
		free(n);
	return err;
}

int store_null_open(struct lsvd_store **ret, size_t keep)
{
	return open_null(ret, keep, false);
}

int store_null_open_maps(struct lsvd_store **ret)
{
	return open_null(ret, 0, true);
}
