/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_s3_store.c - the store in a bucket as its users see it, over a server that
 * says what it likes.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>

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
	o.connections = 2;
	o.connect_timeout_ms = 1000;
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

/* --------------------------------------------------------------------------------- the counters */

#define ANSWER(status, code) \
	"HTTP/1.1 " status "\r\nx-amz-request-id: 1\r\n\r\n<Error><Code>" code "</Code></Error>"

static const struct counted {
	const char *answer;      /* NULL: nobody is there */
	size_t counter;
	int err;
	bool get;
} counted[] = {
#define COUNTED(answer, counter, err, get) \
	{ answer, offsetof(struct lsvd_store_counters, counter), err, get }
	COUNTED(ANSWER("500 E", "InternalError"), server_errors, LSVD_E_UNAVAILABLE, false),
	COUNTED(ANSWER("503 S", "SlowDown"), server_errors, LSVD_E_UNAVAILABLE, true),
	COUNTED(ANSWER("429 T", "TooManyRequests"), server_errors, LSVD_E_UNAVAILABLE, false),
	COUNTED(NULL, no_connection, LSVD_E_UNAVAILABLE, false),
	COUNTED("", unknown, LSVD_E_UNAVAILABLE, false),
	COUNTED(ANSWER("409 C", "ConditionalRequestConflict"), conflicts,
		LSVD_E_UNAVAILABLE, false),
	COUNTED(ANSWER("403 F", "AccessDenied"), denied, -EACCES, false),
	COUNTED(ANSWER("403 F", "RequestTimeTooSkewed"), skewed, LSVD_E_UNAVAILABLE, false),
	COUNTED(ANSWER("301 M", "PermanentRedirect"), redirects, LSVD_E_CONFIG, false),
	COUNTED(ANSWER("404 N", "NoSuchBucket"), no_bucket, LSVD_E_CONFIG, true),
	COUNTED(ANSWER("412 P", "PreconditionFailed"), exists, -EEXIST, false),
	COUNTED(ANSWER("400 B", "BadDigest"), rejected, LSVD_E_UNAVAILABLE, false),
	COUNTED("HTTP/1.1 206 P\r\nETag: \"x\"\r\nContent-Range: bytes 7-8/9\r\n"
		"Content-Length: 2\r\n\r\nab", bad_bodies, LSVD_E_UNAVAILABLE, true),
#undef COUNTED
};

static const char *say_it(struct t_http *http, const char *request, unsigned n)
{
	(void)request;
	(void)n;
	return http->ctx;
}

/* Each kind is counted as what it is, and as nothing else. */
START_TEST(s3_store_counts_each_kind_of_answer_under_its_name)
{
	const struct counted *k = &counted[_i];
	struct t_http http = {.handler = say_it, .ctx = (void *)(uintptr_t)k->answer};
	struct lsvd_store_counters c = LSVD_STORE_COUNTERS_INIT;
	const uint64_t *kinds = &c.server_errors;
	struct iovec iov = {(void *)(uintptr_t)"body", 4};
	struct lsvd_store *store;
	uint64_t all = 0, *one;
	size_t len;
	char buf[4];

	t_http_start(&http);
	store = open_store(http.endpoint);
	if (!k->answer)
		t_http_stop(&http);
	ck_assert_err(k->get ? lsvd_store_get(store, "k", 0, buf, sizeof buf, &len)
			     : lsvd_store_put_if_absent(store, "k", &iov, 1), k->err);
	ck_assert_ok(lsvd_store_counters(store, &c));
	one = (uint64_t *)(void *)((char *)&c + k->counter);
	while (kinds <= &c.rejected)
		all += *kinds++;
	ck_assert_uint_ge(*one, 1);
	ck_assert_uint_eq(all, *one);
	ck_assert_uint_ge(k->get ? c.gets : c.puts, 1);
	lsvd_store_close(store);
	if (k->answer)
		t_http_stop(&http);
}
END_TEST

/* ------------------------------------------------------------------------------ hostile servers */

