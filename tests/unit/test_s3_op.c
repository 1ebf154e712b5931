/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_s3_op.c - operations on a bucket over a client that answers what it is told.
 *
 * The client ends each request on a thread of its own, as real ones do (pthread).
 */
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/s3_op.h"
#include "t_check.h"
#include "tmpdir.h"

/* ---------------------------------------------------------------------- the client that is told */

struct told {
	unsigned status;
	const char *code;
	enum s3_outcome outcome;
	bool from_s3;
	uint64_t total;
	int64_t date_ms;
	const char *next;
};

static struct told script[16];
static unsigned said, script_len;
static char log_text[512];
static struct s3_store s;
static char *dir;

static const char *const verbs[] = {
	[S3_PUT] = "PUT", [S3_GET] = "GET", [S3_HEAD] = "HEAD",
	[S3_LIST] = "LIST", [S3_DELETE] = "DELETE", [S3_DELETE_MANY] = "MANY",
};

static void say(struct told t)
{
	ck_assert_uint_lt(script_len, 16);
	script[script_len++] = t;
}

static void *answer(void *arg)
{
	struct s3_request *r = arg;
	struct s3_secrets secrets;
	size_t len = strlen(log_text);
	struct told t;

	ck_assert_uint_lt(said, script_len);
	t = script[said++];
	ck_assert_ok(lsvd_s3_credentials_get(s.credentials, &secrets));
	(void)snprintf(log_text + len, sizeof log_text - len, "%s %s%s%s as %s; ", verbs[r->verb],
		       r->key, r->verb == S3_PUT && r->if_absent ? " if absent" : "",
		       r->token ? r->token : "", secrets.access_key);
	lsvd_s3_credentials_put(s.credentials, &secrets);
	r->outcome = t.outcome;
	r->status = t.status;
	r->from_s3 = t.from_s3;
	r->date_ms = t.date_ms;
	if (t.total)
		r->total = t.total;
	(void)snprintf(r->code, sizeof r->code, "%s", t.code ? t.code : "");
	(void)snprintf(r->next, sizeof r->next, "%s", t.next ? t.next : "");
	r->done(r);
	return NULL;
}

static void submit(struct s3_client *client, struct s3_request *r)
{
	pthread_t thread;

	(void)client;
	ck_assert_int_eq(pthread_create(&thread, NULL, answer, r), 0);
	ck_assert_int_eq(pthread_detach(thread), 0);
}

static struct s3_client_ops client = {
	.version = S3_CLIENT_VERSION, .name = "told", .submit = submit,
};

static void write_keys(const char *access_key)
{
	char *path = tmpdir_path(dir, "keys"), *new = tmpdir_path(dir, "new");
	FILE *f = fopen(new, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_gt(fprintf(f, "[default]\naws_access_key_id = %s\n"
				    "aws_secret_access_key = secret\n", access_key), 0);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(new, 0600), 0);
	ck_assert_int_eq(rename(new, path), 0);
	free(new);
	free(path);
}

static void setup(void)
{
	struct lsvd_s3_options o = LSVD_S3_OPTIONS_INIT;
	char *path;

	dir = tmpdir_new();
	path = tmpdir_path(dir, "keys");
	write_keys("OLD");
	o.bucket = "bucket";
	o.credentials_file = path;
	script_len = said = 0;
	log_text[0] = '\0';
	client.caps = S3_CAN_CREATE | S3_CAN_CHECK_BODY | S3_CAN_SKEW;
	memset(&s, 0, sizeof s);
	s.ops = &client;
	s.bucket = (char *)(uintptr_t)"bucket";
	s.prefix = (char *)(uintptr_t)"d/";
	s.prefix_len = 2;
	s.reloaded_ms = INT64_MIN / 2;
	ck_assert_ok(lsvd_s3_credentials_open(&s.credentials, &o));
	ck_assert_ok(lsvd_s3_worker_init(&s.worker, lsvd_s3_op_work, &s));
	free(path);
}

static void teardown(void)
{
	lsvd_s3_worker_fini(&s.worker);
	lsvd_s3_credentials_close(s.credentials);
	tmpdir_free(dir);
}

static struct s3_op *op(enum s3_verb verb)
{
	struct s3_op *new = lsvd_s3_op_new(&s, "k");

	ck_assert_ptr_nonnull(new);
	new->r.verb = verb;
	return new;
}

