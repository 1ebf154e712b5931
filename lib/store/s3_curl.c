/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_curl.c - S3 through libcurl: one thread, many requests in flight, connections that are kept.
 *
 * A request is queued by submit, taken by the thread when one of `connections` slots is free, and
 * done on that thread. A slot is an easy handle with what its request needs; handles are made when
 * they are first needed and kept. Waiting is curl_multi_poll() alone: without requests the thread
 * sleeps, and idle connections cost nothing but themselves.
 *
 *   queued -> in a slot -> done        queued -> done (it could not be started; the client closes)
 *
 * Bodies that are sent are read from the caller's vector, ranges that are fetched are copied into the
 * caller's buffer and nowhere else; documents are kept up to PAGE_MAX or ERROR_MAX bytes.
 *
 * PUTs may have three quarters of the slots: what somebody waits for (a read) gets past a queue of
 * uploads. And of the slots that become free while a PUT waits every fourth is its: reads without end
 * must not keep a log from being stored.
 *
 * What libcurl is told not to do: to follow redirects (a request would carry its signature to
 * another host), to take proxies from the environment, to speak anything but HTTP and HTTPS, to
 * send Expect: 100-continue (a round trip for each PUT), to wait for ever (connecting and standing
 * still are bounded), to put requests of one connection into HTTP/2 (S3 has none). Peers and names are
 * always verified.
 *
 * Locks: `lock` guards the queues and `closing`, and is held over nothing else.
 */
#include <curl/curl.h>
#include <errno.h>
#include <libxml/parser.h>
#include <nettle/base64.h>
#include <nettle/md5.h>
#include <nettle/sha2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <lsvd/base.h>
#include <lsvd/error.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "store/s3_answer.h"
#include "store/s3_certificate.h"
#include "store/s3_client.h"
#include "store/s3_endpoint.h"
#include "store/s3_sign.h"
#include "store/s3_xml.h"

#define PAGE_MAX (4u << 20)   /* 1000 keys of 1024 bytes, escaped, with what stands around them */
#define ERROR_MAX (64u << 10)
#define HEADERS_MAX 8
#define PASSING_MAX 3         /* so many get past a PUT that waits */
#define SLOW_BYTES 256L       /* a second: what counts as standing still */
#define IDLE_MS 60000         /* only so that a lost wakeup would not be for ever */
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct slot {
	struct s3_client *client;
	CURL *easy;                  /* NULL until first used */
	struct s3_request *r;        /* NULL: free */
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
	/* what is being sent */
	int iov_at;
	size_t iov_off;
	bool sent_again;             /* by libcurl, over another connection */
	/* what is being received */
	uint64_t skip;               /* of a whole object that came for a range */
	bool satisfied;              /* all that was asked for is here: the rest is broken off */
	char *text;                  /* a document, or the one that is sent */
	size_t text_len, text_room;
};

struct queue {
	struct s3_request *first, **end;
};

struct s3_client {
	/* immutable after open */
	struct s3_endpoint endpoint;
	char *region, *ca_file;
	char agent[32];
	uint32_t connections, connect_timeout_ms, stall_timeout_ms;
	struct s3_client_options options; /* the callbacks of it */
	pthread_t thread;
	CURLM *multi;
	/* the thread's */
	struct slot *slots;
	uint32_t busy, busy_puts;
	uint32_t passing;            /* how many got past a PUT that waits */
	int *sockets;                /* those that are open; `sockets_max` at most are known */
	uint32_t socket_count, sockets_max;
	/* one request is started at a time: these are its, while it is */
	char path[4096], query[8192], url[16384], line[20480];
	/* protected by lock */
	pthread_mutex_t lock;
	struct queue puts, others;
	bool closing;
};

/* ---------------------------------------------------------------------------------------- the queue */

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->end = &q->first;
}

static void queue_add(struct queue *q, struct s3_request *r)
{
	r->next_queued = NULL;
	*q->end = r;
	q->end = &r->next_queued;
}

