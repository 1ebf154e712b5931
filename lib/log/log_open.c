/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_open.c - the protocol of an open: look, claim, scan, decide again, note, activate, re-check.
 *
 * The order is that of log.h and must stay as it is (docs/design.md, "Fencing"; tests/sim tries the
 * interleavings, and what each step is good for shows when it is left out):
 *
 *   look first         a refused opener would fence the writer, and make its cache look old
 *   claim, then scan   else the old writer stores and acknowledges behind the scan
 *   shut what is older else its opener, who stood still, is activated beside us
 *   or look again      he was activated first: our claim is void, by what it says, and he serves on
 *   or claim above     the store shows a part of his object 1, which may be all of it any time: our claim
 *                      would be void to him, the next one, which says so, is not
 *   decide again       the end has moved since the look
 *   decide, then fence a refusal must not stop the writer
 *   note, then object 1  else a crash in between makes our own cache look foreign
 *   re-check last      whoever took the volume over from us meanwhile has acknowledged what we do
 *                      not have
 */
#include "log/log_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "log/lineage.h"

#define CLAIMS_MAX 100u
#define CHASE_MAX 1000u
#define LOOKS_MAX 4u
#define SETTLES_MAX 20u
#define OBJECT_HEADER_BYTES (OBJECT_HEAD_BYTES + CHAIN_PART_BYTES)

/*
 * Numbers that a dead writer may have given to objects which landed behind the end of its chain, or
 * to free objects that nothing there names: a window of the chain, and a large checkpoint.
 */
#define OBJECTS_SKIPPED 4096u

/* An open under way. */
struct opening {
	struct log *log;
	struct log_view view;
	struct log_verdict verdict;
	uint64_t bound;              /* our claim binds who has claimed this epoch, activated or not */
};

/* ---------------------------------------------------------------------------------- 1 look */

/* The claims, and whose the one of the cache's epoch is. If it is not there they begin anew. */
static int look_at_claims(struct opening *o, uint64_t from)
{
	struct log *log = o->log;
	uint8_t bytes[FMT_CLAIM_BYTES];
	struct log_call call;
	const struct log_also also = { &call, 1 };
	int err;

	if (!from)
		return lsvd_scan_claims(log, 0, NULL, &o->view.newest);
	lsvd_call_init(&call, IO_GET);
	lsvd_key_claim(call.io.key, &log->options.volume, from);
	call.io.buf = bytes;
	call.io.len = sizeof bytes;
	log->stats.fence_requests++;
	err = lsvd_scan_claims(log, from, &also, &o->view.newest);
	if (err < 0)
		return err;
	if (call.err < 0)
		return lsvd_scan_claims(log, 0, NULL, &o->view.newest);
	return lsvd_verdict_claim(log, &call, &o->view.cache_known);
}

/* Claims that do not verify bind, but delete nothing. */
static int refuse_deleted(const struct log *log, uint64_t epoch, const struct log_call *call)
{
	struct fmt_claim claim;

	if (call->err < 0 || lsvd_claim_decode(&claim, &log->options.volume, epoch, call->io.buf,
					       call->io.ret_len, call->io.key) < 0 ||
	    !lsvd_claim_deletes(&claim))
		return 0;
	return lsvd_fail(-ENOENT, "volume %s is being deleted; if whoever did so has died, delete it again",
			 log->options.name);
}

/* Who finds the newest claim to be a deletion's leaves it: no claim is ever made above one by an opener. */
static int look_once(struct opening *o)
{
	const struct log_cache *cache = &o->log->options.cache;
	struct log *log = o->log;
	uint8_t bytes[FMT_CLAIM_BYTES];
	struct log_call call;
	int err;

	o->view = (struct log_view){ .newest = 0 };
	err = look_at_claims(o, cache->present ? cache->epoch : 0);
	if (err < 0 || !o->view.newest)
		return err;
	lsvd_call_init(&call, IO_GET);
	lsvd_key_claim(call.io.key, &log->options.volume, o->view.newest);
	call.io.buf = bytes;
	call.io.len = sizeof bytes;
	log->stats.fence_requests++;
	err = lsvd_scan_newest(log, o->view.newest, &o->view.end, &o->view.open,
			       &(struct log_also){ &call, 1 });
	if ((err == 0 || err == LSVD_E_CORRUPT) && !log->options.also_deleted) {
		int deleted = refuse_deleted(log, o->view.newest, &call);

		err = deleted ? deleted : err;
	}
	return err;
}

