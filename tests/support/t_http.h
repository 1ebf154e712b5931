/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * t_http.h - a server on loopback that answers as a test wants, for clients of ours.
 *
 * One thread takes one connection after the other. It reads a request, with its body as long as
 * Content-Length says, and sends what the handler returns; NULL: it says nothing and keeps the
 * connection open (a hang) until the server is stopped. Every answer ends its connection, unless
 * `keep` is set: then one that is empty does, and the client has to end the others before the stop.
 */
#ifndef T_HTTP_H
#define T_HTTP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define T_HTTP_REQUEST_MAX 65536

struct t_http {
	/*
	 * Set before the start. Returns the whole answer, from its status line on.
	 * `n` counts from 0.
	 */
	const char *(*handler)(struct t_http *server, const char *request, unsigned n);
	void *ctx;
	bool keep;

	/* What a test may look at. */
	char endpoint[64]; /* http://127.0.0.1:PORT */
	unsigned port;
	atomic_uint requests;

	/* the server's own */
	int listener;
	pthread_t thread;
	int held[64];
	unsigned held_count;
	char request[T_HTTP_REQUEST_MAX];
};

void t_http_start(struct t_http *server);
void t_http_stop(struct t_http *server);

/* Returns when `n` requests have come; fails the test after 20 seconds. */
void t_http_wait(struct t_http *server, unsigned n);

#endif
