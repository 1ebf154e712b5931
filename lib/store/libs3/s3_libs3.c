/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_libs3.c - the module store_libs3.so: an S3 client that speaks through libs3.
 *
 * libs3 2 signs with Signature V2, for stores that know nothing newer; libs3 4, where there is one,
 * with V4. Neither can send If-None-Match, so nothing is created only if it is absent, and the
 * store above says so. This file is linked with nothing of lsvd: the table of store/s3_client.h is
 * all that the two know of each other. libs3 is under the GNU General Public License, version 3: a
 * program that loads this module is, taken together, under that licence too.
 *
 * Threads. A pool of at most `connections` threads, started as they are needed, each of them in one
 * blocking call of libs3. libs3 also has an interface for many requests on one thread, but it tells
 * what to wait for in an fd_set: one descriptor above 1023, and a server with a thousand clients
 * has those, is a write beyond the end of the set. The stacks are mappings that core dumps leave
 * out, since libs3 computes with the secret key on them.
 *
 * What libs3 does not let one say is said below it: the linker puts __wrap_curl_easy_perform()
 * between it and libcurl (--wrap, see CMakeLists.txt). There redirects are switched off (libs3
 * follows ten), certificates are verified, timeouts are the store's, a call is broken off when the
 * client is closed; and the answer is looked at: libs3 keeps HTTP status and headers to itself, and
 * takes a body that was cut off for a whole one.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <libs3.h>
#include <nettle/base64.h>
#include <nettle/md5.h>

#include "store/s3_certificate.h"
#include "store/s3_client.h"

#define STACK_BYTES ((size_t)1 << 20)
#define THREADS_MAX 256u

#ifdef LSVD_LIBS3_V4
#define TIMEOUT 0, /* of a whole request: none */
#define CAPS	(S3_CAN_CHECK_BODY | S3_CAN_TOKEN)
#else
#define TIMEOUT
#define CAPS S3_CAN_CHECK_BODY
#endif

struct worker {
	pthread_t thread;
	void *stack;
};

struct s3_client {
	/* immutable after open */
	struct s3_client_options o;
	char *bucket, *region, *host; /* host: without the scheme */
	S3Protocol protocol;

	atomic_bool stop;

	pthread_mutex_t lock;
	pthread_cond_t cond; /* head, stop */
	/* protected by lock; a request waits in the list that is made of client_private */
	struct s3_request *head, *last;
	unsigned idle, count;
	struct worker workers[THREADS_MAX];
};

/* A call of libs3, on the thread that makes it. */
struct call {
	struct s3_client *c;
	struct s3_request *r;
	/* PUT: where the body is being read */
	int iov_i;
	size_t iov_at;
	/* LIST */
	bool truncated;
	/* GET: of an answer that is the whole object, what stands before the range */
	bool started, whole;
	uint64_t skip;
	bool enough; /* it was broken off, since all that was asked for is here */
	/* what __wrap_curl_easy_perform() has seen */
	CURL *curl;
	bool performed;
	CURLcode code;
	char why[CURL_ERROR_SIZE];
	/* what libs3 says of it */
	S3Status status;
};

static _Thread_local struct call *current;

/* -------------------------------------------------------------------- between libs3 and libcurl */

CURLcode __real_curl_easy_perform(CURL *curl);
CURLcode __wrap_curl_easy_perform(CURL *curl);

/*
 * The connections of libs3's handles, which keep them from one request to the next. A handle has
 * one, two while an old one is being replaced.
 */
static struct {
	CURL *curl;
	int fd;
} sockets[2 * THREADS_MAX];
static unsigned socket_count; /* both protected by sockets_lock */
static pthread_mutex_t sockets_lock = PTHREAD_MUTEX_INITIALIZER;

/* No program that this process starts shall have our connections. */
static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);

	(void)purpose;
	pthread_mutex_lock(&sockets_lock);
	if (fd >= 0 && socket_count < 2 * THREADS_MAX) {
		sockets[socket_count].curl = ctx;
		sockets[socket_count++].fd = fd;
	}
	pthread_mutex_unlock(&sockets_lock);
	return fd;
}

static int close_socket(void *ctx, curl_socket_t fd)
{
	(void)ctx;
	pthread_mutex_lock(&sockets_lock);
	for (unsigned i = 0; i < socket_count; i++)
		if (sockets[i].fd == fd) {
			sockets[i] = sockets[--socket_count];
			break;
		}
	pthread_mutex_unlock(&sockets_lock);
	return close(fd);
}