#define ENTITIES \
	"<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">" \
	"<!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\"><!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;\">]>" \
	"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>&d;</Key><Size>1</Size>" \
	"</Contents></ListBucketResult>"
#define OK200 "HTTP/1.1 200 OK\r\nx-amz-request-id: 1\r\nETag: \"x\"\r\n"

/* An answer: begin, then `repeated` until `bytes` are full, then end. */
static const struct hostile {
	const char *what, *begin, *repeated, *end;
	size_t bytes;
} hostile[] = {
	{ "headers without end", OK200,
	  "X-More: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
	  "Content-Length: 4\r\n\r\ndata", 4u << 20 },
	{ "one header without end", OK200 "X-More: ", "aaaaaaaaaaaaaaaa",
	  "\r\nContent-Length: 4\r\n\r\ndata", 4u << 20 },
	{ "wait, without end", "", "HTTP/1.1 100 Continue\r\n\r\n",
	  OK200 "Content-Length: 4\r\n\r\ndata", 4u << 20 },
	{ "a length that is none",
	  "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
	  "", "", 0 },
	{ "a negative length", OK200 "Content-Length: -1\r\n\r\n", "", "", 0 },
	{ "a piece that is longer than memory", OK200 "Transfer-Encoding: chunked\r\n\r\n"
	  "ffffffffffffffff\r\n", "", "", 0 },
	{ "a range from elsewhere", "HTTP/1.1 206 P\r\nContent-Range: bytes 18446744073709551612-"
	  "18446744073709551615/*\r\n\r\ndata", "", "", 0 },
	{ "the wrong day", "HTTP/1.1 403 F\r\nDate: Fri, 31 Dec 9999 23:59:59 GMT\r\n\r\n",
	  "", "", 0 },
	{ "another place", "HTTP/1.1 307 T\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
	  "", "", 0 },
	{ "another protocol", "HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", "", "", 0 },
	{ "an error without end", "HTTP/1.1 500 E\r\n\r\n<Error><Code>",
	  "aaaaaaaaaaaaaaaa", "", 4u << 20 },
	{ "nothing at all", "\r\n", "", "", 0 },
};
/* What is no page, though its frame is right. */
static const struct hostile hostile_pages[] = {
	{ "less than was promised", OK200 "Content-Length: 1000\r\n\r\n<ListBucketResult>", "", "",
	  0 },
	{ "entities", OK200 "\r\n" ENTITIES, "", "", 0 },
	{ "deeper than any page", OK200 "\r\n", "<a>", "", 1u << 20 },
	{ "longer than any page", OK200 "\r\n<ListBucketResult>", "<Name>aaaaaaaaaaaaaa</Name>",
	  "<IsTruncated>false</IsTruncated></ListBucketResult>", 8u << 20 },
	{ "a token without end", OK200 "\r\n<ListBucketResult><IsTruncated>true</IsTruncated>"
	  "<NextContinuationToken>", "aaaaaaaaaaaaaaaa",
	  "</NextContinuationToken></ListBucketResult>", 65536 },
	{ "a key without end",
	  OK200 "\r\n<ListBucketResult><IsTruncated>false</IsTruncated><Contents>"
	  "<Size>1</Size><Key>", "aaaaaaaaaaaaaaaa",
	  "</Key></Contents></ListBucketResult>", 65536 },
	{ "a byte that is none",
	  OK200 "\r\n<ListBucketResult><IsTruncated>false</IsTruncated><Contents>"
	  "<Size>1</Size><Key>%00</Key></Contents><EncodingType>url</EncodingType>"
	  "</ListBucketResult>", "", "", 0 },
	{ "a size beyond numbers",
	  OK200 "\r\n<ListBucketResult><IsTruncated>false</IsTruncated><Contents>"
	  "<Size>99999999999999999999</Size><Key>k</Key></Contents></ListBucketResult>",
	  "", "", 0 },
};

