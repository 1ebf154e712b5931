/* SPDX-License-Identifier: BSD-2-Clause */
/* test_s3_answer.c - the table of docs/s3.md, row by row. */
#include "store/s3_answer.h"
#include "t_check.h"

#define MINUTES INT64_C(60000)

static const struct {
	enum s3_verb verb;
	unsigned status;
	const char *code;
	enum s3_kind kind;
	int err;
} rows[] = {
	{ S3_PUT, 200, "", S3_OK, 0 },
	{ S3_PUT, 201, "", S3_OK, 0 },
	{ S3_DELETE, 204, "", S3_OK, 0 },
	{ S3_DELETE, 404, "NoSuchKey", S3_OK, 0 },
	{ S3_GET, 404, "NoSuchKey", S3_ABSENT, -ENOENT },
	{ S3_HEAD, 404, "", S3_ABSENT, -ENOENT },
	/* a 404 that is not S3's is no end of anything */
	{ S3_GET, 404, "", S3_SERVER_ERROR, LSVD_E_UNAVAILABLE },
	{ S3_GET, 404, "NoSuchUpload", S3_SERVER_ERROR, LSVD_E_UNAVAILABLE },
	{ S3_PUT, 404, "", S3_SERVER_ERROR, LSVD_E_UNAVAILABLE },
	{ S3_GET, 404, "NoSuchBucket", S3_NO_BUCKET, LSVD_E_CONFIG },
	{ S3_PUT, 404, "NoSuchBucket", S3_NO_BUCKET, LSVD_E_CONFIG },
	{ S3_DELETE, 404, "NoSuchBucket", S3_NO_BUCKET, LSVD_E_CONFIG },
	{ S3_PUT, 412, "PreconditionFailed", S3_EXISTS, -EEXIST },
	{ S3_PUT, 412, "", S3_EXISTS, -EEXIST },
	{ S3_PUT, 409, "ConditionalRequestConflict", S3_CONFLICT, LSVD_E_UNAVAILABLE },
	{ S3_PUT, 409, "", S3_CONFLICT, LSVD_E_UNAVAILABLE },
	{ S3_PUT, 500, "InternalError", S3_SERVER_ERROR, LSVD_E_UNAVAILABLE },
	{ S3_GET, 502, "", S3_SERVER_ERROR, LSVD_E_UNAVAILABLE },
	{ S3_GET, 503, "SlowDown", S3_SERVER_ERROR, LSVD_E_UNAVAILABLE },
	{ S3_GET, 504, "", S3_SERVER_ERROR, LSVD_E_UNAVAILABLE },
	{ S3_GET, 599, "", S3_SERVER_ERROR, LSVD_E_UNAVAILABLE },
	{ S3_PUT, 429, "", S3_SERVER_ERROR, LSVD_E_UNAVAILABLE },
	{ S3_PUT, 408, "", S3_SERVER_ERROR, LSVD_E_UNAVAILABLE },
	{ S3_PUT, 400, "RequestTimeout", S3_SERVER_ERROR, LSVD_E_UNAVAILABLE },
	{ S3_PUT, 401, "", S3_DENIED, -EACCES },
	{ S3_PUT, 403, "AccessDenied", S3_DENIED, -EACCES },
	{ S3_PUT, 403, "SignatureDoesNotMatch", S3_DENIED, -EACCES },
	{ S3_PUT, 403, "InvalidAccessKeyId", S3_DENIED, -EACCES },
	{ S3_GET, 400, "ExpiredToken", S3_DENIED, -EACCES },
	{ S3_GET, 400, "InvalidToken", S3_DENIED, -EACCES },
	{ S3_PUT, 403, "RequestTimeTooSkewed", S3_SKEWED, LSVD_E_UNAVAILABLE },
	{ S3_PUT, 403, "QuotaExceeded", S3_FULL, -ENOSPC },
	{ S3_PUT, 507, "", S3_FULL, -ENOSPC },
	{ S3_GET, 301, "PermanentRedirect", S3_REDIRECT, LSVD_E_CONFIG },
	{ S3_PUT, 307, "TemporaryRedirect", S3_REDIRECT, LSVD_E_CONFIG },
	{ S3_HEAD, 302, "", S3_REDIRECT, LSVD_E_CONFIG },
	/* whatever a redirect says, nothing is believed of it */
	{ S3_GET, 301, "NoSuchKey", S3_REDIRECT, LSVD_E_CONFIG },
	{ S3_GET, 400, "AuthorizationHeaderMalformed", S3_MISCONFIGURED, LSVD_E_CONFIG },
	{ S3_PUT, 400, "BadDigest", S3_REJECTED, LSVD_E_UNAVAILABLE },
	{ S3_PUT, 400, "XAmzContentSHA256Mismatch", S3_REJECTED, LSVD_E_UNAVAILABLE },
	{ S3_PUT, 400, "IncompleteBody", S3_REJECTED, LSVD_E_UNAVAILABLE },
	{ S3_PUT, 501, "NotImplemented", S3_CANNOT, LSVD_E_UNSUPPORTED },
	{ S3_DELETE_MANY, 405, "", S3_CANNOT, LSVD_E_UNSUPPORTED },
	{ S3_PUT, 400, "", S3_ODD, -EIO },
	{ S3_PUT, 418, "Teapot", S3_ODD, -EIO },
	{ S3_GET, 204, "", S3_ODD, -EIO },
	{ S3_PUT, 0, "", S3_ODD, -EIO },
};

