/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_answer.h - what an answer of S3 means: which error, which counter. Pure; docs/s3.md in C.
 */
#ifndef STORE_S3_ANSWER_H
#define STORE_S3_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "store/s3_client.h"

/* The rows of the table in docs/s3.md. */
enum s3_kind {
	S3_OK,
	S3_ABSENT,
	S3_EXISTS,
	S3_SERVER_ERROR,
	S3_NO_CONNECTION,
	S3_NO_ANSWER,
	S3_CONFLICT,
	S3_DENIED,
	S3_SKEWED,
	S3_REDIRECT,
	S3_NO_BUCKET,
	S3_BAD_BODY,
	S3_REJECTED,
	S3_FULL,
	S3_CANNOT,       /* not implemented there, or by the client */
	S3_MISCONFIGURED,
	S3_MEMORY,
	S3_ODD,          /* an answer that is in no table */
	S3_KINDS
};

/*
 * The kind of an answered request. `skew_ms` is how far the answer's Date is from the time the
 * request was signed with, 0 if it has none: a HEAD is not told why it is denied.
 */
enum s3_kind lsvd_s3_kind(const struct s3_request *r, int64_t skew_ms);

/* What an operation that ends so returns: 0 or a negative code. */
int lsvd_s3_kind_error(enum s3_kind kind);

/* "bytes 0-99/1234", "bytes 0-99/" "*", "bytes *" "/1234"; what is not said is UINT64_MAX. */
bool lsvd_s3_content_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *total);

#endif