static struct s3_request *queue_pop(struct queue *q)
{
	struct s3_request *r = q->first;

	if (!r)
		return NULL;
	q->first = r->next_queued;
	if (!q->first)
		q->end = &q->first;
	return r;
}

static uint32_t slots_for_puts(const struct s3_client *c)
{
	return c->connections - c->connections / 4;
}

/* lock held */
static struct s3_request *pop_locked(struct s3_client *c)
{
	bool put = c->puts.first && c->busy_puts < slots_for_puts(c);

	if (put && (c->passing >= PASSING_MAX || !c->others.first)) {
		c->passing = 0;
		return queue_pop(&c->puts);
	}
	c->passing = put ? c->passing + 1 : 0;
	return queue_pop(&c->others);
}

/* What may be started now. */
static struct s3_request *next_request(struct s3_client *c)
{
	struct s3_request *r;

	if (c->busy == c->connections)
		return NULL;
	pthread_mutex_lock(&c->lock);
	r = pop_locked(c);
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* --------------------------------------------------------------------------------- path and query */

static bool append(char *text, size_t size, size_t *at, const char *s)
{
	size_t len = strlen(s);

	if (size - *at <= len)
		return false;
	memcpy(text + *at, s, len + 1);
	*at += len;
	return true;
}

static bool write_path(struct s3_client *c, const struct s3_request *r)
{
	bool of_bucket = r->verb == S3_LIST || r->verb == S3_DELETE_MANY;
	size_t at = 0;

	if (!append(c->path, sizeof c->path, &at, c->endpoint.bucket_path))
		return false;
	if (!append(c->path, sizeof c->path, &at, "/"))
		return false;
	return of_bucket || lsvd_s3_escape(c->path, sizeof c->path, &at, r->key, true);
}

/* In the order of the names, which is how they are signed. */
static bool write_list_query(struct s3_client *c, const struct s3_request *r)
{
	const size_t size = sizeof c->query;
	char page[24];
	size_t at = 0;
	bool ok = true;

	c->query[0] = '\0';
	if (r->token)
		ok = append(c->query, size, &at, "continuation-token=") &&
		     lsvd_s3_escape(c->query, size, &at, r->token, false) &&
		     append(c->query, size, &at, "&");
	(void)snprintf(page, sizeof page, "&max-keys=%u", r->page); /* fits */
	return ok && append(c->query, size, &at, "encoding-type=url&list-type=2") &&
	       append(c->query, size, &at, page) && append(c->query, size, &at, "&prefix=") &&
	       lsvd_s3_escape(c->query, size, &at, r->key, false);
}

static bool write_query(struct s3_client *c, const struct s3_request *r)
{
	c->query[0] = '\0';
	if (r->verb == S3_LIST)
		return write_list_query(c, r);
	if (r->verb == S3_DELETE_MANY)
		memcpy(c->query, "delete=", sizeof "delete=");
	return true;
}

static bool write_url(struct s3_client *c, const struct s3_request *r)
{
	int len;

	if (!write_path(c, r) || !write_query(c, r))
		return false;
	len = snprintf(c->url, sizeof c->url, "%s%s%s%s", c->endpoint.base, c->path,
		       c->query[0] ? "?" : "", c->query);
	return len > 0 && (size_t)len < sizeof c->url;
}

/* ---------------------------------------------------------------------------------------- headers */

/* The headers of one request, sorted, and where their values lie. */
struct head {
	struct s3_header of[HEADERS_MAX];
	unsigned count;
	char date[S3_DATE_LEN + 1], payload[S3_SHA256_HEX + 1], md5[32], range[64];
};

static void add_header(struct head *h, const char *name, const char *value)
{
	h->of[h->count++] = (struct s3_header){ name, value };
}

static void hash_document(struct head *h, const struct slot *s)
{
	uint8_t sha[32], md5[16];
	struct sha256_ctx sha_ctx;
	struct md5_ctx md5_ctx;

	sha256_init(&sha_ctx);
	sha256_update(&sha_ctx, s->text_len, (const uint8_t *)s->text);
	sha256_digest(&sha_ctx, sizeof sha, sha);
	lsvd_s3_hex(h->payload, sha);
	md5_init(&md5_ctx);
	md5_update(&md5_ctx, s->text_len, (const uint8_t *)s->text);
	md5_digest(&md5_ctx, sizeof md5, md5);
	base64_encode_raw(h->md5, sizeof md5, md5);
	h->md5[BASE64_ENCODE_RAW_LENGTH(sizeof md5)] = '\0';
}

static int64_t now_ms(const struct s3_client *c)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 +
	       c->options.clock_offset_ms(c->options.ctx);
}

