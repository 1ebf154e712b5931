/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_answer.c - from status, code and body of an answer to what it means.
 *
 * Whatever may pass by itself, and whatever is not certain, is LSVD_E_UNAVAILABLE in the end: it is
 * tried again. "There is no such object" is believed only of a server that says it in the words of
 * S3: a 404 from something in between must not look like the end of a chain.
 */
#include "store/s3_answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/error.h>

#include "base/bytes.h"
#include "base/compiler.h"

/* A server refuses what is 15 minutes off; one third of that is no coincidence. */
#define SKEW_MS (5 * 60 * 1000)

/* Codes whose status says less than they do. */
static const struct {
	const char *code;
	enum s3_kind kind;
} codes[] = {
	{ "NoSuchKey", S3_ABSENT },
	{ "NoSuchBucket", S3_NO_BUCKET },
	{ "PreconditionFailed", S3_EXISTS },
	{ "ConditionalRequestConflict", S3_CONFLICT },
	{ "OperationAborted", S3_CONFLICT },
	{ "RequestTimeTooSkewed", S3_SKEWED },
	{ "SlowDown", S3_SERVER_ERROR },
	{ "RequestTimeout", S3_SERVER_ERROR },
	{ "BadDigest", S3_REJECTED },
	{ "InvalidDigest", S3_REJECTED },
	{ "IncompleteBody", S3_REJECTED },
	{ "XAmzContentSHA256Mismatch", S3_REJECTED },
	{ "ExpiredToken", S3_DENIED },
	{ "InvalidToken", S3_DENIED },
	{ "TokenRefreshRequired", S3_DENIED },
	{ "QuotaExceeded", S3_FULL },
	{ "XMinioStorageFull", S3_FULL },
	{ "AuthorizationHeaderMalformed", S3_MISCONFIGURED },
	{ "InvalidBucketName", S3_MISCONFIGURED },
	{ "NotImplemented", S3_CANNOT },
	{ "MethodNotAllowed", S3_CANNOT },
};

static enum s3_kind kind_of_code(const char *code)
{
	for (size_t i = 0; i < LSVD_ARRAY_LEN(codes); i++)
		if (strcmp(codes[i].code, code) == 0)
			return codes[i].kind;
	return S3_ODD;
}

static enum s3_kind kind_of_status(const struct s3_request *r)
{
	switch (r->status) {
	case 404:
		return r->verb == S3_HEAD && !r->code[0] ? S3_ABSENT : S3_SERVER_ERROR;
	case 412:
		return S3_EXISTS;
	case 409:
		return S3_CONFLICT;
	case 401:
	case 403:
		return S3_DENIED;
	case 408:
	case 429:
		return S3_SERVER_ERROR;
	case 405:
	case 501:
		return S3_CANNOT;
	case 507:
		return S3_FULL;
	default:
		if (r->status / 100 == 3)
			return S3_REDIRECT;
		return r->status / 100 == 5 ? S3_SERVER_ERROR : S3_ODD;
	}
}

/* Is what came the range that was asked for, as far as the object goes? */
static enum s3_kind kind_of_range(const struct s3_request *r)
{
	uint64_t there;

	if (r->overlong || r->garbled)
		return S3_BAD_BODY;
	if (r->range_first != UINT64_MAX && r->range_first != r->off)
		return S3_BAD_BODY;
	if (r->total == UINT64_MAX)
		return S3_OK; /* our own checksums will tell */
	there = r->off >= r->total ? 0 : min_u64(r->len, r->total - r->off);
	return r->ret_len == there ? S3_OK : S3_BAD_BODY;
}

/* A page that says that it is to be asked for next is asked for without end. */
static bool stands_still(const struct s3_request *r)
{
	return r->verb == S3_LIST && r->next[0] && r->token && strcmp(r->next, r->token) == 0;
}

static enum s3_kind kind_of_success(const struct s3_request *r)
{
	switch (r->verb) {
	case S3_GET:
		return r->status == 200 || r->status == 206 ? kind_of_range(r) : S3_ODD;
	case S3_HEAD:
		return r->garbled || r->total == UINT64_MAX ? S3_BAD_BODY : S3_OK;
	case S3_PUT:
	case S3_LIST:
	case S3_DELETE_MANY:
		return r->garbled || stands_still(r) ? S3_BAD_BODY : S3_OK;
	default:
		return S3_OK;
	}
}

