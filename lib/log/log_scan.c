/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_scan.c - the newest claim, the newest activated epoch, the end of a chain: found by probing.
 *
 * A LIST may be old; a probe is not. What is probed here is never freed while the volume lives, so
 * "not there" means "never written": claims, object 1 and the anchors (every 64th chain object) of
 * every epoch, and of each chain what lies after the objects that its newest anchor calls
 * acknowledged. Claims and anchors have no gaps: a claim is made only by who saw the one before it;
 * an anchor is sent only when the one before it is acknowledged (log.c). So the last of them is
 * found by doubling and dividing, four probes at a time.
 *
 * From the newest anchor on the chain is read object by object: its end is before the first one
 * missing, or before a fence. Whatever lies behind that landed too late and belongs to nobody.
 */
#include "log/log_internal.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"

#define PROBES 4u
#define LOOK_BYTES 16384u  /* of a chain object at first: nearly always its whole header */
#define LOOK_FIRST 4u      /* objects read at once, at first and later */
#define LOOK_MORE 16u
#define LIMIT (UINT64_C(1) << 40)
#define ROUNDS_MAX 64u     /* far more than dividing takes; others may claim meanwhile */

/* ---------------------------------------------------------------- the last of a row without gaps */

struct row {
	enum key_kind kind;    /* KEY_CLAIM: number n; KEY_CHAIN: seq n * LOG_ANCHOR_EVERY */
	uint64_t epoch;
};

static void init_probe(struct log *log, struct log_call *call, const struct row *row, uint64_t n)
{
	lsvd_call_init(call, IO_HEAD);
	if (row->kind == KEY_CLAIM)
		lsvd_key_claim(call->io.key, &log->options.volume, n);
	else
		lsvd_key_chain(call->io.key, &log->options.volume, row->epoch,
			       n * LOG_ANCHOR_EVERY);
}

/* Asks for the numbers at[0] < at[1] < …; narrows lo (there) and hi (not there). */
static int probe(struct log *log, const struct row *row, const uint64_t *at, unsigned n,
		 uint64_t *lo, uint64_t *hi)
{
	struct log_call calls[PROBES];
	int err;

	for (unsigned i = 0; i < n; i++)
		init_probe(log, &calls[i], row, at[i]);
	log->stats.fence_requests += n;
	err = lsvd_call_run(log, calls, n);
	if (err < 0)
		return err;
	for (unsigned i = 0; i < n && calls[i].err == 0; i++)
		*lo = at[i];
	for (unsigned i = n; i-- > 0 && calls[i].err < 0;)
		*hi = at[i];
	return 0;
}

static int probe_doubling(struct log *log, const struct row *row, uint64_t *lo, uint64_t *hi)
{
	uint64_t from = *lo, at[PROBES];
	int err;

	*hi = UINT64_MAX;
	for (uint64_t step = 1; *hi == UINT64_MAX; step <<= PROBES) {
		if (step > LIMIT)
			return lsvd_fail(LSVD_E_CORRUPT, "volume %s: the store says that every object "
					 "is there, even number %llu", log->options.name,
					 (unsigned long long)*lo);
		for (unsigned i = 0; i < PROBES; i++)
			at[i] = from + (step << i);
		err = probe(log, row, at, PROBES, lo, hi);
		if (err < 0)
			return err;
	}
	return 0;
}

/* Divides what lies between lo and hi, which are more than 1 apart, by up to PROBES probes. */
static int probe_dividing(struct log *log, const struct row *row, uint64_t *lo, uint64_t *hi)
{
	uint64_t gap = *hi - *lo, base = *lo, at[PROBES];
	unsigned n = (unsigned)min_u64(PROBES, gap - 1);

	for (unsigned i = 0; i < n; i++)
		at[i] = base + gap * (i + 1) / (n + 1);
	return probe(log, row, at, n, lo, hi);
}

/* The last number of the row that is there, where `from` is there or is 0. */
static int find_last(struct log *log, const struct row *row, uint64_t from, uint64_t *ret)
{
	uint64_t lo = from, hi;
	int err;

	err = probe_doubling(log, row, &lo, &hi);
	for (unsigned round = 0; err == 0 && hi - lo > 1; round++) {
		if (round == ROUNDS_MAX)
			return lsvd_fail(LSVD_E_CORRUPT, "volume %s: %s have a gap between number %llu "
					 "and %llu", log->options.name,
					 row->kind == KEY_CLAIM ? "claims" : "anchors",
					 (unsigned long long)lo, (unsigned long long)hi);
		err = probe_dividing(log, row, &lo, &hi);
	}
	if (err == 0)
		*ret = lo;
	return err;
}

int lsvd_scan_claims(struct log *log, uint64_t from, uint64_t *ret)
{
	const struct row claims = { .kind = KEY_CLAIM };

	return find_last(log, &claims, from, ret);
}

