/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_scan.c - the newest claim, the newest activated epoch, the end of a chain: found by probing.
 *
 * A LIST may be old; a probe is not. What is probed here is never freed while the volume lives, so
 * "not there" means "never written": claims, object 1 and the anchors (every 64th chain object) of
 * every epoch, and of each chain what lies after the objects that its newest anchor calls
 * acknowledged. Claims and anchors have no gaps: a claim is made only by who saw the one before it;
 * an anchor is sent only when the one before it is acknowledged (log.c). So the last of them is
 * found by doubling and dividing, PROBES at a time.
 *
 * From the newest anchor on the chain is read object by object: its end is before the first one
 * missing, or before a fence. Whatever lies behind that landed too late and belongs to nobody.
 *
 * A store creates objects whole. One that does not may show a part of what was being put when the
 * writer died: at the end of the chain, where nothing says that it was acknowledged, that is as
 * good as missing, and as good as a fence, because nothing else can have its name. Not so in the
 * place of an epoch's base: a part of it may yet be all of it (log_fence.c). A part of an object
 * that was acknowledged is damage.
 */
#include "log/log_internal.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"

#define DOUBLINGS 8u       /* probes of a round that looks for a bound */
#define PROBES 32u         /* and at most of one that divides what is left */
#define LOOK_BYTES 16384u  /* of a chain object at first: nearly always its whole header */
#define LOOK_FIRST 8u      /* objects read at once, at first and later */
#define LOOK_MORE 64u
#define DOUBLINGS_MAX 5u
#define ROUNDS_MAX 64u     /* far more than dividing takes; others may claim meanwhile */

/* --------------------------------------------------------------- the last of a row without gaps */

#define ANCHOR_BYTES (OBJECT_HEAD_BYTES + CHAIN_PART_BYTES)

struct row {
	enum key_kind kind;    /* KEY_CLAIM: number n; KEY_CHAIN: seq n * anchor_every */
	uint64_t epoch;
	uint64_t lo, hi;       /* number lo is there or 0, hi is not */
	uint8_t bytes[PROBES][ANCHOR_BYTES]; /* KEY_CHAIN: of the numbers asked for last */
	uint8_t anchor[ANCHOR_BYTES]; /* the beginning of anchor lo */
	size_t anchor_len;     /* 0: it was not read */
};

/* Of an anchor its header is read, which is all of it: it may be the one that is sought. */
static void init_probe(struct log *log, struct log_call *call, struct row *row, uint64_t n,
		       uint8_t bytes[ANCHOR_BYTES])
{
	if (row->kind == KEY_CLAIM) {
		lsvd_call_init(call, IO_HEAD);
		lsvd_key_claim(call->io.key, &log->options.volume, n);
		return;
	}
	lsvd_call_init(call, IO_GET);
	lsvd_key_chain(call->io.key, &log->options.volume, row->epoch,
		       n * log->options.anchor_every);
	call->io.buf = bytes;
	call->io.len = ANCHOR_BYTES;
}

static void keep_anchor(struct row *row, const struct log_call *call)
{
	row->anchor_len = call->io.ret_len;
	memcpy(row->anchor, call->io.buf, row->anchor_len);
}

/* What came of asking for the numbers at[0] < at[1] < … */
static void narrow(struct row *row, const struct log_call *calls, const uint64_t *at, unsigned n)
{
	for (unsigned i = 0; i < n && calls[i].err == 0; i++) {
		row->lo = at[i];
		if (row->kind == KEY_CHAIN)
			keep_anchor(row, &calls[i]);
	}
	for (unsigned i = n; i-- > 0 && calls[i].err < 0;)
		row->hi = at[i];
}

/* What to ask for: ever further while hi is unknown, then what divides the rest. */
static unsigned choose(const struct row *row, unsigned round, uint64_t at[PROBES])
{
	uint64_t gap = row->hi - row->lo;
	unsigned n = (unsigned)min_u64(PROBES, gap - 1);

	if (row->hi == UINT64_MAX) {
		for (unsigned i = 0; i < DOUBLINGS; i++)
			at[i] = row->lo + (UINT64_C(1) << (round * DOUBLINGS + i));
		return DOUBLINGS;
	}
	for (unsigned i = 0; i < n; i++)
		at[i] = row->lo + gap * (i + 1) / (n + 1);
	return n;
}