/* What came of it; the requests are in log_text. */
static enum s3_kind run(struct s3_op *new)
{
	enum s3_kind kind = lsvd_s3_op_run(new);

	ck_assert_uint_eq(said, script_len);
	if (kind != S3_OK)
		ck_assert_err(lsvd_s3_op_fail(new, kind), lsvd_s3_kind_error(kind));
	lsvd_free(new);
	return kind;
}

/* -------------------------------------------------------------------------------------- uploads */

static struct s3_op *put(struct iovec *iov, int n)
{
	struct s3_op *new = op(S3_PUT);

	new->r.if_absent = client.caps & S3_CAN_CREATE;
	new->r.iov = iov;
	new->r.iovcnt = n;
	if (!new->r.if_absent) {
		new->r.verb = S3_HEAD;
		new->phase = S3_LOOKING;
	}
	return new;
}

START_TEST(s3_op_put_has_the_digest_of_its_body)
{
	static const uint8_t abc[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea };
	struct iovec iov[3] = { { "a", 1 }, { "", 0 }, { "bc", 2 } };
	struct s3_op *new = put(iov, 3);

	say((struct told){ .status = 200 });
	ck_assert_int_eq(lsvd_s3_op_run(new), S3_OK);
	ck_assert_int_eq(memcmp(new->r.body_sha256, abc, sizeof abc), 0);
	ck_assert_str_eq(log_text, "PUT d/k if absent as OLD; ");
	ck_assert_uint_eq(s.put_bytes, 3);
	lsvd_free(new);
}
END_TEST

START_TEST(s3_op_put_through_a_client_that_cannot_create_looks_first)
{
	struct iovec iov = { "abc", 3 };

	client.caps = 0;
	say((struct told){ .status = 404, .from_s3 = true });
	say((struct told){ .status = 404, .code = "NoSuchKey" });
	say((struct told){ .status = 200 });
	ck_assert_int_eq(run(put(&iov, 1)), S3_OK);
	ck_assert_str_eq(log_text, "HEAD d/k as OLD; GET d/k as OLD; PUT d/k as OLD; ");
	say((struct told){ .status = 200, .total = 3 });
	ck_assert_int_eq(run(put(&iov, 1)), S3_EXISTS);
	say((struct told){ .status = 503 });
	ck_assert_int_eq(run(put(&iov, 1)), S3_SERVER_ERROR);
	ck_assert_uint_eq(s.sent[S3_PUT], 1);
}
END_TEST

/* ---------------------------------------------------------------------------- what is not there */

START_TEST(s3_op_head_of_nothing_is_doubted_until_the_bucket_was_seen)
{
	say((struct told){ .status = 404, .from_s3 = true });
	say((struct told){ .status = 404, .code = "NoSuchKey" });
	ck_assert_int_eq(run(op(S3_HEAD)), S3_ABSENT);
	ck_assert_str_eq(log_text, "HEAD d/k as OLD; GET d/k as OLD; ");
	log_text[0] = '\0';
	say((struct told){ .status = 404, .from_s3 = true });
	ck_assert_int_eq(run(op(S3_HEAD)), S3_ABSENT);
	ck_assert_str_eq(log_text, "HEAD d/k as OLD; ");
	/* something in between answers */
	say((struct told){ .status = 404 });
	say((struct told){ .status = 404 });
	ck_assert_int_eq(run(op(S3_HEAD)), S3_SERVER_ERROR);
}
END_TEST

START_TEST(s3_op_head_of_what_came_meanwhile_has_its_length_or_none)
{
	struct s3_op *new = op(S3_HEAD);

	say((struct told){ .status = 404, .from_s3 = true });
	say((struct told){ .status = 206, .total = 0 }); /* "bytes 0-0/" and a star */
	ck_assert_int_eq(lsvd_s3_op_run(new), S3_BAD_BODY);
	lsvd_free(new);
	new = op(S3_HEAD);
	say((struct told){ .status = 404, .from_s3 = true });
	say((struct told){ .status = 416 }); /* there, and empty */
	ck_assert_int_eq(lsvd_s3_op_run(new), S3_OK);
	lsvd_free(new);
}
END_TEST

