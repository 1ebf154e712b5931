/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_s3_client.c - what store_s3.c takes for granted of a client, asked of the one that
 * LSVD_TEST_CLIENT names (curl, libs3): against a real server, and against one that answers
 * wrongly.
 * lsvd-test: s3 timeout=120
 */
#include <dlfcn.h>
#include <nettle/sha2.h>

#include "store/s3_client.h"
#include "store/s3_module.h"
#include "t_check.h"
#include "t_http.h"

#define BIG ((size_t)3 << 20)

static const struct s3_client_ops *ops;
static struct s3_client *client;
static char prefix[64];
static const char *access_key, *secret_key, *token;
static unsigned taken, given_back;

/* ------------------------------------------------------------------------------------- a client */

static int get_secrets(void *ctx, struct s3_secrets *ret)
{
	(void)ctx;
	if (!access_key)
		return LSVD_E_UNAVAILABLE;
	__atomic_fetch_add(&taken, 1, __ATOMIC_SEQ_CST);
	*ret = (struct s3_secrets){access_key, secret_key, token};
	return 0;
}

static void release_secrets(void *ctx, struct s3_secrets *s)
{
	(void)ctx;
	(void)s;
	__atomic_fetch_add(&given_back, 1, __ATOMIC_SEQ_CST);
}

static int64_t no_offset(void *ctx)
{
	(void)ctx;
	return 0;
}

static const char *env(const char *name)
{
	const char *value = getenv(name);

	ck_assert_msg(value != NULL, "%s is not set", name);
	return value;
}

static void choose(void)
{
	char dir[4096];

	if (strcmp(env("LSVD_TEST_CLIENT"), "libs3") != 0) {
		ops = &lsvd_s3_curl;
		return;
	}
	(void)snprintf(dir, sizeof dir, "%s/lsvd", env("LSVD_BUILD_DIR"));
	ck_assert_int_eq(setenv("LSVD_MODULE_DIR", dir, 1), 0);
	ck_assert_ok(lsvd_s3_module_load(&ops, "libs3"));
}

static bool is_libs3(void)
{
	return strcmp(ops->name, "libs3") == 0;
}

static void open_client(const char *endpoint, const char *bucket)
{
	struct s3_client_options o = {
		.version = S3_CLIENT_VERSION,
		.bucket = bucket,
		.region = "us-east-1",
		.endpoint = endpoint,
		.connections = 4,
		.connect_timeout_ms = 2000,
		.stall_timeout_ms = 2000,
		.secrets = get_secrets,
		.release = release_secrets,
		.clock_offset_ms = no_offset,
	};
	char text[256] = "";

	ck_assert_msg(ops->open(&client, &o, text, sizeof text) == 0, "%s", text);
}

static void close_client(void)
{
	ops->close(client);
	client = NULL;
	ck_assert_uint_eq(taken, given_back);
}

static void setup(void)
{
	choose();
	access_key = env("LSVD_TEST_S3_ACCESS_KEY");
	secret_key = env("LSVD_TEST_S3_SECRET_KEY");
	token = NULL;
	(void)snprintf(prefix, sizeof prefix, "client-%d/", (int)getpid());
	open_client(env("LSVD_TEST_S3_ENDPOINT"), env("LSVD_TEST_S3_BUCKET"));
}

static void setup_keys(void)
{
	choose();
	access_key = "AKIDEXAMPLE";
	secret_key = "wJalrXUtnFEMI";
	token = NULL;
}

/* ----------------------------------------------------------------------------------- a request */

struct wait {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned done;
	/* of a listing */
	char keys[64][128];
	uint64_t bytes[64];
	int64_t modified_ms[64];
	unsigned listed;
	unsigned not_deleted;
};

static void wait_init(struct wait *w)
{
	memset(w, 0, sizeof *w);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
}