/* 416: nothing lies at or beyond `off`; the server may say how long the object is. */
static enum s3_kind kind_beyond_end(const struct s3_request *r)
{
	if (r->verb != S3_GET)
		return S3_ODD;
	return r->total == UINT64_MAX || r->total <= r->off ? S3_OK : S3_BAD_BODY;
}

static enum s3_kind kind_of_answer(const struct s3_request *r, int64_t skew_ms)
{
	enum s3_kind kind;

	if (r->status / 100 == 2)
		return kind_of_success(r);
	if (r->status == 416)
		return kind_beyond_end(r);
	kind = r->status / 100 == 3 ? S3_REDIRECT : kind_of_code(r->code);
	if (kind == S3_ODD)
		kind = kind_of_status(r);
	if (kind == S3_DENIED && !r->code[0] && (skew_ms > SKEW_MS || skew_ms < -SKEW_MS))
		kind = S3_SKEWED;
	/* What is not there has been deleted. */
	return kind == S3_ABSENT && r->verb == S3_DELETE ? S3_OK : kind;
}

enum s3_kind lsvd_s3_kind(const struct s3_request *r, int64_t skew_ms)
{
	switch (r->outcome) {
	case S3_ANSWERED:
		return kind_of_answer(r, skew_ms);
	case S3_NOT_SENT:
		return S3_NO_CONNECTION;
	case S3_NO_MEMORY:
		return S3_MEMORY;
	case S3_REFUSED:
		return S3_CANNOT;
	case S3_UNKNOWN:
		break;
	}
	/*
	 * A reading that ended before its end is a short body;
	 * anything else may have had an effect.
	 */
	return r->verb == S3_GET && r->status / 100 == 2 ? S3_BAD_BODY : S3_NO_ANSWER;
}

int lsvd_s3_kind_error(enum s3_kind kind)
{
	static const int errors[S3_KINDS] = {
		[S3_OK] = 0,
		[S3_ABSENT] = -ENOENT,
		[S3_EXISTS] = -EEXIST,
		[S3_SERVER_ERROR] = LSVD_E_UNAVAILABLE,
		[S3_NO_CONNECTION] = LSVD_E_UNAVAILABLE,
		[S3_NO_ANSWER] = LSVD_E_UNAVAILABLE,
		[S3_CONFLICT] = LSVD_E_UNAVAILABLE,
		[S3_DENIED] = -EACCES,
		[S3_SKEWED] = LSVD_E_UNAVAILABLE,
		[S3_REDIRECT] = LSVD_E_CONFIG,
		[S3_NO_BUCKET] = LSVD_E_CONFIG,
		[S3_BAD_BODY] = LSVD_E_UNAVAILABLE,
		[S3_REJECTED] = LSVD_E_UNAVAILABLE,
		[S3_FULL] = -ENOSPC,
		[S3_CANNOT] = LSVD_E_UNSUPPORTED,
		[S3_MISCONFIGURED] = LSVD_E_CONFIG,
		[S3_MEMORY] = -ENOMEM,
		[S3_ODD] = -EIO,
	};

	return errors[kind];
}

/* Digits, or "*" for UINT64_MAX; then `end`. NULL if it is neither. */
static const char *read_number(const char *text, char end, uint64_t *ret)
{
	uint64_t value = 0;
	const char *p = text;

	if (*p == '*') {
		*ret = UINT64_MAX;
		return p[1] == end ? p + 1 : NULL;
	}
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return NULL;
	*ret = value;
	return p > text && *p == end ? p : NULL;
}

bool lsvd_s3_content_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *total)
{
	*first = *last = *total = UINT64_MAX;
	if (strncmp(text, "bytes ", 6) != 0)
		return false;
	text += 6;
	if (text[0] == '*' && text[1] == '/')
		return read_number(text + 2, '\0', total) != NULL;
	text = read_number(text, '-', first);
	if (text)
		text = read_number(text + 1, '/', last);
	if (text)
		text = read_number(text + 1, '\0', total);
	return text && *first <= *last && *last < *total;
}
