/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_sign.h - Signature Version 4 of one request, and the escaping it is bound to. Pure.
 */
#ifndef STORE_S3_SIGN_H
#define STORE_S3_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S3_SHA256_HEX 64
#define S3_DATE_LEN 16 /* 20260131T235959Z */

/* A header that is signed; the name in small letters, the value without blanks around it. */
struct s3_header {
	const char *name, *value;
};

struct s3_to_sign {
	const char *method;
	const char *path;             /* as it is sent, escaped */
	const char *query;            /* as it is sent: escaped, sorted; "" if there is none */
	const struct s3_header *headers; /* in byte order of the names */
	unsigned header_count;
	const char *payload;          /* SHA-256 of the body, in hex */
	const char *date;             /* S3_DATE_LEN characters, one of the headers too */
	const char *region;
	const char *access_key, *secret_key;
};

/* The value of the Authorization header; false if it does not fit. */
bool lsvd_s3_sign(char *text, size_t size, const struct s3_to_sign *s);

/* The time of a request, from milliseconds since 1970. */
void lsvd_s3_date(char text[S3_DATE_LEN + 1], int64_t ms);

void lsvd_s3_hex(char text[S3_SHA256_HEX + 1], const uint8_t digest[32]);

/*
 * Appends `s` at *at of a text of `size` bytes, escaped as the signature wants it: all but letters,
 * digits, - . _ ~ (and '/' if `slashes` stay) as %XX. false if it does not fit.
 */
bool lsvd_s3_escape(char *text, size_t size, size_t *at, const char *s, bool slashes);

#endif