/*
 * Nothing is claimed yet, so a writer may be deleting what we are about to read, all of the chain that
 * we take for the newest one if it has just begun another. What is missing then is not missing when we
 * look again.
 */
static int look(struct opening *o)
{
	int err = LSVD_E_CORRUPT;

	for (unsigned i = 0; i < LOOKS_MAX && err == LSVD_E_CORRUPT; i++)
		err = look_once(o);
	return err;
}

/* --------------------------------------------------------------------------------- 2 claim */

/*
 * The claim's bytes are unlike those of any other attempt, also of one by the same cache: so after a
 * lost answer it is certain whose claim it is.
 */
static void describe_claimer(const struct opening *opening, struct fmt_claim *claim)
{
	const struct log *log = opening->log;
	const struct log_options *o = &log->options;
	struct world *w = log->port->world;

	memset(claim, 0, sizeof *claim);
	claim->cache_id = o->cache.id;
	claim->pid = o->pid;
	claim->created_ms = w->clk->wall_ms(w);
	claim->void_from = max_u64(opening->view.end.epoch, opening->bound) + 1;
	if (o->host)
		memcpy(claim->host, o->host, strnlen(o->host, sizeof claim->host - 1));
	w->rnd->fill(w, &claim->nonce, sizeof claim->nonce);
}

/* The name is taken: by these very bytes, after a lost answer? -EEXIST: no. */
static int read_back(struct log *log, const char *key, const void *bytes, size_t len)
{
	uint8_t there[FMT_CLAIM_BYTES];
	struct log_call call;
	int err;

	lsvd_call_init(&call, IO_GET);
	memcpy(call.io.key, key, KEY_CAP);
	call.io.buf = there;
	call.io.len = sizeof there;
	log->stats.fence_requests++;
	err = lsvd_call_run(log, &call, 1);
	if (err < 0)
		return err;
	if (call.err == 0 && call.io.ret_len == len && memcmp(there, bytes, len) == 0)
		return 0;
	return -EEXIST;
}

/* A small object, to be created. */
struct creation {
	struct log_call call;
	struct iovec iov;
};

