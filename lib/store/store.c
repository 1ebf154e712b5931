/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.c - the way to every store: checked arguments, the driver's operation, a text for failures.
 *
 * A driver is not trusted to know the grammar of keys, nor to describe what went wrong: keys are
 * checked on the way in and on the way out of list, and a failure for which the driver has noted no
 * text gets one here. Whether it has is a thread's own flag, which every failing operation sets on
 * its way out: so it is right for stores that stand on stores, too.
 *
 * Every operation is a struct lsvd_store_request, whether it is waited for or not: so that there is
 * one place where arguments are checked, and one where results are.
 */
#include "store/store.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/options.h"

struct lsvd_store {
	/* immutable once the store is handed out */
	struct lsvd_store_ops ops;
	void *ctx;
	char *url;
	bool readonly;
};

/* sizeof(struct lsvd_store_ops) in the first release. */
#define OPS_FIRST_SIZE 56u
_Static_assert(sizeof(struct lsvd_store_ops) >= OPS_FIRST_SIZE, "the table only grows");
#define COUNTERS_FIRST_SIZE 224u
_Static_assert(sizeof(struct lsvd_store_counters) >= COUNTERS_FIRST_SIZE, "the struct only grows");

static _Thread_local bool text_noted;

/* ----------------------------------------------------------------------------------------- keys */

bool lsvd_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-' || c == '/';
}

static bool component_valid(const char *s, size_t len)
{
	return len > 0 && !(len == 1 && s[0] == '.') && !(len == 2 && s[0] == '.' && s[1] == '.');
}

/* Length and characters are good, and every component that a '/' ends; *last: what follows. */
static bool path_valid(const char *s, const char **last)
{
	size_t len = strnlen(s, LSVD_KEY_MAX + 1);

	*last = s;
	if (len > LSVD_KEY_MAX)
		return false;
	for (const char *p = s; *p; p++) {
		if (!lsvd_key_char(*p))
			return false;
		if (*p != '/')
			continue;
		if (!component_valid(*last, (size_t)(p - *last)))
			return false;
		*last = p + 1;
	}
	return true;
}

bool lsvd_key_valid(const char *key)
{
	const char *last;

	return path_valid(key, &last) && component_valid(last, strlen(last));
}

bool lsvd_key_prefix_valid(const char *prefix)
{
	const char *last;

	return path_valid(prefix, &last);
}

/* Any bytes, made fit for a message: at most 64 of them, '?' for what is not printable. */
static const char *printable(char buf[68], const char *s)
{
	size_t n = 0;

	for (; n < 64 && s[n]; n++)
		buf[n] = s[n] >= ' ' && s[n] <= '~' ? s[n] : '?';
	(void)snprintf(buf + n, 4, "%s", s[n] ? "..." : ""); /* 4 bytes are left */
	return buf;
}

/* ------------------------------------------------------------------------------ life of a store */

static int check_ops(const struct lsvd_store_ops *ops, const char *name)
{
	bool waits = ops->put_if_absent && ops->get && ops->head && ops->remove;

	if (!ops->list || (!waits && !ops->submit))
		return lsvd_fail(-EINVAL, "store %s: the driver lacks one of put_if_absent, get, "
					  "head, list, remove", name);
	return 0;
}

int lsvd_store_new(struct lsvd_store **ret, const char *name, const struct lsvd_store_ops *ops,
		   void *ctx)
{
	struct lsvd_store *s;
	int err;

	if (!ret || !name || !ops)
		return lsvd_fail(-EINVAL, "store: neither its name nor its operations may be NULL");
	s = lsvd_calloc(1, sizeof *s);
	if (!s)
		return lsvd_fail_plain(-ENOMEM);
	err = lsvd_options_copy(&s->ops, sizeof s->ops, ops, OPS_FIRST_SIZE, "store operations");
	if (err < 0)
		goto out;
	err = check_ops(&s->ops, name);
	if (err < 0)
		goto out;
	s->ops.caps &= ~LSVD_STORE_CAP_SUBMIT;
	if (s->ops.submit)
		s->ops.caps |= LSVD_STORE_CAP_SUBMIT;
	s->ctx = ctx;
	s->url = lsvd_strdup(name);
	if (!s->url) {
		err = lsvd_fail_plain(-ENOMEM);
		goto out;
	}
	*ret = s;
	s = NULL;
out:
	lsvd_free(s);
	return err;
}