static void collect_headers(struct head *h, const struct slot *s, const struct s3_secrets *secrets)
{
	const struct s3_client *c = s->client;
	const struct s3_request *r = s->r;

	h->count = 0;
	memcpy(h->payload, EMPTY_SHA256, sizeof EMPTY_SHA256);
	if (r->verb == S3_PUT)
		lsvd_s3_hex(h->payload, r->body_sha256);
	lsvd_s3_date(h->date, now_ms(c));
	if (r->verb == S3_DELETE_MANY) {
		hash_document(h, s);
		add_header(h, "content-md5", h->md5);
	}
	add_header(h, "host", c->endpoint.host);
	if (r->verb == S3_PUT && r->if_absent)
		add_header(h, "if-none-match", "*");
	if (r->verb == S3_GET) {
		(void)snprintf(h->range, sizeof h->range, "bytes=%llu-%llu", /* fits */
			       (unsigned long long)r->off,
			       (unsigned long long)(r->off + r->len - 1));
		add_header(h, "range", h->range);
	}
	add_header(h, "x-amz-content-sha256", h->payload);
	add_header(h, "x-amz-date", h->date);
	if (secrets->session_token)
		add_header(h, "x-amz-security-token", secrets->session_token);
}

static bool add_line(struct slot *s, const char *name, const char *value)
{
	struct s3_client *c = s->client;
	struct curl_slist *list;
	int len = snprintf(c->line, sizeof c->line, "%s: %s", name, value);

	if (len < 0 || (size_t)len >= sizeof c->line)
		return false;
	list = curl_slist_append(s->headers, c->line);
	if (!list)
		return false;
	s->headers = list;
	return true;
}

static bool add_bare(struct slot *s, const char *line)
{
	struct curl_slist *list = curl_slist_append(s->headers, line);

	if (!list)
		return false;
	s->headers = list;
	return true;
}

/* What is signed, what signs it, and what libcurl would add by itself and shall not. */
static bool sign(struct slot *s, const char *method, const struct s3_secrets *secrets)
{
	struct s3_client *c = s->client;
	char auth[1024];
	struct head h;
	bool ok = true;

	collect_headers(&h, s, secrets);
	if (!lsvd_s3_sign(auth, sizeof auth, &(struct s3_to_sign){
		    .method = method, .path = c->path, .query = c->query,
		    .headers = h.of, .header_count = h.count, .payload = h.payload,
		    .date = h.date, .region = c->region,
		    .access_key = secrets->access_key, .secret_key = secrets->secret_key }))
		return false;
	for (unsigned i = 0; i < h.count; i++)
		ok = ok && add_line(s, h.of[i].name, h.of[i].value);
	ok = ok && add_line(s, "authorization", auth) && add_bare(s, "Expect:") &&
	     add_bare(s, "Accept:");
	if (s->r->verb == S3_DELETE_MANY)
		ok = ok && add_bare(s, "Content-Type: application/xml");
	explicit_bzero(c->line, sizeof c->line); /* a session token may have been there */
	return ok;
}

/* -------------------------------------------------------------------------------- sending, receiving */