/*
 * A server that sends headers and body apart, with Nagle's algorithm, waits for the headers to be
 * acknowledged, which the kernel puts off by 40 ms unless it is told again and again.
 */
static void acknowledge(const CURL *curl)
{
	int yes = 1;

	pthread_mutex_lock(&sockets_lock);
	for (unsigned i = 0; i < socket_count; i++)
		if (sockets[i].curl == curl) /* it only saves time: a failure costs nothing else */
			(void)setsockopt(sockets[i].fd, IPPROTO_TCP, TCP_QUICKACK, &yes,
					 sizeof yes);
	pthread_mutex_unlock(&sockets_lock);
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t e)
{
	const struct call *call = ctx;

	(void)a;
	(void)b;
	(void)d;
	(void)e;
	acknowledge(call->curl);
	return atomic_load(&call->c->stop);
}

/* Over whatever libs3 has set. */
static CURLcode impose(CURL *curl, struct call *call)
{
	const struct s3_client_options *o = &call->c->o;
	const struct {
		CURLoption option;
		long value;
	} table[] = {
		{CURLOPT_FOLLOWLOCATION, 0},
		{CURLOPT_NETRC, CURL_NETRC_IGNORED},
		{CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
		{CURLOPT_SSL_VERIFYPEER, 1},
		{CURLOPT_SSL_VERIFYHOST, 2},
		{CURLOPT_NOSIGNAL, 1},
		/*
		 * libs3 asks for "100 Continue" before each body: a round trip, or a second without
		 */
		{CURLOPT_EXPECT_100_TIMEOUT_MS, 1},
		{CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_timeout_ms},
		{CURLOPT_LOW_SPEED_LIMIT, 1},
		{CURLOPT_LOW_SPEED_TIME, ((long)o->stall_timeout_ms + 999) / 1000},
		{CURLOPT_NOPROGRESS, 0},
		/* a name that nobody resolves holds up nothing: its thread is not waited for */
		{CURLOPT_QUICK_EXIT, 1},
	};
	CURLcode code = CURLE_OK;

	for (size_t i = 0; i < sizeof table / sizeof table[0] && code == CURLE_OK; i++)
		code = curl_easy_setopt(curl, table[i].option, table[i].value);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, curl);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_XFERINFODATA, call);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, call->why);
	return code;
}

static const char *header(CURL *curl, const char *name)
{
	struct curl_header *h;

	return curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : NULL;
}

static unsigned status_of(CURL *curl)
{
	long status = 0;

	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status); /* 0 if it fails */
	return (unsigned)status;
}

/*
 * "bytes FIRST-LAST/TOTAL", or, of a range that lies beyond the end,
 * "bytes" and a star for the range
 */
static void take_range(struct s3_request *r, const char *text)
{
	unsigned long long first, last, total;

	if (text && sscanf(text, "bytes %llu-%llu/%llu", &first, &last, &total) == 3)
		r->range_first = first;
	else if (!text || sscanf(text, "bytes */%llu", &total) != 1)
		return;
	r->total = total;
}

/*
 * To libs3 any page without keys in it is an empty listing, the one that asks for a password too.
 */
static bool is_xml(const char *type)
{
	return type && strstr(type, "xml");
}

static void look_at_answer(CURL *curl, struct call *call)
{
	struct s3_request *r = call->r;
	curl_off_t length = -1;
	const char *date;

	(void)curl_easy_getinfo(curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length); /* it stays */
	r->status = status_of(curl);
	r->from_s3 = header(curl, "x-amz-request-id") != NULL;
	date = header(curl, "Date");
	if (date && curl_getdate(date, NULL) > 0)
		r->date_ms = (int64_t)curl_getdate(date, NULL) * 1000;
	if (r->verb == S3_LIST)
		r->garbled = r->status / 100 == 2 && !is_xml(header(curl, "Content-Type"));
	if ((r->verb == S3_PUT || r->verb == S3_HEAD) && r->status / 100 == 2)
		r->garbled = !r->from_s3 && !header(curl, "ETag");
	if (r->verb != S3_GET && r->verb != S3_HEAD)
		return;
	if (length >= 0 && r->status / 100 == 2)
		r->total = (uint64_t)length;
	take_range(r, header(curl, "Content-Range"));
	r->garbled |= r->status == 206 && r->range_first == UINT64_MAX;
}