START_TEST(s3_op_head_in_a_bucket_that_is_not_there_says_so)
{
	say((struct told){ .status = 404, .from_s3 = true });
	say((struct told){ .status = 404, .code = "NoSuchBucket" });
	ck_assert_int_eq(run(op(S3_HEAD)), S3_NO_BUCKET);
	ck_assert_error_says("s3://bucket/d/k");
	ck_assert_error_says("404 NoSuchBucket");
}
END_TEST

/* --------------------------------------------------------------------------------- second tries */

static int64_t now_ms(void)
{
	return (int64_t)time(NULL) * 1000;
}

START_TEST(s3_op_wrong_clock_is_learned_and_tried_again_once)
{
	int64_t hour = 3600000;

	say((struct told){ .status = 403, .code = "RequestTimeTooSkewed",
			   .date_ms = now_ms() + hour });
	say((struct told){ .status = 200, .total = 5, .date_ms = now_ms() + hour });
	ck_assert_int_eq(run(op(S3_HEAD)), S3_OK);
	ck_assert_int_ge(s.offset_ms, hour - 3000);
	ck_assert_int_le(s.offset_ms, hour + 3000);
	ck_assert_int_ge(s.observed_ms, hour - 3000);
	ck_assert_uint_eq(s.kinds[S3_SKEWED], 1);
	for (unsigned i = 0; i < 2; i++)
		say((struct told){ .status = 403, .code = "RequestTimeTooSkewed",
				   .date_ms = now_ms() - hour });
	ck_assert_int_eq(run(op(S3_HEAD)), S3_SKEWED);
	/* and never, if the server does not say its time */
	say((struct told){ .status = 403, .code = "RequestTimeTooSkewed" });
	ck_assert_int_eq(run(op(S3_HEAD)), S3_SKEWED);
}
END_TEST

START_TEST(s3_op_denied_with_keys_that_have_changed_is_tried_again_with_the_new_ones)
{
	write_keys("NEW");
	say((struct told){ .status = 403, .code = "InvalidAccessKeyId" });
	say((struct told){ .status = 204 });
	ck_assert_int_eq(run(op(S3_DELETE)), S3_OK);
	ck_assert_str_eq(log_text, "DELETE d/k as OLD; DELETE d/k as NEW; ");
	ck_assert_uint_eq(s.kinds[S3_DENIED], 1);
}
END_TEST

START_TEST(s3_op_denied_with_the_keys_there_are_is_denied)
{
	say((struct told){ .status = 403, .code = "AccessDenied" });
	ck_assert_int_eq(run(op(S3_DELETE)), S3_DENIED);
	ck_assert_error_says("403 AccessDenied");
	ck_assert_str_eq(log_text, "DELETE d/k as OLD; ");
}
END_TEST

START_TEST(s3_op_denied_while_somebody_else_read_new_keys_is_tried_again)
{
	struct s3_op *new = op(S3_DELETE);

	write_keys("NEW");
	ck_assert_int_eq(lsvd_s3_credentials_reload(s.credentials), 1);
	say((struct told){ .status = 403, .code = "InvalidAccessKeyId" });
	say((struct told){ .status = 204 });
	ck_assert_int_eq(run(new), S3_OK);
}
END_TEST

static char reported[512];

static void note_report(void *ctx, enum lsvd_log_level level, const char *text)
{
	(void)ctx;
	(void)level;
	(void)snprintf(reported, sizeof reported, "%s", text);
}

START_TEST(s3_op_denied_with_keys_that_cannot_be_read_says_why)
{
	char *path = tmpdir_path(dir, "keys");

	write_keys("NEW");
	ck_assert_int_eq(chmod(path, 0644), 0);
	lsvd_set_log(note_report, NULL, LSVD_LOG_WARN);
	say((struct told){ .status = 403, .code = "AccessDenied" });
	ck_assert_int_eq(run(op(S3_DELETE)), S3_DENIED);
	lsvd_set_log(NULL, NULL, LSVD_LOG_WARN);
	ck_assert_ptr_nonnull(strstr(reported, "S3 bucket bucket: access is denied"));
	ck_assert_ptr_nonnull(strstr(reported, "mode is 0644"));
	free(path);
}
END_TEST

START_TEST(s3_op_denied_twice_is_denied_though_the_keys_are_new)
{
	write_keys("NEW");
	for (unsigned i = 0; i < 2; i++)
		say((struct told){ .status = 403, .code = "AccessDenied" });
	ck_assert_int_eq(run(op(S3_DELETE)), S3_DENIED);
	ck_assert_uint_eq(s.kinds[S3_DENIED], 2);
}
END_TEST