static int no_end(const struct log *log, const struct row *row)
{
	const char *what = row->kind == KEY_CLAIM ? "claims" : "anchors";

	if (row->hi == UINT64_MAX)
		return lsvd_fail(LSVD_E_CORRUPT, "volume %s: %s have no end: the store has even "
				 "number %llu", log->options.name, what,
				 (unsigned long long)row->lo);
	return lsvd_fail(LSVD_E_CORRUPT, "volume %s: %s have a gap between number %llu and %llu",
			 log->options.name, what, (unsigned long long)row->lo,
			 (unsigned long long)row->hi);
}

/* Prepares a round of requests; returns how many. */
static unsigned prepare(struct log *log, struct row *row, unsigned round,
			struct log_call calls[PROBES], uint64_t at[PROBES])
{
	unsigned n = choose(row, round, at);

	for (unsigned i = 0; i < n; i++)
		init_probe(log, &calls[i], row, at[i], row->bytes[i]);
	log->stats.fence_requests += n;
	return n;
}

static int probe(struct log *log, struct row *row, unsigned round, const struct log_also *also)
{
	struct log_call calls[PROBES + LOG_ALSO_MAX];
	uint64_t at[PROBES];
	unsigned n = prepare(log, row, round, calls, at);
	int err;

	err = lsvd_call_run_with(log, calls, n, also);
	if (err == 0)
		narrow(row, calls, at, n);
	return err;
}

/*
 * Finds row->lo, the last number of the row that is there, given a row->lo that is there or 0, and
 * a row->hi that is not there, or UINT64_MAX after `round` rounds.
 */
static int find_last(struct log *log, struct row *row, unsigned round, const struct log_also *also)
{
	int err = 0;

	for (; err == 0 && row->hi - row->lo > 1; round++) {
		if (round == ROUNDS_MAX || (row->hi == UINT64_MAX && round == DOUBLINGS_MAX))
			return no_end(log, row);
		err = probe(log, row, round, round ? NULL : also);
	}
	return err;
}

int lsvd_scan_claims(struct log *log, uint64_t from, const struct log_also *also, uint64_t *ret)
{
	struct row claims = { .kind = KEY_CLAIM, .lo = from, .hi = UINT64_MAX };
	int err;

	err = find_last(log, &claims, 0, also);
	if (err == 0)
		*ret = claims.lo;
	return err;
}

/* --------------------------------------------------------------------------- the end of a chain */

static int missing(const struct log *log, uint64_t epoch, uint64_t seq)
{
	return lsvd_fail(LSVD_E_CORRUPT, "volume %s: object %llu of epoch %llu is missing, though "
			 "later ones call it acknowledged", log->options.name,
			 (unsigned long long)seq, (unsigned long long)epoch);
}

static void take_object(struct chain_end *end, const struct log_header *h)
{
	end->seq = h->head.seq;
	end->checksum = h->head.checksum;
	end->chain = h->chain;
	end->closed = h->head.kind == OBJECT_CLOSE;
	end->bytes[end->seq % LOG_WINDOW_MAX] = h->head.header_bytes + h->head.body_bytes;
}

/* The chain ends before `seq`, where a part of an object is. */
static void end_before_torn(struct log *log, struct chain_end *end, uint64_t seq)
{
	if (end->torn != seq) {
		log->stats.torn++;
		lsvd_report(LSVD_LOG_ERROR, "volume %s: object %llu of epoch %llu is in the store "
			    "in part and was never acknowledged: the chain ends before it",
			    log->options.name, (unsigned long long)seq,
			    (unsigned long long)end->epoch);
	}
	end->torn = seq;
	end->fenced = true;
}

/* Does h come after what is known? */
static int check_link(const struct chain_end *end, const struct log_header *h)
{
	if (h->chain.prev_checksum == end->checksum)
		return 0;
	return lsvd_fail(LSVD_E_CORRUPT, "object %llu of epoch %llu: follows a header with "
			 "checksum %016llx, expected %016llx", (unsigned long long)h->head.seq,
			 (unsigned long long)h->head.epoch,
			 (unsigned long long)h->chain.prev_checksum,
			 (unsigned long long)end->checksum);
}

