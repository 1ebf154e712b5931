/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_list.c - a listing that is waited for: page by page, told on the caller's thread.
 *
 * Its callback may use the store, and what is called on the client's thread may not wait for that
 * thread. So a page is kept as it comes, told when it is whole, and only then is the next one
 * asked for.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "store/s3_op.h"

bool lsvd_s3_ours(const struct s3_store *s, const struct s3_listed *object,
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

/* A page as it came, to be told on the caller's thread. */
struct page {
	struct object {
		uint64_t bytes;
		int64_t modified_ms;
		size_t key;          /* in keys */
	} objects[S3_PAGE_OBJECTS];
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

	if (p->count == S3_PAGE_OBJECTS || !lsvd_s3_ours(op->s, object, &info))
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

int lsvd_s3_list(void *ctx, const char *prefix, lsvd_object_fn fn, void *fn_ctx)
{
	struct s3_op *op = lsvd_s3_op_new(ctx, prefix);
	struct page *p = lsvd_calloc(1, sizeof *p);
	bool more = true;
	int err = 0;

	if (!op || !p)
		err = -ENOMEM;
	if (err == 0) {
		op->r.verb = S3_LIST;
		op->r.page = S3_PAGE_OBJECTS;
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