CURLcode __wrap_curl_easy_perform(CURL *curl)
{
	struct call *call = current;

	call->curl = curl;
	call->code = impose(curl, call);
	if (call->code != CURLE_OK)
		return call->code;
	call->performed = true;
	call->code = __real_curl_easy_perform(curl);
	look_at_answer(curl, call);
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL); /* libs3 keeps the handle */
	return call->code;
}

/* libs3 calls gmtime(), whose result is one for all threads: a date torn in two signs nothing. */
struct tm *__wrap_gmtime(const time_t *t);

struct tm *__wrap_gmtime(const time_t *t)
{
	static _Thread_local struct tm tm;

	return gmtime_r(t, &tm);
}

/* -------------------------------------------------------------------------- what came of a call */

/* Cut at the end: it is for people. */
static void say(struct s3_request *r, const char *text)
{
	size_t n = strnlen(text, sizeof r->message - 1);

	memcpy(r->message, text, n);
	r->message[n] = '\0';
}

/* The server's own word for it, as far as libs3 knows that word. */
static void take_code(struct s3_request *r, S3Status status)
{
	const char *name = S3_get_status_name(status);

	if (strncmp(name, "Error", 5) == 0 && strcmp(name, "ErrorUnknown") != 0)
		(void)snprintf(r->code, sizeof r->code, "%s", name + 5);
}

static S3Status on_properties(const S3ResponseProperties *properties, void *ctx)
{
	(void)properties;
	(void)ctx;
	return S3StatusOK;
}

static void on_complete(S3Status status, const S3ErrorDetails *details, void *ctx)
{
	struct call *call = ctx;

	call->status = status;
	if (status != S3StatusOK)
		take_code(call->r, status);
	if (details && details->message)
		say(call->r, details->message);
}

/* libcurl did not get to the end of it. Nothing was sent if there was nobody to send it to. */
static enum s3_outcome outcome_of_code(struct call *call)
{
	const char *why = lsvd_s3_certificate_fault(call->curl, call->code);

	if (!why)
		why = call->why[0] ? call->why : curl_easy_strerror(call->code);
	say(call->r, why);
	switch (call->code) {
	case CURLE_OUT_OF_MEMORY:
		return S3_NO_MEMORY;
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		return S3_NOT_SENT;
	default:
		return S3_UNKNOWN;
	}
}

/*
 * What libs3 makes of an answer counts for listings, which it reads, and for what was never sent.
 * Of the rest we know more: libs3 2 calls a PUT a failure that succeeded without "100 Continue"
 * before.
 */
static enum s3_outcome outcome(struct call *call)
{
	struct s3_request *r = call->r;

	if (!call->performed) {
		say(r, S3_get_status_name(call->status));
		return call->status == S3StatusOutOfMemory ? S3_NO_MEMORY : S3_REFUSED;
	}
	if (call->enough)
		return S3_ANSWERED;
	if (call->code != CURLE_OK)
		return outcome_of_code(call);
	if (r->verb == S3_LIST && r->status / 100 == 2 && call->status != S3StatusOK)
		r->garbled = true;
	return r->status >= 200 ? S3_ANSWERED : S3_UNKNOWN;
}

/* ---------------------------------------------------------------------------------------- verbs */

static const S3ResponseHandler plain = {on_properties, on_complete};

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int on_send(int size, char *to, void *ctx)
{
	struct call *call = ctx;
	const struct s3_request *r = call->r;
	size_t done = 0, room = (size_t)size;

	while (done < room && call->iov_i < r->iovcnt) {
		const struct iovec *v = &r->iov[call->iov_i];
		size_t n = min_size(room - done, v->iov_len - call->iov_at);

		if (n)
			memcpy(to + done, (char *)v->iov_base + call->iov_at, n);
		done += n;
		call->iov_at += n;
		if (call->iov_at == v->iov_len) {
			call->iov_i++;
			call->iov_at = 0;
		}
	}
	return (int)done;
}

/* Returns the body's length. `text` becomes its MD5 as Content-MD5 wants it. */
static uint64_t digest(const struct s3_request *r, char text[BASE64_ENCODE_RAW_LENGTH(16) + 1])
{
	struct md5_ctx md5;
	uint8_t sum[MD5_DIGEST_SIZE];
	uint64_t bytes = 0;

	md5_init(&md5);
	for (int i = 0; i < r->iovcnt; i++) {
		md5_update(&md5, r->iov[i].iov_len, r->iov[i].iov_base);
		bytes += r->iov[i].iov_len;
	}
	md5_digest(&md5, sizeof sum, sum);
	base64_encode_raw(text, sizeof sum, sum);
	text[BASE64_ENCODE_RAW_LENGTH(16)] = '\0';
	return bytes;
}