static size_t send_body(char *to, size_t size, size_t n, void *arg)
{
	struct slot *s = arg;
	const struct s3_request *r = s->r;
	size_t room = size * n, done = 0;

	while (done < room && s->iov_at < r->iovcnt) {
		const struct iovec *v = &r->iov[s->iov_at];
		size_t len = v->iov_len - s->iov_off;

		if (len > room - done)
			len = room - done;
		if (len)
			memcpy(to + done, (const char *)v->iov_base + s->iov_off, len);
		done += len;
		s->iov_off += len;
		if (s->iov_off == v->iov_len) {
			s->iov_at++;
			s->iov_off = 0;
		}
	}
	return done;
}

/* libcurl sends again from the beginning what went into a connection that was already dead. */
static int rewind_body(void *arg, curl_off_t off, int origin)
{
	struct slot *s = arg;

	if (origin != SEEK_SET || off != 0)
		return CURL_SEEKFUNC_CANTSEEK;
	s->iov_at = 0;
	s->iov_off = 0;
	s->sent_again = true;
	return CURL_SEEKFUNC_OK;
}

static long status_of(const struct slot *s)
{
	long status = 0;

	(void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status); /* 0 if it fails */
	return status;
}

/* Into the caller's buffer; what it does not want ends the transfer. */
static size_t receive_range(struct slot *s, const char *from, size_t len, bool whole)
{
	struct s3_request *r = s->r;
	size_t at = s->skip < len ? (size_t)s->skip : len, n = len - at;

	s->skip -= at;
	if (n > r->len - r->ret_len)
		n = r->len - r->ret_len;
	if (n)
		memcpy((char *)r->buf + r->ret_len, from + at, n);
	r->ret_len += n;
	if (at + n == len)
		return len;
	s->satisfied = true;
	r->overlong = !whole;
	return 0;
}

static bool make_room(struct slot *s, size_t len)
{
	size_t room = s->text_room ? s->text_room : 4096;
	char *text;

	while (room < s->text_len + len + 1)
		room *= 2;
	if (room == s->text_room)
		return true;
	text = lsvd_realloc(s->text, room);
	if (!text)
		return false;
	s->text = text;
	s->text_room = room;
	return true;
}

/* A document. An error needs no end: its status is known; a page that is too long is no page. */
static size_t receive_text(struct slot *s, const char *from, size_t len, bool page)
{
	if (s->text_len + len > (page ? PAGE_MAX : ERROR_MAX)) {
		s->satisfied = !page;
		return 0;
	}
	if (!make_room(s, len))
		return 0;
	memcpy(s->text + s->text_len, from, len);
	s->text_len += len;
	return len;
}

static size_t receive_body(char *from, size_t size, size_t n, void *arg)
{
	struct slot *s = arg;
	long status = status_of(s);

	if (s->r->verb == S3_GET && (status == 200 || status == 206)) {
		if (status == 200 && s->skip == UINT64_MAX)
			s->skip = s->r->off;
		if (s->skip == UINT64_MAX)
			s->skip = 0;
		return receive_range(s, from, size * n, status == 200);
	}
	return receive_text(s, from, size * n, status / 100 == 2);
}

/* --------------------------------------------------------------------------------------- the answer */

