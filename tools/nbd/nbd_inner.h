/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_inner.h - what nbd_conn.c, handshake.c and transmission.c share and hosts do not see.
 *
 * nbd_conn.c moves bytes in and out; handshake.c and transmission.c give them meaning.
 */
#ifndef NBD_INNER_H
#define NBD_INNER_H

#include "nbd/nbd_conn.h"

/* The id under which base:allocation is reported. */
#define NBD_ALLOCATION_ID 1u

/* Bytes received and not yet understood. */
static inline uint32_t nbd_avail(const struct nbd_conn *c)
{
	return c->tail - c->head;
}

static inline const uint8_t *nbd_bytes(const struct nbd_conn *c)
{
	return c->chunk->data + c->head;
}

/* Says that `bytes` from head on are needed before anything can be understood; returns NONE. */
static inline enum nbd_event nbd_want(struct nbd_conn *c, uint32_t bytes)
{
	c->want = bytes;
	return NBD_EVENT_NONE;
}

/* Ends the connection after what is in flight, or at once; `why` goes to the log. */
enum nbd_event nbd_end(struct nbd_conn *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
enum nbd_event nbd_die(struct nbd_conn *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Adds to the handshake's output. */
void nbd_text(struct nbd_conn *c, const void *bytes, size_t len);

/* Adds a reply to the output: `req->tx` and `tx_len` are set. */
void nbd_enqueue(struct nbd_conn *c, struct nbd_req *req);

/* handshake.c */
void nbd_greet(struct nbd_conn *c);
enum nbd_event nbd_greeting_next(struct nbd_conn *c);
enum nbd_event nbd_options_next(struct nbd_conn *c);

/* transmission.c */
enum nbd_event nbd_transmission_next(struct nbd_conn *c, struct nbd_req **ret);
/* All of the payload of `cur` is there: what to do with it. */
enum nbd_event nbd_payload_done(struct nbd_conn *c, struct nbd_req **ret);
/* Forgets a request and what it holds; its place in the limits is free. */
void nbd_release(struct nbd_conn *c, struct nbd_req *req);

#endif
