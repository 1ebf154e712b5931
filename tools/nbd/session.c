/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session.c - one client: bytes of its socket to its connection, what that asks for to the loop and
 * the exports, replies back.
 *
 * Life: new (on the thread that accepted it) -> joins its loop by a message -> served whenever it
 * is marked -> hung up (fd is -1) -> forgotten when nobody else knows it any more: a session whose
 * socket is gone but whose operations or question are not stays as a memory until they end.
 *
 * A socket that hangs up is not read any more: a write whose sender is known to be gone must not be
 * applied, since a client may have sent it again elsewhere by now. A Unix socket says so
 * (EPOLLHUP). TCP only says that nothing more will come (EPOLLRDHUP), which is looked for while a
 * limit keeps us from reading: what lies unread then has waited long.
 */
#include "nbd/session.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbd/nbd_log.h"

#define IOVS_MAX  256
#define READS_MAX 4

/* ------------------------------------------------------------------------------------ its end */

/* A socket that fails. Before a client has chosen an export, nothing is lost that anybody would
 * miss. */
static void fail(struct session *s, int error)
{
	bool matters = s->conn.phase == NBD_PHASE_TRANSMISSION;

	nbd_conn_kill(&s->conn, matters ? strerrordesc_np(error) : "");
}

static void hang_up(struct session *s)
{
	char why[128];

	if (s->fd < 0)
		return;
	if (s->conn.why[0])
		log_limited(LSVD_LOG_INFO, "%s: %s", s->peer,
			    log_clean(why, sizeof why, s->conn.why));
	else
		log_limited(LSVD_LOG_DEBUG, "%s: disconnected", s->peer);
	(void)close(s->fd); /* nothing was written through it that could be lost */
	s->fd = -1;
	nbd_conn_kill(&s->conn, "");
	atomic_fetch_sub(&s->loop->config->connections, 1);
	atomic_fetch_sub(&s->loop->load, 1);
	if (s->loop->config->closed)
		s->loop->config->closed();
}

static void forget(struct session *s)
{
	if (s->next)
		s->next->prev = s->prev;
	if (s->prev)
		s->prev->next = s->next;
	else
		s->loop->sessions = s->next;
	nbd_conn_fini(&s->conn);
	if (s->holds)
		exports_release(&s->job.export);
	free(s->job.names);
	free(s);
}

/* --------------------------------------------------------------------------------- operations */

static struct batch *batch_of(struct session *s)
{
	if (!s->batch)
		s->batch = loop_batch(s->loop, exports_volume(&s->conn.export));
	return s->batch;
}

/* True if the answer to a READ can be had without reading. */
static bool all_zero(struct session *s, const struct nbd_req *req)
{
	struct lsvd_status_extent extent = {0};

	return nbd_req_may_skip(req) &&
	       lsvd_volume_block_status_known(exports_volume(&s->conn.export), req->off,
					      req->len, &extent, 1) == 1 &&
	       extent.flags & LSVD_STATUS_ZERO && extent.len >= req->len;
}

static void submit(struct session *s, struct nbd_req *req)
{
	struct batch *b;

	if (all_zero(s, req)) {
		nbd_conn_complete_hole(&s->conn, req);
		return;
	}
	b = batch_of(s);
	if (!b) {
		nbd_conn_complete(&s->conn, req, -ENOMEM);
		return;
	}
	req->io.user = req;
	loop_gather(s->loop, b, &req->io);
}

/* False if the map has to be brought first. */
static bool answer_status(struct session *s, struct nbd_req *req)
{
	struct loop *l = s->loop;
	int n = lsvd_volume_block_status_known(exports_volume(&s->conn.export), req->off,
					       req->len, l->extents, nbd_req_status_max(req));

	if (n == 0)
		return false;
	nbd_conn_complete_status(&s->conn, req, l->extents, n);
	return true;
}

static void bring_map(struct session *s, struct nbd_req *req)
{
	struct batch *b = batch_of(s);

	if (!b) {
		nbd_conn_complete_status(&s->conn, req, NULL, -ENOMEM);
		return;
	}
	req->io = (struct lsvd_io){.kind = LSVD_IO_MAP,
				   .off = req->off,
				   .len = req->len,
				   .done = req->io.done,
				   .user = req};
	loop_gather(s->loop, b, &req->io);
}

static void block_status(struct session *s, struct nbd_req *req)
{
	if (!answer_status(s, req))
		bring_map(s, req);
}

static void complete_map(struct session *s, struct nbd_req *req, int err)
{
	if (err)
		nbd_conn_complete_status(&s->conn, req, NULL, err);
	else
		block_status(s, req);
}

