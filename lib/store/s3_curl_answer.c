/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_curl_answer.c - what a request was answered: status, headers, a document,
 * or why there is none.
 */
#include "store/s3_curl.h"

#include <stdio.h>

#include "store/s3_answer.h"
#include "store/s3_certificate.h"
#include "store/s3_xml.h"

long lsvd_s3_curl_status(const struct s3_slot *s)
{
	long status = 0;

	(void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status); /* 0 if it fails */
	return status;
}

static const char *header_of(const struct s3_slot *s, const char *name)
{
	struct curl_header *h;

	if (curl_easy_header(s->easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
		return NULL;
	return h->value;
}

static void read_headers(struct s3_slot *s)
{
	const char *date = header_of(s, "Date"), *range = header_of(s, "Content-Range");
	struct s3_request *r = s->r;
	curl_off_t length = -1;
	uint64_t last;

	if (date) {
		time_t t = curl_getdate(date, NULL);

		r->date_ms = t > 0 ? (int64_t)t * 1000 : 0;
	}
	r->from_s3 = header_of(s, "x-amz-request-id") != NULL;
	/* A page that asks for a password is a 200, too; nobody has stored anything then. */
	if (r->status / 100 == 2 && (r->verb == S3_PUT || r->verb == S3_HEAD))
		r->garbled = !r->from_s3 && !header_of(s, "ETag");
	if (r->verb == S3_GET && (r->status == 206 || r->status == 416)) {
		bool ok = range && lsvd_s3_content_range(range, &r->range_first, &last, &r->total);

		r->garbled = !ok && r->status == 206;
		return;
	}
	(void)curl_easy_getinfo(s->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	if (length >= 0 && (r->verb == S3_HEAD || r->verb == S3_GET))
		r->total = (uint64_t)length;
	/* It ends where the connection did, and nobody knows whether it should have. */
	if (length < 0 && r->verb == S3_GET && r->status == 200)
		r->garbled = !header_of(s, "Transfer-Encoding");
}

static void read_document(struct s3_slot *s)
{
	struct s3_request *r = s->r;

	if (r->status / 100 != 2)
		lsvd_s3_xml_error(r, s->text, s->text_len);
	else if (r->verb == S3_LIST)
		r->garbled = !lsvd_s3_xml_page(r, s->text, s->text_len);
	else if (r->verb == S3_DELETE_MANY)
		r->garbled = !lsvd_s3_xml_deleted(r, s->text, s->text_len);
}

static bool nothing_sent(const struct s3_slot *s)
{
	long bytes = 0;

	(void)curl_easy_getinfo(s->easy, CURLINFO_REQUEST_SIZE, &bytes); /* 0 if it fails */
	return bytes == 0;
}

static void note_failure(struct s3_slot *s, CURLcode code)
{
	const char *text = lsvd_s3_certificate_fault(s->easy, code);
	struct s3_request *r = s->r;
	size_t n = 0;

	if (!text)
		text = s->error[0] ? s->error : curl_easy_strerror(code);
	for (; n + 1 < sizeof r->message && text[n]; n++)
		r->message[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	r->message[n] = '\0';
	if (code == CURLE_OUT_OF_MEMORY)
		r->outcome = S3_NO_MEMORY;
	else
		r->outcome = nothing_sent(s) ? S3_NOT_SENT : S3_UNKNOWN;
}

/*
 * What libcurl sent into a connection that then broke, and over another one again, may have come
 * both times: then the key is taken by this very request.
 */
static bool taken_by_itself(const struct s3_slot *s)
{
	return s->sent_again && s->r->verb == S3_PUT && s->r->status == 412;
}

void lsvd_s3_curl_answered(struct s3_slot *s, CURLcode code)
{
	struct s3_request *r = s->r;

	r->status = (unsigned)lsvd_s3_curl_status(s);
	if (r->status)
		read_headers(s);
	if (taken_by_itself(s)) {
		r->outcome = S3_UNKNOWN;
		(void)snprintf(r->message, sizeof r->message,
			       "the connection was lost, and sent again "
			       "the request finds its key taken"); /* fits */
	} else if (code == CURLE_OK || s->satisfied) {
		r->outcome = S3_ANSWERED;
		read_document(s);
	} else {
		note_failure(s, code);
	}
}