static void on_done(struct s3_request *r)
{
	struct wait *w = r->owner;

	pthread_mutex_lock(&w->lock);
	w->done++;
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static void wait_for(struct wait *w, unsigned n)
{
	pthread_mutex_lock(&w->lock);
	while (w->done < n)
		pthread_cond_wait(&w->cond, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static void on_listed(struct s3_request *r, const struct s3_listed *o)
{
	struct wait *w = r->owner;

	ck_assert_uint_lt(w->listed, 64);
	(void)snprintf(w->keys[w->listed], sizeof w->keys[0], "%s", o->key);
	w->modified_ms[w->listed] = o->modified_ms;
	w->bytes[w->listed++] = o->bytes;
}

static void on_not_deleted(struct s3_request *r, const char *key, const char *code)
{
	struct wait *w = r->owner;

	(void)key;
	(void)code;
	w->not_deleted++;
}

static struct s3_request make(enum s3_verb verb, const char *key, struct wait *w)
{
	struct s3_request r;

	memset(&r, 0x5a, sizeof r); /* what the client is to set is not what it finds */
	r.verb = verb;
	r.key = key;
	r.if_absent = false;
	r.iov = NULL;
	r.iovcnt = 0;
	r.off = 0;
	r.buf = NULL;
	r.len = 0;
	r.token = NULL;
	r.page = 1000;
	r.listed = on_listed;
	r.not_deleted = on_not_deleted;
	r.keys = NULL;
	r.count = 0;
	r.done = on_done;
	r.owner = w;
	return r;
}

static void run(struct s3_request *r)
{
	struct wait *w = r->owner;
	unsigned n = w->done + 1;

	ops->submit(client, r);
	wait_for(w, n);
	ck_assert_ptr_null(strstr(r->message, secret_key));
}

static void answered(struct s3_request *r, unsigned status)
{
	run(r);
	ck_assert_msg(r->outcome == S3_ANSWERED && r->status == status,
		      "outcome %d, status %u, code %s: %s", (int)r->outcome, r->status, r->code,
		      r->message);
}

static char *key_of(const char *name)
{
	static char key[128];

	(void)snprintf(key, sizeof key, "%s%s", prefix, name);
	return key;
}

static void hash_body(struct s3_request *r)
{
	struct sha256_ctx sha;

	sha256_init(&sha);
	for (int i = 0; i < r->iovcnt; i++)
		sha256_update(&sha, r->iov[i].iov_len, r->iov[i].iov_base);
	sha256_digest(&sha, sizeof r->body_sha256, r->body_sha256);
}

static void put(const char *name, void *data, size_t len)
{
	/* in several pieces, one of them of nothing */
	struct iovec iov[3] = {
		{data, len / 3}, {data, 0}, {(char *)data + len / 3, len - len / 3}};
	struct wait w;
	struct s3_request r;

	wait_init(&w);
	r = make(S3_PUT, key_of(name), &w);
	r.iov = iov;
	r.iovcnt = 3;
	hash_body(&r);
	answered(&r, 200);
}

/* -------------------------------------------------------------------------------- a real server */

START_TEST(s3_client_gives_back_what_it_was_given)
{
	char *data = malloc(BIG), *back = malloc(BIG);
	struct wait w;
	struct s3_request r;

	t_fill(data, BIG, 1);
	put("big", data, BIG);
	wait_init(&w);
	r = make(S3_GET, key_of("big"), &w);
	r.buf = back;
	r.len = BIG;
	answered(&r, 206);
	ck_assert_uint_eq(r.ret_len, BIG);
	ck_assert_int_eq(memcmp(back, data, BIG), 0);
	ck_assert(!r.overlong && !r.garbled);
	ck_assert_uint_eq(r.total, BIG);
	ck_assert_uint_eq(r.range_first, 0);
	ck_assert_int_gt(r.date_ms, INT64_C(1700000000000));
	r = make(S3_DELETE, key_of("big"), &w);
	answered(&r, 204);
	close_client();
	free(data);
	free(back);
}
END_TEST

START_TEST(s3_client_reads_ranges)
{
	static const struct {
		uint64_t off;
		size_t len, got;
		unsigned status;
	} all[] = {{0, 1, 1, 206},       {10, 100, 100, 206}, {990, 10, 10, 206},
		   {990, 100, 10, 206}, {999, 1, 1, 206},     {1000, 1, 0, 416},
		   {5000, 10, 0, 416}};
	char data[1000], back[200];

	t_fill(data, sizeof data, 2);
	put("range", data, sizeof data);
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		struct wait w;
		struct s3_request r;

		wait_init(&w);
		r = make(S3_GET, key_of("range"), &w);
		r.off = all[i].off;
		r.buf = back;
		r.len = all[i].len;
		answered(&r, all[i].status);
		if (all[i].status != 206) { /* the length of the error is not the object's */
			ck_assert(r.total == 1000 || r.total == UINT64_MAX);
			ck_assert_uint_eq(r.ret_len, 0);
			continue;
		}
		ck_assert_uint_eq(r.ret_len, all[i].got);
		ck_assert_int_eq(memcmp(back, data + all[i].off, all[i].got), 0);
		ck_assert_uint_eq(r.range_first, all[i].off);
		ck_assert_uint_eq(r.total, 1000);
	}
	close_client();
}
END_TEST

START_TEST(s3_client_tells_lengths_and_what_is_not_there)
{
	char data[777] = "x", buf[10];
	struct wait w;
	struct s3_request r;

	put("there", data, sizeof data);
	put("empty", data, 0);
	wait_init(&w);
	r = make(S3_HEAD, key_of("there"), &w);
	answered(&r, 200);
	ck_assert_uint_eq(r.total, 777);
	r = make(S3_HEAD, key_of("empty"), &w);
	answered(&r, 200);
	ck_assert_uint_eq(r.total, 0);
	r = make(S3_HEAD, key_of("missing"), &w);
	answered(&r, 404);
	ck_assert(r.from_s3);
	r = make(S3_GET, key_of("missing"), &w);
	r.buf = buf;
	r.len = sizeof buf;
	answered(&r, 404);
	ck_assert_str_eq(r.code, "NoSuchKey");
	ck_assert_uint_eq(r.ret_len, 0);
	close_client();
}
END_TEST

START_TEST(s3_client_lists_page_by_page)
{
	char data[7] = "x", page_key[128], *token_text = NULL;
	struct wait w;
	struct s3_request r;
	unsigned pages = 0;

	for (int i = 0; i < 7; i++) {
		char name[32];

		(void)snprintf(name, sizeof name, "list/a%d", i);
		put(name, data, (size_t)i);
	}
	put("lisp", data, 1);
	put("lisu", data, 1);
	wait_init(&w);
	(void)snprintf(page_key, sizeof page_key, "%slist/", prefix);
	do {
		r = make(S3_LIST, page_key, &w);
		r.page = 3;
		r.token = token_text;
		answered(&r, 200);
		ck_assert(!r.garbled);
		free(token_text);
		token_text = strdup(r.next);
		pages++;
	} while (token_text[0] && pages < 10);
	free(token_text);
	ck_assert_uint_eq(pages, 3);
	ck_assert_uint_eq(w.listed, 7);
	for (unsigned i = 0; i < 7; i++) {
		char name[32];

		(void)snprintf(name, sizeof name, "list/a%u", i);
		ck_assert_str_eq(w.keys[i], key_of(name));
		ck_assert_uint_eq(w.bytes[i], i);
		ck_assert_int_gt(w.modified_ms[i], INT64_C(1700000000000));
	}
	wait_init(&w);
	r = make(S3_LIST, key_of("nothing/"), &w);
	answered(&r, 200);
	ck_assert_uint_eq(w.listed, 0);
	ck_assert_str_eq(r.next, "");
	close_client();
}
END_TEST

START_TEST(s3_client_removes_what_is_there_and_what_is_not)
{
	char data[1] = "x", names[3][128];
	const char *keys[3] = {names[0], names[1], names[2]};
	struct wait w;
	struct s3_request r;

	for (int i = 0; i < 3; i++)
		(void)snprintf(names[i], sizeof names[i], "%sgone/%d", prefix, i);
	put("gone/0", data, 1);
	put("gone/2", data, 1);
	put("gone/3", data, 1);
	wait_init(&w);
	r = make(S3_DELETE_MANY, NULL, &w);
	r.keys = keys;
	r.count = 3;
	answered(&r, 200);
	ck_assert_uint_eq(w.not_deleted, 0);
	for (int i = 0; i < 3; i++) {
		r = make(S3_HEAD, names[i], &w);
		answered(&r, 404);
	}
	r = make(S3_DELETE, key_of("gone/3"), &w);
	answered(&r, 204);
	r = make(S3_DELETE, key_of("gone/3"), &w);
	run(&r);
	ck_assert_int_eq(r.outcome, S3_ANSWERED);
	ck_assert(r.status == 204 || r.status == 404);
	close_client();
}
END_TEST

START_TEST(s3_client_creates_once_or_says_that_it_cannot)
{
	struct iovec iov = {(char[]){'x'}, 1};
	struct wait w;
	struct s3_request r;

	wait_init(&w);
	r = make(S3_PUT, key_of("once"), &w);
	r.if_absent = true;
	r.iov = &iov;
	r.iovcnt = 1;
	hash_body(&r);
	if (ops->caps & S3_CAN_CREATE) {
		answered(&r, 200);
		answered(&r, 412);
	} else {
		run(&r);
		ck_assert_int_eq(r.outcome, S3_REFUSED);
		ck_assert_ptr_nonnull(strstr(r.message, "only if it is absent"));
	}
	ck_assert_int_eq(!is_libs3(), !!(ops->caps & S3_CAN_CREATE));
	close_client();
}
END_TEST

START_TEST(s3_client_with_a_wrong_key_is_denied)
{
	struct wait w;
	struct s3_request r;
	char buf[1];

	wait_init(&w);
	secret_key = "not/the+secret=key";
	r = make(S3_GET, key_of("x"), &w);
	r.buf = buf;
	r.len = 1;
	answered(&r, 403);
	ck_assert_str_eq(r.code, "SignatureDoesNotMatch");
	access_key = "NOBODYSKEY";
	answered(&r, 403);
	ck_assert_str_eq(r.code, "InvalidAccessKeyId");
	access_key = NULL;
	run(&r);
	ck_assert_int_eq(r.outcome, S3_NOT_SENT);
	close_client();
}
END_TEST

START_TEST(s3_client_tells_that_there_is_no_bucket)
{
	struct wait w;
	struct s3_request r;

	close_client();
	open_client(env("LSVD_TEST_S3_ENDPOINT"), "no-such-bucket");
	wait_init(&w);
	r = make(S3_LIST, "", &w);
	answered(&r, 404);
	ck_assert_str_eq(r.code, "NoSuchBucket");
	close_client();
}
END_TEST

START_TEST(s3_client_sends_a_digest_of_the_body)
{
	struct iovec iov = {(char[]){'x'}, 1};
	struct wait w;
	struct s3_request r;

	ck_assert(ops->caps & S3_CAN_CHECK_BODY);
	if (is_libs3()) { /* makes its own, so it cannot be given a wrong one: see the faults */
		close_client();
		return;
	}
	wait_init(&w);
	r = make(S3_PUT, key_of("damaged"), &w);
	r.iov = &iov;
	r.iovcnt = 1;
	memset(r.body_sha256, 1, sizeof r.body_sha256);
	run(&r);
	ck_assert_int_eq(r.outcome, S3_ANSWERED);
	ck_assert_uint_ge(r.status, 400);
	close_client();
}
END_TEST

START_TEST(s3_client_has_many_requests_under_way)
{
	enum { N = 64 };
	char data[64] = "many";
	struct s3_request r[N];
	char keys[N][128], back[N][64];
	struct iovec iov = {data, sizeof data};
	struct wait w;

	wait_init(&w);
	for (unsigned i = 0; i < N; i++) {
		(void)snprintf(keys[i], sizeof keys[i], "%smany/%u", prefix, i);
		r[i] = make(S3_PUT, keys[i], &w);
		r[i].iov = &iov;
		r[i].iovcnt = 1;
		hash_body(&r[i]);
		ops->submit(client, &r[i]);
	}
	wait_for(&w, N);
	for (unsigned i = 0; i < N; i++) {
		ck_assert_uint_eq(r[i].status, 200);
		r[i] = make(S3_GET, keys[i], &w);
		r[i].buf = back[i];
		r[i].len = 64;
		ops->submit(client, &r[i]);
	}
	wait_for(&w, 2 * N);
	for (unsigned i = 0; i < N; i++) {
		ck_assert_uint_eq(r[i].ret_len, 64);
		ck_assert_int_eq(memcmp(back[i], data, 64), 0);
	}
	close_client();
}
END_TEST

/* ---------------------------------------------------------------- a server that answers wrongly */

static const char *canned(struct t_http *http, const char *request, unsigned n)
{
	(void)request;
	(void)n;
	return http->ctx;
}

static void start(struct t_http *http, const char *answer)
{
	union {
		const char *text;
		void *ctx;
	} u = {.text = answer};

	http->handler = canned;
	http->ctx = u.ctx;
	http->keep = false;
	t_http_start(http);
	open_client(http->endpoint, "bbb");
}

START_TEST(s3_client_never_follows_a_redirect)
{
	struct t_http other, here;
	char answer[512], buf[4];
	struct wait w;
	struct s3_request r;

	memset(&other, 0, sizeof other);
	other.handler = canned;
	other.ctx = (char[]){"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndata"};
	t_http_start(&other);
	for (int status = 301; status <= 308; status++) {
		(void)snprintf(answer, sizeof answer,
			       "HTTP/1.1 %d Moved\r\nLocation: %s/elsewhere\r\n"
			       "Content-Length: 0\r\n\r\n",
			       status, other.endpoint);
		start(&here, answer);
		wait_init(&w);
		r = make(S3_GET, "k", &w);
		r.buf = buf;
		r.len = sizeof buf;
		run(&r);
		if (status != 304) /* which is none */
			ck_assert_msg(r.outcome == S3_ANSWERED && r.status == (unsigned)status,
				      "outcome %d, status %u", (int)r.outcome, r.status);
		close_client();
		t_http_stop(&here);
	}
	ck_assert_uint_eq(atomic_load(&other.requests), 0);
	t_http_stop(&other);
}
END_TEST

START_TEST(s3_client_finds_answers_that_were_cut_off)
{
	static const struct {
		enum s3_verb verb;
		const char *answer;
	} all[] = {
		{S3_GET, "HTTP/1.1 206 P\r\nContent-Range: bytes 0-9/10\r\n"
			 "Content-Length: 10\r\n\r\n12345"},
		{S3_GET, "HTTP/1.1 206 P\r\nContent-Range: bytes 0-9/10\r\n"
			 "Transfer-Encoding: chunked\r\n\r\na\r\n12345"},
		{S3_GET, "HTTP/1.1 206 P\r\nContent-"},
		{S3_GET, ""},
		{S3_HEAD, "HTTP/1.1 2"},
		{S3_LIST, "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n"
			  "Content-Length: 500\r\n\r\n<?xml version=\"1.0\"?><ListBucketResult>"
			  "<IsTruncated>false</IsTruncated>"},
		{S3_DELETE, ""},
	};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		struct t_http http;
		struct wait w;
		struct s3_request r;
		char buf[10];

		start(&http, all[i].answer);
		wait_init(&w);
		r = make(all[i].verb, "k", &w);
		r.buf = buf;
		r.len = sizeof buf;
		run(&r);
		/* Headers without an end are an answer to libcurl, but not one with a range. */
		ck_assert_msg(r.outcome == S3_UNKNOWN || r.garbled,
			      "answer %zu: outcome %d, status %u", i, (int)r.outcome, r.status);
		close_client();
		t_http_stop(&http);
	}
}
END_TEST

START_TEST(s3_client_takes_its_part_of_a_whole_object)
{
	struct t_http http;
	struct wait w;
	struct s3_request r;
	char buf[4];

	start(&http, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789");
	wait_init(&w);
	r = make(S3_GET, "k", &w);
	r.off = 3;
	r.buf = buf;
	r.len = 4;
	answered(&r, 200);
	ck_assert_uint_eq(r.ret_len, 4);
	ck_assert_int_eq(memcmp(buf, "3456", 4), 0);
	ck_assert(!r.overlong);
	ck_assert_uint_eq(r.range_first, UINT64_MAX);
	close_client();
	t_http_stop(&http);
}
END_TEST

START_TEST(s3_client_writes_no_further_than_the_buffer)
{
	struct t_http http;
	struct wait w;
	struct s3_request r;
	char *buf = malloc(4);

	start(&http, "HTTP/1.1 206 P\r\nContent-Range: bytes 3-12/20\r\n"
		     "Content-Length: 10\r\n\r\n3456789012");
	wait_init(&w);
	r = make(S3_GET, "k", &w);
	r.off = 3;
	r.buf = buf;
	r.len = 4;
	answered(&r, 206);
	ck_assert(r.overlong);
	ck_assert_uint_eq(r.ret_len, 4);
	ck_assert_int_eq(memcmp(buf, "3456", 4), 0);
	close_client();
	t_http_stop(&http);
	free(buf);
}
END_TEST

START_TEST(s3_client_tells_a_page_that_is_none)
{
	struct t_http http;
	struct wait w;
	struct s3_request r;

	start(&http, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n"
		     "<html>please log in!");
	wait_init(&w);
	r = make(S3_LIST, "k", &w);
	answered(&r, 200);
	ck_assert(r.garbled);
	close_client();
	t_http_stop(&http);
}
END_TEST

START_TEST(s3_client_believes_no_success_of_a_server_that_is_no_s3)
{
	static const struct {
		const char *headers;
		bool garbled;
	} all[] = {
		{"Server: portal\r\n", true},
		{"ETag: \"x\"\r\n", false},
		{"x-amz-request-id: 1\r\n", false},
	};

	if (is_libs3())
		return; /* it shows no headers */
	for (size_t i = 0; i < 2 * sizeof all / sizeof all[0]; i++) {
		enum s3_verb verb = i % 2 ? S3_HEAD : S3_PUT;
		struct t_http http;
		char answer[256];
		struct wait w;
		struct s3_request r;

		(void)snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\n%sContent-Length: 0\r\n"
						      "\r\n", all[i / 2].headers);
		start(&http, answer);
		wait_init(&w);
		r = make(verb, "k", &w);
		hash_body(&r);
		answered(&r, 200);
		ck_assert_int_eq(r.garbled, all[i / 2].garbled);
		close_client();
		t_http_stop(&http);
	}
}
END_TEST

/* Something that answers 200 to everything has stored nothing. */
START_TEST(s3_client_tells_a_success_that_is_none_of_s3)
{
	static const enum s3_verb verbs[] = {S3_PUT, S3_HEAD};
	struct iovec iov = {(char[]){'x'}, 1};

	for (size_t i = 0; i < 4; i++) {
		struct t_http http;
		struct wait w;
		struct s3_request r;

		start(&http, i < 2 ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
				   : "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n");
		wait_init(&w);
		r = make(verbs[i % 2], "k", &w);
		r.iov = &iov;
		r.iovcnt = 1;
		hash_body(&r);
		answered(&r, 200);
		ck_assert_msg(r.garbled == (i < 2), "answer %zu: garbled %d: %s", i,
			      r.garbled, r.message);
		close_client();
		t_http_stop(&http);
	}
}
END_TEST

START_TEST(s3_client_keeps_the_code_of_an_error)
{
	static const char body[] = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code>"
				   "<Message>Reduce your rate</Message></Error>";
	struct t_http http;
	char answer[512];
	struct wait w;
	struct s3_request r;

	(void)snprintf(answer, sizeof answer,
		       "HTTP/1.1 503 Busy\r\nContent-Type: application/xml\r\n"
		       "Content-Length: %zu\r\n"
		       "\r\n%s",
		       sizeof body - 1, body);
	start(&http, answer);
	wait_init(&w);
	r = make(S3_DELETE, "k", &w);
	answered(&r, 503);
	ck_assert_str_eq(r.code, "SlowDown");
	ck_assert_str_eq(r.message, "Reduce your rate");
	close_client();
	t_http_stop(&http);
}
END_TEST

START_TEST(s3_client_does_not_wait_for_the_end_of_an_error_that_has_none)
{
	static const char head[] = "HTTP/1.1 503 Busy\r\nContent-Length: 1000000000\r\n\r\n";
	char *answer = malloc(1000000);
	struct t_http http;
	struct wait w;
	struct s3_request r;

	if (is_libs3()) {
		free(answer);
		return; /* it reads on, to the end of the connection */
	}
	ck_assert_ptr_nonnull(answer);
	memset(answer, 'x', 999999);
	memcpy(answer, head, sizeof head - 1);
	answer[999999] = '\0';
	start(&http, answer);
	wait_init(&w);
	r = make(S3_DELETE, "k", &w);
	answered(&r, 503);
	ck_assert_str_eq(r.code, "");
	close_client();
	t_http_stop(&http);
	free(answer);
}
END_TEST

/* The second PUT is taken and not answered; of the third, which is libcurl's, the key is taken. */
static const char *lose_an_answer(struct t_http *http, const char *request, unsigned n)
{
	(void)http;
	(void)request;
	return n == 0 ? "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 0\r\n\r\n" :
	       n == 1 ? "" : "HTTP/1.1 412 P\r\nContent-Length: 0\r\n\r\n";
}

START_TEST(s3_client_that_is_refused_a_request_sent_twice_does_not_know_what_became_of_it)
{
	struct t_http http = {.handler = lose_an_answer, .keep = true};
	struct wait w;
	struct s3_request r;

	if (is_libs3())
		return; /* it creates nothing only if it is absent */
	t_http_start(&http);
	open_client(http.endpoint, "bbb");
	put("a", (char[]){"abc"}, 3);
	wait_init(&w);
	r = make(S3_PUT, "b", &w);
	r.if_absent = true;
	r.iov = &(struct iovec){(char[]){"abc"}, 3};
	r.iovcnt = 1;
	hash_body(&r);
	run(&r);
	ck_assert_uint_eq(atomic_load(&http.requests), 3);
	ck_assert_int_eq(r.outcome, S3_UNKNOWN);
	r.key = "c";
	answered(&r, 412); /* once sent, and refused: that is another's */
	close_client();
	t_http_stop(&http);
}
END_TEST

START_TEST(s3_client_that_reaches_nobody_has_sent_nothing)
{
	struct t_http http;
	struct wait w;
	struct s3_request r;

	start(&http, "");
	t_http_stop(&http);
	wait_init(&w);
	r = make(S3_DELETE, "k", &w);
	run(&r);
	ck_assert_int_eq(r.outcome, S3_NOT_SENT);
	ck_assert_uint_eq(r.status, 0);
	close_client();
	open_client("http://no-such-host.invalid", "bbb");
	run(&r);
	ck_assert_int_eq(r.outcome, S3_NOT_SENT);
	close_client();
}
END_TEST

START_TEST(s3_client_breaks_off_what_stands_still)
{
	struct t_http http;
	struct wait w;
	struct s3_request r;

	start(&http, NULL); /* hangs */
	wait_init(&w);
	r = make(S3_DELETE, "k", &w);
	run(&r);
	ck_assert_int_eq(r.outcome, S3_UNKNOWN);
	close_client();
	t_http_stop(&http);
}
END_TEST

START_TEST(s3_client_ends_what_is_under_way_when_it_is_closed)
{
	struct t_http http;
	struct s3_request r[12];
	struct timespec from, to;
	struct wait w;

	start(&http, NULL); /* hangs */
	wait_init(&w);
	for (int i = 0; i < 12; i++) {
		r[i] = make(S3_DELETE, "k", &w);
		ops->submit(client, &r[i]);
	}
	t_http_wait(&http, 4); /* all connections are in use */
	ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &from), 0);
	close_client();
	ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &to), 0);
	ck_assert_int_lt(to.tv_sec - from.tv_sec, 10);
	ck_assert_uint_eq(w.done, 12);
	for (int i = 0; i < 12; i++)
		ck_assert(r[i].outcome == S3_UNKNOWN || r[i].outcome == S3_NOT_SENT);
	t_http_stop(&http);
}
END_TEST