static struct s3_request answer(enum s3_verb verb, unsigned status, const char *code)
{
	struct s3_request r = {
		.verb = verb, .outcome = S3_ANSWERED, .status = status,
		.total = UINT64_MAX, .range_first = UINT64_MAX,
	};

	(void)snprintf(r.code, sizeof r.code, "%s", code);
	return r;
}

START_TEST(s3_answer_of_each_row_has_its_error)
{
	struct s3_request r = answer(rows[_i].verb, rows[_i].status, rows[_i].code);
	enum s3_kind kind = lsvd_s3_kind(&r, 0);

	ck_assert_msg(kind == rows[_i].kind, "%u %s of verb %d: kind %d, expected %d",
		      rows[_i].status, rows[_i].code, (int)rows[_i].verb, (int)kind,
		      (int)rows[_i].kind);
	ck_assert_int_eq(lsvd_s3_kind_error(kind), rows[_i].err);
}
END_TEST

START_TEST(s3_answer_that_did_not_come_may_have_been_done_unless_nothing_was_sent)
{
	struct s3_request r = answer(S3_PUT, 0, "");

	r.outcome = S3_UNKNOWN;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_NO_ANSWER);
	r.status = 200; /* the head of an answer came, and not all of it */
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_NO_ANSWER);
	ck_assert_int_eq(lsvd_s3_kind_error(S3_NO_ANSWER), LSVD_E_UNAVAILABLE);
	r.outcome = S3_NOT_SENT;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_NO_CONNECTION);
	ck_assert_int_eq(lsvd_s3_kind_error(S3_NO_CONNECTION), LSVD_E_UNAVAILABLE);
	r.outcome = S3_NO_MEMORY;
	ck_assert_int_eq(lsvd_s3_kind_error(lsvd_s3_kind(&r, 0)), -ENOMEM);
	r.outcome = S3_REFUSED;
	ck_assert_int_eq(lsvd_s3_kind_error(lsvd_s3_kind(&r, 0)), LSVD_E_UNSUPPORTED);
}
END_TEST

START_TEST(s3_answer_to_a_head_is_about_the_clock_if_its_date_is_far_off)
{
	struct s3_request r = answer(S3_HEAD, 403, "");

	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_DENIED);
	ck_assert_int_eq(lsvd_s3_kind(&r, 4 * MINUTES), S3_DENIED);
	ck_assert_int_eq(lsvd_s3_kind(&r, 16 * MINUTES), S3_SKEWED);
	ck_assert_int_eq(lsvd_s3_kind(&r, -16 * MINUTES), S3_SKEWED);
	/* Who is told a reason believes it. */
	r = answer(S3_GET, 403, "AccessDenied");
	ck_assert_int_eq(lsvd_s3_kind(&r, 16 * MINUTES), S3_DENIED);
}
END_TEST

/* An object of 1000 bytes, of which 100 from 950 on are asked for. */
static struct s3_request range(unsigned status, size_t came)
{
	struct s3_request r = answer(S3_GET, status, "");

	r.off = 950;
	r.len = 100;
	r.ret_len = came;
	r.total = 1000;
	r.range_first = status == 206 ? 950 : UINT64_MAX;
	return r;
}

START_TEST(s3_answer_range_is_what_was_asked_for_cut_at_the_end)
{
	struct s3_request r = range(206, 50);

	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_OK);
	r = range(200, 50); /* the client took its part of the whole */
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_OK);
	r.off = 5000;
	r.ret_len = 0;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_OK);
}
END_TEST