static void put(struct call *call, const S3BucketContext *bucket)
{
	const S3PutObjectHandler handler = {plain, on_send};
	char md5[BASE64_ENCODE_RAW_LENGTH(16) + 1];
	uint64_t bytes = digest(call->r, md5);
	S3PutProperties properties = {.md5 = md5, .expires = -1, .cannedAcl = S3CannedAclPrivate};

	S3_put_object(bucket, call->r->key, bytes, &properties, NULL, TIMEOUT &handler, call);
}

/* A server that knows no ranges answers 200 with all of it. */
static void start_data(struct call *call)
{
	call->started = true;
	call->whole = status_of(call->curl) == 200;
	call->skip = call->whole ? call->r->off : 0;
}

static S3Status on_data(int size, const char *data, void *ctx)
{
	struct call *call = ctx;
	struct s3_request *r = call->r;
	size_t len = (size_t)size, at, n;

	if (!call->started)
		start_data(call);
	at = call->skip < len ? (size_t)call->skip : len;
	call->skip -= at;
	n = min_size(len - at, r->len - r->ret_len);
	if (n)
		memcpy((char *)r->buf + r->ret_len, data + at, n);
	r->ret_len += n;
	if (at + n == len)
		return S3StatusOK;
	call->enough = true;
	r->overlong = !call->whole;
	return S3StatusAbortedByCallback;
}

static void get(struct call *call, const S3BucketContext *bucket)
{
	const S3GetObjectHandler handler = {plain, on_data};
	const S3GetConditions none = {-1, -1, NULL, NULL};
	struct s3_request *r = call->r;

	S3_get_object(bucket, r->key, &none, r->off, r->len, NULL, TIMEOUT &handler, call);
}

static S3Status on_list(int truncated, const char *next, int count,
			const S3ListBucketContent *objects, int prefixes, const char **prefix,
			void *ctx)
{
	struct call *call = ctx;
	struct s3_request *r = call->r;

	(void)prefixes;
	(void)prefix;
	for (int i = 0; i < count; i++) {
		struct s3_listed one = {objects[i].key, objects[i].size,
					objects[i].lastModified * 1000};

		r->listed(r, &one);
		(void)snprintf(r->next, sizeof r->next, "%s", objects[i].key); /* keys fit */
	}
	call->truncated = truncated;
	if (truncated && next && *next)
		(void)snprintf(r->next, sizeof r->next, "%s", next);
	return S3StatusOK;
}

/* The old form of listings: where a page ends is said by its last key. */
static void list(struct call *call, const S3BucketContext *bucket)
{
	const S3ListBucketHandler handler = {plain, on_list};
	struct s3_request *r = call->r;

	S3_list_bucket(bucket, r->key, r->token, NULL, (int)r->page, NULL, TIMEOUT &handler, call);
	if (!call->truncated)
		r->next[0] = '\0';
}

static void perform(struct call *call, const S3BucketContext *bucket)
{
	switch (call->r->verb) {
	case S3_PUT:
		put(call, bucket);
		break;
	case S3_GET:
		get(call, bucket);
		break;
	case S3_HEAD:
		S3_head_object(bucket, call->r->key, NULL, TIMEOUT &plain, call);
		break;
	case S3_LIST:
		list(call, bucket);
		break;
	default:
		S3_delete_object(bucket, call->r->key, NULL, TIMEOUT &plain, call);
		break;
	}
}

static S3BucketContext context(const struct s3_client *c, const struct s3_secrets *secrets)
{
	return (S3BucketContext){
		.hostName = c->host,
		.bucketName = c->bucket,
		.protocol = c->protocol,
		.uriStyle = S3UriStylePath,
		.accessKeyId = secrets->access_key,
		.secretAccessKey = secrets->secret_key,
#ifdef LSVD_LIBS3_V4
		.securityToken = secrets->session_token,
		.authRegion = c->region,
#endif
	};
}

static void run_call(struct s3_client *c, struct s3_request *r, const struct s3_secrets *secrets)
{
	const S3BucketContext bucket = context(c, secrets);
	struct call call = {.c = c, .r = r, .status = S3StatusInternalError};

	current = &call;
	perform(&call, &bucket);
	current = NULL;
	r->outcome = outcome(&call);
}