START_TEST(s3_client_says_whether_it_has_session_tokens)
{
	struct t_http http;
	struct wait w;
	struct s3_request r;

	start(&http, "HTTP/1.1 204 No\r\n\r\n");
	token = "a/token";
	wait_init(&w);
	r = make(S3_DELETE, "k", &w);
	if (ops->caps & S3_CAN_TOKEN) {
		answered(&r, 204);
	} else {
		run(&r);
		ck_assert_int_eq(r.outcome, S3_REFUSED);
		ck_assert_ptr_nonnull(strstr(r.message, "session token"));
		ck_assert_uint_eq(atomic_load(&http.requests), 0);
	}
	close_client();
	t_http_stop(&http);
}
END_TEST

START_TEST(s3_client_that_cannot_take_a_ca_refuses_to_open)
{
	struct s3_client_options o = {
		.version = S3_CLIENT_VERSION,
		.bucket = "bbb",
		.region = "r",
		.endpoint = "https://localhost:1",
		.ca_file = "/dev/null",
		.connections = 1,
		.connect_timeout_ms = 1000,
		.stall_timeout_ms = 1000,
		.secrets = get_secrets,
		.release = release_secrets,
		.clock_offset_ms = no_offset,
	};
	char text[256] = "";

	ck_assert_int_eq(!is_libs3(), !!(ops->caps & S3_CAN_CA));
	if (!is_libs3())
		return;
	ck_assert_int_lt(ops->open(&client, &o, text, sizeof text), 0);
	ck_assert_ptr_nonnull(strstr(text, "CA file"));
	o.ca_file = NULL;
	o.version++;
	ck_assert_int_lt(ops->open(&client, &o, text, sizeof text), 0);
	ck_assert_ptr_nonnull(strstr(text, "version"));
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("s3");
	TCase *c;

	c = tcase_create("real server");
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, s3_client_gives_back_what_it_was_given);
	tcase_add_test(c, s3_client_reads_ranges);
	tcase_add_test(c, s3_client_tells_lengths_and_what_is_not_there);
	tcase_add_test(c, s3_client_lists_page_by_page);
	tcase_add_test(c, s3_client_removes_what_is_there_and_what_is_not);
	tcase_add_test(c, s3_client_creates_once_or_says_that_it_cannot);
	tcase_add_test(c, s3_client_with_a_wrong_key_is_denied);
	tcase_add_test(c, s3_client_tells_that_there_is_no_bucket);
	tcase_add_test(c, s3_client_sends_a_digest_of_the_body);
	tcase_add_test(c, s3_client_has_many_requests_under_way);
	suite_add_tcase(s, c);

	c = tcase_create("wrong answers");
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup_keys, NULL);
	tcase_add_test(c, s3_client_never_follows_a_redirect);
	tcase_add_test(c, s3_client_finds_answers_that_were_cut_off);
	tcase_add_test(c, s3_client_takes_its_part_of_a_whole_object);
	tcase_add_test(c, s3_client_writes_no_further_than_the_buffer);
	tcase_add_test(c, s3_client_tells_a_page_that_is_none);
	tcase_add_test(c, s3_client_believes_no_success_of_a_server_that_is_no_s3);
	tcase_add_test(c, s3_client_tells_a_success_that_is_none_of_s3);
	tcase_add_test(c, s3_client_keeps_the_code_of_an_error);
	tcase_add_test(c, s3_client_does_not_wait_for_the_end_of_an_error_that_has_none);
	tcase_add_test(
		c, s3_client_that_is_refused_a_request_sent_twice_does_not_know_what_became_of_it);
	tcase_add_test(c, s3_client_that_reaches_nobody_has_sent_nothing);
	tcase_add_test(c, s3_client_breaks_off_what_stands_still);
	tcase_add_test(c, s3_client_ends_what_is_under_way_when_it_is_closed);
	tcase_add_test(c, s3_client_says_whether_it_has_session_tokens);
	tcase_add_test(c, s3_client_that_cannot_take_a_ca_refuses_to_open);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(make_suite)