static void init_creation(struct log *log, struct creation *c, const void *bytes, size_t len)
{
	lsvd_call_init(&c->call, IO_PUT);
	c->iov = (struct iovec){ .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	c->call.io.iov = &c->iov;
	c->call.io.iovcnt = 1;
	log->stats.fence_requests++;
	log->stats.fence_bytes += len;
}

/* It has run. -EEXIST: others have its name. */
static int conclude_creation(struct log *log, const struct creation *c)
{
	if (c->call.err != -EEXIST)
		return c->call.err;
	return read_back(log, c->call.io.key, c->iov.iov_base, c->iov.iov_len);
}

/* All of it; the key is set. `also` is run with it. */
static int create(struct log *log, struct creation *c, const struct log_also *also)
{
	struct log_call *calls = lsvd_calloc(1 + (also ? also->n : 0), sizeof *calls);
	int err;

	if (!calls)
		return lsvd_fail_plain(-ENOMEM);
	calls[0] = c->call;
	err = lsvd_call_run_with(log, calls, 1, also);
	c->call = calls[0];
	lsvd_free(calls);
	return err < 0 ? err : conclude_creation(log, c);
}

/* A chain object without a body, of this opener. */
static uint64_t encode_object(struct log *log, uint8_t bytes[OBJECT_HEADER_BYTES], int kind,
			      uint64_t epoch, uint64_t seq, const struct chain_part *chain)
{
	struct object_head head = {
		.kind = (uint16_t)kind,
		.header_bytes = OBJECT_HEADER_BYTES,
		.volume = log->options.volume,
		.epoch = epoch,
		.seq = seq,
	};

	lsvd_chain_part_encode(bytes + OBJECT_HEAD_BYTES, chain);
	lsvd_object_head_encode(bytes, &head);
	return head.checksum;
}

/* What goes on from the end says of itself. */
static struct chain_part part_after(const struct log *log, const struct chain_end *end)
{
	return (struct chain_part){
		.prev_checksum = end->checksum,
		.first_op = end->chain.last_op + 1,
		.last_op = end->chain.last_op,
		.root = end->chain.root,
		.volume_bytes = end->epoch ? end->chain.volume_bytes : log->options.volume_bytes,
		.next_object = end->chain.next_object,
		.flags = log->options.flush_remote ? CHAIN_FLUSH_REMOTE : 0,
	};
}

static void prepare_fence(struct opening *o, struct creation *c, uint8_t bytes[OBJECT_HEADER_BYTES],
			  const struct log_where *at)
{
	const struct chain_end *end = &o->view.end;
	struct chain_part chain = part_after(o->log, end);

	if (at->epoch == end->epoch)
		chain.acked_seq = end->seq; /* all of it is in the store */
	else
		chain.prev_checksum = 0;
	chain.fenced_by = o->log->epoch;
	(void)encode_object(o->log, bytes, OBJECT_FENCE, at->epoch, at->seq, &chain);
	init_creation(o->log, c, bytes, OBJECT_HEADER_BYTES);
	lsvd_key_chain(c->call.io.key, &o->log->options.volume, at->epoch, at->seq);
}

/*
 * Sees to it that the epoch is never activated. -EEXIST: it is.
 *
 * Of its object 1 the store may show a part. If we have claimed the volume by a claim that binds its opener,
 * and see only a part then, he will see that claim before he serves: his object was not acknowledged yet. Or
 * -EEXIST: the next claim will bind him.
 */
static int shut(struct opening *o, uint64_t epoch)
{
	const struct log_where at = { epoch, 1 };
	uint8_t bytes[OBJECT_HEADER_BYTES];
	struct creation c;
	enum log_first first;
	int err;

	prepare_fence(o, &c, bytes, &at);
	err = create(o->log, &c, NULL);
	if (err != -EEXIST)
		return err;
	err = lsvd_scan_first(o->log, epoch, &first);
	if (err < 0 || first == LOG_FIRST_FENCE)
		return err;
	if (first == LOG_FIRST_PART && epoch <= o->bound)
		return 0;
	if (first == LOG_FIRST_PART)
		o->bound = epoch;
	return -EEXIST;
}

/*
 * The epochs claimed between the one that we go on from and ours, those that may yet be activated:
 * none of them will be, or, -EEXIST, one is, and our claim is void. From the oldest on, and no further
 * than the one that is activated: a later one may go on from that, and has a right to.
 */
static int shut_older(struct opening *o)
{
	int err = 0;

	for (uint64_t e = o->view.open; e && e < o->log->epoch && err == 0; e++)
		err = shut(o, e);
	return err;
}

/*
 * Claims the next epoch. Meanwhile it reads the root, which is likely to be the one that is needed,
 * and asks whether the chain's last objects are whole.
 */
static int claim_next(struct opening *o)
{
	struct log *log = o->log;
	uint8_t bytes[FMT_CLAIM_BYTES];
	struct fmt_claim claim;
	unsigned n = lsvd_scan_unsized(&o->view.end);
	struct log_call *calls = lsvd_calloc(n + 1, sizeof *calls);
	struct creation c;
	bool early;
	int err;

	if (!calls)
		return lsvd_fail_plain(-ENOMEM);

	log->epoch = o->view.newest + 1;
	log->newer = log->epoch + 1;
	describe_claimer(o, &claim);
	lsvd_claim_encode(bytes, &log->options.volume, log->epoch, &claim);
	init_creation(log, &c, bytes, sizeof bytes);
	lsvd_key_claim(c.call.io.key, &log->options.volume, log->epoch);
	lsvd_scan_sizes(log, &o->view.end, calls, n);
	early = lsvd_root_early(log, o->view.end.chain.root, &calls[n]);
	err = create(log, &c, &(struct log_also){ calls, n + early });
	if (early)
		lsvd_root_take(log, &calls[n]);
	if (err == 0)
		err = shut_older(o);
	if (err == 0)
		err = lsvd_scan_sized(log, &o->view.end, calls, n);
	lsvd_free(calls);
	return err;
}

static int look_and_claim(struct opening *o)
{
	int err = -EEXIST;

	for (unsigned i = 0; i < CLAIMS_MAX && err == -EEXIST; i++) {
		err = look(o);
		if (err == 0)
			err = lsvd_verdict(o->log, &o->view, &o->verdict);
		if (err == 0 && o->log->ops->may_claim)
			err = o->log->ops->may_claim(o->log->ctx);
		if (err == 0)
			err = claim_next(o);
	}
	if (err == -EEXIST)
		return lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: others claimed it %u times in a row",
				 o->log->options.name, CLAIMS_MAX);
	return err;
}