/* One more object of the chain, if it is there. *ret_more false: it ends before h. */
static int take_next(struct chain_end *end, const struct log_header *h, bool *ret_more)
{
	int err;

	*ret_more = false;
	if (h->err < 0 || h->head.seq == end->torn)
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

/*
 * Object `seq` ends within its header. Every object LOG_WINDOW_MAX places after it, or further,
 * knows whether it was acknowledged; so does perhaps one nearer.
 */
static int check_torn(struct log *log, struct chain_end *end, uint64_t seq)
{
	struct log_header headers[LOG_WINDOW_MAX];
	struct log_where at[LOG_WINDOW_MAX];
	bool acked = false;
	int err;

	for (unsigned i = 0; i < LOG_WINDOW_MAX; i++)
		at[i] = (struct log_where){ end->epoch, seq + 1 + i };
	err = lsvd_headers_get(log, at, LOG_WINDOW_MAX, LOOK_BYTES, headers, NULL);
	if (err < 0)
		return err;
	for (unsigned i = 0; i < LOG_WINDOW_MAX; i++)
		acked |= headers[i].err == 0 && headers[i].chain.acked_seq >= seq;
	lsvd_headers_free(headers, LOG_WINDOW_MAX);
	if (acked)
		return lsvd_fail(LSVD_E_CORRUPT, "volume %s: object %llu of epoch %llu is cut "
				 "short, though later ones call it acknowledged", log->options.name,
				 (unsigned long long)seq, (unsigned long long)end->epoch);
	end_before_torn(log, end, seq);
	return 0;
}

/* Reads `n` objects from `seq` on, and runs `also` with them. */
static int read_some(struct log *log, struct chain_end *end, uint64_t seq, unsigned n,
		     const struct log_also *also, bool *ret_more)
{
	struct log_header headers[LOOK_MORE];
	struct log_where at[LOOK_MORE];
	int err;

	for (unsigned i = 0; i < n; i++)
		at[i] = (struct log_where){ end->epoch, seq + i };
	err = lsvd_headers_get(log, at, n, LOOK_BYTES, headers, also);
	if (err < 0)
		return err;
	*ret_more = true;
	for (unsigned i = 0; i < n && err == 0 && *ret_more; i++) {
		err = take_next(end, &headers[i], ret_more);
		if (headers[i].err == -ENODATA)
			err = check_torn(log, end, seq + i);
	}
	if (end->torn && end->torn == end->seq + 1)
		end->fenced = true;
	lsvd_headers_free(headers, n);
	return err;
}

static int read_on(struct log *log, struct chain_end *end, uint64_t seq)
{
	bool more = true;
	int err = 0;

	for (; err == 0 && more; seq += LOOK_MORE)
		err = read_some(log, end, seq, LOOK_MORE, NULL, &more);
	return err;
}

/* What was read of it while it was sought will do, if it verifies. */
static bool take_anchor(const struct log *log, const struct row *row, const struct log_where *at,
			uint64_t *ret)
{
	struct object_head head;
	struct chain_part chain;

	if (row->anchor_len < ANCHOR_BYTES ||
	    lsvd_object_head_decode(&head, row->anchor, row->anchor_len, "anchor") < 0 ||
	    lsvd_object_head_expect(&head, &log->options.volume, 0, at->epoch, at->seq,
				    "anchor") < 0 ||
	    lsvd_chain_part_decode(&chain, row->anchor, &head, "anchor") < 0)
		return false;
	*ret = chain.acked_seq;
	return true;
}

static int acked_by_anchor(struct log *log, const struct row *anchors, uint64_t *ret)
{
	const struct log_where at = { anchors->epoch, anchors->lo * log->options.anchor_every };
	struct log_header h;
	int err;

	if (take_anchor(log, anchors, &at, ret))
		return 0;
	err = lsvd_headers_get(log, &at, 1, LOOK_BYTES, &h, NULL);
	if (err < 0)
		return err;
	*ret = h.chain.acked_seq;
	lsvd_headers_free(&h, 1);
	return h.err < 0 ? missing(log, at.epoch, at.seq) : 0;
}

/* From what the newest anchor calls acknowledged. end->seq 0: that is not there any more. */
static int read_from_anchor(struct log *log, struct chain_end *end, const struct row *anchors)
{
	uint64_t start = 0;
	int err;

	err = acked_by_anchor(log, anchors, &start);
	if (err < 0)
		return err;
	*end = (struct chain_end){ .epoch = end->epoch, .anchor = anchors->lo,
				   .torn = end->torn };
	return read_on(log, end, start ? start : 1);
}

/*
 * There are newer anchors than were known. A writer that goes on meanwhile may delete what one of
 * them calls acknowledged, but only behind a still newer one.
 */
static int scan_from_anchor(struct log *log, struct chain_end *end, struct row *anchors)
{
	uint64_t known = 0;
	int err;

	err = find_last(log, anchors, 1, NULL);
	while (err == 0 && anchors->lo > known) {
		known = anchors->lo;
		err = read_from_anchor(log, end, anchors);
		if (err < 0 || end->seq)
			return err;
		anchors->hi = UINT64_MAX;
		err = find_last(log, anchors, 0, NULL);
	}
	return err ? err : missing(log, end->epoch, known * log->options.anchor_every);
}

/*
 * The beginning of a chain is read together with the question for its anchors; so is what follows
 * an end that was found before. As long as there is no newer anchor nothing behind that end can
 * have been deleted: what is missing there was never written. With a newer one it does not matter
 * what was read, not even that it was damaged. end->seq stays 0 if the epoch was never activated.
 */
static int scan_on(struct log *log, struct chain_end *end, const struct log_also *also)
{
	struct row anchors = { .kind = KEY_CHAIN, .epoch = end->epoch, .lo = end->anchor,
			       .hi = UINT64_MAX };
	struct log_call calls[PROBES + LOG_ALSO_MAX];
	uint64_t at[PROBES];
	unsigned n = prepare(log, &anchors, 0, calls, at), more_calls = also ? also->n : 0;
	bool more = false;
	int err;

	for (unsigned i = 0; i < more_calls; i++)
		calls[n + i] = also->calls[i];
	err = read_some(log, end, end->seq + 1, LOOK_FIRST,
			&(struct log_also){ calls, n + more_calls }, &more);
	for (unsigned i = 0; i < more_calls; i++)
		also->calls[i] = calls[n + i];
	if (err == 0 || err == LSVD_E_CORRUPT)
		narrow(&anchors, calls, at, n);
	if (anchors.lo > end->anchor)
		return scan_from_anchor(log, end, &anchors);
	return err == 0 && more ? read_on(log, end, end->seq + 1) : err;
}

/* ----------------------------------------------------------------- the newest activated epoch */

/* Reads it alone, which says what is wrong with it. */
static int read_first_once(struct log *log, uint64_t epoch, enum log_first *ret)
{
	const struct log_where at = { epoch, 1 };
	struct chain_end end = { .epoch = epoch };
	struct log_header h;
	int err = lsvd_headers_get(log, &at, 1, ANCHOR_BYTES, &h, NULL);

	if (err < 0)
		return err;
	*ret = LOG_FIRST_NONE;
	if (h.err == -ENODATA) {
		*ret = LOG_FIRST_PART;
		err = check_torn(log, &end, 1);
	} else if (h.err == 0) {
		*ret = h.head.kind == OBJECT_FENCE ? LOG_FIRST_FENCE : LOG_FIRST_BASE;
	}
	lsvd_headers_free(&h, 1);
	return err;
}

/*
 * It may have become whole, and later ones have come, between the two looks that
 * check_torn() compares.
 */
static int read_first(struct log *log, uint64_t epoch, enum log_first *ret)
{
	int err = read_first_once(log, epoch, ret);

	return err == LSVD_E_CORRUPT ? read_first_once(log, epoch, ret) : err;
}

int lsvd_scan_first(struct log *log, uint64_t epoch, enum log_first *ret)
{
	int err = read_first(log, epoch, ret);

	if (err == 0 && *ret == LOG_FIRST_NONE)
		return lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: object 1 of epoch %llu: the store "
				 "says that it is there, and that it is not", log->options.name,
				 (unsigned long long)epoch);
	return err;
}