int lsvd_scan_activated(struct log *log, uint64_t above, uint64_t upto, uint64_t *ret)
{
	struct log_call calls[PROBES];
	int err;

	while (upto > above) {
		unsigned n = (unsigned)min_u64(PROBES, upto - above);

		for (unsigned i = 0; i < n; i++) {
			lsvd_call_init(&calls[i], IO_HEAD);
			lsvd_key_chain(calls[i].io.key, &log->options.volume, upto - i, 1);
		}
		log->stats.fence_requests += n;
		err = lsvd_call_run(log, calls, n);
		if (err < 0)
			return err;
		for (unsigned i = 0; i < n; i++) {
			if (calls[i].err == 0) {
				*ret = upto - i;
				return 0;
			}
		}
		upto -= n;
	}
	*ret = above;
	return 0;
}

/* --------------------------------------------------------------------------- the end of a chain */

static int missing(const struct log *log, uint64_t epoch, uint64_t seq)
{
	return lsvd_fail(LSVD_E_CORRUPT, "volume %s: object %llu of epoch %llu is missing, though later "
			 "ones call it acknowledged", log->options.name, (unsigned long long)seq,
			 (unsigned long long)epoch);
}

static void take_object(struct chain_end *end, const struct log_header *h)
{
	end->seq = h->head.seq;
	end->checksum = h->head.checksum;
	end->chain = h->chain;
	end->closed = h->head.kind == OBJECT_CLOSE;
}

/* Does h come after what is known? */
static int check_link(const struct chain_end *end, const struct log_header *h)
{
	if (h->chain.prev_checksum == end->checksum)
		return 0;
	return lsvd_fail(LSVD_E_CORRUPT, "object %llu of epoch %llu: follows a header with checksum "
			 "%016llx, expected %016llx", (unsigned long long)h->head.seq,
			 (unsigned long long)h->head.epoch,
			 (unsigned long long)h->chain.prev_checksum,
			 (unsigned long long)end->checksum);
}

/* One more object of the chain, if it is there. *ret_more false: it ends before h. */
static int take_next(struct chain_end *end, const struct log_header *h, bool *ret_more)
{
	int err;

	*ret_more = false;
	if (h->err < 0)
		return 0;
	if (end->seq) {
		err = check_link(end, h);
		if (err < 0)
			return err;
	}
	end->fenced = h->head.kind == OBJECT_FENCE;
	if (end->fenced)
		return 0;
	take_object(end, h);
	*ret_more = true;
	return 0;
}

/* Reads `n` objects from `seq` on. */
static int read_on(struct log *log, struct chain_end *end, uint64_t seq, unsigned n, bool *ret_more)
{
	struct log_header headers[LOOK_MORE];
	int err;

	err = lsvd_headers_get(log, end->epoch, seq, n, LOOK_BYTES, headers);
	if (err < 0)
		return err;
	*ret_more = true;
	for (unsigned i = 0; i < n && err == 0 && *ret_more; i++)
		err = take_next(end, &headers[i], ret_more);
	lsvd_headers_free(headers, n);
	return err;
}

static int acked_by_anchor(struct log *log, const struct chain_end *end, uint64_t *ret)
{
	uint64_t seq = end->anchor * LOG_ANCHOR_EVERY;
	struct log_header h;
	int err;

	err = lsvd_headers_get(log, end->epoch, seq, 1, LOOK_BYTES, &h);
	if (err < 0)
		return err;
	*ret = h.chain.acked_seq;
	lsvd_headers_free(&h, 1);
	return h.err < 0 ? missing(log, end->epoch, seq) : 0;
}

/*
 * Where to begin reading. Without a newer anchor than when this chain was looked at before, nothing
 * after its then end can have been deleted meanwhile, so that is where to go on.
 */
static int find_start(struct log *log, struct chain_end *end, uint64_t *ret)
{
	const struct row anchors = { .kind = KEY_CHAIN, .epoch = end->epoch };
	uint64_t known = end->anchor;
	int err;

	err = find_last(log, &anchors, known, &end->anchor);
	if (err < 0)
		return err;
	if (end->anchor == known) {
		*ret = end->seq + 1;
		return 0;
	}
	end->seq = 0;
	err = acked_by_anchor(log, end, ret);
	if (err == 0 && *ret == 0)
		*ret = 1;
	return err;
}

int lsvd_scan_end(struct log *log, struct chain_end *end)
{
	unsigned n = LOOK_FIRST;
	uint64_t start, seq;
	bool more = true;
	int err;

	err = find_start(log, end, &start);
	for (seq = start; err == 0 && more; seq += n, n = LOOK_MORE)
		err = read_on(log, end, seq, n, &more);
	if (err == 0 && end->seq == 0)
		return missing(log, end->epoch, start);
	return err;
}