static const char *header_of(const struct slot *s, const char *name)
{
	struct curl_header *h;

	if (curl_easy_header(s->easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
		return NULL;
	return h->value;
}

static void read_headers(struct slot *s)
{
	const char *date = header_of(s, "Date"), *range = header_of(s, "Content-Range");
	struct s3_request *r = s->r;
	curl_off_t length = -1;
	uint64_t last;

	if (date) {
		time_t t = curl_getdate(date, NULL);

		r->date_ms = t > 0 ? (int64_t)t * 1000 : 0;
	}
	r->from_s3 = header_of(s, "x-amz-request-id") != NULL;
	/* A page that asks for a password is a 200, too; nobody has stored anything then. */
	if (r->status / 100 == 2 && (r->verb == S3_PUT || r->verb == S3_HEAD))
		r->garbled = !r->from_s3 && !header_of(s, "ETag");
	if (r->verb == S3_GET && (r->status == 206 || r->status == 416)) {
		bool ok = range && lsvd_s3_content_range(range, &r->range_first, &last, &r->total);

		r->garbled = !ok && r->status == 206;
		return;
	}
	(void)curl_easy_getinfo(s->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	if (length >= 0 && (r->verb == S3_HEAD || r->verb == S3_GET))
		r->total = (uint64_t)length;
}

static void read_document(struct slot *s)
{
	struct s3_request *r = s->r;

	if (r->status / 100 != 2)
		lsvd_s3_xml_error(r, s->text, s->text_len);
	else if (r->verb == S3_LIST)
		r->garbled = !lsvd_s3_xml_page(r, s->text, s->text_len);
	else if (r->verb == S3_DELETE_MANY)
		r->garbled = !lsvd_s3_xml_deleted(r, s->text, s->text_len);
}

static bool nothing_sent(const struct slot *s)
{
	long bytes = 0;

	(void)curl_easy_getinfo(s->easy, CURLINFO_REQUEST_SIZE, &bytes); /* 0 if it fails */
	return bytes == 0;
}

static void note_failure(struct slot *s, CURLcode code)
{
	const char *text = lsvd_s3_certificate_fault(s->easy, code);
	struct s3_request *r = s->r;
	size_t n = 0;

	if (!text)
		text = s->error[0] ? s->error : curl_easy_strerror(code);
	for (; n + 1 < sizeof r->message && text[n]; n++)
		r->message[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	r->message[n] = '\0';
	if (code == CURLE_OUT_OF_MEMORY)
		r->outcome = S3_NO_MEMORY;
	else
		r->outcome = nothing_sent(s) ? S3_NOT_SENT : S3_UNKNOWN;
}

/* The request is over, and the slot free for the next. */
static void finish(struct slot *s)
{
	struct s3_client *c = s->client;
	struct s3_request *r = s->r;

	if (r->verb == S3_PUT)
		c->busy_puts--;
	c->busy--;
	curl_slist_free_all(s->headers);
	s->headers = NULL;
	lsvd_free(s->text);
	s->text = NULL;
	s->text_len = s->text_room = 0;
	s->r = NULL;
	r->done(r);
}

/*
 * What libcurl sent into a connection that then broke, and over another one again, may have come
 * both times: then the key is taken by this very request.
 */
static bool taken_by_itself(const struct slot *s)
{
	return s->sent_again && s->r->verb == S3_PUT && s->r->status == 412;
}

static void ended(struct slot *s, CURLcode code)
{
	struct s3_request *r = s->r;

	(void)curl_multi_remove_handle(s->client->multi, s->easy); /* it is there */
	r->status = (unsigned)status_of(s);
	if (r->status)
		read_headers(s);
	if (taken_by_itself(s)) {
		r->outcome = S3_UNKNOWN;
		(void)snprintf(r->message, sizeof r->message, "the connection was lost, and sent again "
			       "the request finds its key taken"); /* fits */
	} else if (code == CURLE_OK || s->satisfied) {
		r->outcome = S3_ANSWERED;
		read_document(s);
	} else {
		note_failure(s, code);
	}
	finish(s);
}

/* ----------------------------------------------------------------------------------------- starting */

/* No program that this process starts shall have our connections. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct s3_client *c = arg;
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);

	(void)purpose;
	if (fd >= 0 && c->socket_count < c->sockets_max)
		c->sockets[c->socket_count++] = fd;
	return fd;
}

static int close_socket(void *arg, curl_socket_t fd)
{
	struct s3_client *c = arg;

	for (uint32_t i = 0; i < c->socket_count; i++)
		if (c->sockets[i] == fd) {
			c->sockets[i] = c->sockets[--c->socket_count];
			break;
		}
	return close(fd);
}

/*
 * A server that writes head and body of an answer apart, and has left Nagle's algorithm on (radosgw
 * does), sends the body when the head is acknowledged; and a kernel that expects to answer puts an
 * acknowledgement off by 40 ms. What has been read is acknowledged at once.
 */
static void acknowledge(struct s3_client *c)
{
	int yes = 1;

	for (uint32_t i = 0; i < c->socket_count; i++)
		/* It only saves time: a failure costs nothing else. */
		(void)setsockopt(c->sockets[i], IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes);
}

#define SET(option, value) (err = err ? err : curl_easy_setopt(s->easy, (option), (value)))

/* What holds for every request. */
static CURLcode set_common(struct slot *s)
{
	const struct s3_client *c = s->client;
	CURLcode err = CURLE_OK;

	SET(CURLOPT_URL, c->url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L); /* else this thread waits for a name that nobody resolves */
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (c->ca_file) {
		SET(CURLOPT_CAINFO, c->ca_file);
		SET(CURLOPT_CAPATH, NULL);
	}
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_timeout_ms);
	SET(CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	SET(CURLOPT_LOW_SPEED_TIME, (long)(c->stall_timeout_ms + 999) / 1000);
	SET(CURLOPT_BUFFERSIZE, 131072L);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
	SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
	SET(CURLOPT_OPENSOCKETDATA, c);
	SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	SET(CURLOPT_CLOSESOCKETDATA, c);
	SET(CURLOPT_USERAGENT, c->agent);
	SET(CURLOPT_ERRORBUFFER, s->error);
	SET(CURLOPT_HTTPHEADER, s->headers);
	SET(CURLOPT_WRITEFUNCTION, receive_body);
	SET(CURLOPT_WRITEDATA, s);
	SET(CURLOPT_PRIVATE, s);
	return err;
}

static uint64_t body_bytes(const struct s3_request *r)
{
	uint64_t sum = 0;

	for (int i = 0; i < r->iovcnt; i++)
		sum += r->iov[i].iov_len;
	return sum;
}

static CURLcode set_verb(struct slot *s)
{
	CURLcode err = CURLE_OK;

	switch (s->r->verb) {
	case S3_PUT:
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)body_bytes(s->r));
		SET(CURLOPT_READFUNCTION, send_body);
		SET(CURLOPT_READDATA, s);
		SET(CURLOPT_SEEKFUNCTION, rewind_body);
		SET(CURLOPT_SEEKDATA, s);
		break;
	case S3_HEAD:
		SET(CURLOPT_NOBODY, 1L);
		break;
	case S3_DELETE:
		SET(CURLOPT_CUSTOMREQUEST, "DELETE");
		break;
	case S3_DELETE_MANY:
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)s->text_len);
		SET(CURLOPT_COPYPOSTFIELDS, s->text);
		s->text_len = 0; /* the answer comes here */
		break;
	default:
		SET(CURLOPT_HTTPGET, 1L);
	}
	return err;
}

