/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_s3.c - the store in a bucket: the table of a driver on top of operations (s3_op.h).
 *
 *   store_s3.c       the table; opening and closing
 *   s3_options.c     what may be said of a bucket; s3_url.c: as a URL
 *   s3_op.c          an operation: its requests, and the two that are tried again at once
 *   s3_list.c        a listing that is waited for; s3_remove.c: many objects removed
 *   s3_answer.c      which error an answer is
 *   s3_client.h      whoever sends requests: s3_curl.c (and what s3_curl.h lists, s3_sign.c,
 *                    s3_xml.c, s3_endpoint.c), or a module (s3_module.c)
 *   s3_credentials.c access keys
 *   s3_worker.c      digests, and reading credentials again
 *
 * docs/s3.md says the same in words: what is asked of a bucket, what is done about each answer.
 *
 * All is submitted; only a listing has a form of its own that blocks, since its callback may use
 * the store, and what is called on the client's thread may not wait for that thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <lsvd/store_s3.h>

#include "base/alloc.h"
#include "base/err.h"
#include "store/s3_module.h"
#include "store/s3_op.h"
#include "store/s3_options.h"

/* ------------------------------------------------------------------------ operations of others */

static void user_ended(struct s3_op *op, enum s3_kind kind)
{
	struct lsvd_store_request *user = op->owner;
	const struct s3_request *r = &op->r;
	int err = 0;

	if (kind != S3_OK)
		err = lsvd_s3_op_fail(op, kind);
	if (err == 0 && user->verb == LSVD_STORE_GET)
		user->ret_len = r->verb == S3_GET && op->phase == S3_PLAIN ? r->ret_len : 0;
	if (err == 0 && user->verb == LSVD_STORE_HEAD)
		/* 416 to the question why: it is there after all, and empty. */
		user->ret_bytes = r->total == UINT64_MAX ? 0 : r->total;
	lsvd_free(op);
	lsvd_store_done(user, err);
}

static void user_listed(struct s3_request *r, const struct s3_listed *object)
{
	struct s3_op *op = r->owner;
	struct lsvd_store_request *user = op->owner;
	struct lsvd_object_info info;

	if (!op->one_page && lsvd_s3_ours(op->s, object, &info) &&
	    user->fn(user->fn_ctx, &info) != 0)
		op->one_page = true; /* and no more of it */
}

static void fill_put(struct s3_op *op, const struct lsvd_store_request *user)
{
	bool sure = op->s->ops->caps & S3_CAN_CREATE;

	op->r.verb = sure ? S3_PUT : S3_HEAD;
	op->phase = sure ? S3_PLAIN : S3_LOOKING;
	op->r.if_absent = sure;
	op->r.iov = user->iov;
	op->r.iovcnt = user->iovcnt;
}

static void fill_get(struct s3_op *op, const struct lsvd_store_request *user)
{
	/*
	 * No range says "nothing", and no object has a byte so far out: only whether it is there.
	 */
	bool empty = user->len == 0 || user->off > INT64_MAX - user->len;

	op->r.verb = empty ? S3_HEAD : S3_GET;
	op->r.off = user->off;
	op->r.buf = user->buf;
	op->r.len = user->len;
}

static void fill(struct s3_op *op, const struct lsvd_store_request *user)
{
	switch (user->verb) {
	case LSVD_STORE_PUT:
		fill_put(op, user);
		break;
	case LSVD_STORE_GET:
		fill_get(op, user);
		break;
	case LSVD_STORE_HEAD:
		op->r.verb = S3_HEAD;
		break;
	case LSVD_STORE_LIST:
		op->r.verb = S3_LIST;
		op->r.page = S3_PAGE_OBJECTS;
		op->r.listed = user_listed;
		break;
	default:
		op->r.verb = S3_DELETE;
	}
}

static void s3_submit(void *ctx, struct lsvd_store_request *user)
{
	struct s3_op *op = lsvd_s3_op_new(ctx, user->key);

	if (!op) {
		lsvd_store_done(user, -ENOMEM);
		return;
	}
	op->owner = user;
	op->ended = user_ended;
	fill(op, user);
	lsvd_s3_op_start(op);
}

/* ----------------------------------------------------------------------------------- what else */

static int s3_reload(void *ctx)
{
	struct s3_store *s = ctx;
	int err = lsvd_s3_credentials_renew(s->credentials);

	/* The text is there, and says more than any other. */
	return err < 0 ? lsvd_store_fail(err, "%s", lsvd_last_error()) : 0;
}