/* ------------------------------------------------------------------------ has somebody come later? */

static int fenced_while_opening(const struct log *log)
{
	return lsvd_fail(LSVD_E_FENCED, "volume %s: another opener took the volume after this one had "
			 "claimed epoch %llu", log->options.name, (unsigned long long)log->epoch);
}

/* Is there one at all? What does not verify twice may be anything. *ret_void only if there is. */
static int read_newer(struct log *log, bool *ret_there, bool *ret_void)
{
	uint8_t bytes[FMT_CLAIM_BYTES];
	struct log_call call;
	int err = LSVD_E_CORRUPT;

	*ret_void = false;
	for (unsigned i = 0; i < 2 && err == LSVD_E_CORRUPT; i++) {
		lsvd_call_init(&call, IO_GET);
		lsvd_key_claim(call.io.key, &log->options.volume, log->newer);
		call.io.buf = bytes;
		call.io.len = sizeof bytes;
		log->stats.fence_requests++;
		err = lsvd_call_run(log, &call, 1);
		*ret_there = err == 0 && call.err == 0;
		if (*ret_there && log->activated)
			err = lsvd_look_claim(log, log->newer, bytes, call.io.ret_len, ret_void);
	}
	return err == LSVD_E_CORRUPT ? 0 : err;
}

/* LSVD_E_FENCED: there is a claim newer than ours, and it is not void. */
static int recheck(struct log *log)
{
	bool there, is_void;
	int err;

	for (;;) {
		err = read_newer(log, &there, &is_void);
		if (err < 0 || !there || !is_void)
			break;
		log->newer++;
	}
	if (err == 0 && there)
		err = fenced_while_opening(log);
	log->looked_ms = log->port->world->clk->now_ms(log->port->world);
	return err;
}

int lsvd_log_because_fenced(struct log *log, int err)
{
	char text[512];

	if (err != LSVD_E_CORRUPT || log->options.readonly)
		return err;
	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives the question */
	if (recheck(log) == LSVD_E_FENCED)
		return LSVD_E_FENCED;
	lsvd_error_restore(text);
	return err;
}

/* --------------------------------------------------------------- 3 scan, 4 decide, and the fence */

/*
 * Scans on and puts the fence on the end that is known, both at once. Is something in its place, a
 * fence perhaps, or the writer got further: the scan has seen it, or it is not fenced yet.
 */
static int scan_with_fence(struct opening *o)
{
	struct chain_end *end = &o->view.end;
	const struct log_where at = { end->epoch, end->seq + 1 };
	uint8_t bytes[OBJECT_HEADER_BYTES];
	struct creation c;
	int err, taken;

	prepare_fence(o, &c, bytes, &at);
	err = lsvd_scan_end(o->log, end, &(struct log_also){ &c.call, 1 });
	if (err == 0)
		err = lsvd_scan_check(o->log, end);
	if (err < 0)
		return err;
	taken = conclude_creation(o->log, &c);
	if (taken == 0 && end->epoch == at.epoch && end->seq + 1 == at.seq)
		end->fenced = true;
	return taken == -EEXIST ? 0 : taken;
}

