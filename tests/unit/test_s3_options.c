/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_s3_options.c - what may be said of a bucket, as options and as a URL, and where requests go.
 */
#include "base/alloc.h"
#include "store/s3_endpoint.h"
#include "store/s3_options.h"
#include "store/store.h"
#include "t_check.h"

static struct s3_options parsed, copied;

static void setup(void)
{
	(void)unsetenv("AWS_REGION");
	(void)unsetenv("AWS_DEFAULT_REGION");
}

static void teardown(void)
{
	lsvd_s3_options_fini(&parsed);
	lsvd_s3_options_fini(&copied);
}

static int parse(const char *url)
{
	int err;

	lsvd_s3_options_fini(&parsed);
	lsvd_s3_options_fini(&copied);
	err = lsvd_s3_options_parse(&parsed, url);
	return err < 0 ? err : lsvd_s3_options_copy(&copied, &parsed.o);
}

/* -------------------------------------------------------------------------------------- the URL */

START_TEST(s3_options_bucket_alone_has_defaults)
{
	ck_assert_ok(parse("s3://my-bucket"));
	ck_assert_str_eq(copied.o.bucket, "my-bucket");
	ck_assert_str_eq(copied.o.region, "us-east-1");
	ck_assert_str_eq(copied.o.client, "auto");
	ck_assert_ptr_null(copied.o.directory);
	ck_assert_ptr_null(copied.o.endpoint);
	ck_assert_uint_eq(copied.o.connections, 64);
	ck_assert_uint_eq(copied.o.connect_timeout_ms, 10000);
	ck_assert_uint_eq(copied.o.stall_timeout_ms, 20000);
}
END_TEST

START_TEST(s3_options_region_is_that_of_the_environment_if_none_is_said)
{
	ck_assert_int_eq(setenv("AWS_DEFAULT_REGION", "eu-west-2", 1), 0);
	ck_assert_ok(parse("s3://my-bucket"));
	ck_assert_str_eq(copied.o.region, "eu-west-2");
	ck_assert_int_eq(setenv("AWS_REGION", "eu-north-1", 1), 0);
	ck_assert_ok(parse("s3://my-bucket"));
	ck_assert_str_eq(copied.o.region, "eu-north-1");
	ck_assert_ok(parse("s3://my-bucket?region=ca-west-1"));
	ck_assert_str_eq(copied.o.region, "ca-west-1");
}
END_TEST

START_TEST(s3_options_url_says_everything)
{
	ck_assert_ok(parse("s3://b.c_d/x/y%20z/?region=r-1&endpoint=https://[::1]:9000&client=curl&"
			   "ca_file=/etc/a%26b.pem&credentials_file=/c&profile=p%3D1&"
			   "metadata=default&connections=3&connect_timeout_ms=4&"
			   "stall_timeout_ms=5"));
	ck_assert_str_eq(copied.o.bucket, "b.c_d");
	ck_assert_str_eq(copied.o.directory, "x/y z");
	ck_assert_str_eq(copied.o.region, "r-1");
	ck_assert_str_eq(copied.o.endpoint, "https://[::1]:9000");
	ck_assert_str_eq(copied.o.client, "curl");
	ck_assert_str_eq(copied.o.ca_file, "/etc/a&b.pem");
	ck_assert_str_eq(copied.o.credentials_file, "/c");
	ck_assert_str_eq(copied.o.profile, "p=1");
	ck_assert_str_eq(copied.o.metadata, "default");
	ck_assert_uint_eq(copied.o.connections, 3);
	ck_assert_uint_eq(copied.o.connect_timeout_ms, 4);
	ck_assert_uint_eq(copied.o.stall_timeout_ms, 5);
}
END_TEST

START_TEST(s3_options_url_that_is_made_means_the_same)
{
	char *url;

	ck_assert_ok(parse("s3://my-bucket/a%20b?endpoint=http%3A%2F%2Fhost:1&profile=x%26y%25"));
	url = lsvd_s3_options_url(&copied.o);
	ck_assert_ptr_nonnull(url);
	ck_assert_str_eq(url, "s3://my-bucket/a%20b?region=us-east-1&endpoint=http://host:1&"
			      "profile=x%26y%25");
	ck_assert_ok(parse(url));
	ck_assert_str_eq(copied.o.directory, "a b");
	ck_assert_str_eq(copied.o.profile, "x&y%");
	lsvd_free(url);
}
END_TEST