void session_complete(struct session *s, struct lsvd_io *io)
{
	if (io->kind == LSVD_IO_MAP)
		complete_map(s, io->user, io->err);
	else
		nbd_conn_complete(&s->conn, io->user, io->err);
	s->blocked = false;
	loop_mark(s->loop, s);
}

/* ------------------------------------------------------------------------------------ exports */

static void give_answer(struct session *s)
{
	struct export_job *job = &s->job;
	struct nbd_conn *c = &s->conn;
	uint32_t error = job->err == -ESHUTDOWN ? NBD_REP_ERR_SHUTDOWN : NBD_REP_ERR_UNKNOWN;
	const char *text =
		job->err == -ENOENT ? "there is no such volume" : lsvd_strerror(job->err);

	s->deadline_ms += s->loop->now_ms - s->asked_ms;
	if (job->ask == EXPORT_LIST) {
		for (size_t i = 0; !job->err && i < job->count; i++)
			nbd_conn_list(c, job->names[i]);
		nbd_conn_list_end(c, job->err ? error : 0, text);
		free(job->names);
		job->names = NULL;
		return;
	}
	s->holds = job->ask == EXPORT_OPEN && !job->err;
	nbd_conn_answer(c, job->err ? NULL : &job->export, error, text);
	if (c->phase == NBD_PHASE_TRANSMISSION)
		log_limited(LSVD_LOG_DEBUG, "%s: serving %s", s->peer, c->export.name);
}

static struct session *session_of_message(struct message *message)
{
	return (struct session *)((char *)message - offsetof(struct session, message));
}

static void on_answer(struct loop *l, struct message *message)
{
	struct session *s = session_of_message(message);

	(void)l;
	give_answer(s);
	loop_mark(s->loop, s);
}

/* On a thread of the exports. */
static void job_done(struct export_job *job)
{
	struct session *s = (struct session *)((char *)job - offsetof(struct session, job));

	s->message.run = on_answer;
	loop_post(s->loop, &s->message);
}

static void ask(struct session *s, enum export_ask ask)
{
	s->asked_ms = s->loop->now_ms;
	s->job.ask = ask;
	s->job.done = job_done;
	memcpy(s->job.name, s->conn.lookup.name, sizeof s->job.name);
	if (exports_ask(s->loop->config->exports, &s->job))
		give_answer(s);
}

/* -------------------------------------------------------------------------------------- input */

static void understand(struct session *s)
{
	enum nbd_event event;
	struct nbd_req *req;

	while ((event = nbd_conn_next(&s->conn, &req))) {
		if (event == NBD_EVENT_SUBMIT)
			submit(s, req);
		else if (event == NBD_EVENT_STATUS)
			block_status(s, req);
		else if (event == NBD_EVENT_LIST)
			ask(s, EXPORT_LIST);
		else
			ask(s, s->conn.lookup.open ? EXPORT_OPEN : EXPORT_LOOK);
	}
}

/* Reads once; true if there may be more. */
static bool read_once(struct session *s)
{
	struct iovec iov[2];
	struct msghdr msg = {.msg_iov = iov};
	size_t room = 0;
	ssize_t n;

	msg.msg_iovlen = (size_t)nbd_conn_rx(&s->conn, iov);
	s->blocked = msg.msg_iovlen == 0 && nbd_conn_reads(&s->conn);
	if (!msg.msg_iovlen)
		return false;
	for (size_t i = 0; i < msg.msg_iovlen; i++)
		room += iov[i].iov_len;
	n = recvmsg(s->fd, &msg, MSG_DONTWAIT);
	if (n > 0) {
		nbd_conn_received(&s->conn, (size_t)n);
		s->rx_ms = s->loop->now_ms;
	} else if (n == 0) {
		nbd_conn_eof(&s->conn);
	} else if (errno != EAGAIN && errno != EINTR) {
		fail(s, errno);
	}
	return n > 0 && (size_t)n == room;
}

static void read_some(struct session *s)
{
	bool more = true;

	for (int i = 0; more && i < READS_MAX; i++) {
		more = read_once(s);
		understand(s);
	}
	loop_mark(s->loop, s);
}

void session_event(struct session *s, uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR))
		nbd_conn_kill(&s->conn, nbd_conn_idle(&s->conn) && !nbd_conn_midway(&s->conn)
						? ""
						: "the client hung up with requests open");
	else if (events & EPOLLIN)
		read_some(s);
	loop_mark(s->loop, s);
}

/* ------------------------------------------------------------------------------------- output */