static void s3_counters(void *ctx, struct lsvd_store_counters *c)
{
	struct s3_store *s = ctx;

	c->puts += S3_LOAD(s->sent[S3_PUT]);
	c->gets += S3_LOAD(s->sent[S3_GET]);
	c->heads += S3_LOAD(s->sent[S3_HEAD]);
	c->lists += S3_LOAD(s->sent[S3_LIST]);
	c->removes += S3_LOAD(s->sent[S3_DELETE]) + S3_LOAD(s->sent[S3_DELETE_MANY]);
	c->put_bytes += S3_LOAD(s->put_bytes);
	c->get_bytes += S3_LOAD(s->get_bytes);
	c->server_errors += S3_LOAD(s->kinds[S3_SERVER_ERROR]);
	c->no_connection += S3_LOAD(s->kinds[S3_NO_CONNECTION]);
	c->unknown += S3_LOAD(s->kinds[S3_NO_ANSWER]);
	c->conflicts += S3_LOAD(s->kinds[S3_CONFLICT]);
	c->denied += S3_LOAD(s->kinds[S3_DENIED]);
	c->skewed += S3_LOAD(s->kinds[S3_SKEWED]);
	c->redirects += S3_LOAD(s->kinds[S3_REDIRECT]);
	c->no_bucket += S3_LOAD(s->kinds[S3_NO_BUCKET]);
	c->bad_bodies += S3_LOAD(s->kinds[S3_BAD_BODY]);
	c->exists += S3_LOAD(s->kinds[S3_EXISTS]);
	c->rejected += S3_LOAD(s->kinds[S3_REJECTED]);
	c->clock_offset_ms = S3_LOAD(s->observed_ms);
}

/* ---------------------------------------------------------------------------- opening, closing */

static int client_secrets(void *ctx, struct s3_secrets *ret)
{
	struct s3_store *s = ctx;

	return lsvd_s3_credentials_get(s->credentials, ret);
}

static void client_release(void *ctx, struct s3_secrets *secrets)
{
	struct s3_store *s = ctx;

	lsvd_s3_credentials_put(s->credentials, secrets);
}

static int64_t client_offset(void *ctx)
{
	struct s3_store *s = ctx;

	return S3_LOAD(s->offset_ms);
}

static int choose_client(const struct s3_client_ops **ret, const struct s3_options *o)
{
	if (strcmp(o->o.client, "libs3") != 0) {
		*ret = &lsvd_s3_curl;
		return 0;
	}
	return lsvd_s3_module_load(ret, "libs3");
}

/* A client must not seem to do what it cannot. */
static int check_client(const struct s3_client_ops *ops, const struct s3_options *o)
{
	if (o->https && o->o.ca_file && !(ops->caps & S3_CAN_CA))
		return lsvd_fail(LSVD_E_UNSUPPORTED, "S3 bucket %s: the client \"%s\" cannot "
				 "verify a server by a CA of one's own (%s); use \"curl\"",
				 o->o.bucket, ops->name, o->o.ca_file);
	if (o->o.session_token && !(ops->caps & S3_CAN_TOKEN))
		return lsvd_fail(LSVD_E_UNSUPPORTED, "S3 bucket %s: the client \"%s\" has no "
				 "session tokens; use \"curl\"", o->o.bucket, ops->name);
	if (o->o.ca_file && access(o->o.ca_file, R_OK) < 0)
		return lsvd_fail(-errno, "S3 CA file %s: %s", o->o.ca_file, lsvd_strerror(-errno));
	return 0;
}

static int open_client(struct s3_store *s, const struct lsvd_s3_options *o)
{
	struct s3_client_options c = {
		.version = S3_CLIENT_VERSION,
		.bucket = o->bucket,
		.region = o->region,
		.endpoint = o->endpoint,
		.ca_file = o->ca_file,
		.connections = o->connections,
		.connect_timeout_ms = o->connect_timeout_ms,
		.stall_timeout_ms = o->stall_timeout_ms,
		.secrets = client_secrets,
		.release = client_release,
		.clock_offset_ms = client_offset,
		.ctx = s,
	};
	char text[256] = "";
	int err = s->ops->open(&s->client, &c, text, sizeof text);

	if (err < 0)
		return lsvd_fail(err, "S3 bucket %s: client \"%s\": %s", o->bucket, s->ops->name,
				 text[0] ? text : lsvd_strerror(err));
	return 0;
}

