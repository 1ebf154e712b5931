/* SPDX-License-Identifier: BSD-2-Clause */
/* test_s3_store.c - the store in a bucket as its users see it, over a server that says what it likes. */
#include <lsvd/store_driver.h>
#include <lsvd/store_s3.h>

#include "t_check.h"
#include "t_http.h"

static struct lsvd_store *open_store(const char *endpoint)
{
	struct lsvd_s3_options o = LSVD_S3_OPTIONS_INIT;
	struct lsvd_store *store;

	o.bucket = "bucket";
	o.region = "us-east-1";
	o.endpoint = endpoint;
	o.access_key = "AKIDEXAMPLE";
	o.secret_key = "wJalrXUtnFEMI";
	ck_assert_ok(lsvd_store_open_s3(&store, &o, NULL));
	return store;
}

static const char *keep_objects(struct t_http *http, const char *request, unsigned n)
{
	(void)http;
	(void)request;
	(void)n;
	return "HTTP/1.1 200 OK\r\n\r\n"
	       "<DeleteResult><Error><Key>a\nERROR all is lost\xc2\x9b</Key>"
	       "<Code>Some\nCode</Code></Error></DeleteResult>";
}

START_TEST(s3_store_text_of_what_was_not_removed_is_one_line)
{
	struct t_http http = {.handler = keep_objects};
	const char *const keys[] = {"a", "b"};
	struct lsvd_store *store;

	t_http_start(&http);
	store = open_store(http.endpoint);
	ck_assert_err(lsvd_store_remove_many(store, keys, 2), LSVD_E_UNAVAILABLE);
	ck_assert_error_says("a?ERROR all is lost??");
	ck_assert_error_says("Some?Code");
	lsvd_store_close(store);
	t_http_stop(&http);
}
END_TEST

static Suite *s3_store_suite(void)
{
	Suite *suite = suite_create("s3 store");
	TCase *t = tcase_create("texts");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, s3_store_text_of_what_was_not_removed_is_one_line);
	suite_add_tcase(suite, t);
	return suite;
}

T_MAIN(s3_store_suite)