static const char *method_of(enum s3_verb verb)
{
	static const char *const names[] = {
		[S3_PUT] = "PUT", [S3_GET] = "GET", [S3_HEAD] = "HEAD",
		[S3_LIST] = "GET", [S3_DELETE] = "DELETE", [S3_DELETE_MANY] = "POST",
	};

	return names[verb];
}

/* 0, -ENOMEM, or what the credentials say. */
static int prepare(struct slot *s)
{
	struct s3_client *c = s->client;
	struct s3_secrets secrets;
	int err;
	bool ok;

	if (!s->easy)
		s->easy = curl_easy_init();
	if (!s->easy)
		return -ENOMEM;
	curl_easy_reset(s->easy);
	if (s->r->verb == S3_DELETE_MANY) {
		s->text = lsvd_s3_xml_delete(s->r->keys, s->r->count, &s->text_len);
		if (!s->text)
			return -ENOMEM;
		s->text_room = s->text_len + 1;
	}
	if (!write_url(c, s->r))
		return -ENAMETOOLONG;
	err = c->options.secrets(c->options.ctx, &secrets);
	if (err < 0)
		return err;
	ok = sign(s, method_of(s->r->verb), &secrets);
	c->options.release(c->options.ctx, &secrets);
	return ok && set_common(s) == CURLE_OK && set_verb(s) == CURLE_OK ? 0 : -ENOMEM;
}