static int take_first(struct log *log, const struct log_call *call, uint64_t epoch,
		      enum log_first *ret)
{
	struct object_head head;

	*ret = LOG_FIRST_NONE;
	if (call->err < 0)
		return 0;
	if (lsvd_object_head_decode(&head, call->io.buf, call->io.ret_len, call->io.key) < 0 ||
	    lsvd_object_head_expect(&head, &log->options.volume, 0, epoch, 1, call->io.key) < 0)
		return read_first(log, epoch, ret);
	*ret = head.kind == OBJECT_FENCE ? LOG_FIRST_FENCE : LOG_FIRST_BASE;
	return 0;
}

/* Of the epochs upto, upto - 1, … `n` of them: the newest that is activated, or 0. */
static int find_among(struct log *log, uint64_t upto, unsigned n, uint64_t *ret, uint64_t *ret_open)
{
	uint8_t bytes[PROBES][ANCHOR_BYTES];
	struct log_call calls[PROBES];
	int err;

	for (unsigned i = 0; i < n; i++) {
		lsvd_call_init(&calls[i], IO_GET);
		lsvd_key_chain(calls[i].io.key, &log->options.volume, upto - i, 1);
		calls[i].io.buf = bytes[i];
		calls[i].io.len = sizeof bytes[i];
	}
	log->stats.fence_requests += n;
	err = lsvd_call_run(log, calls, n);
	*ret = 0;
	for (unsigned i = 0; i < n && err == 0 && !*ret; i++) {
		enum log_first first;

		err = take_first(log, &calls[i], upto - i, &first);
		if (err == 0 && first == LOG_FIRST_BASE)
			*ret = upto - i;
		else if (err == 0 && first != LOG_FIRST_FENCE)
			*ret_open = upto - i;
	}
	return err;
}