static int copy_names(struct s3_store *s, const struct lsvd_s3_options *o)
{
	size_t len = o->directory ? strlen(o->directory) + 1 : 0;

	s->bucket = lsvd_strdup(o->bucket);
	s->prefix = lsvd_malloc(len + 1);
	if (!s->bucket || !s->prefix)
		return lsvd_fail_plain(-ENOMEM);
	if (len)
		memcpy(s->prefix, o->directory, len - 1);
	if (len)
		s->prefix[len - 1] = '/';
	s->prefix[len] = '\0';
	s->prefix_len = len;
	return 0;
}

static void free_store(struct s3_store *s)
{
	lsvd_s3_credentials_close(s->credentials);
	lsvd_free(s->prefix);
	lsvd_free(s->bucket);
	lsvd_free(s);
}

static int fill_store(struct s3_store *s, const struct s3_options *o)
{
	int err = choose_client(&s->ops, o);

	if (err == 0)
		err = check_client(s->ops, o);
	if (err == 0)
		err = copy_names(s, &o->o);
	if (err == 0)
		err = lsvd_s3_credentials_open(&s->credentials, &o->o);
	if (err < 0)
		return err;
	err = lsvd_s3_worker_init(&s->worker, lsvd_s3_op_work, s);
	if (err < 0)
		return lsvd_fail(err, "S3 bucket %s: a thread: %s", s->bucket, lsvd_strerror(err));
	err = open_client(s, &o->o);
	if (err < 0)
		lsvd_s3_worker_fini(&s->worker);
	return err;
}

static int open_store(struct s3_store **ret, const struct s3_options *o)
{
	struct s3_store *s = lsvd_calloc(1, sizeof *s);
	int err;

	if (!s)
		return lsvd_fail_plain(-ENOMEM);
	s->reloaded_ms = INT64_MIN / 2;
	err = fill_store(s, o);
	if (err < 0) {
		free_store(s);
		return err;
	}
	*ret = s;
	return 0;
}

/* By contract nothing is under way; if there is, it ends as not answered. */
static void s3_close(void *ctx)
{
	struct s3_store *s = ctx;

	S3_SET(s->closing, true);
	lsvd_s3_worker_fini(&s->worker);
	s->ops->close(s->client);
	free_store(s);
}

static const struct lsvd_store_ops s3_ops = {
	.size = sizeof s3_ops,
	.list = lsvd_s3_list,
	.close = s3_close,
	.submit = s3_submit,
	.remove_many = lsvd_s3_remove_many,
	.reload = s3_reload,
	.counters = s3_counters,
};

static int open_checked(struct lsvd_store **ret, const struct s3_options *o)
{
	struct lsvd_store_ops ops = s3_ops;
	struct s3_store *s = NULL;
	char *url;
	int err = open_store(&s, o);

	if (err < 0)
		return err;
	if (s->ops->caps & S3_CAN_CREATE)
		ops.caps |= LSVD_STORE_CAP_CREATE | LSVD_STORE_CAP_PROBE;
	url = lsvd_s3_options_url(&o->o);
	err = url ? lsvd_store_new(ret, url, &ops, s) : lsvd_fail_plain(-ENOMEM);
	lsvd_free(url);
	if (err < 0)
		s3_close(s);
	return err;
}

int lsvd_store_open_s3(struct lsvd_store **ret, const struct lsvd_s3_options *options,
		       const struct lsvd_store_options *store_options)
{
	struct lsvd_store *store;
	struct s3_options o;
	unsigned flags;
	int err;

	if (!ret)
		return lsvd_fail(-EINVAL, "S3: no place for the store");
	err = lsvd_store_options_flags(store_options, &flags);
	if (err == 0)
		err = lsvd_s3_options_copy(&o, options);
	if (err < 0)
		return err;
	err = open_checked(&store, &o);
	lsvd_s3_options_fini(&o);
	if (err < 0)
		return err;
	if (flags & LSVD_STORE_READONLY)
		lsvd_store_make_readonly(store);
	*ret = store;
	return 0;
}

int lsvd_store_s3_open(struct lsvd_store **ret, const char *url)
{
	struct s3_options o;
	int err = lsvd_s3_options_parse(&o, url);

	if (err < 0)
		return err;
	err = lsvd_store_open_s3(ret, &o.o, NULL);
	lsvd_s3_options_fini(&o);
	return err;
}