static void refuse(struct slot *s, int err)
{
	struct s3_request *r = s->r;

	r->outcome = err == -ENOMEM ? S3_NO_MEMORY :
		     err == -ENAMETOOLONG ? S3_REFUSED : S3_NOT_SENT;
	if (err != -ENOMEM && err != -ENAMETOOLONG)
		(void)snprintf(r->message, sizeof r->message, "%s", lsvd_last_error()); /* cut */
	finish(s);
}

static struct slot *free_slot(struct s3_client *c)
{
	struct slot *s = c->slots;

	while (s->r)
		s++;
	return s;
}

static void start(struct s3_client *c, struct s3_request *r)
{
	struct slot *s = free_slot(c);
	int err;

	s->r = r;
	c->busy++;
	if (r->verb == S3_PUT)
		c->busy_puts++;
	s->error[0] = '\0';
	s->iov_at = 0;
	s->iov_off = 0;
	s->sent_again = false;
	s->skip = UINT64_MAX;
	s->satisfied = false;
	err = prepare(s);
	if (err == 0 && curl_multi_add_handle(c->multi, s->easy) != CURLM_OK)
		err = -ENOMEM;
	if (err < 0)
		refuse(s, err);
}

/* --------------------------------------------------------------------------------------- the thread */

static void take_up_ended(struct s3_client *c)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(c->multi, &left))) {
		CURLcode code = message->data.result;
		char *slot = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
		ended((struct slot *)(void *)slot, code);
	}
}

static bool is_closing(struct s3_client *c)
{
	bool closing;

	pthread_mutex_lock(&c->lock);
	closing = c->closing;
	pthread_mutex_unlock(&c->lock);
	return closing;
}

/* Until something can be read or written, or somebody submits. */
static void sleep_until_needed(struct s3_client *c)
{
	struct timespec pause = { .tv_nsec = 10000000 };

	/* It fails for want of memory only, and would at once fail again. */
	if (curl_multi_poll(c->multi, NULL, 0, IDLE_MS, NULL) != CURLM_OK)
		(void)nanosleep(&pause, NULL); /* shorter is as good */
}

static void *run(void *arg)
{
	struct s3_client *c = arg;
	struct s3_request *r;
	int running;

	while (!is_closing(c)) {
		while ((r = next_request(c)))
			start(c, r);
		/* What fails in it is a transfer's, or passes: out of memory. */
		(void)curl_multi_perform(c->multi, &running);
		acknowledge(c);
		take_up_ended(c);
		if ((r = next_request(c)))
			start(c, r);
		else
			sleep_until_needed(c);
	}
	return NULL;
}

static void submit(struct s3_client *c, struct s3_request *r)
{
	r->status = 0;
	r->code[0] = r->message[0] = r->next[0] = '\0';
	r->ret_len = 0;
	r->total = r->range_first = UINT64_MAX;
	r->overlong = r->garbled = r->from_s3 = false;
	r->date_ms = 0;
	pthread_mutex_lock(&c->lock);
	queue_add(r->verb == S3_PUT ? &c->puts : &c->others, r);
	pthread_mutex_unlock(&c->lock);
	(void)curl_multi_wakeup(c->multi); /* if the pipe is full the thread is awake */
}

/* -------------------------------------------------------------------------------- opening, closing */

/* Both libraries set themselves up in a way that no two threads may do at once. */
static void init_libraries(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT); /* a failure shows when handles are made */
	xmlInitParser();
}

static void free_client(struct s3_client *c)
{
	for (uint32_t i = 0; c->slots && i < c->connections; i++)
		curl_easy_cleanup(c->slots[i].easy);
	if (c->multi)
		(void)curl_multi_cleanup(c->multi); /* no handle is in it */
	pthread_mutex_destroy(&c->lock);
	lsvd_free(c->slots);
	lsvd_free(c->sockets);
	lsvd_free(c->region);
	lsvd_free(c->ca_file);
	lsvd_free(c);
}