void lsvd_store_make_readonly(struct lsvd_store *store)
{
	store->readonly = true;
}

void lsvd_store_close(struct lsvd_store *store)
{
	if (!store)
		return;
	if (store->ops.close)
		store->ops.close(store->ctx);
	lsvd_free(store->url);
	lsvd_free(store);
}

const char *lsvd_store_url(const struct lsvd_store *store)
{
	return store->url;
}

uint32_t lsvd_store_caps(const struct lsvd_store *store)
{
	return store->ops.caps;
}

/* ------------------------------------------------------------------------------------- failures */

int lsvd_store_fail(int err, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap); /* cut at the end, which is all we ask */
	va_end(ap);
	text_noted = true;
	return lsvd_fail(err, "%s", text);
}

/* What an operation returns: `err`, with a text if it is a failure. */
static int outcome(const struct lsvd_store *s, const char *verb, const char *key, int err)
{
	if (err >= 0)
		return 0;
	if (!text_noted)
		(void)lsvd_fail(err, "%s: %s %s: %s", s->url, verb, key, lsvd_strerror(err));
	text_noted = true;
	return err;
}

static int bad_argument(const struct lsvd_store *s, const char *verb, const char *what)
{
	text_noted = true;
	return lsvd_fail(-EINVAL, "%s: %s: %s", s ? s->url : "no store", verb, what);
}

static int check_key(const struct lsvd_store *s, const char *verb, const char *key)
{
	char text[68];

	if (!s || !key)
		return bad_argument(s, verb, "store or key is NULL");
	if (lsvd_key_valid(key))
		return 0;
	text_noted = true;
	return lsvd_fail(-EINVAL, "%s: %s: \"%s\" (%zu bytes) is not a key: 1 to %u of "
				  "[A-Za-z0-9._/-], no part of it empty, \".\" or \"..\"", s->url,
			 verb, printable(text, key), strlen(key), LSVD_KEY_MAX);
}

static int check_writable(const struct lsvd_store *s, const char *verb, const char *key)
{
	if (!s->readonly)
		return 0;
	text_noted = true;
	return lsvd_fail(-EROFS, "%s: %s %s: the store was opened read-only", s->url, verb, key);
}

/* ----------------------------------------------------------------------------------- operations */

static int check_iov(const struct lsvd_store *s, const struct iovec *iov, int iovcnt)
{
	size_t sum = 0;

	if (iovcnt < 0 || (iovcnt > 0 && !iov))
		return bad_argument(s, "put", "a vector without elements, or fewer than none");
	for (int i = 0; i < iovcnt; i++)
		if ((!iov[i].iov_base && iov[i].iov_len) ||
		    __builtin_add_overflow(sum, iov[i].iov_len, &sum) || sum > SSIZE_MAX)
			return bad_argument(s, "put", "an element of the vector is impossible");
	return 0;
}

size_t lsvd_iov_bytes(const struct iovec *iov, int iovcnt)
{
	size_t sum = 0;

	for (int i = 0; i < iovcnt; i++)
		sum += iov[i].iov_len;
	return sum;
}

static int check_get(const struct lsvd_store *s, const struct lsvd_store_request *r)
{
	if ((r->len > 0 && !r->buf) || r->len > SSIZE_MAX)
		return bad_argument(s, "get", "no buffer, or too long");
	return 0;
}

static int check_list(const struct lsvd_store *s, const struct lsvd_store_request *r)
{
	char text[68];

	if (!s || !r->key || !r->fn)
		return bad_argument(s, "list", "store, prefix or function is NULL");
	if (lsvd_key_prefix_valid(r->key))
		return 0;
	text_noted = true;
	return lsvd_fail(-EINVAL, "%s: list: no key begins with \"%s\"", s->url,
			 printable(text, r->key));
}

static const char *verb_name(uint32_t verb)
{
	static const char *const names[] = { "?", "put", "get", "head", "list", "remove" };

	return names[verb < LSVD_ARRAY_LEN(names) ? verb : 0];
}