static char *hostile_text(const struct hostile *h)
{
	size_t begin = strlen(h->begin), step = strlen(h->repeated), at = begin;
	char *text = malloc(begin + h->bytes + strlen(h->end) + 1);

	ck_assert_ptr_nonnull(text);
	memcpy(text, h->begin, begin);
	for (; step && at + step <= begin + h->bytes; at += step)
		memcpy(text + at, h->repeated, step);
	memcpy(text + at, h->end, strlen(h->end) + 1);
	return text;
}

static int no_object(void *ctx, const struct lsvd_object_info *info)
{
	ck_abort_msg("%s is listed after %s", info->key, (const char *)ctx);
}

/* An error, and none that a volume would take for an answer. */
static void is_no_answer(int err, const char *what, const char *verb)
{
	if (err >= 0 || err == -ENOENT || err == -EEXIST)
		ck_abort_msg("%s: %s is %d: %s", what, verb, err, lsvd_last_error());
}

static void ask_hostile(const struct hostile *h, bool page)
{
	char *text = hostile_text(h);
	struct t_http http = {.handler = say_it, .ctx = text};
	struct iovec iov = {(char[]){"abc"}, 3};
	const char *const keys[] = {"a", "b"};
	struct lsvd_store *store;
	uint64_t bytes;
	char buf[4];
	size_t len;

	t_http_start(&http);
	store = open_store(http.endpoint);
	is_no_answer(lsvd_store_list(store, "p", no_object, (void *)(uintptr_t)h->what),
		     h->what, "list");
	is_no_answer(lsvd_store_remove_many(store, keys, 2), h->what, "remove_many");
	if (!page) {
		is_no_answer(lsvd_store_get(store, "k", 0, buf, sizeof buf, &len), h->what, "get");
		is_no_answer(lsvd_store_head(store, "k", &bytes), h->what, "head");
		is_no_answer(lsvd_store_put_if_absent(store, "k", &iov, 1), h->what, "put");
	}
	lsvd_store_close(store);
	t_http_stop(&http);
	free(text);
}

START_TEST(s3_store_takes_no_hostile_answer_for_one)
{
	ask_hostile(&hostile[_i], false);
}
END_TEST

START_TEST(s3_store_takes_no_hostile_page_for_one)
{
	ask_hostile(&hostile_pages[_i], true);
}
END_TEST

/* Reads that are sent anew as soon as they end, for as long as the upload has not ended. */
#define READERS 8

struct reader {
	struct lsvd_store_request request;
	struct lsvd_store *store;
	char buf[4];
};

static atomic_bool uploaded;
static atomic_uint readers;

static void read_again(struct lsvd_store_request *request, int err);

static void start_read(struct reader *r)
{
	r->request = (struct lsvd_store_request){
		.verb = LSVD_STORE_GET, .key = "g", .buf = r->buf, .len = sizeof r->buf,
		.done = read_again, .owner = r,
	};
	lsvd_store_submit(r->store, &r->request);
}

static void read_again(struct lsvd_store_request *request, int err)
{
	if (err < 0 || atomic_load(&uploaded))
		atomic_fetch_sub(&readers, 1);
	else
		start_read(request->owner);
}

static const char *serve_both(struct t_http *http, const char *request, unsigned n)
{
	(void)http;
	(void)n;
	return strncmp(request, "PUT", 3) == 0
		       ? "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 0\r\n\r\n"
		       : "HTTP/1.1 206 P\r\nContent-Range: bytes 0-3/4\r\nContent-Length: 4\r\n"
			 "\r\ndata";
}

/* If it does not get its turn, this ends with the time that a test has. */
START_TEST(s3_store_uploads_while_reads_never_end)
{
	struct t_http http = {.handler = serve_both};
	struct iovec iov = {(char[]){"abc"}, 3};
	struct reader all[READERS];
	struct lsvd_store *store;

	t_http_start(&http);
	store = open_store(http.endpoint);
	atomic_store(&readers, READERS);
	for (unsigned i = 0; i < READERS; i++) {
		all[i].store = store;
		start_read(&all[i]);
	}
	ck_assert_ok(lsvd_store_put_if_absent(store, "p", &iov, 1));
	ck_assert_uint_eq(atomic_load(&readers), READERS); /* none of them failed */
	atomic_store(&uploaded, true);
	while (atomic_load(&readers))
		sched_yield();
	lsvd_store_close(store);
	t_http_stop(&http);
}
END_TEST