static int copy_options(struct s3_client *c, const struct s3_client_options *o)
{
	c->connections = o->connections;
	c->connect_timeout_ms = o->connect_timeout_ms;
	c->stall_timeout_ms = o->stall_timeout_ms;
	c->options = *o;
	(void)snprintf(c->agent, sizeof c->agent, "lsvd/%s", lsvd_version()); /* fits */
	c->region = lsvd_strdup(o->region);
	c->ca_file = o->ca_file ? lsvd_strdup(o->ca_file) : NULL;
	c->slots = lsvd_calloc(c->connections, sizeof *c->slots);
	/* Those of requests, those that are kept, and a second one of each that is being connected. */
	c->sockets_max = 4 * c->connections;
	c->sockets = lsvd_calloc(c->sockets_max, sizeof *c->sockets);
	if (!c->region || (o->ca_file && !c->ca_file) || !c->slots || !c->sockets)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->connections; i++)
		c->slots[i].client = c;
	return 0;
}

static int make_multi(struct s3_client *c)
{
	c->multi = curl_multi_init();
	if (!c->multi)
		return -ENOMEM;
	if (curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)c->connections) != CURLM_OK ||
	    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) != CURLM_OK)
		return -ENOMEM;
	return 0;
}

static int open_client(struct s3_client **ret, const struct s3_client_options *o, char *text,
		       size_t text_len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct s3_client *c = lsvd_calloc(1, sizeof *c);
	int err = 0;

	(void)pthread_once(&once, init_libraries); /* cannot fail */
	if (!c)
		return -ENOMEM;
	(void)pthread_mutex_init(&c->lock, NULL); /* cannot fail with these attributes */
	queue_init(&c->puts);
	queue_init(&c->others);
	if (!lsvd_s3_endpoint(&c->endpoint, o->endpoint, o->region, o->bucket)) {
		(void)snprintf(text, text_len, "the endpoint is not http://HOST[:PORT] or "
			       "https://HOST[:PORT]");
		err = LSVD_E_CONFIG;
	}
	if (err == 0)
		err = copy_options(c, o);
	if (err == 0)
		err = make_multi(c);
	if (err == 0)
		err = lsvd_thread_start(&c->thread, "lsvd-s3-net", run, c);
	if (err < 0) {
		free_client(c);
		return err;
	}
	*ret = c;
	return 0;
}

/* The thread is gone, and with it everything in flight. */
static void end_all(struct s3_client *c)
{
	struct s3_request *r;

	for (uint32_t i = 0; i < c->connections; i++) {
		struct slot *s = &c->slots[i];

		if (!s->r)
			continue;
		(void)curl_multi_remove_handle(c->multi, s->easy); /* it is there */
		s->r->outcome = S3_UNKNOWN;
		(void)snprintf(s->r->message, sizeof s->r->message, "the store was closed");
		finish(s);
	}
	while ((r = queue_pop(&c->others)) || (r = queue_pop(&c->puts))) {
		r->outcome = S3_NOT_SENT;
		(void)snprintf(r->message, sizeof r->message, "the store was closed");
		r->done(r);
	}
}

static void close_client(struct s3_client *c)
{
	pthread_mutex_lock(&c->lock);
	c->closing = true;
	pthread_mutex_unlock(&c->lock);
	(void)curl_multi_wakeup(c->multi); /* as above */
	(void)pthread_join(c->thread, NULL); /* cannot fail: nobody else does */
	end_all(c);
	free_client(c);
}

const struct s3_client_ops lsvd_s3_curl = {
	.version = S3_CLIENT_VERSION,
	.caps = S3_CAN_CREATE | S3_CAN_CHECK_BODY | S3_CAN_SKEW | S3_CAN_TOKEN | S3_CAN_CA,
	.name = "curl",
	.open = open_client,
	.submit = submit,
	.close = close_client,
};