static int find_activated(struct log *log, uint64_t upto, uint64_t *ret, uint64_t *ret_open)
{
	int err = 0;

	for (*ret = 0; upto && !*ret && err == 0;) {
		unsigned n = (unsigned)min_u64(PROBES, upto);

		err = find_among(log, upto, n, ret, ret_open);
		upto -= n;
	}
	return err;
}

int lsvd_scan_end(struct log *log, struct chain_end *end, const struct log_also *also)
{
	int err = end->epoch ? scan_on(log, end, also) : 0;

	return err == 0 && end->epoch && !end->seq ? missing(log, end->epoch, 1) : err;
}

/* Mostly the newest claim is that of the newest activated epoch: begins as if it were. */
int lsvd_scan_newest(struct log *log, uint64_t newest, struct chain_end *end, uint64_t *ret_open,
		     const struct log_also *also)
{
	uint64_t epoch = 0;
	int err;

	*ret_open = 0;
	*end = (struct chain_end){ .epoch = newest };
	if (!newest)
		return 0;
	err = scan_on(log, end, also);
	if (err < 0 || end->seq)
		return err;
	if (!end->fenced || end->torn)
		*ret_open = newest;
	err = find_activated(log, newest - 1, &epoch, ret_open);
	*end = (struct chain_end){ .epoch = epoch };
	return err < 0 ? err : lsvd_scan_end(log, end, NULL);
}

/* ----------------------------------------------------------------------- are its objects whole? */

unsigned lsvd_scan_unsized(const struct chain_end *end)
{
	uint64_t known = max_u64(max_u64(end->chain.acked_seq, end->sized), 1);

	if (!end->epoch || end->closed || end->fenced || known >= end->seq)
		return 0;
	return (unsigned)min_u64(end->seq - known, LOG_WINDOW_MAX);
}

void lsvd_scan_sizes(struct log *log, const struct chain_end *end, struct log_call *calls,
		     unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		lsvd_call_init(&calls[i], IO_HEAD);
		lsvd_key_chain(calls[i].io.key, &log->options.volume, end->epoch, end->seq - i);
	}
	log->stats.fence_requests += n;
}

int lsvd_scan_sized(struct log *log, struct chain_end *end, const struct log_call *calls,
		    unsigned n)
{
	uint64_t epoch = end->epoch, torn = 0;

	for (unsigned i = 0; i < n; i++)
		if (calls[i].err == 0 &&
		    calls[i].io.ret_bytes < end->bytes[(end->seq - i) % LOG_WINDOW_MAX])
			torn = end->seq - i;
	if (!torn) {
		end->sized = end->seq;
		return 0;
	}
	end_before_torn(log, end, torn);
	*end = (struct chain_end){ .epoch = epoch, .torn = torn };
	return scan_on(log, end, NULL);
}

int lsvd_scan_check(struct log *log, struct chain_end *end)
{
	unsigned n = lsvd_scan_unsized(end);
	struct log_call *calls;
	int err;

	if (!n)
		return 0;
	calls = lsvd_calloc(n, sizeof *calls);
	if (!calls)
		return lsvd_fail_plain(-ENOMEM);
	lsvd_scan_sizes(log, end, calls, n);
	err = lsvd_call_run(log, calls, n);
	if (err == 0)
		err = lsvd_scan_sized(log, end, calls, n);
	lsvd_free(calls);
	return err;
}
