/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_remove.c - many objects removed: in one request, or one by one where a server has no such
 * request.
 *
 * Of what could not be removed the first is named, with a count of the others. What was not there
 * is removed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "store/s3_op.h"

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

int lsvd_s3_remove_many(void *ctx, const char *const *keys, unsigned count)
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
