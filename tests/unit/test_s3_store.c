/* SPDX-License-Identifier: BSD-2-Clause */
/* test_s3_store.c - the store in a bucket as its users see it, over a server that says what it likes. */
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

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	union {
		void *symbol;
		int (*fn)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	} real = {.symbol = dlsym(RTLD_NEXT, "getaddrinfo")};

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

static Suite *s3_store_suite(void)
{
	Suite *suite = suite_create("s3 store");
	TCase *t = tcase_create("texts");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, s3_store_text_of_what_was_not_removed_is_one_line);
	suite_add_tcase(suite, t);
	t = tcase_create("turns");
	tcase_set_timeout(t, 30);
	tcase_add_test(t, s3_store_uploads_while_reads_never_end);
	tcase_add_test(t, s3_store_does_not_stand_still_for_a_name_that_nobody_resolves);
	suite_add_tcase(suite, t);
	return suite;
}

T_MAIN(s3_store_suite)