/* One after the other, up to the first that does not go. What is not there is removed. */
static void run_many(struct s3_client *c, struct s3_request *r, const struct s3_secrets *secrets)
{
	for (unsigned i = 0; i < r->count; i++) {
		r->key = r->keys[i];
		run_call(c, r, secrets);
		if (r->outcome != S3_ANSWERED || (r->status >= 300 && r->status != 404))
			return;
		r->code[0] = r->message[0] = '\0';
	}
	r->outcome = S3_ANSWERED;
	r->status = 200;
}

static bool can(const struct s3_request *r, const struct s3_secrets *secrets, char *why,
		size_t why_len)
{
	const char *text = NULL;

	if (r->if_absent)
		text = "libs3 cannot create an object only if it is absent";
	else if (secrets->session_token && !(CAPS & S3_CAN_TOKEN))
		text = "this libs3 signs with Signature V2, which has no session tokens";
	if (text)
		(void)snprintf(why, why_len, "%s", text);
	return !text;
}

static void run_request(struct s3_client *c, struct s3_request *r)
{
	struct s3_secrets secrets = {NULL, NULL, NULL};

	if (c->o.secrets(c->o.ctx, &secrets) < 0) {
		r->outcome = S3_NOT_SENT;
		say(r, "there are no credentials now");
		return;
	}
	if (!can(r, &secrets, r->message, sizeof r->message))
		r->outcome = S3_REFUSED;
	else if (r->verb == S3_DELETE_MANY)
		run_many(c, r, &secrets);
	else
		run_call(c, r, &secrets);
	c->o.release(c->o.ctx, &secrets);
}

/* ----------------------------------------------------------------------------------------- pool */

static struct s3_request *take(struct s3_client *c)
{
	struct s3_request *r;

	pthread_mutex_lock(&c->lock);
	c->idle++;
	while (!c->head && !atomic_load(&c->stop))
		pthread_cond_wait(&c->cond, &c->lock);
	c->idle--;
	r = c->head;
	if (r)
		c->head = r->client_private;
	pthread_mutex_unlock(&c->lock);
	return r;
}

static void *work(void *arg)
{
	struct s3_client *c = arg;
	struct s3_request *r;

	while ((r = take(c)) != NULL) {
		if (atomic_load(&c->stop)) {
			r->outcome = S3_NOT_SENT;
			say(r, "the client is being closed");
		} else {
			run_request(c, r);
		}
		r->done(r);
	}
	return NULL;
}

/* The lowest page is not to be touched: what grows too far is found out. */
static void *make_stack(void)
{
	void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);

	if (stack == MAP_FAILED)
		return NULL;
	if (madvise(stack, STACK_BYTES, MADV_DONTDUMP) == 0 &&
	    mprotect(stack, (size_t)sysconf(_SC_PAGESIZE), PROT_NONE) == 0)
		return stack;
	(void)munmap(stack, STACK_BYTES);
	return NULL;
}

static int start_on(struct worker *w, struct s3_client *c)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int err;

	if (pthread_attr_init(&attr) != 0)
		return -1;
	sigfillset(&all); /* signals are for the program's own threads */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_attr_setstack(&attr, w->stack, STACK_BYTES);
	if (err == 0)
		err = pthread_create(&w->thread, &attr, work, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	if (err == 0)
		(void)pthread_setname_np(w->thread, "lsvd-libs3"); /* only for people */
	return err ? -1 : 0;
}

/* lock held. One more thread, if there may be one more and it can be had. */
static void grow_locked(struct s3_client *c)
{
	struct worker *w = &c->workers[c->count];

	if (c->count == c->o.connections)
		return;
	w->stack = make_stack();
	if (!w->stack)
		return;
	if (start_on(w, c) < 0) {
		(void)munmap(w->stack, STACK_BYTES);
		return;
	}
	c->count++;
}

/* Counts no further than one more than can be taken at once. */
static unsigned waiting_locked(const struct s3_client *c)
{
	unsigned n = 0;

	for (const struct s3_request *r = c->head; r; r = r->client_private)
		if (++n > c->idle)
			break;
	return n;
}

static void queue_locked(struct s3_client *c, struct s3_request *r)
{
	if (c->head)
		c->last->client_private = r;
	else
		c->head = r;
	c->last = r;
	pthread_cond_signal(&c->cond);
}

static void submit(struct s3_client *c, struct s3_request *r)
{
	bool nobody;

	r->client_private = NULL;
	r->outcome = S3_NO_MEMORY;
	s3_request_begin(r);
	pthread_mutex_lock(&c->lock);
	if (waiting_locked(c) + 1 > c->idle)
		grow_locked(c);
	nobody = c->count == 0;
	if (!nobody)
		queue_locked(c, r);
	pthread_mutex_unlock(&c->lock);
	if (nobody)
		r->done(r);
}