START_TEST(s3_options_urls_that_cannot_be_are_refused)
{
	static const char *const wrong[] = {
		"s3://", "s3:bucket", "s3://?region=x", "s3:///directory",
		"s3://ab", "s3://-%2F-", "s3://..a",
		"s3://bucket#x", "s3://buck%et", "s3://bucket%0",
		"s3://bucket/a//b", "s3://bucket/a/../b", "s3://bucket/.", "s3://bucket/a%0Ab",
		"s3://bucket?regoin=x", "s3://bucket?region", "s3://bucket?region=",
		"s3://bucket?region=a&region=b", "s3://bucket?region=a/b", "s3://bucket?%72egion=a",
		"s3://bucket?connections=0", "s3://bucket?connections=257",
		"s3://bucket?connections=-1", "s3://bucket?connections=1x",
		"s3://bucket?stall_timeout_ms=4294967296", "s3://bucket?client=wget",
		"s3://bucket?endpoint=ftp://host", "s3://bucket?endpoint=host",
		"s3://bucket?endpoint=http://", "s3://bucket?endpoint=http://host/path",
		"s3://bucket?endpoint=http://host?x", "s3://bucket?endpoint=http://:80",
		"s3://bucket?endpoint=http://h:99999", "s3://bucket?endpoint=http://h:0",
		"s3://bucket?endpoint=http://h:1:2", "s3://bucket?endpoint=http://h:",
		"s3://bucket?endpoint=http://h:a", "s3://bucket?endpoint=http://[::1",
		"s3://bucket?endpoint=http://[]:1", "s3://bucket?endpoint=http://::1]",
		"s3://bucket?endpoint=http://[::1]80", "s3://bucket?endpoint=http://a[::1]",
		"s3://bucket?endpoint=http://ho%20st", "s3://bucket?endpoint=http://ho%0D%0Ast",
	};

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		ck_assert_msg(parse(wrong[i]) == LSVD_E_CONFIG, "%s: %s", wrong[i],
			      lsvd_last_error());
}
END_TEST

START_TEST(s3_options_secrets_in_a_url_are_refused_and_not_quoted)
{
	static const char *const wrong[] = {
		"s3://AKIA:canary@bucket", "s3://canary@bucket?region=x",
		"s3://bucket?secret_key=canary", "s3://bucket?access_key=canary",
		"s3://bucket?session_token=canary", "s3://bucket?region=x&secret_key=canary",
		"s3://bucket?endpoint=http://user:canary@host", "s3://bucket?secret=canary",
	};
	struct lsvd_store *store;

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		ck_assert_err(parse(wrong[i]), LSVD_E_CONFIG);
		ck_assert_ptr_null(strstr(lsvd_last_error(), "canary"));
		ck_assert_err(lsvd_store_open(&store, wrong[i], NULL), LSVD_E_CONFIG);
		ck_assert_ptr_null(strstr(lsvd_last_error(), "canary"));
	}
}
END_TEST

/* ----------------------------------------------------------------------------------- as options */

START_TEST(s3_options_of_a_program_are_checked)
{
	struct lsvd_s3_options o = LSVD_S3_OPTIONS_INIT;

	ck_assert_err(lsvd_s3_options_copy(&copied, NULL), -EINVAL);
	ck_assert_err(lsvd_s3_options_copy(&copied, &o), LSVD_E_CONFIG);
	o.bucket = "bucket";
	o.profile = "";
	ck_assert_err(lsvd_s3_options_copy(&copied, &o), -EINVAL);
	o.profile = NULL;
	o.flags = 1;
	ck_assert_err(lsvd_s3_options_copy(&copied, &o), -EINVAL);
	o.flags = 0;
	o.reserved[7] = 1;
	ck_assert_err(lsvd_s3_options_copy(&copied, &o), -EINVAL);
	o.reserved[7] = 0;
	o.size = 8;
	ck_assert_err(lsvd_s3_options_copy(&copied, &o), -EINVAL);
}
END_TEST