static int check_request(const struct lsvd_store *s, const struct lsvd_store_request *r)
{
	const char *verb = verb_name(r->verb);
	int err;

	if (r->verb == LSVD_STORE_LIST)
		return check_list(s, r);
	err = check_key(s, verb, r->key);
	if (err < 0)
		return err;
	switch (r->verb) {
	case LSVD_STORE_PUT:
		err = check_iov(s, r->iov, r->iovcnt);
		return err < 0 ? err : check_writable(s, verb, r->key);
	case LSVD_STORE_GET:
		return check_get(s, r);
	case LSVD_STORE_HEAD:
		return 0;
	case LSVD_STORE_REMOVE:
		return check_writable(s, verb, r->key);
	default:
		return bad_argument(s, "request", "no such operation");
	}
}

/* What is no key, or not asked for, is nothing of ours: it is passed over. */
static int pass_on(void *ctx, const struct lsvd_object_info *info)
{
	const struct lsvd_store_request *r = ctx;

	if (!lsvd_key_valid(info->key) || strncmp(info->key, r->key, strlen(r->key)) != 0)
		return 0;
	return r->list_fn(r->list_ctx, info);
}

/* Between the caller and the driver: what a list reports is looked at first. */
static void begin(struct lsvd_store *s, struct lsvd_store_request *r)
{
	r->store = s;
	r->ret_len = 0;
	r->ret_bytes = 0;
	if (r->verb == LSVD_STORE_LIST) {
		r->list_fn = r->fn;
		r->list_ctx = r->fn_ctx;
		r->fn = pass_on;
		r->fn_ctx = r;
	}
	text_noted = false;
}

/* And back: what the caller is told. */
static int end(struct lsvd_store_request *r, int err)
{
	const struct lsvd_store *s = r->store;

	if (r->verb == LSVD_STORE_LIST) {
		r->fn = r->list_fn;
		r->fn_ctx = r->list_ctx;
	}
	err = outcome(s, verb_name(r->verb), r->key, err);
	if (err < 0 || r->verb != LSVD_STORE_GET || r->ret_len <= r->len)
		return err;
	text_noted = true;
	return lsvd_fail(-EIO, "%s: get %s: the driver says it read %zu bytes of %zu", s->url,
			 r->key, r->ret_len, r->len);
}

/* The driver's own operation, which blocks, if it has one. */
static bool call_driver(struct lsvd_store *s, struct lsvd_store_request *r, int *ret_err)
{
	const struct lsvd_store_ops *ops = &s->ops;

	switch (r->verb) {
	case LSVD_STORE_PUT:
		if (!ops->put_if_absent)
			return false;
		*ret_err = ops->put_if_absent(s->ctx, r->key, r->iov, r->iovcnt);
		return true;
	case LSVD_STORE_GET:
		if (!ops->get)
			return false;
		*ret_err = ops->get(s->ctx, r->key, r->off, r->buf, r->len, &r->ret_len);
		return true;
	case LSVD_STORE_HEAD:
		if (!ops->head)
			return false;
		*ret_err = ops->head(s->ctx, r->key, &r->ret_bytes);
		return true;
	case LSVD_STORE_LIST:
		*ret_err = ops->list(s->ctx, r->key, r->fn, r->fn_ctx);
		return true;
	default:
		if (!ops->remove)
			return false;
		*ret_err = ops->remove(s->ctx, r->key);
		return true;
	}
}

/* Does an operation and waits for its end. */
static int perform(struct lsvd_store *s, struct lsvd_store_request *r)
{
	int err = check_request(s, r);

	if (err < 0)
		return err;
	begin(s, r);
	if (call_driver(s, r, &err))
		return end(r, err);
	err = lsvd_store_wait(s->ops.submit, s->ctx, r);
	text_noted = err < 0; /* with the text, which lsvd_store_done() saw to */
	return err;
}

int lsvd_store_put_if_absent(struct lsvd_store *s, const char *key, const struct iovec *iov,
			     int iovcnt)
{
	struct lsvd_store_request r = {
		.verb = LSVD_STORE_PUT, .key = key, .iov = iov, .iovcnt = iovcnt,
	};

	return perform(s, &r);
}