/* -------------------------------------------------------------------------- opening and closing */

/* libs3 has one state for the whole process. */
static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users; /* protected by users_lock */

static S3Status begin_libs3(const char *host)
{
	S3Status status = S3StatusOK;

	pthread_mutex_lock(&users_lock);
	if (users == 0)
#ifdef LSVD_LIBS3_V4
		status = S3_initialize("lsvd", S3_INIT_ALL | S3_INIT_VERIFY_PEER, host);
#else
		status = S3_initialize("lsvd", S3_INIT_ALL, host);
#endif
	users += status == S3StatusOK;
	pthread_mutex_unlock(&users_lock);
	return status;
}

static void end_libs3(void)
{
	pthread_mutex_lock(&users_lock);
	if (--users == 0)
		S3_deinitialize();
	pthread_mutex_unlock(&users_lock);
}

static void free_client(struct s3_client *c)
{
	pthread_cond_destroy(&c->cond);
	pthread_mutex_destroy(&c->lock);
	free(c->bucket);
	free(c->region);
	free(c->host);
	free(c);
}

static struct s3_client *new_client(const struct s3_client_options *o, const char *host)
{
	struct s3_client *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->cond, NULL);
	c->o = *o;
	if (c->o.connections > THREADS_MAX)
		c->o.connections = THREADS_MAX;
	c->protocol = S3ProtocolHTTPS;
	if (o->endpoint && strncmp(o->endpoint, "http:", 5) == 0)
		c->protocol = S3ProtocolHTTP;
	c->bucket = strdup(o->bucket);
	c->region = strdup(o->region);
	c->host = strdup(host);
	if (c->bucket && c->region && c->host)
		return c;
	free_client(c);
	return NULL;
}

static int refuse(int err, char *text, size_t text_len, const char *why)
{
	(void)snprintf(text, text_len, "%s", why); /* cut at the end, for people */
	return err;
}

/* HOST[:PORT]; without an endpoint AWS's. false if there is none, or no room for it. */
static bool find_host(char *host, size_t size, const struct s3_client_options *o)
{
	const char *p = o->endpoint ? strstr(o->endpoint, "://") : NULL;
	int n;

	if (!o->endpoint)
		n = snprintf(host, size, "s3.%s.amazonaws.com", o->region);
	else
		n = p ? snprintf(host, size, "%.*s", (int)strcspn(p + 3, "/"), p + 3) : 0;
	return n > 0 && (size_t)n < size;
}

static int open_client(struct s3_client **ret, const struct s3_client_options *o, char *text,
		       size_t text_len)
{
	char host[S3_MAX_HOSTNAME_SIZE];
	struct s3_client *c;
	S3Status status;

	if (o->version != S3_CLIENT_VERSION)
		return refuse(-EINVAL, text, text_len,
			      "the library has another version of the interface");
	if (!find_host(host, sizeof host, o))
		return refuse(-EINVAL, text, text_len,
			      "the endpoint is no http:// or https:// URL");
	if (o->ca_file)
		return refuse(-EINVAL, text, text_len,
			      "libs3 cannot be given a CA file: it takes the system's");
	c = new_client(o, host);
	if (!c)
		return refuse(-ENOMEM, text, text_len, "no memory");
	status = begin_libs3(c->host);
	if (status != S3StatusOK) {
		free_client(c);
		return refuse(-EIO, text, text_len, S3_get_status_name(status));
	}
	*ret = c;
	return 0;
}

static void close_client(struct s3_client *c)
{
	pthread_mutex_lock(&c->lock);
	atomic_store(&c->stop, true);
	pthread_cond_broadcast(&c->cond);
	pthread_mutex_unlock(&c->lock);
	for (unsigned i = 0; i < c->count; i++) {
		(void)pthread_join(c->workers[i].thread, NULL); /* it ends: stop is set */
		(void)munmap(c->workers[i].stack, STACK_BYTES);
	}
	end_libs3();
	free_client(c);
}

__attribute__((visibility("default"))) const struct s3_client_ops *lsvd_s3_client(void);

const struct s3_client_ops *lsvd_s3_client(void)
{
	static const struct s3_client_ops ops = {
		.version = S3_CLIENT_VERSION,
		.caps = CAPS,
		.name = "libs3",
		.open = open_client,
		.submit = submit,
		.close = close_client,
	};

	return &ops;
}
