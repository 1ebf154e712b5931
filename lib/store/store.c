/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.c - the way to every store: checked arguments, the driver's operation, a text for failures.
 *
 * A driver is not trusted to know the grammar of keys, nor to describe what went wrong: keys are
 * checked on the way in and on the way out of list, and a failure for which the driver has noted no
 * text gets one here. Whether it has is a thread's own flag, which every failing operation sets on
 * its way out: so it is right for stores that stand on stores, too.
 */
#include "store/store.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
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
	if (!ops->put_if_absent || !ops->get || !ops->head || !ops->list || !ops->remove)
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

int lsvd_store_put_if_absent(struct lsvd_store *s, const char *key, const struct iovec *iov,
			     int iovcnt)
{
	int err = check_key(s, "put", key);

	if (err == 0)
		err = check_iov(s, iov, iovcnt);
	if (err == 0)
		err = check_writable(s, "put", key);
	if (err < 0)
		return err;
	text_noted = false;
	return outcome(s, "put", key, s->ops.put_if_absent(s->ctx, key, iov, iovcnt));
}

int lsvd_store_get(struct lsvd_store *s, const char *key, uint64_t off, void *buf, size_t len,
		   size_t *ret_len)
{
	size_t got = 0;
	int err = check_key(s, "get", key);

	if (err < 0)
		return err;
	if (!ret_len || (len > 0 && !buf) || len > SSIZE_MAX)
		return bad_argument(s, "get", "no buffer, no place for the length, or too long");
	text_noted = false;
	err = outcome(s, "get", key, s->ops.get(s->ctx, key, off, buf, len, &got));
	if (err < 0)
		return err;
	if (got > len) {
		text_noted = true;
		return lsvd_fail(-EIO, "%s: get %s: the driver says it read %zu bytes of %zu",
				 s->url, key, got, len);
	}
	*ret_len = got;
	return 0;
}

int lsvd_store_head(struct lsvd_store *s, const char *key, uint64_t *ret_bytes)
{
	uint64_t bytes = 0;
	int err = check_key(s, "head", key);

	if (err < 0)
		return err;
	if (!ret_bytes)
		return bad_argument(s, "head", "no place for the length");
	text_noted = false;
	err = outcome(s, "head", key, s->ops.head(s->ctx, key, &bytes));
	if (err == 0)
		*ret_bytes = bytes;
	return err;
}

struct listing {
	const char *prefix;
	size_t prefix_len;
	lsvd_object_fn fn;
	void *ctx;
};

/* What is no key, or not asked for, is nothing of ours: it is passed over. */
static int pass_on(void *ctx, const struct lsvd_object_info *info)
{
	const struct listing *l = ctx;

	if (!lsvd_key_valid(info->key) || strncmp(info->key, l->prefix, l->prefix_len) != 0)
		return 0;
	return l->fn(l->ctx, info);
}

int lsvd_store_list(struct lsvd_store *s, const char *prefix, lsvd_object_fn fn, void *fn_ctx)
{
	struct listing l = { .prefix = prefix, .fn = fn, .ctx = fn_ctx };
	char text[68];

	if (!s || !prefix || !fn)
		return bad_argument(s, "list", "store, prefix or function is NULL");
	if (!lsvd_key_prefix_valid(prefix)) {
		text_noted = true;
		return lsvd_fail(-EINVAL, "%s: list: no key begins with \"%s\"", s->url,
				 printable(text, prefix));
	}
	l.prefix_len = strlen(prefix);
	text_noted = false;
	return outcome(s, "list", prefix, s->ops.list(s->ctx, prefix, pass_on, &l));
}

int lsvd_store_remove(struct lsvd_store *s, const char *key)
{
	int err = check_key(s, "remove", key);

	if (err == 0)
		err = check_writable(s, "remove", key);
	if (err < 0)
		return err;
	text_noted = false;
	return outcome(s, "remove", key, s->ops.remove(s->ctx, key));
}
