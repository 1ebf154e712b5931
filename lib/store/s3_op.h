/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_op.h - one operation on a bucket: its requests, one after another, and what may be tried at
 * once.
 */
#ifndef STORE_S3_OP_H
#define STORE_S3_OP_H

#include "store/s3_answer.h"
#include "store/s3_client.h"
#include "store/s3_credentials.h"
#include "store/s3_worker.h"
#include "store/store.h"

/* An open bucket. */
struct s3_store {
	/* immutable after open */
	const struct s3_client_ops *ops;
	struct s3_client *client;
	struct s3_credentials *credentials;
	struct s3_worker worker;     /* runs lsvd_s3_op_work() */
	char *bucket;
	char *prefix;                /* of every key: "" or "DIRECTORY/" */
	size_t prefix_len;
	/* the worker's */
	int64_t reloaded_ms;
	/* atomic, relaxed: each is one value by itself */
	bool bucket_seen;            /* some answer has shown that it is there */
	bool closing;                /* nothing is tried again */
	bool no_delete_many;         /* the server cannot */
	int64_t offset_ms;           /* added to our clock */
	int64_t observed_ms;         /* the server's clock less ours, as of its last answer */
	uint64_t sent[S3_DELETE_MANY + 1], kinds[S3_KINDS], put_bytes, get_bytes;
};

#define S3_COUNT(counter, n) ((void)__atomic_fetch_add(&(counter), (n), __ATOMIC_RELAXED))
#define S3_LOAD(value) __atomic_load_n(&(value), __ATOMIC_RELAXED)
#define S3_SET(value, x) __atomic_store_n(&(value), (x), __ATOMIC_RELAXED)

enum s3_phase {
	S3_PLAIN,
	S3_LOOKING,                  /* PUT: is the key taken? */
	S3_ASKING_WHY,               /* HEAD: what does "not there" mean? */
};

struct s3_op {
	struct list link;            /* the worker's */
	struct s3_store *s;
	struct s3_request r;         /* set what the verb needs, before it is started */
	enum s3_phase phase;
	bool one_page;               /* LIST: no more pages are wanted */
	/* Called once, on any thread of the store's. */
	void (*ended)(struct s3_op *op, enum s3_kind kind);
	void *owner;                 /* the starter's */
	void *page, *undeleted;      /* the same, of an operation that is waited for */
	/* the operation's own */
	bool skew_tried, denied_tried, reload;
	unsigned generation;         /* of the credentials when it began */
	int64_t signed_ms;
	uint8_t scratch;
	/* LIST: of the page that was asked for last */
	char token[sizeof ((struct s3_request *)0)->next];
	char key[];                  /* with the prefix */
};

/* Zeroed, with r.key set; lsvd_free() it. NULL: no memory. */
struct s3_op *lsvd_s3_op_new(struct s3_store *s, const char *key);
void lsvd_s3_op_start(struct s3_op *op);
/* Starts it and waits; sets ended and owner. */
enum s3_kind lsvd_s3_op_run(struct s3_op *op);
/* The error of a kind, with a text about the operation. */
int lsvd_s3_op_fail(const struct s3_op *op, enum s3_kind kind);

void lsvd_s3_op_work(void *ctx, struct list *node);

/* ---- s3_list.c */
#define S3_PAGE_OBJECTS 1000u
/* The object without the prefix; false: it is none of the store's. */
bool lsvd_s3_ours(const struct s3_store *s, const struct s3_listed *object,
		  struct lsvd_object_info *ret);
/* Of struct lsvd_store_ops; waits. */
int lsvd_s3_list(void *ctx, const char *prefix, lsvd_object_fn fn, void *fn_ctx);

/* ---- s3_remove.c: the same */
int lsvd_s3_remove_many(void *ctx, const char *const *keys, unsigned count);

#endif
