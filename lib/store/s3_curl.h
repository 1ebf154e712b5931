/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_curl.h - what the files of the client "curl" share: s3_curl.c has the slots and the thread,
 * the others what happens to the request in one slot.
 *
 *   s3_curl_head.c     where it goes: path, query, headers, signature
 *   s3_curl_easy.c     how it goes: what libcurl is told, and the sockets
 *   s3_curl_body.c     bytes out and in, while it is under way
 *   s3_curl_answer.c   what it was answered, when it is over
 *
 * All of it is called on the client's thread.
 */
#ifndef STORE_S3_CURL_H
#define STORE_S3_CURL_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/s3_client.h"
#include "store/s3_endpoint.h"

struct s3_slot {
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

struct s3_queue {
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
	struct s3_slot *slots;
	uint32_t busy, busy_puts;
	uint32_t passing;            /* how many got past a PUT that waits */
	int *sockets;                /* those that are open; `sockets_max` at most are known */
	uint32_t socket_count, sockets_max;
	/* one request is started at a time: these are its, while it is */
	char path[4096], query[8192], url[16384], line[20480];
	/* protected by lock */
	pthread_mutex_t lock;
	struct s3_queue puts, others;
	bool closing;
};

/* Writes path, query and url of the client for this request; false: they are too long. */
bool lsvd_s3_curl_write_url(struct s3_client *c, const struct s3_request *r);
/* The headers of the slot's request, for the url that was written last. false: no memory. */
bool lsvd_s3_curl_sign(struct s3_slot *s, const char *method, const struct s3_secrets *secrets);

/*
 * Makes the handle ready for the slot's request. 0, -ENOMEM, -ENAMETOOLONG, or what the credentials
 * say.
 */
int lsvd_s3_curl_prepare(struct s3_slot *s);
/* What has been read is acknowledged at once, whatever the kernel waits for. */
void lsvd_s3_curl_acknowledge(struct s3_client *c);

/* For libcurl; the last argument is the slot. */
size_t lsvd_s3_curl_send(char *to, size_t size, size_t n, void *slot);
int lsvd_s3_curl_rewind(void *slot, curl_off_t off, int origin);
size_t lsvd_s3_curl_receive(char *from, size_t size, size_t n, void *slot);

/* HTTP's; 0: none came. */
long lsvd_s3_curl_status(const struct s3_slot *s);
/* Fills in what came of the slot's request, which ended like that. */
void lsvd_s3_curl_answered(struct s3_slot *s, CURLcode code);

#endif
