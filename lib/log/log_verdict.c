/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_verdict.c - may this opener go on from what the store has?
 *
 * A cache is current when the claim of its epoch carries its id and no later epoch has an object 1.
 * That is enough, and no more than that is asked:
 *
 *   - The cache's superblock names an epoch before object 1 of it is put, so an intact cache is
 *     never behind an activation of its own. One that is has been rolled back (a restored image).
 *   - An epoch is activated before a later one is claimed, or never: whoever makes a claim sees to
 *     it (log_fence.c). So none comes between the cache's epoch and the one it goes on from.
 *   - A claim that never came to object 1 makes no cache old, neither another's nor the cache's
 *     own: it counts as of the epoch it was to go on from.
 *
 * A current cache holds all that the store has, since an object is put only when its records are
 * durable in the log. If it ends earlier it is not the cache that we think it is. If it begins
 * later than the store ends, the store has lost what it acknowledged: there would be a hole between
 * them.
 *
 * A cache that is damaged holds what it would without what the store has anyway: that is why where
 * it ends can be said only here.
 *
 * Without a current cache, what the last writer acknowledged and did not store is lost by going on.
 * That nothing is lost is known in two cases only: its chain is closed, or nobody ever wrote.
 */
#include "log/log_internal.h"

#include <errno.h>

#include "base/err.h"

int lsvd_verdict_claim(struct log *log, const struct log_call *call, bool *ret_known)
{
	const struct log_cache *cache = &log->options.cache;
	struct fmt_claim claim;
	int err;

	*ret_known = false;
	if (call->err < 0)
		return 0;
	err = lsvd_claim_decode(&claim, &log->options.volume, cache->epoch, call->io.buf,
				call->io.ret_len, call->io.key);
	if (err == 0)
		*ret_known = lsvd_uuid_equal(&claim.cache_id, &cache->id);
	return err;
}

/*
 * What the store had of the history that this cache took part in: goes back from the end through
 * the bases to the cache's epoch, or, if that was never activated, to the one it was to go on from.
 */
static int stored_of_cache(struct log *log, const struct log_view *view, bool *ret_known,
			   uint64_t *ret_op)
{
	const struct log_cache *cache = &log->options.cache;
	uint64_t epoch = view->end.epoch, op = view->end.chain.last_op;
	struct log_header base;
	int err;

	while (epoch > cache->epoch) {
		const struct log_where at = { epoch, 1 };

		err = lsvd_headers_get(log, &at, 1, OBJECT_HEAD_BYTES + CHAIN_PART_BYTES,
				       &base, NULL);
		if (err < 0)
			return err;
		lsvd_headers_free(&base, 1);
		err = lsvd_base_check(log, epoch, &base);
		if (err < 0)
			return err;
		epoch = base.chain.base_epoch;
		op = base.chain.last_op;
	}
	*ret_known = view->cache_known && (epoch == cache->epoch || epoch == cache->base_epoch);
	*ret_op = op;
	return 0;
}

/*
 * The newest operation in the cache. Of a damaged one that depends on what the store has: what was
 * damaged and is there does not matter.
 */
static int end_of_cache(const struct log *log, uint64_t stored, uint64_t *ret, bool *ret_cut)
{
	const struct log_options *o = &log->options;

	*ret = o->cache.last_op;
	*ret_cut = false;
	if (!o->cache.damaged || !log->ops->cache_holds)
		return 0;
	return log->ops->cache_holds(log->ctx, stored, o->accept_rollback, ret, ret_cut);
}

