/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_internal.h - what the files of the log share.
 *
 *   log.c          steady state: places, the window of chain puts, their order; fenced, cancelled
 *   log_upload.c   one object into the store, or out of it, however long it takes
 *   log_delete.c   what is dead out of the store
 *   log_look.c     is there a newer claim?
 *   log_call.c     requests of procedures: several at once, tried again a few times; headers
 *   log_scan.c     the newest claim, the newest activated epoch, the end of a chain
 *   log_open.c     the protocol of an open; its steps: log_opening.h
 *   log_verdict.c  may this cache go on from what the store has?
 *   log_recover.c  from the root to the end, in order
 */
#ifndef LOG_LOG_INTERNAL_H
#define LOG_LOG_INTERNAL_H

#include "format/fmt_claim.h"
#include "log/log.h"

enum log_state {
	LOG_OPENING,
	LOG_RUNNING,
	LOG_FENCED,
	LOG_CANCELLED,
};

/* The root of a checkpoint, as far as it has been read. */
struct log_root {
	struct root_ref ref;
	uint8_t *bytes;              /* NULL: nothing yet */
	size_t len;
};

struct log {
	/* immutable after open */
	struct port *port;
	struct log_options options;
	uint32_t window;
	const struct log_ops *ops;
	void *ctx;
	uint64_t epoch;
	bool activated;              /* object 1 of it is ours */
	uint64_t base_epoch, base_seq; /* where recovery ends */
	struct root_ref base_root;   /* where it may begin */
	struct log_root early;       /* read while something else was waited for, or empty */

	/* protected by the port's lock once open has returned */
	enum log_state state;
	int end_err;                 /* FENCED, CANCELLED: what everything ends with */
	struct root_ref root;
	uint64_t next_seq;           /* not yet reserved */
	uint64_t next_object;
	uint64_t sent_seq;           /* newest seq whose header is finished: put, or about to be */
	uint64_t sent_op;
	uint64_t sent_checksum;      /* of that header */
	uint64_t acked_seq, acked_op;
	struct list puts;            /* struct log_put, by seq, until acked */
	struct log_put anchor;       /* one of them, if anchor_out */
	bool anchor_out;
	uint64_t anchor_says;        /* its acked_seq */
	uint64_t anchored;           /* acked_seq of the newest acknowledged anchor, or 0 */
	bool draining;

	struct list paused;          /* struct log_upload, waiting for the timer */
	struct list ending;          /* struct log_upload, to be ended by the step */
	struct timer_io timer;
	bool timer_set, step_set;
	struct io step;
	uint32_t backoff_ms;
	unsigned failing;            /* uploads that have failed and not got through yet */
	unsigned reason;             /* why, the worst there was: enum reason, told by ops */

	struct list looks, next_looks; /* of the request in the world; of the one after it */
	struct obj_io look_io;
	uint8_t look_bytes[FMT_CLAIM_BYTES];
	bool look_out;
	bool look_bad;               /* the claim that was read did not verify */
	uint64_t newer;              /* the first claim after ours that is not known to be void */
	uint64_t looked_ms;

	struct log_stats stats;
};

/* ---- log.c, lock held */
bool lsvd_log_over(const struct log *log);
/* Sees to it that what is over is ended, from a step of its own and not inside any caller. */
void lsvd_log_step(struct log *log);
/* A place was taken by another, or a newer claim was seen. */
void lsvd_log_fence(struct log *log, int err);

/* Is the place an anchor's? */
static inline bool anchor_at(const struct log *log, uint64_t seq)
{
	return seq % log->options.anchor_every == 0;
}

/* ---- log_upload.c, lock held */
void lsvd_upload_init(struct log *log);
void lsvd_upload_start(struct log_upload *up);
/* The log is over: nothing paused is tried again; it ends in the step. */
void lsvd_upload_give_up(struct log *log);

/* A request failed: counts it by its reason. */
void lsvd_log_count_failure(struct log *log, int err);

/* ---- log_look.c, lock held */
void lsvd_look_init(struct log *log);
/* The log is over: ends the looks that wait for a request not yet sent. */
void lsvd_look_end(struct log *log);
/*
 * What was read of the claim of a later epoch, `n` bytes: does it mean nothing, since our epoch is
 * activated? LSVD_E_CORRUPT: it does not verify.
 */
int lsvd_look_claim(const struct log *log, uint64_t epoch, const void *bytes, size_t n,
		    bool *ret_void);

/* ---- log_call.c, procedures */
struct log_call {
	struct obj_io io;
	int err;
	char text[224];              /* of the failure, as the store has it */
};
void lsvd_call_init(struct log_call *call, enum io_kind kind);
/*
 * Runs them at the same time; what fails for a reason that may pass is tried again for some
 * seconds. Results are in call->err; the function's own is 0, or the first error that is none of
 * -ENOENT and -EEXIST, with its text.
 */
int lsvd_call_run(struct log *log, struct log_call *calls, unsigned n);
/* Calls to be run at the same time as others; of the scans, at most LOG_ALSO_MAX. */
#define LOG_ALSO_MAX 1u
struct log_also {
	struct log_call *calls;
	unsigned n;
};
/* lsvd_call_run() with those of `also` (may be NULL): there is room for them behind the n. */
int lsvd_call_run_with(struct log *log, struct log_call *calls, unsigned n,
		       const struct log_also *also);