START_TEST(s3_options_strings_are_copied_but_for_secrets)
{
	struct lsvd_s3_options o = LSVD_S3_OPTIONS_INIT;
	char bucket[] = "bucket", directory[] = "//a/b//", secret[] = "secret";

	o.bucket = bucket;
	o.directory = directory;
	o.access_key = "key";
	o.secret_key = secret;
	ck_assert_ok(lsvd_s3_options_copy(&copied, &o));
	memset(bucket, 'x', strlen(bucket));
	memset(directory, 'x', strlen(directory));
	ck_assert_str_eq(copied.o.bucket, "bucket");
	ck_assert_str_eq(copied.o.directory, "a/b");
	ck_assert_ptr_eq(copied.o.secret_key, secret);
}
END_TEST

/* -------------------------------------------------------------------------------- where they go */

static struct s3_endpoint at(const char *endpoint, const char *region, const char *bucket)
{
	struct s3_endpoint e;

	ck_assert(lsvd_s3_endpoint(&e, endpoint, region, bucket));
	return e;
}

START_TEST(s3_options_bucket_of_aws_is_in_the_host_unless_it_has_a_dot)
{
	struct s3_endpoint e = at(NULL, "eu-west-1", "bucket");

	ck_assert_str_eq(e.base, "https://bucket.s3.eu-west-1.amazonaws.com");
	ck_assert_str_eq(e.host, "bucket.s3.eu-west-1.amazonaws.com");
	ck_assert_str_eq(e.bucket_path, "");
	ck_assert(e.https);
	e = at(NULL, "cn-north-1", "a.b");
	ck_assert_str_eq(e.base, "https://s3.cn-north-1.amazonaws.com.cn");
	ck_assert_str_eq(e.bucket_path, "/a.b");
}
END_TEST

START_TEST(s3_options_bucket_of_an_endpoint_is_in_the_path)
{
	struct s3_endpoint e = at("http://host:8080/", "r", "bucket");

	ck_assert_str_eq(e.base, "http://host:8080");
	ck_assert_str_eq(e.host, "host:8080");
	ck_assert_str_eq(e.bucket_path, "/bucket");
	ck_assert(!e.https);
}
END_TEST

START_TEST(s3_options_port_that_goes_without_saying_is_not_in_the_host_header)
{
	ck_assert_str_eq(at("http://host:80", "r", "bucket").host, "host");
	ck_assert_str_eq(at("https://host:443", "r", "bucket").host, "host");
	ck_assert_str_eq(at("https://host:443", "r", "bucket").base, "https://host:443");
	ck_assert_str_eq(at("https://host:80", "r", "bucket").host, "host:80");
	ck_assert_str_eq(at("http://[::1]:80", "r", "bucket").host, "[::1]");
}
END_TEST

static TCase *add_case(Suite *s, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, setup, teardown);
	suite_add_tcase(s, t);
	return t;
}

static Suite *s3_options_suite(void)
{
	Suite *s = suite_create("s3 options");
	TCase *t = add_case(s, "url");

	tcase_add_test(t, s3_options_bucket_alone_has_defaults);
	tcase_add_test(t, s3_options_region_is_that_of_the_environment_if_none_is_said);
	tcase_add_test(t, s3_options_url_says_everything);
	tcase_add_test(t, s3_options_url_that_is_made_means_the_same);
	tcase_add_test(t, s3_options_urls_that_cannot_be_are_refused);
	tcase_add_test(t, s3_options_secrets_in_a_url_are_refused_and_not_quoted);
	t = add_case(s, "options");
	tcase_add_test(t, s3_options_of_a_program_are_checked);
	tcase_add_test(t, s3_options_strings_are_copied_but_for_secrets);
	t = add_case(s, "endpoint");
	tcase_add_test(t, s3_options_bucket_of_aws_is_in_the_host_unless_it_has_a_dot);
	tcase_add_test(t, s3_options_bucket_of_an_endpoint_is_in_the_path);
	tcase_add_test(t, s3_options_port_that_goes_without_saying_is_not_in_the_host_header);
	return s;
}

T_MAIN(s3_options_suite)
