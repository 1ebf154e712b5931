/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_s3.c - the store in a bucket: the table of a driver on top of operations (s3_op.h).
 *
 *   store_s3.c       the table; opening and closing
 *   s3_options.c     what may be said of a bucket; s3_url.c: as a URL
 *   s3_op.c          an operation: its requests, and the two that are tried again at once
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

#define PAGE_OBJECTS 1000u

/* ------------------------------------------------------------------------- operations of others */

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

/* The object without the prefix; false: it is none of ours. */
static bool ours(const struct s3_store *s, const struct s3_listed *object,
		 struct lsvd_object_info *ret)
{
	if (strncmp(object->key, s->prefix, s->prefix_len) != 0)
		return false;
	*ret = (struct lsvd_object_info){
		.key = object->key + s->prefix_len,
		.bytes = object->bytes,
		.modified_ms = object->modified_ms,
	};
	return true;
}

static void user_listed(struct s3_request *r, const struct s3_listed *object)
{
	struct s3_op *op = r->owner;
	struct lsvd_store_request *user = op->owner;
	struct lsvd_object_info info;

	if (!op->one_page && ours(op->s, object, &info) && user->fn(user->fn_ctx, &info) != 0)
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
		op->r.page = PAGE_OBJECTS;
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

/* ------------------------------------------------------------------------ a listing, waited for */

/* A page as it came, to be told on the caller's thread. */
struct page {
	struct object {
		uint64_t bytes;
		int64_t modified_ms;
		size_t key;          /* in keys */
	} objects[PAGE_OBJECTS];
	unsigned count;
	char *keys;
	size_t keys_len, keys_room;
	bool no_memory;
};

static bool keep_key(struct page *p, const char *key)
{
	size_t len = strlen(key) + 1;

	if (p->keys_len + len > p->keys_room) {
		size_t room = 2 * p->keys_room + len + 4096;
		char *keys = lsvd_realloc(p->keys, room);

		if (!keys)
			return false;
		p->keys = keys;
		p->keys_room = room;
	}
	memcpy(p->keys + p->keys_len, key, len);
	p->keys_len += len;
	return true;
}

static void page_listed(struct s3_request *r, const struct s3_listed *object)
{
	struct s3_op *op = r->owner;
	struct page *p = op->page;
	struct lsvd_object_info info;
	size_t at = p->keys_len;

	if (p->count == PAGE_OBJECTS || !ours(op->s, object, &info))
		return; /* a server that sends more than it was asked for: the rest comes never */
	if (!keep_key(p, info.key)) {
		p->no_memory = true;
		return;
	}
	p->objects[p->count++] = (struct object){ info.bytes, info.modified_ms, at };
}

static int tell_page(struct page *p, lsvd_object_fn fn, void *fn_ctx)
{
	int stop = 0;

	for (unsigned i = 0; i < p->count && !stop; i++)
		stop = fn(fn_ctx, &(struct lsvd_object_info){
			.key = p->keys + p->objects[i].key,
			.bytes = p->objects[i].bytes,
			.modified_ms = p->objects[i].modified_ms,
		});
	return stop;
}

/* One page after `token`, told; *ret_more: there is another, and token is now its. */
static int list_page(struct s3_op *op, struct page *p, lsvd_object_fn fn, void *fn_ctx,
		     bool *ret_more)
{
	enum s3_kind kind;

	p->count = 0;
	p->keys_len = 0;
	kind = lsvd_s3_op_run(op);
	if (kind != S3_OK)
		return lsvd_s3_op_fail(op, kind);
	if (p->no_memory)
		return lsvd_s3_op_fail(op, S3_MEMORY);
	*ret_more = tell_page(p, fn, fn_ctx) == 0 && op->r.next[0];
	memcpy(op->token, op->r.next, sizeof op->token);
	op->r.token = op->token;
	op->skew_tried = op->denied_tried = false;
	return 0;
}

static int s3_list(void *ctx, const char *prefix, lsvd_object_fn fn, void *fn_ctx)
{
	struct s3_op *op = lsvd_s3_op_new(ctx, prefix);
	struct page *p = lsvd_calloc(1, sizeof *p);
	bool more = true;
	int err = 0;

	if (!op || !p)
		err = -ENOMEM;
	if (err == 0) {
		op->r.verb = S3_LIST;
		op->r.page = PAGE_OBJECTS;
		op->r.listed = page_listed;
		op->one_page = true;
		op->page = p;
	}
	while (err == 0 && more)
		err = list_page(op, p, fn, fn_ctx, &more);
	if (p)
		lsvd_free(p->keys);
	lsvd_free(p);
	lsvd_free(op);
	return err;
}

/* ------------------------------------------------------------------------------- many deletions */

/* What was not deleted, and why. */
struct undeleted {
	unsigned count;
	int err;
	char key[LSVD_KEY_MAX + 1], code[64];
};

static int error_of_code(const char *code)
{
	if (strcmp(code, "AccessDenied") == 0)
		return -EACCES;
	if (strcmp(code, "NotImplemented") == 0 || strcmp(code, "MethodNotAllowed") == 0)
		return LSVD_E_UNSUPPORTED;
	return LSVD_E_UNAVAILABLE; /* of a single object nothing else is final */
}

/* Foreign text for a message: cut, and printable. */
static void note_text(char *to, size_t size, const char *from)
{
	size_t n = 0;

	for (; n + 1 < size && from[n]; n++)
		to[n] = from[n] >= ' ' && from[n] <= '~' ? from[n] : '?';
	to[n] = '\0';
}

static void not_deleted(struct s3_request *r, const char *key, const char *code)
{
	struct s3_op *op = r->owner;
	struct undeleted *u = op->undeleted;
	size_t skip = strncmp(key, op->s->prefix, op->s->prefix_len) == 0 ? op->s->prefix_len : 0;

	if (strcmp(code, "NoSuchKey") == 0 || u->count++ > 0)
		return;
	u->err = error_of_code(code);
	note_text(u->key, sizeof u->key, key + skip);
	note_text(u->code, sizeof u->code, code);
}

static int remove_each(struct s3_store *s, const char *const *keys, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct s3_op *op = lsvd_s3_op_new(s, keys[i]);
		enum s3_kind kind = S3_MEMORY;
		int err = 0;

		if (!op)
			return -ENOMEM;
		op->r.verb = S3_DELETE;
		kind = lsvd_s3_op_run(op);
		if (kind != S3_OK)
			err = lsvd_s3_op_fail(op, kind);
		lsvd_free(op);
		if (err < 0)
			return err;
	}
	return 0;
}