int lsvd_store_get(struct lsvd_store *s, const char *key, uint64_t off, void *buf, size_t len,
		   size_t *ret_len)
{
	struct lsvd_store_request r = {
		.verb = LSVD_STORE_GET, .key = key, .off = off, .buf = buf, .len = len,
	};
	int err;

	if (!ret_len)
		return bad_argument(s, "get", "no place for the length");
	err = perform(s, &r);
	if (err == 0)
		*ret_len = r.ret_len;
	return err;
}

int lsvd_store_head(struct lsvd_store *s, const char *key, uint64_t *ret_bytes)
{
	struct lsvd_store_request r = { .verb = LSVD_STORE_HEAD, .key = key };
	int err;

	if (!ret_bytes)
		return bad_argument(s, "head", "no place for the length");
	err = perform(s, &r);
	if (err == 0)
		*ret_bytes = r.ret_bytes;
	return err;
}

int lsvd_store_list(struct lsvd_store *s, const char *prefix, lsvd_object_fn fn, void *fn_ctx)
{
	struct lsvd_store_request r = {
		.verb = LSVD_STORE_LIST, .key = prefix, .fn = fn, .fn_ctx = fn_ctx,
	};

	return perform(s, &r);
}

int lsvd_store_remove(struct lsvd_store *s, const char *key)
{
	struct lsvd_store_request r = { .verb = LSVD_STORE_REMOVE, .key = key };

	return perform(s, &r);
}

/* One after another; those after a failure, too. */
static int remove_each(struct lsvd_store *s, const char *const *keys, unsigned count)
{
	char text[512];
	int first = 0;

	for (unsigned i = 0; i < count; i++) {
		int err = lsvd_store_remove(s, keys[i]);

		if (err == 0 || first < 0)
			continue;
		first = err;
		(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* is as long */
	}
	if (first < 0)
		lsvd_error_restore(text);
	return first;
}

int lsvd_store_remove_many(struct lsvd_store *s, const char *const *keys, unsigned count)
{
	if (!s || (count > 0 && !keys))
		return bad_argument(s, "remove", "store or keys are NULL");
	for (unsigned i = 0; i < count; i++) {
		int err = check_key(s, "remove", keys[i]);

		if (err == 0)
			err = check_writable(s, "remove", keys[i]);
		if (err < 0)
			return err;
	}
	if (!s->ops.remove_many || count == 0)
		return remove_each(s, keys, count);
	text_noted = false;
	return outcome(s, "remove, among others,", keys[0],
		       s->ops.remove_many(s->ctx, keys, count));
}

/* ------------------------------------------------------------------------------ without waiting */

void lsvd_store_submit(struct lsvd_store *s, struct lsvd_store_request *r)
{
	int err = check_request(s, r);

	if (err < 0) {
		r->done(r, err);
	} else if (!s->ops.submit) {
		r->done(r, perform(s, r));
	} else {
		begin(s, r);
		s->ops.submit(s->ctx, r);
	}
}

void lsvd_store_done(struct lsvd_store_request *r, int err)
{
	err = end(r, err);
	text_noted = false; /* for what this thread ends next */
	r->done(r, err);
}

/* --------------------------------------------------------------------------- what else there is */

int lsvd_store_reload(struct lsvd_store *s)
{
	if (!s)
		return bad_argument(s, "reload", "the store is NULL");
	if (!s->ops.reload)
		return 0;
	text_noted = false;
	return outcome(s, "reload", "credentials", s->ops.reload(s->ctx));
}

void lsvd_store_keep_open(struct lsvd_store *s, unsigned count)
{
	if (s->ops.keep_open)
		s->ops.keep_open(s->ctx, count);
}

int lsvd_store_counters(struct lsvd_store *s, struct lsvd_store_counters *ret)
{
	struct lsvd_store_counters c = LSVD_STORE_COUNTERS_INIT;

	if (!s || !ret)
		return bad_argument(s, "counters", "store or result is NULL");
	if (s->ops.counters)
		s->ops.counters(s->ctx, &c);
	return lsvd_options_fill(ret, &c, sizeof c, COUNTERS_FIRST_SIZE, "store counters");
}