/* Sends what there is; false if the socket takes no more now. */
static bool send_all(struct session *s)
{
	struct iovec iov[IOVS_MAX];
	struct msghdr msg = {.msg_iov = iov};
	ssize_t n;

	for (;;) {
		msg.msg_iovlen = (size_t)nbd_conn_tx(&s->conn, iov, IOVS_MAX);
		if (!msg.msg_iovlen)
			return true;
		n = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0 && errno != EINTR) {
			fail(s, errno);
			return true;
		}
		if (n > 0) {
			nbd_conn_sent(&s->conn, (size_t)n);
			s->tx_ms = s->loop->now_ms;
			s->blocked = false;
		}
	}
}

static void arm(struct session *s, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = s};

	if (events == s->armed)
		return;
	s->armed = events;
	if (epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_MOD, s->fd, &event) < 0)
		fail(s, errno);
}

/* True if bytes lie in the buffer whose turn may have come. */
static bool resumable(const struct session *s)
{
	return s->conn.pause || (nbd_conn_reads(&s->conn) && s->conn.head != s->conn.tail);
}

static bool has_output(const struct session *s)
{
	struct iovec iov;

	return nbd_conn_tx(&s->conn, &iov, 1) > 0;
}

static uint32_t input_events(const struct session *s)
{
	if (nbd_conn_reads(&s->conn) && !s->blocked)
		return EPOLLIN;
	return s->tcp && s->conn.phase == NBD_PHASE_TRANSMISSION ? EPOLLRDHUP : 0;
}

void session_serve(struct session *s)
{
	bool writable;

	if (s->fd < 0) {
		if (nbd_conn_gone(&s->conn))
			forget(s);
		return;
	}
	do {
		writable = send_all(s);
		if (resumable(s))
			understand(s);
	} while (writable && has_output(s));
	if (nbd_conn_finished(&s->conn)) {
		hang_up(s);
		loop_mark(s->loop, s); /* to be forgotten when its last operation has ended */
		return;
	}
	if (!writable && !(s->armed & EPOLLOUT))
		s->tx_ms = s->loop->now_ms;
	if (s->conn.pause == NBD_PAUSE_SHARED)
		s->loop->starved = true;
	arm(s, input_events(s) | (writable ? 0 : (uint32_t)EPOLLOUT));
}

void session_finish(struct session *s)
{
	if (s->fd >= 0)
		(void)send_all(s); /* what does not fit now will not be sent */
	hang_up(s);
	loop_mark(s->loop, s);
}

/* --------------------------------------------------------------------------------------- time */

void session_check_time(struct session *s)
{
	struct nbd_conn *c = &s->conn;
	uint64_t now = s->loop->now_ms, stall = s->loop->config->stall_ms;

	if (s->fd < 0)
		return;
	if (s->holds && exports_is_gone(&s->job.export))
		nbd_conn_kill(c, "the volume was deleted");
	else if (c->phase < NBD_PHASE_TRANSMISSION && !c->asking && now > s->deadline_ms)
		nbd_conn_kill(c, "no export was chosen in time");
	else if (s->armed & EPOLLOUT && now - s->tx_ms > stall)
		nbd_conn_kill(c, "the client takes no replies");
	else if (c->cur && nbd_conn_reads(c) && c->bytes > NBD_RESERVE_BYTES &&
		 now - s->rx_ms > stall)
		nbd_conn_kill(c, "the client does not send the rest of a large write");
	else
		return;
	loop_mark(s->loop, s);
}

/* ------------------------------------------------------------------------------ its beginning */

static bool is_tcp(int fd)
{
	int domain = AF_UNIX;
	socklen_t len = sizeof domain;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain != AF_UNIX;
}

static void on_newcomer(struct loop *l, struct message *message)
{
	struct session *s = session_of_message(message);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};

	nbd_conn_init(&s->conn, &l->mem, &l->config->limits);
	s->conn.user = s;
	s->tcp = is_tcp(s->fd);
	s->armed = EPOLLIN;
	s->rx_ms = s->tx_ms = l->now_ms;
	s->deadline_ms = l->now_ms + l->config->handshake_ms;
	s->next = l->sessions;
	if (s->next)
		s->next->prev = s;
	l->sessions = s;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, s->fd, &event) < 0)
		fail(s, errno);
	if (l->stopping)
		nbd_conn_stop(&s->conn);
	loop_mark(s->loop, s);
}

struct session *session_new(struct loop *l, int fd, const char *peer)
{
	struct session *s = calloc(1, sizeof *s);

	if (!s) {
		(void)close(fd); /* the client sees the end, nothing was promised */
		return NULL;
	}
	s->fd = fd;
	s->loop = l;
	(void)snprintf(s->peer, sizeof s->peer, "%s", peer);
	s->message.run = on_newcomer;
	return s;
}
