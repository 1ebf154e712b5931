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
 *   or claim above     the store shows a part of his object 1, which may be all of it any time: our
 *                      claim would be void to him, the next one, which says so, is not
 *   decide again       the end has moved since the look
 *   decide, then fence a refusal must not stop the writer
 *   note, then object 1  else a crash in between makes our own cache look foreign
 *   re-check last      whoever took the volume over from us meanwhile has acknowledged what we do
 *                      not have
 *
 * The steps are in files of their own (log_opening.h). A reader only looks, and looks again until
 * what it has seen is whole.
 */
#include "log/log_opening.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"

#define SETTLES_MAX 20u

/*
 * Numbers that a dead writer may have given to objects which landed behind the end of its chain, or
 * to free objects that nothing there names: a window of the chain, and a large checkpoint.
 */
#define OBJECTS_SKIPPED 4096u

/* ------------------------------------------------------------------------- what has been found */

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

/* ------------------------------------------------------------------------------------ a writer */

static int take_over(struct opening *o)
{
	struct log *log = o->log;
	int err;

	err = lsvd_opening_claim(o);
	if (err < 0)
		return err;
	err = lsvd_log_because_fenced(log, lsvd_opening_fence(o));
	if (err < 0)
		return err;
	start_here(o);
	err = log->ops->commit_epoch(log->ctx, log->epoch, log->base_epoch, discards(o),
				     log->acked_op);
	return err < 0 ? err : lsvd_opening_activate(o, recover);
}

/* ------------------------------------------------------------------------------------ a reader */

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
	int err = lsvd_opening_look(o);

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
		err = lsvd_opening_look(o);
		if (err == 0)
			err = o->view.open ? look_again(o, &newer) : see_newer(o, &newer);
	}
	if (err == 0 && newer)
		return lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: its writer stores faster than the "
				 "end can be found", o->log->options.name);
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

/* ------------------------------------------------------------------------------------ the open */

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