START_TEST(s3_answer_range_that_is_short_long_or_elsewhere_is_a_bad_body)
{
	struct s3_request r = range(206, 49);

	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_BAD_BODY);
	r = range(206, 51);
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_BAD_BODY);
	r = range(206, 50);
	r.range_first = 951;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_BAD_BODY);
	r = range(206, 50);
	r.overlong = true;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_BAD_BODY);
	r = range(206, 50);
	r.garbled = true;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_BAD_BODY);
	r = range(200, 49);
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_BAD_BODY);
	r = range(206, 20); /* the connection broke */
	r.outcome = S3_UNKNOWN;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_BAD_BODY);
	ck_assert_int_eq(lsvd_s3_kind_error(S3_BAD_BODY), LSVD_E_UNAVAILABLE);
}
END_TEST

START_TEST(s3_answer_416_is_nothing_there_unless_it_says_otherwise)
{
	struct s3_request r = range(416, 0);

	r.off = 1000;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_OK);
	r.total = UINT64_MAX;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_OK);
	r.off = 999;
	r.total = 1000;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_BAD_BODY);
	r.verb = S3_PUT;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_ODD);
}
END_TEST

START_TEST(s3_answer_without_a_length_or_with_a_document_that_is_none_is_a_bad_body)
{
	struct s3_request r = answer(S3_HEAD, 200, "");

	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_BAD_BODY);
	r.total = 0;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_OK);
	r.garbled = true;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_BAD_BODY);
	r.verb = S3_PUT;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_BAD_BODY);
	r = answer(S3_LIST, 200, "");
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_OK);
	r.garbled = true;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_BAD_BODY);
	r.verb = S3_DELETE_MANY;
	ck_assert_int_eq(lsvd_s3_kind(&r, 0), S3_BAD_BODY);
}
END_TEST

START_TEST(s3_answer_content_range_is_read_or_refused)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t first, last, total;
	} cases[] = {
		{ "bytes 0-99/1234", true, 0, 99, 1234 },
		{ "bytes 5-5/6", true, 5, 5, 6 },
		{ "bytes 0-99/*", true, 0, 99, UINT64_MAX },
		{ "bytes */1234", true, UINT64_MAX, UINT64_MAX, 1234 },
		{ "bytes 99-0/1234", false, 0, 0, 0 },
		{ "bytes 0-1234/1234", false, 0, 0, 0 },
		{ "bytes 0-99/", false, 0, 0, 0 },
		{ "bytes 0-99/12x", false, 0, 0, 0 },
		{ "bytes 0-99", false, 0, 0, 0 },
		{ "bytes -99/1234", false, 0, 0, 0 },
		{ "bytes */", false, 0, 0, 0 },
		{ "bytes ", false, 0, 0, 0 },
		{ "octets 0-99/1234", false, 0, 0, 0 },
		{ "bytes 0-99/18446744073709551616", false, 0, 0, 0 },
		{ "", false, 0, 0, 0 },
	};
	uint64_t first, last, total;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		bool ok = lsvd_s3_content_range(cases[i].text, &first, &last, &total);

		ck_assert_msg(ok == cases[i].ok, "%s", cases[i].text);
		if (!ok)
			continue;
		ck_assert_uint_eq(first, cases[i].first);
		ck_assert_uint_eq(last, cases[i].last);
		ck_assert_uint_eq(total, cases[i].total);
	}
}
END_TEST

static Suite *s3_answer_suite(void)
{
	Suite *s = suite_create("s3 answer");
	TCase *t = tcase_create("table");

	tcase_add_loop_test(t, s3_answer_of_each_row_has_its_error, 0,
			    (int)(sizeof rows / sizeof rows[0]));
	tcase_add_test(t, s3_answer_that_did_not_come_may_have_been_done_unless_nothing_was_sent);
	tcase_add_test(t, s3_answer_to_a_head_is_about_the_clock_if_its_date_is_far_off);
	suite_add_tcase(s, t);
	t = tcase_create("bodies");
	tcase_add_test(t, s3_answer_range_is_what_was_asked_for_cut_at_the_end);
	tcase_add_test(t, s3_answer_range_that_is_short_long_or_elsewhere_is_a_bad_body);
	tcase_add_test(t, s3_answer_416_is_nothing_there_unless_it_says_otherwise);
	tcase_add_test(t,
		       s3_answer_without_a_length_or_with_a_document_that_is_none_is_a_bad_body);
	tcase_add_test(t, s3_answer_content_range_is_read_or_refused);
	suite_add_tcase(s, t);
	return s;
}

T_MAIN(s3_answer_suite)
