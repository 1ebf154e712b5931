/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_driver.h - writing a store of one's own.
 *
 * This header is for authors of drivers; it may grow in a minor release. Users of stores need only
 * <lsvd/store.h>. docs/examples/own_store.c is a complete driver.
 *
 * The model. Objects are immutable byte strings with a name ("key"). A key is 1 to 255 bytes of
 * [A-Za-z0-9._/-], without a leading '/', an empty, "." or ".." component. An object is created
 * whole or not at all, is never changed, and disappears only by remove. The library never
 * overwrites: put_if_absent is the only way to create, and its answer on an existing key, -EEXIST,
 * decides who owns a volume. A driver that cannot create atomically must not pretend: leave
 * LSVD_STORE_CAP_CREATE unset.
 *
 * Threads. The operations may be called from several threads at once and may block, unless
 * LSVD_STORE_CAP_INLINE says that none of them ever waits. They must not call into lsvd except
 * lsvd_store_fail() and lsvd_store_done(). A driver with many requests in flight on few threads has
 * submit in place of the operations that block.
 *
 * Errors. 0 or a negative code: -ENOENT (no such object), -EEXIST, -EACCES, -EROFS, -ENOSPC,
 * -ENOMEM, -EIO (final), LSVD_E_CONFIG and LSVD_E_UNSUPPORTED (a person has to mend it),
 * LSVD_E_UNAVAILABLE (may pass: the library tries again, for ever, with growing pauses). An
 * operation whose outcome the driver does not know (a connection that broke after the request was
 * sent) is LSVD_E_UNAVAILABLE: the library finds out by reading back.
 */
#ifndef LSVD_STORE_DRIVER_H
#define LSVD_STORE_DRIVER_H

#include <sys/uio.h>

#include <lsvd/base.h>
#include <lsvd/store.h>

LSVD_BEGIN_DECLS

#define LSVD_KEY_MAX 255u

/* put_if_absent is atomic: of any number of racing callers exactly one gets 0. */
#define LSVD_STORE_CAP_CREATE 0x1u
/* No operation ever waits (memory): they are called on the caller's thread. */
#define LSVD_STORE_CAP_INLINE 0x2u
/* The driver has submit. Set by lsvd_store_new(), not by drivers. */
#define LSVD_STORE_CAP_SUBMIT 0x4u
/* What is promised by LSVD_STORE_CAP_CREATE is the word of a server that the driver does not know:
 * it is probed before a volume is written (<lsvd/probe.h>). */
#define LSVD_STORE_CAP_PROBE 0x8u

/* What list reports of one object. */
struct lsvd_object_info {
	const char *key;         /* valid during the callback only */
	uint64_t bytes;
	int64_t modified_ms;     /* by the store's own clock, since 1970; 0 if it has none */
};

/* Return non-zero to end the listing early; list then returns 0. */
typedef int (*lsvd_object_fn)(void *ctx, const struct lsvd_object_info *info);

enum lsvd_store_verb {
	LSVD_STORE_PUT = 1,      /* put_if_absent */
	LSVD_STORE_GET = 2,
	LSVD_STORE_HEAD = 3,
	LSVD_STORE_LIST = 4,
	LSVD_STORE_REMOVE = 5
};

/*
 * One operation that is started and not waited for: lsvd_store_submit() hands it to the driver's
 * submit, the driver ends it with lsvd_store_done(), and that calls `done`. Until then the request
 * and what it points to must stay. Zero what is not used.
 */
struct lsvd_store_request {
	uint32_t verb;           /* LSVD_STORE_… */
	uint32_t reserved0;
	const char *key;         /* LIST: the prefix */
	const struct iovec *iov; /* PUT */
	int iovcnt;
	int reserved1;
	uint64_t off;            /* GET */
	void *buf;
	size_t len;
	lsvd_object_fn fn;       /* LIST: called on the driver's thread, before done */
	void *fn_ctx;
	size_t ret_len;          /* GET: set by the driver */
	uint64_t ret_bytes;      /* HEAD: set by the driver */
	/*
	 * Called once with 0 or a negative code, whose text is lsvd_last_error(): on a thread of
	 * the driver's, with nothing locked, or inside lsvd_store_submit(). May submit again; must
	 * not block.
	 */
	void (*done)(struct lsvd_store_request *request, int err);
	void *owner;             /* the caller's */
	void *driver;            /* the driver's, from submit to lsvd_store_done() */
	/* the library's, from lsvd_store_submit() to done */
	struct lsvd_store *store;
	lsvd_object_fn list_fn;
	void *list_ctx;
	uint64_t reserved[4];
};

struct lsvd_store_ops {
	uint32_t size;           /* sizeof(struct lsvd_store_ops) */
	uint32_t caps;           /* LSVD_STORE_CAP_… */