static int scan(struct opening *o)
{
	int err = lsvd_scan_end(o->log, &o->view.end, NULL);

	return err < 0 ? err : lsvd_scan_check(o->log, &o->view.end);
}

/*
 * The fence need not wait for the scan. For the end that was seen before the claim the decision has been
 * made. If that is the end still, the scan finds just that, and the fence stands where it should. If the
 * chain has got on, the name is taken; or it was taken and has been deleted, and then there is a newer
 * anchor, by which every scan finds the end further on: a fence before it means nothing to anybody. If
 * somebody has gone on from it, he has fenced it first. So nobody is stopped by it who would not be
 * stopped by a fence that was put later; and what the scan says is decided on again.
 */
static int scan_and_fence(struct opening *o)
{
	struct chain_end *end = &o->view.end;
	int err;

	/* A part of an object, seen before the claim, may be all of it by now, and acknowledged. */
	if (end->torn) {
		*end = (struct chain_end){ .epoch = end->epoch };
		o->log->stats.torn = 0; /* counted again, if it still is */
	}
	err = end->seq && !end->fenced ? scan_with_fence(o) : scan(o);
	for (unsigned i = 0; err == 0 && i < CHASE_MAX; i++) {
		err = lsvd_verdict(o->log, &o->view, &o->verdict);
		if (err < 0 || !end->epoch || end->fenced)
			return err;
		err = scan_with_fence(o);
	}
	if (err == 0)
		return lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: the writer of epoch %llu stores faster "
				 "than its end can be found", o->log->options.name,
				 (unsigned long long)end->epoch);
	return err;
}

/* ------------------------------------------------------------- 5 note, 6 activate, 7 re-check */

/*
 * Object 1 and, when it is there, the re-check. What recovery reads does not depend on them, so they are
 * sent on their way and waited for at the end. If anything but a plain yes comes of it, both are done
 * again by procedures, which know what to do.
 */
struct activation {
	struct log *log;
	uint8_t bytes[OBJECT_HEADER_BYTES];
	struct creation object;
	struct obj_io recheck;
	bool in_world, asked, good;
};

static void rechecked(struct io *io)
{
	struct activation *a = io->owner;

	a->in_world = false;
	a->good = io->err == -ENOENT;
}

static void activated(struct io *io)
{
	struct activation *a = io->owner;
	struct log *log = a->log;

	a->in_world = io->err == 0;
	if (io->err < 0)
		return;
	a->recheck.io = (struct io){ .kind = IO_HEAD, .done = rechecked, .owner = a };
	lsvd_key_claim(a->recheck.key, &log->options.volume, log->epoch + 1);
	a->asked = true;
	lsvd_port_start(log->port, &a->recheck.io);
}

static void begin_activation(struct opening *o, struct activation *a)
{
	struct log *log = o->log;
	struct chain_part chain = part_after(log, &o->view.end);

	*a = (struct activation){ .log = log, .in_world = true };
	chain.base_epoch = o->view.end.epoch;
	chain.base_seq = o->view.end.seq;
	chain.next_object = log->next_object;
	log->sent_checksum = encode_object(log, a->bytes, OBJECT_BASE, log->epoch, 1, &chain);
	init_creation(log, &a->object, a->bytes, sizeof a->bytes);
	lsvd_key_chain(a->object.call.io.key, &log->options.volume, log->epoch, 1);
	a->object.call.io.io.done = activated;
	a->object.call.io.io.owner = a;
	lsvd_port_enter(log->port);
	lsvd_port_start(log->port, &a->object.call.io.io);
	lsvd_port_leave(log->port, false);
}

static void settle_activation(struct activation *a)
{
	lsvd_port_enter(a->log->port);
	while (a->in_world)
		lsvd_port_wait(a->log->port);
	lsvd_port_leave(a->log->port, true);
	a->log->stats.fence_requests += a->asked;
}

