/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session.h - one client of a loop: its socket and its connection, from the first byte to the last.
 *
 * All of it runs on the loop's thread but for session_new().
 */
#ifndef NBD_SESSION_H
#define NBD_SESSION_H

#include "nbd/loop_inner.h"

struct session {
	struct nbd_conn conn;
	struct loop *loop;
	struct session *prev, *next;
	struct session *dirty_next; /* the loop's: who is to be served in this turn */
	bool dirty;
	bool blocked; /* there was no memory to read into; some comes back with a reply */
	bool tcp;
	int fd;			/* -1: closed */
	uint32_t armed;		/* epoll events */
	uint64_t deadline_ms;	/* of the handshake; moves on while the server is asked */
	uint64_t asked_ms;	/* when an export was asked for */
	uint64_t rx_ms, tx_ms;	/* last time that bytes came, and that none waited or some left */
	struct batch *batch;	/* of its export */
	struct export_job job;	/* conn.asking: with the exports, or on its way back */
	bool holds;		/* job.export is open, and to be given back */
	struct message message; /* that it is new, later that the job is done */
	char peer[64];
};

static inline struct session *session_of(struct nbd_conn *c)
{
	return c->user;
}

/* A session for the connected socket `fd`, which is closed if there is no memory (NULL). */
struct session *session_new(struct loop *loop, int fd, const char *peer);

/* The socket is ready for `events` of epoll(7). */
void session_event(struct session *session, uint32_t events);

/* One of its operations has ended. */
void session_complete(struct session *session, struct lsvd_io *io);

/* Sends, goes on where a limit held it back, ends it if it is over. May free the session. */
void session_serve(struct session *session);

/* Ends it if its client takes longer than it may. */
void session_check_time(struct session *session);

/* The end of the loop: sends what the socket takes at once, and hangs up. */
void session_finish(struct session *session);

#endif