/* The header of an object, whole and verified. */
struct log_header {
	int err;                     /* 0, -ENOENT, -ENODATA: the object ends within it */
	struct object_head head;
	struct chain_part chain;     /* of chain objects */
	uint8_t *bytes;
};
struct log_where {
	uint64_t epoch, seq;
};
/*
 * The chain objects at the `n` places; `guess` bytes of each are read at first. `also` (may be
 * NULL) is run at the same time.
 */
int lsvd_headers_get(struct log *log, const struct log_where *at, unsigned n, size_t guess,
		     struct log_header *ret, const struct log_also *also);
void lsvd_headers_free(struct log_header *headers, unsigned n);
/* Fails unless the header is that of a BASE that is there. */
int lsvd_base_check(const struct log *log, uint64_t epoch, const struct log_header *h);

/* ---- log_activate.c, procedures */
/*
 * What an opener finds missing may have been deleted by a later one, which went on from the same
 * end: LSVD_E_FENCED then, else `err` as it was.
 */
int lsvd_log_because_fenced(struct log *log, int err);

/* ---- log_recover.c, procedures */
/* A call that reads the root, to be run with others: false if there is none, or no memory. */
bool lsvd_root_early(struct log *log, struct root_ref ref, struct log_call *ret);
/* It has run. */
void lsvd_root_take(struct log *log, const struct log_call *call);
void lsvd_root_drop(struct log *log);

/* ---- log_scan.c, procedures */
/* The end of a chain: its last object that is no fence. */
struct chain_end {
	uint64_t epoch;              /* 0: none is activated, and the rest is 0 */
	uint64_t seq;
	uint64_t checksum;           /* of its header */
	struct chain_part chain;
	bool closed;                 /* it is a CLOSE */
	bool fenced;                 /* the place after it is taken: by a fence, or see torn */
	uint64_t anchor;             /* the newest anchor known, in units of anchor_every */
	uint64_t torn;               /* a place that holds a part of an object, never acknowledged:
				      * the chain ends before it. 0: none */
	uint64_t sized;              /* objects up to here are known to be whole */
	uint64_t bytes[LOG_WINDOW_MAX]; /* length of object seq, at seq modulo the window */
};
/* The newest claim, sought from `from`, which is there or 0. `also` (may be NULL): see above. */
int lsvd_scan_claims(struct log *log, uint64_t from, const struct log_also *also, uint64_t *ret);
/*
 * The newest activated epoch, of those up to `newest`, and its end; all zero: there is none. Of the
 * epochs after it *ret_open is the oldest that may yet be activated, 0: none may. `also` (may be
 * NULL) is run with the first requests; if `newest` is 0 there are none.
 */
int lsvd_scan_newest(struct log *log, uint64_t newest, struct chain_end *end, uint64_t *ret_open,
		     const struct log_also *also);
/*
 * The end of end->epoch: what *end says of it is brought up to date. `also` (may be NULL) is run
 * with the first requests. 0: there is none, and nothing is asked.
 */
int lsvd_scan_end(struct log *log, struct chain_end *end, const struct log_also *also);
/* What is in the place of an epoch's base. */
enum log_first {
	LOG_FIRST_NONE,
	LOG_FIRST_PART,              /* of an object: it may yet be all of it, or stay as it
				      * is for ever */
	LOG_FIRST_BASE,              /* the epoch is activated */
	LOG_FIRST_FENCE,             /* it never will be */
};
/* Something is there: what? */
int lsvd_scan_first(struct log *log, uint64_t epoch, enum log_first *ret);
/*
 * How many objects may have been in the world when the writer died, so that nobody knows them to be
 * whole: at most LOG_WINDOW_MAX. Requests for their lengths, to be run with others; when they have
 * run: if one is not whole the end is sought again before it.
 */
unsigned lsvd_scan_unsized(const struct chain_end *end);
void lsvd_scan_sizes(struct log *log, const struct chain_end *end, struct log_call *calls,
		     unsigned n);
int lsvd_scan_sized(struct log *log, struct chain_end *end, const struct log_call *calls,
		    unsigned n);
/* All of it. */
int lsvd_scan_check(struct log *log, struct chain_end *end);

/* ---- log_verdict.c, procedures */
struct log_view {
	uint64_t newest;             /* claim */
	struct chain_end end;        /* of the newest activated epoch */
	uint64_t open;               /* the oldest epoch after it that may yet be activated;
				      * 0: none */
	bool cache_known;            /* there is a claim of the cache's epoch,
				      * and it carries its id */
};
struct log_verdict {
	bool current;                /* the cache's history is the store's */
	bool flag;                   /* it needed a flag */
};
/* Whose is the claim that `call` has read? Of a claim that is not there: nobody's. */
int lsvd_verdict_claim(struct log *log, const struct log_call *call, bool *ret_known);
/* 0, LSVD_E_ROLLBACK or LSVD_E_FOREIGN_CACHE with a text, or another error. */
int lsvd_verdict(struct log *log, const struct log_view *view, struct log_verdict *ret);

#endif
