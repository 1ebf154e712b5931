/* SPDX-License-Identifier: BSD-2-Clause */
/* test_s3_sign.c - Signature V4 against the examples that AWS publishes for S3. */
#include "store/s3_sign.h"
#include "t_check.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define WELCOME "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
#define HOST { "host", "examplebucket.s3.amazonaws.com" }
#define DATE { "x-amz-date", "20130524T000000Z" }

/* The keys of the examples; the last word of the header is the signature. */
static const char *signed_as(const char *method, const char *path, const char *query,
			     const struct s3_header *headers, unsigned count, const char *payload)
{
	static char text[1024];
	const char *signature;

	ck_assert(lsvd_s3_sign(text, sizeof text, &(struct s3_to_sign){
		.method = method, .path = path, .query = query, .headers = headers,
		.header_count = count, .payload = payload, .date = "20130524T000000Z",
		.region = "us-east-1", .access_key = "AKIAIOSFODNN7EXAMPLE",
		.secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" }));
	signature = strstr(text, "Signature=");
	ck_assert_ptr_nonnull(signature);
	return signature + strlen("Signature=");
}

START_TEST(s3_sign_get_of_a_range_is_as_published)
{
	const struct s3_header h[] = { HOST, { "range", "bytes=0-9" },
				       { "x-amz-content-sha256", EMPTY }, DATE };

	ck_assert_str_eq(signed_as("GET", "/test.txt", "", h, 4, EMPTY),
			 "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}
END_TEST

START_TEST(s3_sign_put_with_an_escaped_path_is_as_published)
{
	const struct s3_header h[] = {
		{ "date", "Fri, 24 May 2013 00:00:00 GMT" }, HOST,
		{ "x-amz-content-sha256", WELCOME }, DATE,
		{ "x-amz-storage-class", "REDUCED_REDUNDANCY" },
	};
	char path[64] = "/";
	size_t at = 1;

	ck_assert(lsvd_s3_escape(path, sizeof path, &at, "test$file.text", true));
	ck_assert_str_eq(signed_as("PUT", path, "", h, 5, WELCOME),
			 "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}
END_TEST

START_TEST(s3_sign_queries_are_as_published)
{
	const struct s3_header h[] = { HOST, { "x-amz-content-sha256", EMPTY }, DATE };

	ck_assert_str_eq(signed_as("GET", "/", "lifecycle=", h, 3, EMPTY),
			 "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	ck_assert_str_eq(signed_as("GET", "/", "max-keys=2&prefix=J", h, 3, EMPTY),
			 "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}
END_TEST

START_TEST(s3_sign_header_names_scope_and_what_is_signed_but_no_secret)
{
	const struct s3_header h[] = { HOST, DATE };
	const char *signature = signed_as("GET", "/", "", h, 2, EMPTY);
	const char *text = signature - strlen("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/"
					      "20130524/us-east-1/s3/aws4_request, "
					      "SignedHeaders=host;x-amz-date, Signature=");

	ck_assert_int_eq(strncmp(text, "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/"
				       "us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, "
				       "Signature=", (size_t)(signature - text)), 0);
	ck_assert_uint_eq(strlen(signature), 64);
	ck_assert_ptr_null(strstr(text, "wJalr"));
}
END_TEST

START_TEST(s3_sign_what_does_not_fit_is_refused)
{
	const struct s3_header h[] = { HOST };
	struct s3_to_sign s = {
		.method = "GET", .path = "/", .query = "", .headers = h, .header_count = 1,
		.payload = EMPTY, .date = "20130524T000000Z", .region = "us-east-1",
		.access_key = "a", .secret_key = "s",
	};
	char text[512], key[1100];

	ck_assert(lsvd_s3_sign(text, sizeof text, &s));
	ck_assert(!lsvd_s3_sign(text, 60, &s));
	memset(key, 'k', sizeof key);
	key[sizeof key - 1] = '\0';
	s.secret_key = key;
	ck_assert(!lsvd_s3_sign(text, sizeof text, &s));
	key[1024] = '\0';
	ck_assert(lsvd_s3_sign(text, sizeof text, &s));
	s.region = key;
	ck_assert(!lsvd_s3_sign(text, sizeof text, &s));
}
END_TEST

START_TEST(s3_sign_escaping_leaves_letters_digits_and_four_signs)
{
	char text[64];
	size_t at = 0;

	ck_assert(lsvd_s3_escape(text, sizeof text, &at, "aZ09-._~/ +%\xc3\xa4", true));
	ck_assert_str_eq(text, "aZ09-._~/%20%2B%25%C3%A4");
	at = 0;
	ck_assert(lsvd_s3_escape(text, sizeof text, &at, "a/b", false));
	ck_assert_str_eq(text, "a%2Fb");
	at = 0;
	ck_assert(lsvd_s3_escape(text, 6, &at, "a/b", false));
	ck_assert_uint_eq(at, 5);
	at = 0;
	ck_assert(!lsvd_s3_escape(text, 5, &at, "a/b", false));
	at = 0;
	ck_assert(!lsvd_s3_escape(text, 3, &at, "abc", true));
}
END_TEST

START_TEST(s3_sign_dates_are_those_of_greenwich)
{
	char date[S3_DATE_LEN + 1];

	lsvd_s3_date(date, INT64_C(1369353600999));
	ck_assert_str_eq(date, "20130524T000000Z");
	lsvd_s3_date(date, 0);
	ck_assert_str_eq(date, "19700101T000000Z");
}
END_TEST

static Suite *s3_sign_suite(void)
{
	Suite *s = suite_create("s3 sign");
	TCase *t = tcase_create("signature");

	tcase_add_test(t, s3_sign_get_of_a_range_is_as_published);
	tcase_add_test(t, s3_sign_put_with_an_escaped_path_is_as_published);
	tcase_add_test(t, s3_sign_queries_are_as_published);
	tcase_add_test(t, s3_sign_header_names_scope_and_what_is_signed_but_no_secret);
	tcase_add_test(t, s3_sign_what_does_not_fit_is_refused);
	tcase_add_test(t, s3_sign_escaping_leaves_letters_digits_and_four_signs);
	tcase_add_test(t, s3_sign_dates_are_those_of_greenwich);
	suite_add_tcase(s, t);
	return s;
}

T_MAIN(s3_sign_suite)