/* A cache that is not current: it may go only if the store has all that it holds. */
static int check_stale(struct log *log, const struct log_view *view)
{
	const struct log_cache *cache = &log->options.cache;
	uint64_t op = 0, last;
	bool known, cut;
	int err;

	if (log->options.accept_rollback ||
	    (cache->last_op < cache->first_op && !cache->damaged))
		return 0;
	err = stored_of_cache(log, view, &known, &op);
	if (err == 0)
		err = end_of_cache(log, known ? op : 0, &last, &cut);
	if (err < 0 || (known && last <= op))
		return err;
	if (!known)
		return lsvd_fail(LSVD_E_FOREIGN_CACHE,
				 "volume %s: the cache (epoch %llu, operations %llu to %llu) is "
				 "not part of the history in the store (epoch %llu)",
				 log->options.name, (unsigned long long)cache->epoch,
				 (unsigned long long)cache->first_op, (unsigned long long)last,
				 (unsigned long long)view->end.epoch);
	return lsvd_fail(LSVD_E_FOREIGN_CACHE,
			 "volume %s: another writer went on in epoch %llu from operation %llu; the "
			 "cache (epoch %llu) holds operations up to %llu that were never stored",
			 log->options.name, (unsigned long long)view->end.epoch,
			 (unsigned long long)op, (unsigned long long)cache->epoch,
			 (unsigned long long)last);
}

/*
 * What was written offline is nowhere but in the cache: if the store has such operations, others.
 */
static bool has_parted(const struct log *log, uint64_t stored)
{
	return log->options.cache.offline_op && stored >= log->options.cache.offline_op;
}

static int parted(const struct log *log, uint64_t stored)
{
	return lsvd_fail(LSVD_E_ROLLBACK,
			 "volume %s: the cache went on offline from operation %llu, and the store "
			 "has %llu: it had more than the cache knew (accept-rollback goes on "
			 "without the cache)", log->options.name,
			 (unsigned long long)log->options.cache.offline_op,
			 (unsigned long long)stored);
}

static int check_current(const struct log *log, const struct log_view *view,
			 struct log_verdict *ret)
{
	uint64_t first = log->options.cache.first_op, has;
	uint64_t stored = view->end.chain.last_op;
	bool cut;
	int err;

	err = end_of_cache(log, stored, &has, &cut);
	if (err < 0)
		return err;
	if (has_parted(log, stored) && !log->options.accept_rollback)
		return parted(log, stored);
	if (has >= stored && first <= stored + 1 && !has_parted(log, stored)) {
		ret->current = true;
		ret->flag = cut;
		return 0;
	}
	if (!log->options.accept_rollback && first > stored + 1)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "volume %s: the store acknowledged operation %llu and now ends at "
				 "%llu: it has lost objects, and the cache begins after them "
				 "(accept-rollback goes on without it)", log->options.name,
				 (unsigned long long)first - 1, (unsigned long long)stored);
	if (!log->options.accept_rollback)
		return lsvd_fail(LSVD_E_ROLLBACK,
				 "volume %s: the cache ends at operation %llu, the store has %llu: "
				 "the cache was rolled back (accept-rollback goes on without it)",
				 log->options.name, (unsigned long long)has,
				 (unsigned long long)stored);
	ret->flag = true;
	return 0;
}

static int check_without_cache(const struct log *log, const struct log_view *view,
			       struct log_verdict *ret)
{
	const struct log_options *o = &log->options;
	const struct chain_end *end = &view->end;
	bool remote = end->chain.flags & CHAIN_FLUSH_REMOTE;

	if (end->epoch == 0 || end->closed)
		return 0;
	ret->flag = true;
	if (o->accept_rollback || (o->takeover && remote))
		return 0;
	return lsvd_fail(LSVD_E_ROLLBACK,
			 "volume %s: the writer of epoch %llu did not close it, and its cache is "
			 "not here: what it acknowledged after operation %llu may be lost "
			 "(%saccept-rollback goes on from there%s)", o->name,
			 (unsigned long long)end->epoch, (unsigned long long)end->chain.last_op,
			 remote ? "takeover or " : "", remote ? "; it flushed to the store" : "");
}

int lsvd_verdict(struct log *log, const struct log_view *view, struct log_verdict *ret)
{
	const struct log_cache *cache = &log->options.cache;
	int err;

	*ret = (struct log_verdict){ .current = false };
	if (cache->present && view->cache_known && view->end.epoch <= cache->epoch)
		return check_current(log, view, ret);
	if (cache->present) {
		err = check_stale(log, view);
		if (err < 0)
			return err;
	}
	return check_without_cache(log, view, ret);
}
