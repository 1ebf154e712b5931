/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_conn.h - one NBD connection as a pure state machine: bytes in, events out, replies to send.
 *
 * Nothing here reads, writes, waits, knows the time or starts anything. The host (the event loop,
 * a test, a fuzzer) moves the bytes and does what the events ask for:
 *
 *   n = nbd_conn_rx(c, iov)           where the next bytes belong; 0: read nothing now
 *   … readv(fd, iov, n) …
 *   nbd_conn_received(c, bytes)
 *   while ((event = nbd_conn_next(c, &req)))
 *           LOOKUP  find c->lookup.name, then nbd_conn_answer()
 *           LIST    nbd_conn_list() for each export, then nbd_conn_list_end()
 *           SUBMIT  run req->io, then nbd_conn_complete()
 *           STATUS  ask for the block status, then nbd_conn_complete_status()
 *   n = nbd_conn_tx(c, iov, max)      what to send
 *   … sendmsg(fd, iov, n) …
 *   nbd_conn_sent(c, bytes)
 *   if (nbd_conn_finished(c)) close
 *
 * The answers may come at once or much later and requests may be completed in any order. After
 * nbd_conn_sent() or an answer, ask nbd_conn_next() again: bytes may lie in the buffer whose turn
 * has come.
 *
 * Phases:
 *   GREETING      client flags are awaited              -> OPTIONS
 *   OPTIONS       option haggling                       -> LOOKUP, TRANSMISSION, CLOSING
 *   LOOKUP        the host looks for an export          -> OPTIONS, TRANSMISSION, CLOSING
 *   TRANSMISSION  requests and replies                  -> CLOSING
 *   CLOSING       nothing is read; what is in flight is answered, then the end
 *   DEAD          broken or abandoned: nothing more is read or sent
 * Any phase may go to DEAD; nothing leaves it.
 *
 * Invariants:
 *  (1) head <= tail <= NBD_CHUNK_ROOM; the bytes between are received and not yet understood.
 *  (2) A request is in exactly one place: being received (`cur`), with the host, or in the output
 *      queue; it counts in `inflight` and its payload in `bytes` in all three.
 *  (3) A WRITE is given to the host only when all of its payload is there, and requests are given
 *      in the order in which they came.
 *  (4) A connection holds at most limits->bytes of payload (or one request, if it is alone) and
 *      NBD_CHUNKS_MAX chunks; else it reads no more until replies have been sent.
 */
#ifndef NBD_CONN_H
#define NBD_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <lsvd/volume.h>

#include "nbd/nbd_mem.h"
#include "nbd/nbd_proto.h"

#define NBD_CHUNKS_MAX 16u
/* A reply's header, or a whole reply that carries no data. */
#define NBD_HEAD_MAX 128u
/* Extents in one reply to BLOCK_STATUS. */
#define NBD_EXTENTS_MAX 2048u

/* The longest name of an export: of a volume, @, and of a snapshot. */
#define NBD_NAME_MAX (2 * LSVD_NAME_MAX + 1)

enum nbd_phase {
	NBD_PHASE_GREETING,
	NBD_PHASE_OPTIONS,
	NBD_PHASE_LOOKUP,
	NBD_PHASE_TRANSMISSION,
	NBD_PHASE_CLOSING,
	NBD_PHASE_DEAD
};

enum nbd_event {
	NBD_EVENT_NONE = 0, /* more bytes are needed, or replies must leave first */
	NBD_EVENT_LOOKUP,
	NBD_EVENT_LIST,
	NBD_EVENT_SUBMIT,
	NBD_EVENT_STATUS,
	NBD_EVENT_AGAIN /* never seen by the host: something was understood, go on */
};

/* Why nbd_conn_next() says NONE though bytes lie in the buffer. */
enum nbd_pause {
	NBD_PAUSE_NO = 0,
	NBD_PAUSE_OWN,	 /* own limits: goes on when replies have been sent */
	NBD_PAUSE_SHARED /* the budget of all: goes on when others have been served */
};

/* What the protocol has to know of an export. */
struct nbd_export {
	char name[NBD_NAME_MAX + 1];
	char description[96];
	uint64_t bytes;
	bool readonly;
	void *user; /* the host's */
};

struct nbd_limits {
	uint32_t options;  /* in one handshake */
	uint32_t inflight; /* requests of one connection */
	uint64_t bytes;	   /* their payload */
};

struct nbd_conn;

struct nbd_req {
	struct lsvd_io io; /* filled in for SUBMIT but for `done` and `user` */
	struct iovec iov;
	struct nbd_conn *conn;
	struct nbd_req *next; /* free list, output queue */
	uint64_t cookie;
	uint64_t off;
	uint32_t len;
	uint16_t type;
	uint16_t flags;
	uint32_t charged;	 /* payload bytes counted against the limits */
	uint32_t error;		 /* NBD error decided before the payload was there */
	const char *text;	 /* its explanation; static */
	struct nbd_chunk *chunk; /* that holds the payload, or NULL */
	void *buf;		 /* of nbd_buf_get(), or NULL */
	const uint8_t *tx;	 /* the reply, in `head` or in `buf` and its headroom */
	size_t tx_len;
	uint8_t head[NBD_HEAD_MAX];
};

