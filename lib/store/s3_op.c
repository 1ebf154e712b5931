/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_op.c - an operation is one or several requests:
 *
 *   PUT    [digest of the body: the worker] -> PUT
 *          a client that cannot create if absent: HEAD -> PUT, which is no promise
 *   GET    GET
 *   HEAD   HEAD; "not there" is believed at once only of what is known to be our bucket in an S3
 *          store: else -> GET of one byte, whose answer has a reason in it
 *   LIST   GET of a page, until there is no next
 *
 * and each of these two at most once, before it is over:
 *
 *   the clock is wrong   learn from the answer's Date -> send it again at once
 *   denied               the worker reads the credentials again -> send it again, if they are
 *                        others
 *
 * Everything else is the caller's to try again. A request is never sent twice at the same time.
 *
 * Threads: an operation begins on the caller's thread and goes on on the client's or the worker's;
 * it is owned by one of them at a time.
 */
#include "store/s3_op.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/err.h"
#include "store/store_waiter.h"

#define RELOAD_PAUSE_MS 1000 /* credentials are not read more often because of refusals */

static int64_t clock_ms(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now); /* cannot fail for the two that are asked */
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ----------------------------------------------------------------------------- words for people */

static const char *verb_name(enum s3_verb verb)
{
	static const char *const names[] = {
		[S3_PUT] = "put", [S3_GET] = "get", [S3_HEAD] = "head", [S3_LIST] = "list",
		[S3_DELETE] = "remove", [S3_DELETE_MANY] = "remove many of",
	};

	return names[verb];
}

static const char *hint(enum s3_kind kind)
{
	switch (kind) {
	case S3_NO_BUCKET:
		return " (there is no such bucket)";
	case S3_REDIRECT:
		return " (the bucket is elsewhere: check region and endpoint; redirects are not "
		       "followed)";
	case S3_SKEWED:
		return " (this host's clock and the store's disagree)";
	case S3_MISCONFIGURED:
		return " (check bucket, region and endpoint)";
	default:
		return "";
	}
}

static void describe_answer(char *text, size_t size, const struct s3_op *op, enum s3_kind kind)
{
	const struct s3_request *r = &op->r;

	if (kind == S3_BAD_BODY && r->verb == S3_GET)
		(void)snprintf(text, size, "%u, %zu%s bytes for %zu from %llu on, of %lld",
			       r->status, r->ret_len, r->overlong ? " and more" : "", r->len,
			       (unsigned long long)r->off, (long long)r->total);
	else if (kind == S3_BAD_BODY)
		(void)snprintf(text, size, "%u, but the answer is not S3's", r->status);
	else
		(void)snprintf(text, size, "%u %s%s%s", r->status, r->code,
			       r->message[0] ? ": " : "", r->message);
}

/* Cut at the end, if it must be. Never a secret: none comes here. */
int lsvd_s3_op_fail(const struct s3_op *op, enum s3_kind kind)
{
	const struct s3_request *r = &op->r;
	int err = lsvd_s3_kind_error(kind);
	char text[300];

	if (kind == S3_MEMORY)
		return lsvd_store_fail(err, "%s s3://%s/%s: out of memory", verb_name(r->verb),
				       op->s->bucket, op->key);
	if (r->outcome == S3_ANSWERED)
		describe_answer(text, sizeof text, op, kind);
	else
		(void)snprintf(text, sizeof text, "%s%s%s",
			       r->outcome == S3_UNKNOWN ? "no whole answer" :
			       r->outcome == S3_REFUSED ? "the client cannot do this" :
							  "not sent",
			       r->message[0] ? ": " : "", r->message);
	return lsvd_store_fail(err, "%s s3://%s/%s: %s%s", verb_name(r->verb), op->s->bucket,
			       op->key, text, hint(kind));
}

/* --------------------------------------------------------------------------------- one request */

static void request_done(struct s3_request *r);

static void send(struct s3_op *op)
{
	struct s3_store *s = op->s;
	struct s3_request *r = &op->r;

	s3_request_begin(r);
	r->done = request_done;
	r->owner = op;
	op->signed_ms = clock_ms(CLOCK_REALTIME) + S3_LOAD(s->offset_ms);
	S3_COUNT(s->sent[r->verb], 1u);
	if (r->verb == S3_PUT)
		S3_COUNT(s->put_bytes, lsvd_iov_bytes(r->iov, r->iovcnt));
	s->ops->submit(s->client, r);
}

static void digest(struct s3_op *op)
{
	const struct s3_request *r = &op->r;
	struct sha256_ctx c;

	sha256_init(&c);
	for (int i = 0; i < r->iovcnt; i++)
		sha256_update(&c, r->iov[i].iov_len, r->iov[i].iov_base);
	sha256_digest(&c, sizeof op->r.body_sha256, op->r.body_sha256);
}

/* Sends it, if need be by way of the worker. */
void lsvd_s3_op_start(struct s3_op *op)
{
	struct s3_store *s = op->s;

	if (op->r.verb == S3_PUT && s->ops->caps & S3_CAN_CHECK_BODY)
		lsvd_s3_worker_add(&s->worker, &op->link);
	else
		send(op);
}

static bool has_old_credentials(const struct s3_op *op)
{
	return op->generation != lsvd_s3_credentials_generation(op->s->credentials);
}

/* The credentials of now are not those the operation began with, after reading them if need be. */
static bool credentials_changed(struct s3_op *op)
{
	struct s3_store *s = op->s;

	if (has_old_credentials(op) ||
	    clock_ms(CLOCK_MONOTONIC) - s->reloaded_ms < RELOAD_PAUSE_MS)
		return has_old_credentials(op);
	if (lsvd_s3_credentials_reload(s->credentials) < 0)
		lsvd_report(LSVD_LOG_WARN, "S3 bucket %s: access is denied, and there are no new "
			    "access keys: %s", s->bucket, lsvd_last_error());
	/* From its end: others have waited for it, which may have been long. */
	s->reloaded_ms = clock_ms(CLOCK_MONOTONIC);
	return has_old_credentials(op);
}