/* Its name is taken: by a fence, or by a part of what we sent ourselves. */
static int not_activated(struct log *log)
{
	enum log_first first;
	int err = lsvd_scan_first(log, log->epoch, &first);

	if (err == 0 && first == LOG_FIRST_PART)
		return lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: the store shows a part of object 1 of "
				 "epoch %llu", log->options.name, (unsigned long long)log->epoch);
	return err < 0 ? err : fenced_while_opening(log);
}

static int end_activation(struct activation *a)
{
	struct log *log = a->log;
	int err;

	if (a->good) {
		log->activated = true;
		log->looked_ms = log->port->world->clk->now_ms(log->port->world);
		return 0;
	}
	init_creation(log, &a->object, a->bytes, sizeof a->bytes);
	lsvd_key_chain(a->object.call.io.key, &log->options.volume, log->epoch, 1);
	err = create(log, &a->object, NULL);
	if (err == -EEXIST)
		return not_activated(log);
	if (err < 0)
		return err;
	log->activated = true;
	return recheck(log);
}

/* ----------------------------------------------------------------------------------- the open */

static bool discards(const struct opening *o)
{
	return o->log->options.cache.present && !o->verdict.current;
}

/* What goes on, or only reads, goes on from the end that was found. */
static void start_here(struct opening *o)
{
	const struct chain_end *end = &o->view.end;
	struct log *log = o->log;

	log->base_epoch = end->epoch;
	log->base_seq = end->seq;
	log->base_root = log->root = end->chain.root;
	if (end->epoch) {
		log->options.volume_bytes = end->chain.volume_bytes;
		log->next_object = end->chain.next_object + OBJECTS_SKIPPED;
	}
	log->acked_op = log->sent_op = end->chain.last_op;
	log->acked_seq = log->sent_seq = 1;
	log->next_seq = 2;
}

static void describe(const struct opening *o, struct log_opened *ret)
{
	const struct log *log = o->log;

	*ret = (struct log_opened){
		.epoch = log->epoch,
		.base_epoch = log->base_epoch,
		.base_seq = log->base_seq,
		.last_op = log->acked_op,
		.next_object = log->next_object,
		.volume_bytes = log->options.volume_bytes,
		.root = log->base_root,
		.cache_current = o->verdict.current,
		.rolled_back = !log->options.readonly && (o->verdict.flag || discards(o)),
		.closed = o->view.end.closed,
	};
}

static int recover(struct opening *o)
{
	const struct log *log = o->log;
	struct log_opened opened;

	describe(o, &opened);
	return log->ops->recover ? log->ops->recover(log->ctx, o->log, &opened) : 0;
}

/* What is left of the open, and recovery meanwhile. */
static int activate(struct opening *o)
{
	struct activation a;
	char text[512];
	int err;

	begin_activation(o, &a);
	err = recover(o);
	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* is as long */
	settle_activation(&a);
	if (err < 0) {
		lsvd_error_restore(text);
		return err;
	}
	return end_activation(&a);
}

static int take_over(struct opening *o)
{
	struct log *log = o->log;
	int err;

	err = look_and_claim(o);
	if (err < 0)
		return err;
	err = lsvd_log_because_fenced(log, scan_and_fence(o));
	if (err < 0)
		return err;
	start_here(o);
	err = log->ops->commit_epoch(log->ctx, log->epoch, log->base_epoch, discards(o),
				     log->acked_op);
	return err < 0 ? err : activate(o);
}

/*
 * A reader claims nothing, so a writer may have deleted what it is about to read, and the first
 * name that it finds free is not the end. Then there was a newer anchor before, or a newer epoch:
 * if neither is there when the end has been seen, it was the end. Asked together with whether the
 * last objects are whole.
 */
