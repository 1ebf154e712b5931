/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_curl_head.c - where a request goes: path and query, the headers, and what signs them.
 *
 * Query and headers are written in the order of their names, which is how they are signed.
 */
#include "store/s3_curl.h"

#include <nettle/base64.h>
#include <nettle/md5.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "store/s3_sign.h"

#define HEADERS_MAX 8
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* ------------------------------------------------------------------------------- path and query */

static bool append(char *text, size_t size, size_t *at, const char *s)
{
	size_t len = strlen(s);

	if (size - *at <= len)
		return false;
	memcpy(text + *at, s, len + 1);
	*at += len;
	return true;
}

static bool write_path(struct s3_client *c, const struct s3_request *r)
{
	bool of_bucket = r->verb == S3_LIST || r->verb == S3_DELETE_MANY;
	size_t at = 0;

	if (!append(c->path, sizeof c->path, &at, c->endpoint.bucket_path))
		return false;
	if (!append(c->path, sizeof c->path, &at, "/"))
		return false;
	return of_bucket || lsvd_s3_escape(c->path, sizeof c->path, &at, r->key, true);
}

/* In the order of the names, which is how they are signed. */
static bool write_list_query(struct s3_client *c, const struct s3_request *r)
{
	const size_t size = sizeof c->query;
	char page[24];
	size_t at = 0;
	bool ok = true;

	c->query[0] = '\0';
	if (r->token)
		ok = append(c->query, size, &at, "continuation-token=") &&
		     lsvd_s3_escape(c->query, size, &at, r->token, false) &&
		     append(c->query, size, &at, "&");
	(void)snprintf(page, sizeof page, "&max-keys=%u", r->page); /* fits */
	return ok && append(c->query, size, &at, "encoding-type=url&list-type=2") &&
	       append(c->query, size, &at, page) && append(c->query, size, &at, "&prefix=") &&
	       lsvd_s3_escape(c->query, size, &at, r->key, false);
}

static bool write_query(struct s3_client *c, const struct s3_request *r)
{
	c->query[0] = '\0';
	if (r->verb == S3_LIST)
		return write_list_query(c, r);
	if (r->verb == S3_DELETE_MANY)
		memcpy(c->query, "delete=", sizeof "delete=");
	return true;
}

bool lsvd_s3_curl_write_url(struct s3_client *c, const struct s3_request *r)
{
	int len;

	if (!write_path(c, r) || !write_query(c, r))
		return false;
	len = snprintf(c->url, sizeof c->url, "%s%s%s%s", c->endpoint.base, c->path,
		       c->query[0] ? "?" : "", c->query);
	return len > 0 && (size_t)len < sizeof c->url;
}

/* -------------------------------------------------------------------------------------- headers */

/* The headers of one request, sorted, and where their values lie. */
struct head {
	struct s3_header of[HEADERS_MAX];
	unsigned count;
	char date[S3_DATE_LEN + 1], payload[S3_SHA256_HEX + 1], md5[32], range[64];
};

static void add_header(struct head *h, const char *name, const char *value)
{
	h->of[h->count++] = (struct s3_header){ name, value };
}

static void hash_document(struct head *h, const struct s3_slot *s)
{
	uint8_t sha[32], md5[16];
	struct sha256_ctx sha_ctx;
	struct md5_ctx md5_ctx;

	sha256_init(&sha_ctx);
	sha256_update(&sha_ctx, s->text_len, (const uint8_t *)s->text);
	sha256_digest(&sha_ctx, sizeof sha, sha);
	lsvd_s3_hex(h->payload, sha);
	md5_init(&md5_ctx);
	md5_update(&md5_ctx, s->text_len, (const uint8_t *)s->text);
	md5_digest(&md5_ctx, sizeof md5, md5);
	base64_encode_raw(h->md5, sizeof md5, md5);
	h->md5[BASE64_ENCODE_RAW_LENGTH(sizeof md5)] = '\0';
}

static int64_t now_ms(const struct s3_client *c)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 +
	       c->options.clock_offset_ms(c->options.ctx);
}

static void collect_headers(struct head *h, const struct s3_slot *s,
			    const struct s3_secrets *secrets)
{
	const struct s3_client *c = s->client;
	const struct s3_request *r = s->r;

	h->count = 0;
	memcpy(h->payload, EMPTY_SHA256, sizeof EMPTY_SHA256);
	if (r->verb == S3_PUT)
		lsvd_s3_hex(h->payload, r->body_sha256);
	lsvd_s3_date(h->date, now_ms(c));
	if (r->verb == S3_DELETE_MANY) {
		hash_document(h, s);
		add_header(h, "content-md5", h->md5);
	}
	add_header(h, "host", c->endpoint.host);
	if (r->verb == S3_PUT && r->if_absent)
		add_header(h, "if-none-match", "*");
	if (r->verb == S3_GET) {
		(void)snprintf(h->range, sizeof h->range, "bytes=%llu-%llu", /* fits */
			       (unsigned long long)r->off,
			       (unsigned long long)(r->off + r->len - 1));
		add_header(h, "range", h->range);
	}
	add_header(h, "x-amz-content-sha256", h->payload);
	add_header(h, "x-amz-date", h->date);
	if (secrets->session_token)
		add_header(h, "x-amz-security-token", secrets->session_token);
}

static bool add_line(struct s3_slot *s, const char *name, const char *value)
{
	struct s3_client *c = s->client;
	struct curl_slist *list;
	int len = snprintf(c->line, sizeof c->line, "%s: %s", name, value);

	if (len < 0 || (size_t)len >= sizeof c->line)
		return false;
	list = curl_slist_append(s->headers, c->line);
	if (!list)
		return false;
	s->headers = list;
	return true;
}

static bool add_bare(struct s3_slot *s, const char *line)
{
	struct curl_slist *list = curl_slist_append(s->headers, line);

	if (!list)
		return false;
	s->headers = list;
	return true;
}

/* What is signed, what signs it, and what libcurl would add by itself and shall not. */
bool lsvd_s3_curl_sign(struct s3_slot *s, const char *method, const struct s3_secrets *secrets)
{
	struct s3_client *c = s->client;
	char auth[1024];
	struct head h;
	bool ok = true;

	collect_headers(&h, s, secrets);
	if (!lsvd_s3_sign(auth, sizeof auth, &(struct s3_to_sign){
		    .method = method, .path = c->path, .query = c->query,
		    .headers = h.of, .header_count = h.count, .payload = h.payload,
		    .date = h.date, .region = c->region,
		    .access_key = secrets->access_key, .secret_key = secrets->secret_key }))
		return false;
	for (unsigned i = 0; i < h.count; i++)
		ok = ok && add_line(s, h.of[i].name, h.of[i].value);
	ok = ok && add_line(s, "authorization", auth) && add_bare(s, "Expect:") &&
	     add_bare(s, "Accept:");
	if (s->r->verb == S3_DELETE_MANY)
		ok = ok && add_bare(s, "Content-Type: application/xml");
	explicit_bzero(c->line, sizeof c->line); /* a session token may have been there */
	return ok;
}
