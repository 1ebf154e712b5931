/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_cache.c - what a value log asks of a cache, whoever made it.
 *
 * The built-in one (vlog_lru.c) is reached through the same table as the program's own.
 */
#include "vlog/vlog_cache.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"

struct lsvd_vlog_cache {
	const struct lsvd_vlog_cache_ops *ops;
	void *ctx;
};

int lsvd_vlog_cache_new_ops(struct lsvd_vlog_cache **ret, const struct lsvd_vlog_cache_ops *ops,
			    void *ctx)
{
	struct lsvd_vlog_cache *c;

	if (!ret || !ops || ops->size < sizeof *ops || !ops->insert || !ops->get)
		return lsvd_fail(-EINVAL,
				 "cache of values: insert and get are needed, and a size of %zu",
				 sizeof *ops);
	c = lsvd_malloc(sizeof *c);
	if (!c)
		return lsvd_fail_plain(-ENOMEM);
	c->ops = ops;
	c->ctx = ctx;
	*ret = c;
	return 0;
}

void lsvd_vlog_cache_free(struct lsvd_vlog_cache *c)
{
	if (c && c->ops->close)
		c->ops->close(c->ctx);
	lsvd_free(c);
}

int lsvd_vlog_cache_stats(struct lsvd_vlog_cache *c, struct lsvd_vlog_cache_stats *ret)
{
	struct lsvd_vlog_cache_stats st = { .size = sizeof st };

	if (c->ops->stats)
		c->ops->stats(c->ctx, &st);
	return lsvd_options_fill(ret, &st, sizeof st, sizeof st, "lsvd_vlog_cache_stats");
}

struct lsvd_vlog_value *lsvd_vlog_cache_get(struct lsvd_vlog_cache *c, uint64_t log,
					    const struct lsvd_vlog_handle *handle)
{
	return c ? c->ops->get(c->ctx, log, handle) : NULL;
}

void lsvd_vlog_cache_insert(struct lsvd_vlog_cache *c, uint64_t log,
			    const struct lsvd_vlog_handle *handle, struct lsvd_vlog_value *value)
{
	if (c)
		c->ops->insert(c->ctx, log, handle, value);
}

void lsvd_vlog_cache_bring(struct lsvd_vlog_cache *c, uint64_t log,
			   const struct lsvd_vlog_handle *handle, struct lsvd_vlog_value *value)
{
	if (c && c->ops->bring)
		c->ops->bring(c->ctx, log, handle, value);
	else
		lsvd_vlog_cache_insert(c, log, handle, value);
}

void lsvd_vlog_cache_drop(struct lsvd_vlog_cache *c, uint64_t log, uint64_t segment)
{
	if (c && c->ops->drop)
		c->ops->drop(c->ctx, log, segment);
}
