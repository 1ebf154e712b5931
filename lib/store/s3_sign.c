/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_sign.c - Signature Version 4: the request in its canonical form, hashed piece by piece, and a
 * key made of the secret, the day and the region.
 *
 * libcurl could do it (CURLOPT_AWS_SIGV4), but keeps copies of the secret in ordinary memory, which
 * it does not wipe, and cannot be told of a server's other clock. Here the secret is read where it
 * lies, and what is made of it stays on the stack and is wiped.
 *
 * The canonical request is never put together in memory: its digest is all that is wanted.
 */
#include "store/s3_sign.h"

#include <nettle/hmac.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"

#define SCOPE_MAX 128
#define S3_SECRET_MAX 1024u /* longer ones are refused where they are read */

static void hash_text(struct sha256_ctx *c, const char *text)
{
	sha256_update(c, strlen(text), (const uint8_t *)text);
}

void lsvd_s3_hex(char text[S3_SHA256_HEX + 1], const uint8_t digest[32])
{
	for (unsigned i = 0; i < 32; i++)
		hex_byte(text + 2 * i, digest[i]);
	text[S3_SHA256_HEX] = '\0';
}

void lsvd_s3_date(char text[S3_DATE_LEN + 1], int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) ||
	    strftime(text, S3_DATE_LEN + 1, "%Y%m%dT%H%M%SZ", &tm) != S3_DATE_LEN)
		memcpy(text, "19700101T000000Z", S3_DATE_LEN + 1); /* no clock shows that year */
}

bool lsvd_s3_escape(char *text, size_t size, size_t *at, const char *s, bool slashes)
{
	static const char digits[] = "0123456789ABCDEF";

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || (slashes && c == '/') ||
			     strchr("-._~", c);

		if (size - *at <= (plain ? 1u : 3u))
			return false;
		if (plain) {
			text[(*at)++] = (char)c;
			continue;
		}
		text[(*at)++] = '%';
		text[(*at)++] = digits[c >> 4];
		text[(*at)++] = digits[c & 15];
	}
	if (*at >= size)
		return false;
	text[*at] = '\0';
	return true;
}

/* Method, path, query, headers, names of the headers, digest of the body. */
static void canonical_digest(uint8_t digest[32], const struct s3_to_sign *s)
{
	struct sha256_ctx c;

	sha256_init(&c);
	hash_text(&c, s->method);
	hash_text(&c, "\n");
	hash_text(&c, s->path);
	hash_text(&c, "\n");
	hash_text(&c, s->query);
	hash_text(&c, "\n");
	for (unsigned i = 0; i < s->header_count; i++) {
		hash_text(&c, s->headers[i].name);
		hash_text(&c, ":");
		hash_text(&c, s->headers[i].value);
		hash_text(&c, "\n");
	}
	for (unsigned i = 0; i < s->header_count; i++) {
		hash_text(&c, i ? ";" : "\n");
		hash_text(&c, s->headers[i].name);
	}
	hash_text(&c, "\n");
	hash_text(&c, s->payload);
	sha256_digest(&c, 32, digest);
}

static void hmac(uint8_t out[32], const uint8_t *key, size_t key_len, const void *data, size_t len)
{
	struct hmac_sha256_ctx c;

	hmac_sha256_set_key(&c, key_len, key);
	hmac_sha256_update(&c, len, data);
	hmac_sha256_digest(&c, 32, out);
	explicit_bzero(&c, sizeof c);
}

/* The key of a day, a region and S3. false: no secret is that long. */
static bool signing_key(uint8_t key[32], const struct s3_to_sign *s)
{
	char secret[4 + S3_SECRET_MAX];
	size_t len = strlen(s->secret_key);

	if (len > S3_SECRET_MAX)
		return false;
	memcpy(secret, "AWS4", 4);
	memcpy(secret + 4, s->secret_key, len);
	hmac(key, (const uint8_t *)secret, len + 4, s->date, 8);
	explicit_bzero(secret, sizeof secret);
	hmac(key, key, 32, s->region, strlen(s->region));
	hmac(key, key, 32, "s3", 2);
	hmac(key, key, 32, "aws4_request", 12);
	return true;
}

/* What is signed in the end: a few lines around the digest of the request. */
static bool signature(char hex[S3_SHA256_HEX + 1], const struct s3_to_sign *s, const char *scope)
{
	char text[SCOPE_MAX + S3_SHA256_HEX + 64], digest_hex[S3_SHA256_HEX + 1];
	uint8_t digest[32], key[32];
	int len;

	canonical_digest(digest, s);
	lsvd_s3_hex(digest_hex, digest);
	len = snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", s->date, scope,
		       digest_hex);
	if (len < 0 || (size_t)len >= sizeof text || !signing_key(key, s))
		return false;
	hmac(digest, key, sizeof key, text, (size_t)len);
	explicit_bzero(key, sizeof key);
	lsvd_s3_hex(hex, digest);
	return true;
}

bool lsvd_s3_sign(char *text, size_t size, const struct s3_to_sign *s)
{
	char scope[SCOPE_MAX], hex[S3_SHA256_HEX + 1], names[256];
	size_t at = 0;
	int len;

	len = snprintf(scope, sizeof scope, "%.8s/%s/s3/aws4_request", s->date, s->region);
	if (len < 0 || (size_t)len >= sizeof scope || !signature(hex, s, scope))
		return false;
	for (unsigned i = 0; i < s->header_count; i++) {
		len = snprintf(names + at, sizeof names - at, "%s%s", i ? ";" : "",
			       s->headers[i].name);
		if (len < 0 || (size_t)len >= sizeof names - at)
			return false;
		at += (size_t)len;
	}
	len = snprintf(text, size, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, "
		       "Signature=%s", s->access_key, scope, names, hex);
	return len >= 0 && (size_t)len < size;
}