START_TEST(s3_op_everything_else_is_the_callers_to_try_again)
{
	static const struct told once[] = {
		{ .status = 500 }, { .status = 503, .code = "SlowDown" }, { .status = 409 },
		{ .status = 412 }, { .outcome = S3_UNKNOWN }, { .outcome = S3_NOT_SENT },
		{ .status = 301 }, { .status = 400, .code = "BadDigest" },
	};

	for (size_t i = 0; i < sizeof once / sizeof once[0]; i++) {
		say(once[i]);
		ck_assert_int_ne(run(op(S3_DELETE)), S3_OK);
	}
	ck_assert_uint_eq(s.sent[S3_DELETE], sizeof once / sizeof once[0]);
}
END_TEST

/* ------------------------------------------------------------------------------------ listings */

START_TEST(s3_op_listing_goes_on_until_there_is_no_next_page)
{
	say((struct told){ .status = 200, .next = " page 2" });
	say((struct told){ .status = 200, .next = " page 3" });
	say((struct told){ .status = 200 });
	ck_assert_int_eq(run(op(S3_LIST)), S3_OK);
	ck_assert_str_eq(log_text,
			 "LIST d/k as OLD; LIST d/k page 2 as OLD; LIST d/k page 3 as OLD; ");
}
END_TEST

START_TEST(s3_op_listing_that_comes_to_the_same_page_again_ends)
{
	say((struct told){ .status = 200, .next = " page 2" });
	say((struct told){ .status = 200, .next = " page 2" });
	ck_assert_int_eq(run(op(S3_LIST)), S3_BAD_BODY);
}
END_TEST

START_TEST(s3_op_texts_name_what_was_not_answered)
{
	struct s3_op *new = op(S3_GET);

	new->r.off = 10;
	new->r.len = 20;
	say((struct told){ .status = 206, .total = 100 });
	ck_assert_int_eq(run(new), S3_BAD_BODY);
	ck_assert_error_says("get s3://bucket/d/k: 206, 0 bytes for 20 from 10 on, of 100");
	say((struct told){ .outcome = S3_UNKNOWN });
	ck_assert_int_eq(run(op(S3_DELETE)), S3_NO_ANSWER);
	ck_assert_error_says("remove s3://bucket/d/k: no whole answer");
	say((struct told){ .outcome = S3_NOT_SENT });
	ck_assert_int_eq(run(op(S3_DELETE)), S3_NO_CONNECTION);
	ck_assert_error_says("not sent");
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	suite_add_tcase(suite, t);
	return t;
}

static Suite *s3_op_suite(void)
{
	Suite *suite = suite_create("s3 op");
	TCase *t = add_case(suite, "uploads");

	tcase_add_test(t, s3_op_put_has_the_digest_of_its_body);
	tcase_add_test(t, s3_op_put_through_a_client_that_cannot_create_looks_first);
	t = add_case(suite, "not there");
	tcase_add_test(t, s3_op_head_of_nothing_is_doubted_until_the_bucket_was_seen);
	tcase_add_test(t, s3_op_head_of_what_came_meanwhile_has_its_length_or_none);
	tcase_add_test(t, s3_op_head_in_a_bucket_that_is_not_there_says_so);
	t = add_case(suite, "second tries");
	tcase_add_test(t, s3_op_wrong_clock_is_learned_and_tried_again_once);
	tcase_add_test(t,
		       s3_op_denied_with_keys_that_have_changed_is_tried_again_with_the_new_ones);
	tcase_add_test(t, s3_op_denied_with_the_keys_there_are_is_denied);
	tcase_add_test(t, s3_op_denied_while_somebody_else_read_new_keys_is_tried_again);
	tcase_add_test(t, s3_op_denied_with_keys_that_cannot_be_read_says_why);
	tcase_add_test(t, s3_op_denied_twice_is_denied_though_the_keys_are_new);
	tcase_add_test(t, s3_op_everything_else_is_the_callers_to_try_again);
	t = add_case(suite, "listings and texts");
	tcase_add_test(t, s3_op_listing_goes_on_until_there_is_no_next_page);
	tcase_add_test(t, s3_op_listing_that_comes_to_the_same_page_again_ends);
	tcase_add_test(t, s3_op_texts_name_what_was_not_answered);
	return suite;
}

T_MAIN(s3_op_suite)