/* The question that LOOKUP asks. */
struct nbd_lookup {
	uint32_t option;	      /* that asked */
	bool open;		      /* the client means to use it, not just to know of it */
	char name[NBD_NAME_MAX + 1]; /* "": the default export */
	/* what to tell */
	bool want_name, want_description;
	bool want_allocation; /* base:allocation was asked for, or everything */
};

struct nbd_conn {
	struct nbd_mem *mem;
	const struct nbd_limits *limits;
	void *user; /* the host's */

	enum nbd_phase phase;
	enum nbd_pause pause;
	bool stopping;
	bool asking;   /* LOOKUP or LIST has not been answered yet */
	char why[128]; /* why CLOSING or DEAD, for the log; "" for an ordinary end */

	/* input */
	struct nbd_chunk *chunk; /* NULL while nothing is buffered */
	uint32_t head, tail;
	uint32_t want;	     /* bytes from head on that make the next whole thing */
	uint32_t chunks;     /* held: the current one and those pinned by requests */
	bool bulk;	     /* payloads come past the chunk: read little ahead of them */
	struct nbd_req *cur; /* whose payload is being received, or dropped */
	uint32_t cur_got;

	/* output: first `text` (the handshake's), then the replies */
	uint8_t *text;
	size_t text_len, text_sent, text_room;
	struct nbd_req *out, **out_end;
	size_t out_sent; /* of the first */

	/* handshake */
	uint32_t client_flags;
	uint32_t options; /* so far */
	bool structured;
	bool allocation; /* base:allocation is selected, for `allocation_of` */
	char allocation_of[NBD_NAME_MAX + 1];
	struct nbd_lookup lookup;

	/* transmission */
	struct nbd_export export;
	uint32_t inflight;
	uint64_t bytes;

	uint64_t requests; /* understood so far */
};

/* Starts a connection: the greeting lies ready to be sent. `limits` must outlive it. */
void nbd_conn_init(struct nbd_conn *c, struct nbd_mem *mem, const struct nbd_limits *limits);

/* Frees what the connection holds. No request may be with the host (nbd_conn_gone()). */
void nbd_conn_fini(struct nbd_conn *c);

/* Where the next bytes belong, at most two pieces; 0 while nothing is to be read. */
int nbd_conn_rx(struct nbd_conn *c, struct iovec iov[2]);
void nbd_conn_received(struct nbd_conn *c, size_t bytes);

/* The client has ended its sending side. What is complete has been or will be answered. */
void nbd_conn_eof(struct nbd_conn *c);

/* The next thing to do; `*ret` is set for SUBMIT and STATUS. */
enum nbd_event nbd_conn_next(struct nbd_conn *c, struct nbd_req **ret);

/*
 * Answers LOOKUP: with the export, or with NULL and the error reply (NBD_REP_ERR_…) and its text.
 */
void nbd_conn_answer(struct nbd_conn *c, const struct nbd_export *export, uint32_t error,
		     const char *text);

/* Answers LIST: one call for each name, then list_end; `error` 0 or NBD_REP_ERR_…. */
void nbd_conn_list(struct nbd_conn *c, const char *name);
void nbd_conn_list_end(struct nbd_conn *c, uint32_t error, const char *text);

/* Answers SUBMIT: `err` is 0 or a negative code of the library. */
void nbd_conn_complete(struct nbd_conn *c, struct nbd_req *req, int err);

/* Answers SUBMIT of a READ for which nbd_req_may_skip() holds: all of it is zeroes. */
void nbd_conn_complete_hole(struct nbd_conn *c, struct nbd_req *req);
bool nbd_req_may_skip(const struct nbd_req *req);

/* Answers STATUS: `count` extents from the request's offset on; a negative `count` is an error. */
void nbd_conn_complete_status(struct nbd_conn *c, struct nbd_req *req,
			      const struct lsvd_status_extent *extents, int count);
/* How many extents the reply may carry. */
size_t nbd_req_status_max(const struct nbd_req *req);

/* What to send next, at most `max` pieces; 0: nothing. */
int nbd_conn_tx(const struct nbd_conn *c, struct iovec *iov, int max);
void nbd_conn_sent(struct nbd_conn *c, size_t bytes);

/* From now on requests are answered with ESHUTDOWN and options with ERR_SHUTDOWN. */
void nbd_conn_stop(struct nbd_conn *c);

/* Ends it at once. Replies not sent are dropped, bytes not understood are forgotten. */
void nbd_conn_kill(struct nbd_conn *c, const char *why);

/* True if all has been said: the socket may be closed. */
bool nbd_conn_finished(const struct nbd_conn *c);
/* True if no request is with the host and nothing waits to be sent. */
bool nbd_conn_idle(const struct nbd_conn *c);
/* True if no request is with the host and no lookup is: the connection may be freed. */
bool nbd_conn_gone(const struct nbd_conn *c);
/* True if a request has been received in part. */
bool nbd_conn_midway(const struct nbd_conn *c);
/* True if bytes are wanted from the client now (nbd_conn_rx() may still lack the memory). */
bool nbd_conn_reads(const struct nbd_conn *c);

#endif