void lsvd_s3_op_work(void *ctx, struct list *node)
{
	struct s3_op *op = list_entry(node, struct s3_op, link);

	(void)ctx;
	if (!op->reload) {
		digest(op);
		send(op);
		return;
	}
	op->reload = false;
	if (credentials_changed(op))
		send(op);
	else
		op->ended(op, S3_DENIED);
}

/* ------------------------------------------------------------------------------ what came of it */

/* Date has whole seconds, and an answer takes its time: within two our clock is right. */
static int64_t skew_of(struct s3_op *op)
{
	int64_t date = op->r.date_ms, now;

	if (!date)
		return 0;
	now = clock_ms(CLOCK_REALTIME);
	S3_SET(op->s->observed_ms, now >= date && now < date + 2000 ? 0 : date + 500 - now);
	return date - op->signed_ms;
}

/* Has this operation one more request to send? It has been sent, then. */
static bool go_on(struct s3_op *op, enum s3_kind kind)
{
	struct s3_store *s = op->s;

	if (S3_LOAD(s->closing))
		return false;
	if (kind == S3_SKEWED && op->r.date_ms && !op->skew_tried && s->ops->caps & S3_CAN_SKEW) {
		op->skew_tried = true;
		S3_SET(s->offset_ms, op->r.date_ms + 500 - clock_ms(CLOCK_REALTIME));
		send(op);
		return true;
	}
	if (kind == S3_DENIED && !op->denied_tried) {
		op->denied_tried = true;
		op->reload = true;
		lsvd_s3_worker_add(&s->worker, &op->link);
		return true;
	}
	if (kind == S3_OK && op->r.verb == S3_LIST && op->r.next[0] && !op->one_page) {
		memcpy(op->token, op->r.next, sizeof op->token);
		op->r.token = op->token;
		send(op);
		return true;
	}
	return false;
}

/* The bucket is there, and it is S3 that says so. */
static void note_bucket(struct s3_op *op, enum s3_kind kind)
{
	bool sure = kind == S3_OK || kind == S3_EXISTS || (kind == S3_ABSENT && op->r.code[0]);

	if (sure && op->r.outcome == S3_ANSWERED)
		S3_SET(op->s->bucket_seen, true);
}

/* A length was asked for, and the answer to the question why, which is the object, says none. */
static bool lacks_length(const struct s3_op *op, enum s3_kind kind)
{
	return op->phase == S3_ASKING_WHY && kind == S3_OK && op->r.status != 416 &&
	       op->r.total == UINT64_MAX;
}

static bool ask_why(struct s3_op *op, enum s3_kind kind)
{
	bool trusted = op->r.from_s3 && S3_LOAD(op->s->bucket_seen);

	if (op->r.verb != S3_HEAD || kind != S3_ABSENT || trusted || S3_LOAD(op->s->closing))
		return false;
	op->phase = op->phase == S3_LOOKING ? S3_LOOKING : S3_ASKING_WHY;
	op->r.verb = S3_GET;
	op->r.off = 0;
	op->r.buf = &op->scratch;
	op->r.len = 1;
	send(op);
	return true;
}

/* A key that was looked for is free, or taken. */
static void looked(struct s3_op *op, enum s3_kind kind)
{
	if (kind == S3_OK)
		kind = S3_EXISTS;
	if (kind != S3_ABSENT || S3_LOAD(op->s->closing)) {
		op->ended(op, kind);
		return;
	}
	op->phase = S3_PLAIN;
	op->r.verb = S3_PUT;
	lsvd_s3_op_start(op);
}

static void request_done(struct s3_request *r)
{
	struct s3_op *op = r->owner;
	struct s3_store *s = op->s;
	enum s3_kind kind = lsvd_s3_kind(r, skew_of(op));

	if (lacks_length(op, kind))
		kind = S3_BAD_BODY;
	S3_COUNT(s->kinds[kind], 1u);
	if (r->verb == S3_GET)
		S3_COUNT(s->get_bytes, r->ret_len);
	if (go_on(op, kind) || ask_why(op, kind))
		return;
	note_bucket(op, kind);
	if (op->phase == S3_LOOKING)
		looked(op, kind);
	else
		op->ended(op, kind);
}

/* -------------------------------------------------------------------------- for those who start */

struct s3_op *lsvd_s3_op_new(struct s3_store *s, const char *key)
{
	size_t len = strlen(key);
	struct s3_op *op = lsvd_malloc(sizeof *op + s->prefix_len + len + 1);

	if (!op)
		return NULL;
	memset(op, 0, sizeof *op);
	op->s = s;
	op->generation = lsvd_s3_credentials_generation(s->credentials);
	memcpy(op->key, s->prefix, s->prefix_len);
	memcpy(op->key + s->prefix_len, key, len + 1);
	op->r.key = op->key;
	return op;
}

struct outcome {
	struct store_waiter waiter;
	enum s3_kind kind;
};

static void wake(struct s3_op *op, enum s3_kind kind)
{
	struct outcome *o = op->owner;

	o->kind = kind;
	lsvd_waiter_end(&o->waiter);
}

enum s3_kind lsvd_s3_op_run(struct s3_op *op)
{
	struct outcome o = { .waiter = STORE_WAITER_INIT };

	op->owner = &o;
	op->ended = wake;
	lsvd_s3_op_start(op);
	lsvd_waiter_wait(&o.waiter);
	return o.kind;
}