/* In place of the C library's, for libcurl too: one name is not resolved before it is allowed. */
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t names_changed = PTHREAD_COND_INITIALIZER;
static bool names_allowed, name_asked; /* protected by names_lock */
static atomic_bool name_is_there;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	union {
		void *symbol;
		int (*fn)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	} real = {.symbol = dlsym(RTLD_NEXT, "getaddrinfo")};

	if (node && strcmp(node, "later.example") == 0)
		return atomic_load(&name_is_there) ? real.fn("127.0.0.1", service, hints, ret)
						   : EAI_AGAIN;
	if (!node || strcmp(node, "slow.example") != 0)
		return real.fn(node, service, hints, ret);
	pthread_mutex_lock(&names_lock);
	name_asked = true;
	while (!names_allowed)
		pthread_cond_wait(&names_changed, &names_lock);
	pthread_mutex_unlock(&names_lock);
	return EAI_AGAIN;
}

/* If the client waits for the name, this ends with the time that a test has. */
START_TEST(s3_store_does_not_stand_still_for_a_name_that_nobody_resolves)
{
	struct lsvd_store *store = open_store("http://slow.example");
	uint64_t bytes;

	ck_assert_err(lsvd_store_head(store, "k", &bytes), LSVD_E_UNAVAILABLE);
	ck_assert_error_says("not sent");
	lsvd_store_close(store);
	pthread_mutex_lock(&names_lock);
	ck_assert(name_asked);
	names_allowed = true;
	pthread_cond_broadcast(&names_changed);
	pthread_mutex_unlock(&names_lock);
}
END_TEST

/* More often than there are slots: none of them may be of no more use. */
START_TEST(s3_store_serves_again_when_its_name_is_there_again)
{
	struct t_http http = {.handler = serve_both};
	struct lsvd_store *store;
	char endpoint[64], buf[4];
	size_t len;

	t_http_start(&http);
	(void)snprintf(endpoint, sizeof endpoint, "http://later.example:%u", http.port);
	store = open_store(endpoint);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_err(lsvd_store_get(store, "g", 0, buf, sizeof buf, &len),
			      LSVD_E_UNAVAILABLE);
		ck_assert_error_says("not sent");
	}
	atomic_store(&name_is_there, true);
	ck_assert_ok(lsvd_store_get(store, "g", 0, buf, sizeof buf, &len));
	ck_assert_uint_eq(len, sizeof buf);
	lsvd_store_close(store);
	t_http_stop(&http);
}
END_TEST

static Suite *s3_store_suite(void)
{
	Suite *suite = suite_create("s3 store");
	TCase *t = tcase_create("texts");

	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, s3_store_counts_each_kind_of_answer_under_its_name, 0,
			    sizeof counted / sizeof counted[0]);
	tcase_add_test(t, s3_store_text_of_what_was_not_removed_is_one_line);
	suite_add_tcase(suite, t);
	t = tcase_create("hostile");
	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, s3_store_takes_no_hostile_answer_for_one, 0,
			    sizeof hostile / sizeof hostile[0]);
	tcase_add_loop_test(t, s3_store_takes_no_hostile_page_for_one, 0,
			    sizeof hostile_pages / sizeof hostile_pages[0]);
	suite_add_tcase(suite, t);
	t = tcase_create("turns");
	tcase_set_timeout(t, 30);
	tcase_add_test(t, s3_store_uploads_while_reads_never_end);
	tcase_add_test(t, s3_store_does_not_stand_still_for_a_name_that_nobody_resolves);
	tcase_add_test(t, s3_store_serves_again_when_its_name_is_there_again);
	suite_add_tcase(suite, t);
	return suite;
}

T_MAIN(s3_store_suite)
