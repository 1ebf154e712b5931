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
 * PUTs may have three quarters of the slots: what somebody waits for (a read) gets past a queue of
 * uploads. And of the slots that become free while a PUT waits every fourth is its: reads without
 * end must not keep a log from being stored.
 *
 * What happens to the request in a slot is in other files, see s3_curl.h. Requests of one
 * connection are not put into HTTP/2: S3 has none.
 *
 * Locks: `lock` guards the queues and `closing`, and is held over nothing else.
 */
#include "store/s3_curl.h"

#include <errno.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <lsvd/base.h>
#include <lsvd/error.h>

#include "base/alloc.h"
#include "base/thread.h"

#define PASSING_MAX 3         /* so many get past a PUT that waits */
#define IDLE_MS 60000         /* only so that a lost wakeup would not be for ever */

/* ------------------------------------------------------------------------------------ the queue */

static void queue_init(struct s3_queue *q)
{
	q->first = NULL;
	q->end = &q->first;
}

static void queue_add(struct s3_queue *q, struct s3_request *r)
{
	r->next_queued = NULL;
	*q->end = r;
	q->end = &r->next_queued;
}

static struct s3_request *queue_pop(struct s3_queue *q)
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

/* --------------------------------------------------------------------------------------- a slot */

/* The request is over, and the slot free for the next. */
static void finish(struct s3_slot *s)
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
static void refuse(struct s3_slot *s, int err)
{
	struct s3_request *r = s->r;

	r->outcome = err == -ENOMEM ? S3_NO_MEMORY :
		     err == -ENAMETOOLONG ? S3_REFUSED : S3_NOT_SENT;
	if (err != -ENOMEM && err != -ENAMETOOLONG)
		(void)snprintf(r->message, sizeof r->message, "%s", lsvd_last_error()); /* cut */
	finish(s);
}

static struct s3_slot *free_slot(struct s3_client *c)
{
	struct s3_slot *s = c->slots;

	while (s->r)
		s++;
	return s;
}

static void start(struct s3_client *c, struct s3_request *r)
{
	struct s3_slot *s = free_slot(c);
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
	err = lsvd_s3_curl_prepare(s);
	if (err == 0 && curl_multi_add_handle(c->multi, s->easy) != CURLM_OK)
		err = -ENOMEM;
	if (err < 0)
		refuse(s, err);
}

/* ----------------------------------------------------------------------------------- the thread */

/*
 * A transfer that ended before it was connected leaves buffers behind with which no other can be
 * begun (libcurl 7.88), reset or not. The connections are the multi handle's, and stay.
 */
static void drop_handle(struct s3_slot *s)
{
	curl_easy_cleanup(s->easy);
	s->easy = NULL;
}

static void take_up_ended(struct s3_client *c)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(c->multi, &left))) {
		CURLcode code = message->data.result;
		struct s3_slot *s;
		char *slot = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
		(void)curl_multi_remove_handle(c->multi, message->easy_handle); /* it is there */
		s = (struct s3_slot *)(void *)slot;
		lsvd_s3_curl_answered(s, code);
		if (code != CURLE_OK)
			drop_handle(s);
		finish(s);
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
		lsvd_s3_curl_acknowledge(c);
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
	s3_request_begin(r);
	pthread_mutex_lock(&c->lock);
	queue_add(r->verb == S3_PUT ? &c->puts : &c->others, r);
	pthread_mutex_unlock(&c->lock);
	(void)curl_multi_wakeup(c->multi); /* if the pipe is full the thread is awake */
}

/* ----------------------------------------------------------------------------- opening, closing */

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
	/*
	 * Those of requests, those that are kept, and a second one of each that is being connected.
	 */
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
		struct s3_slot *s = &c->slots[i];

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
