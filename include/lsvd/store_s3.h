/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_s3.h - opening an S3 bucket as a store, with credentials that no URL may carry.
 *
 * lsvd_store_open() takes "s3://BUCKET[/DIRECTORY]?region=REGION[&endpoint=URL][&…]" and finds the
 * credentials in the environment and the shared credentials file; this header is for programs that
 * have them in hand or want to say where to look. <lsvd/config.h> does it for the s3 block of a
 * configuration file. lsvd.conf(5) lists the keys, docs/s3.md says what is asked of a bucket.
 *
 * Secrets are copied into memory that core dumps leave out, are wiped when the store is closed, and
 * are in no message, URL or statistic.
 */
#ifndef LSVD_STORE_S3_H
#define LSVD_STORE_S3_H

#include <lsvd/base.h>
#include <lsvd/store.h>

LSVD_BEGIN_DECLS

/*
 * Strings may be NULL unless said otherwise, which means the default; all are copied. The empty
 * string is -EINVAL. Set with LSVD_S3_OPTIONS_INIT.
 */
struct lsvd_s3_options {
	uint32_t size;             /* sizeof(struct lsvd_s3_options), set by the macro */
	uint32_t flags;            /* 0 */
	const char *bucket;        /* required; 3 to 255 characters */
	const char *region;        /* NULL: AWS_REGION, AWS_DEFAULT_REGION, "us-east-1" */
	const char *directory;     /* prefix of every key; NULL: none */
	const char *endpoint;      /* http://HOST[:PORT] or https://…; NULL: AWS's own, by region */
	const char *client;        /* "auto" (default), "curl", "libs3" */
	/* Where credentials come from: the first of these that is there. */
	const char *access_key;    /* 1: these three; both keys or neither */
	const char *secret_key;
	const char *session_token;
	const char *credentials_file; /* 2: a file in the shared credentials format;
				       * see lsvd.conf(5) */
	const char *profile;       /*    its section; NULL: AWS_PROFILE, "default" */
	/* 3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN of the environment, unless
	 *    there is a `profile` */
	/* 4: AWS_SHARED_CREDENTIALS_FILE, ~/.aws/credentials */
	const char *metadata;      /* 5: instance metadata (version 2) at this http://HOST[:PORT];
				    *    NULL: never asked; "default": http://169.254.169.254 */
	const char *ca_file;       /* PEM; NULL: the system's */
	uint32_t connections;      /* at most so many at once, at most 256; 0: 64, 16 with libs3 */
	uint32_t connect_timeout_ms; /* 0: 10,000 */
	uint32_t stall_timeout_ms; /* a request that moves less than 256 bytes a second for so long,
				    * in whole seconds, is broken off; 0: 20,000 */
	uint32_t reserved0;
	uint64_t reserved[8];
};
#define LSVD_S3_OPTIONS_INIT { (uint32_t)sizeof(struct lsvd_s3_options), 0, 0, 0, 0, 0, 0, 0, 0, \
			       0, 0, 0, 0, 0, 0, 0, 0, 0, { 0, 0, 0, 0, 0, 0, 0, 0 } }

/*
 * Opens the bucket. Makes no request of it: whether it is there and does what is asked of it is
 * found by the first use, or by lsvd_store_probe(). `store_options` as for lsvd_store_open(), may
 * be NULL.
 *
 * Fails with LSVD_E_CONFIG (an option that cannot be, no credentials anywhere, a credentials file
 * that others may read), LSVD_E_UNAVAILABLE (the metadata service), LSVD_E_UNSUPPORTED (the
 * client's module is not there; https with a CA of one's own and "libs3"), -EINVAL, -E2BIG,
 * -ENOMEM, -errno of the files named.
 */
LSVD_API LSVD_MUST_USE int lsvd_store_open_s3(struct lsvd_store **ret,
					      const struct lsvd_s3_options *options,
					      const struct lsvd_store_options *store_options);

LSVD_END_DECLS

#endif