static int see_newer(struct opening *o, bool *ret)
{
	struct log *log = o->log;
	const struct chain_end *end = &o->view.end;
	unsigned n = lsvd_scan_unsized(end), more = end->epoch ? 2 : 1;
	struct log_call *calls = lsvd_calloc(n + 2, sizeof *calls);
	int err;

	if (!calls)
		return lsvd_fail_plain(-ENOMEM);
	lsvd_scan_sizes(log, end, calls, n);
	lsvd_call_init(&calls[n], IO_HEAD);
	lsvd_key_claim(calls[n].io.key, &log->options.volume, o->view.newest + 1);
	lsvd_call_init(&calls[n + 1], IO_HEAD);
	lsvd_key_chain(calls[n + 1].io.key, &log->options.volume, end->epoch,
		       (end->anchor + 1) * log->options.anchor_every);
	log->stats.fence_requests += more;
	err = lsvd_call_run(log, calls, n + more);
	*ret = calls[n].err == 0 || (more > 1 && calls[n + 1].err == 0);
	if (err == 0 && !*ret)
		err = lsvd_scan_sized(log, &o->view.end, calls, n);
	lsvd_free(calls);
	return err;
}

/* An epoch that was claimed, and may be activated by now: only another look says. */
static int look_again(struct opening *o, bool *ret_newer)
{
	const struct log_view before = o->view;
	int err = look(o);

	*ret_newer = o->view.newest != before.newest || o->view.end.epoch != before.end.epoch ||
		     o->view.end.anchor != before.end.anchor;
	if (err < 0 || *ret_newer)
		return err;
	o->view = before;
	return lsvd_scan_check(o->log, &o->view.end);
}

static int look_until_settled(struct opening *o)
{
	bool newer = true;
	int err = 0;

	for (unsigned i = 0; i < SETTLES_MAX && newer && err == 0; i++) {
		err = look(o);
		if (err == 0)
			err = o->view.open ? look_again(o, &newer) : see_newer(o, &newer);
	}
	if (err == 0 && newer)
		return lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: its writer stores faster than the end can "
				 "be found", o->log->options.name);
	return err;
}

/* Nothing is asked of a reader; a cache that is not current is none to it. */
static int look_only(struct opening *o)
{
	int err;

	err = look_until_settled(o);
	if (err < 0)
		return err;
	err = lsvd_verdict(o->log, &o->view, &o->verdict);
	if (err == LSVD_E_ROLLBACK || err == LSVD_E_FOREIGN_CACHE)
		o->verdict.current = false;
	else if (err < 0)
		return err;
	o->log->epoch = o->view.end.epoch;
	start_here(o);
	return recover(o);
}

static int log_new(struct log **ret, struct port *port, const struct log_options *options,
		   const struct log_ops *ops, void *ctx)
{
	struct log *log = lsvd_calloc(1, sizeof *log);

	if (!log)
		return lsvd_fail_plain(-ENOMEM);
	log->port = port;
	log->options = *options;
	log->window = options->put_window ? options->put_window : 1;
	if (!log->options.anchor_every)
		log->options.anchor_every = CHAIN_ANCHOR_EVERY;
	if (log->window > log->options.anchor_every)
		log->window = log->options.anchor_every;
	log->ops = ops;
	log->ctx = ctx;
	log->next_object = options->first_object ? options->first_object : 1;
	list_init(&log->puts);
	lsvd_upload_init(log);
	lsvd_look_init(log);
	*ret = log;
	return 0;
}

int lsvd_log_open(struct log **ret, struct log_opened *opened, struct port *port,
		  const struct log_options *options, const struct log_ops *ops, void *ctx)
{
	struct opening o = { .log = NULL };
	int err;

	err = log_new(&o.log, port, options, ops, ctx);
	if (err < 0)
		return err;
	err = options->readonly ? look_only(&o) : take_over(&o);
	if (err < 0) {
		lsvd_log_free(o.log);
		return err;
	}
	o.log->state = LOG_RUNNING;
	describe(&o, opened);
	*ret = o.log;
	return 0;
}

int lsvd_log_read(struct port *port, const struct log_options *options, const struct log_ops *ops,
		  void *ctx, struct root_ref root, uint64_t epoch, uint64_t seq)
{
	struct log *log = NULL;
	int err = log_new(&log, port, options, ops, ctx);

	if (err < 0)
		return err;
	log->options.readonly = true;
	log->base_epoch = epoch;
	log->base_seq = seq;
	log->base_root = root;
	err = lsvd_log_recover(log);
	lsvd_log_free(log);
	return err;
}