	/*
	 * Creates `key` with the bytes of the vector. On return 0 the object is durable: it
	 * survives power loss. -EEXIST if the key is taken, whatever it holds.
	 */
	int (*put_if_absent)(void *ctx, const char *key, const struct iovec *iov, int iovcnt);

	/*
	 * Reads up to `len` bytes from `off`; *ret_len says how many there were: fewer than asked
	 * only at the object's end, 0 at or beyond it. -ENOENT if there is no such object.
	 */
	int (*get)(void *ctx, const char *key, uint64_t off, void *buf, size_t len,
		   size_t *ret_len);

	/* The object's length in bytes, or -ENOENT. */
	int (*head)(void *ctx, const char *key, uint64_t *ret_bytes);

	/*
	 * Calls `fn` for every object whose key begins with `prefix`, in byte order of the keys.
	 * What was created or removed meanwhile may or may not be among them.
	 */
	int (*list)(void *ctx, const char *prefix, lsvd_object_fn fn, void *fn_ctx);

	/* Removes an object; removing what is not there is 0. */
	int (*remove)(void *ctx, const char *key);

	/* Called once by lsvd_store_close(); may be NULL. */
	void (*close)(void *ctx);

	/* The rest may be NULL, or lie beyond `size`. */

	/*
	 * Starts an operation and returns at once; lsvd_store_done() ends it, now or later, on any
	 * thread. With it put_if_absent, get, head and remove may be NULL: the library then submits
	 * and waits. The arguments have been checked.
	 */
	void (*submit)(void *ctx, struct lsvd_store_request *request);
	/* Removes many objects; those that are not there are removed. The first error. */
	int (*remove_many)(void *ctx, const char *const *keys, unsigned count);
	/* Reads credentials and the like again. */
	int (*reload)(void *ctx);
	/* Adds to the counters of `ret`, which is of this header's size. */
	void (*counters)(void *ctx, struct lsvd_store_counters *ret);
	/*
	 * Parts of few objects are going to be read, many times, and of new ones soon: so many may
	 * stay open, or whatever it is that makes the second get of an object cheaper.
	 */
	void (*keep_open)(void *ctx, unsigned count);
};

/*
 * Makes a store of a driver. `ops` must outlive the store; `ctx` is passed to every operation and
 * is closed by ops->close. `name` is what messages call the store; copied. On failure ctx stays the
 * caller's: -EINVAL (a mandatory operation is missing, or the size is wrong), -E2BIG, -ENOMEM.
 */
LSVD_API LSVD_MUST_USE int lsvd_store_new(struct lsvd_store **ret, const char *name,
					  const struct lsvd_store_ops *ops, void *ctx);

/*
 * Notes the text of a driver's failure for lsvd_last_error() and returns `err`, so that a driver
 * can write: return lsvd_store_fail(-EIO, "get %s: …", key);
 */
LSVD_API LSVD_PRINTF(2, 3) int lsvd_store_fail(int err, const char *format, ...);

/*
 * For drivers: ends a submitted request with 0 or a negative code, whose text was noted on this
 * thread. The request is no more the driver's when this is called, and may be gone on return.
 */
LSVD_API void lsvd_store_done(struct lsvd_store_request *request, int err);

/*
 * The operations of an open store, for drivers that stand on other drivers and for tools: checked
 * arguments, then the driver's own operation. They block. Errors as above, and -EINVAL for a key
 * outside the grammar.
 */
LSVD_API LSVD_MUST_USE int lsvd_store_put_if_absent(struct lsvd_store *store, const char *key,
						    const struct iovec *iov, int iovcnt);
LSVD_API LSVD_MUST_USE int lsvd_store_get(struct lsvd_store *store, const char *key, uint64_t off,
					  void *buf, size_t len, size_t *ret_len);
LSVD_API LSVD_MUST_USE int lsvd_store_head(struct lsvd_store *store, const char *key,
					   uint64_t *ret_bytes);
LSVD_API LSVD_MUST_USE int lsvd_store_list(struct lsvd_store *store, const char *prefix,
					   lsvd_object_fn fn, void *fn_ctx);
LSVD_API LSVD_MUST_USE int lsvd_store_remove(struct lsvd_store *store, const char *key);
LSVD_API LSVD_MUST_USE int lsvd_store_remove_many(struct lsvd_store *store, const char *const *keys,
						  unsigned count);

/*
 * The same without waiting, if the driver can (LSVD_STORE_CAP_SUBMIT); else it is over when this
 * returns. What is wrong with the arguments is told by done, too.
 */
LSVD_API void lsvd_store_submit(struct lsvd_store *store, struct lsvd_store_request *request);

/* LSVD_STORE_CAP_… */
LSVD_API uint32_t lsvd_store_caps(const struct lsvd_store *store);

LSVD_END_DECLS

#endif
