/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.h - opening the places where objects live, for users of stores.
 *
 * A store keeps immutable objects by name. These kinds are built in:
 *
 *   s3://BUCKET[/DIRECTORY][?…]       a bucket of S3; see <lsvd/store_s3.h>
 *   dir:/absolute/or/relative/path    one file an object, below that directory
 *   mem:                              in this process's memory, gone with the last close
 *   mem:NAME                          the same, shared by all who open the same NAME
 *
 * Other kinds are brought by the program: see <lsvd/store_driver.h>.
 *
 * Threads: a store may be used by any number of threads and volumes at once.
 * Order: close volumes before the store they stand on.
 */
#ifndef LSVD_STORE_H
#define LSVD_STORE_H

#include <lsvd/base.h>

LSVD_BEGIN_DECLS

struct lsvd_store;

/* Set with LSVD_STORE_OPTIONS_INIT; 0 in a field means its default. */
struct lsvd_store_options {
	uint32_t size;     /* sizeof(struct lsvd_store_options), set by the macro */
	uint32_t flags;    /* LSVD_STORE_… below */
	uint64_t reserved[4];
};
#define LSVD_STORE_OPTIONS_INIT { (uint32_t)sizeof(struct lsvd_store_options), 0, { 0, 0, 0, 0 } }

/* Nothing is created or changed: the directory must exist, every put and delete is -EROFS. */
#define LSVD_STORE_READONLY 0x1u
/* The directory is made if absent (its parent must exist). */
#define LSVD_STORE_CREATE 0x2u

/*
 * Opens the store that `url` names; `options` may be NULL. Blocks on the file system.
 *
 * Fails with LSVD_E_CONFIG (a URL of no known kind), -ENOENT or -ENOTDIR (the directory), -EACCES,
 * -EROFS (not writable and not LSVD_STORE_READONLY), -EINVAL, -E2BIG (options), -ENOMEM; of a
 * bucket, what lsvd_store_open_s3() fails with.
 */
LSVD_API LSVD_MUST_USE int lsvd_store_open(struct lsvd_store **ret, const char *url,
					   const struct lsvd_store_options *options);

/* Closes a store; NULL does nothing. No volume may be open on it. */
LSVD_API void lsvd_store_close(struct lsvd_store *store);

/*
 * Reads again what may have been changed behind the store's back: credentials. 0 if there is
 * nothing to read; on failure the old ones stay in use. Blocks on files. A metadata service is
 * asked after it has returned: what comes of that is a message.
 */
LSVD_API LSVD_MUST_USE int lsvd_store_reload(struct lsvd_store *store);

/* Counters of a store since it was opened, for drivers that count. */
struct lsvd_store_counters {
	uint32_t size;           /* sizeof, set by the caller */
	uint32_t reserved0;
	uint64_t puts, gets, heads, lists, removes;   /* requests sent, tries included */
	uint64_t put_bytes, get_bytes;
	/* answers, by kind; docs/s3.md says what is done about each */
	uint64_t server_errors;  /* 500, 502, 503, 504, 429 */
	uint64_t no_connection;  /* refused, no name, TLS */
	uint64_t unknown;        /* sent, and no whole answer */
	uint64_t conflicts;      /* 409 */
	uint64_t denied;         /* 401, 403 but for the clock */
	uint64_t skewed;         /* 403 RequestTimeTooSkewed */
	uint64_t redirects;      /* 3xx, never followed */
	uint64_t no_bucket;      /* 404 NoSuchBucket */
	uint64_t bad_bodies;     /* an answer shorter, longer or elsewhere than asked */
	uint64_t exists;         /* 412: the key is taken */
	uint64_t rejected;       /* 400: a body that the server found damaged, and the like */
	int64_t clock_offset_ms; /* the store's clock less ours, as of its last answer */
	/*
	 * dir:, of gets once objects stay open after they were read: that had to open, that had not
	 */
	uint64_t opened, reused;
	uint64_t reserved[6];
};
#ifdef __cplusplus
#define LSVD_STORE_COUNTERS_INIT { (uint32_t)sizeof(struct lsvd_store_counters) }
#else
#define LSVD_STORE_COUNTERS_INIT { .size = (uint32_t)sizeof(struct lsvd_store_counters) }
#endif

/* What a store counted since it was opened; zeroes if it does not count. -EINVAL (size). */
LSVD_API LSVD_MUST_USE int lsvd_store_counters(struct lsvd_store *store,
					       struct lsvd_store_counters *ret);

/* The URL the store was opened with, or the driver's own name; lives as long as the store. */
LSVD_API const char *lsvd_store_url(const struct lsvd_store *store);

LSVD_END_DECLS

#endif