/* All the keys as the bucket has them, in one allocation behind the pointers. */
static const char **whole_keys(const struct s3_store *s, const char *const *keys, unsigned count)
{
	size_t bytes = count * sizeof(char *);
	const char **whole;
	char *at;

	for (unsigned i = 0; i < count; i++)
		bytes += s->prefix_len + strlen(keys[i]) + 1;
	whole = lsvd_malloc(bytes);
	if (!whole)
		return NULL;
	at = (char *)(whole + count);
	for (unsigned i = 0; i < count; i++) {
		size_t len = strlen(keys[i]) + 1;

		whole[i] = at;
		memcpy(at, s->prefix, s->prefix_len);
		memcpy(at + s->prefix_len, keys[i], len);
		at += s->prefix_len + len;
	}
	return whole;
}

static bool cannot_delete_many(enum s3_kind kind)
{
	return kind == S3_CANNOT || kind == S3_ODD;
}

static int many_ended(struct s3_op *op, enum s3_kind kind, const struct undeleted *u)
{
	if (kind != S3_OK)
		return lsvd_s3_op_fail(op, kind);
	if (u->count == 0)
		return 0;
	return lsvd_store_fail(u->err, "remove s3://%s/%s%s, and %u more: %s", op->s->bucket,
			       op->s->prefix, u->key, u->count - 1, u->code);
}

/* At most S3_DELETE_MAX, in one request. */
static int remove_some(struct s3_store *s, const char *const *keys, unsigned count)
{
	const char **whole = whole_keys(s, keys, count);
	struct s3_op *op = lsvd_s3_op_new(s, "");
	struct undeleted u = { .count = 0 };
	enum s3_kind kind = S3_MEMORY;
	int err = -ENOMEM;

	if (op && whole) {
		op->r.verb = S3_DELETE_MANY;
		op->r.keys = whole;
		op->r.count = count;
		op->r.not_deleted = not_deleted;
		op->undeleted = &u;
		kind = lsvd_s3_op_run(op);
		if (!cannot_delete_many(kind))
			err = many_ended(op, kind, &u);
	}
	lsvd_free(op);
	lsvd_free(whole);
	if (!cannot_delete_many(kind))
		return err;
	S3_SET(s->no_delete_many, true);
	return remove_each(s, keys, count);
}

static int s3_remove_many(void *ctx, const char *const *keys, unsigned count)
{
	struct s3_store *s = ctx;
	int err = 0;

	while (count && err == 0) {
		unsigned n = count < S3_DELETE_MAX ? count : S3_DELETE_MAX;

		err = n == 1 || S3_LOAD(s->no_delete_many) ? remove_each(s, keys, n)
							   : remove_some(s, keys, n);
		keys += n;
		count -= n;
	}
	return err;
}

/* ------------------------------------------------------------------------------------ what else */

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

/* ----------------------------------------------------------------------------- opening, closing */

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
	.list = s3_list,
	.close = s3_close,
	.submit = s3_submit,
	.remove_many = s3_remove_many,
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
