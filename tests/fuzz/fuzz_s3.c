/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_s3.c - any bytes as what a server of S3 sends, and as the URL of a bucket.
 *
 * The first byte chooses: an error, a page, an answer to deletions, a Content-Range, a URL. Of a
 * page nothing may be told before all of it was understood; of a URL that is understood the one
 * that is made of it means the same.
 */
#include "fuzz.h"

#include <string.h>

#include "base/alloc.h"
#include "store/s3_answer.h"
#include "store/s3_options.h"
#include "store/s3_xml.h"

static unsigned told;

static void listed(struct s3_request *r, const struct s3_listed *o)
{
	FUZZ_CHECK(o->key[0] && strlen(o->key) <= 1024);
	FUZZ_CHECK(memchr(r->next, '\0', sizeof r->next));
	told++;
}

static void not_deleted(struct s3_request *r, const char *key, const char *code)
{
	(void)r;
	FUZZ_CHECK(key && code);
	told++;
}

static void check_printable(const char *text, size_t size)
{
	const char *end = memchr(text, '\0', size);

	FUZZ_CHECK(end);
	for (; text < end; text++)
		FUZZ_CHECK(*text >= ' ' && *text <= '~');
}

static void as_document(unsigned kind, const char *text, size_t len)
{
	struct s3_request r = { .listed = listed, .not_deleted = not_deleted };

	told = 0;
	if (kind == 0) {
		lsvd_s3_xml_error(&r, text, len);
		check_printable(r.code, sizeof r.code);
		check_printable(r.message, sizeof r.message);
	} else if (kind == 1) {
		FUZZ_CHECK(lsvd_s3_xml_page(&r, text, len) || told == 0);
	} else {
		FUZZ_CHECK(lsvd_s3_xml_deleted(&r, text, len) || told == 0);
	}
}

static void as_range(const char *text)
{
	uint64_t first, last, total;

	if (lsvd_s3_content_range(text, &first, &last, &total) && first != UINT64_MAX)
		FUZZ_CHECK(first <= last && last < total);
}

/* Both are the default, or both the same. */
static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void as_url(const char *text)
{
	struct s3_options parsed, o, again, back;
	char *url;

	if (lsvd_s3_options_parse(&parsed, text) < 0)
		return;
	if (lsvd_s3_options_copy(&o, &parsed.o) < 0) {
		lsvd_s3_options_fini(&parsed);
		return;
	}
	url = lsvd_s3_options_url(&o.o);
	FUZZ_CHECK(url && lsvd_s3_options_parse(&again, url) == 0);
	FUZZ_CHECK(lsvd_s3_options_copy(&back, &again.o) == 0);
	FUZZ_CHECK(same(o.o.bucket, back.o.bucket) && same(o.o.directory, back.o.directory));
	FUZZ_CHECK(same(o.o.region, back.o.region) && same(o.o.endpoint, back.o.endpoint));
	FUZZ_CHECK(same(o.o.profile, back.o.profile) && same(o.o.ca_file, back.o.ca_file));
	lsvd_free(url);
	lsvd_s3_options_fini(&parsed);
	lsvd_s3_options_fini(&o);
	lsvd_s3_options_fini(&again);
	lsvd_s3_options_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	unsigned kind = len ? bytes[0] % 5 : 0;
	char *text;

	if (len == 0)
		return 0;
	text = malloc(len);
	if (!text)
		abort();
	memcpy(text, bytes + 1, len - 1);
	text[len - 1] = '\0';
	if (kind < 3)
		as_document(kind, text, len - 1);
	else if (kind == 3)
		as_range(text);
	else
		as_url(text);
	free(text);
	return 0;
}
