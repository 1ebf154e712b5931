/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop.c - an event loop: socket bytes to connections, their requests to volumes, replies back.
 *
 * One turn:
 *   1. wait for sockets, messages or completions (not at all while there is something to do);
 *   2. read from every ready socket and understand all that has come: the operations of one volume
 *      are gathered in one list, whichever connection they came from, in the order of arrival;
 *   3. submit the lists; what completes inside the submission is queued, not handled there;
 *   4. hand all completions, own and foreign, to their connections;
 *   5. send, one system call for all replies of a connection; what was held back by a limit and may
 *      go on now is understood, and steps 3 to 5 are done again until nothing more moves.
 *
 * Completions that come on other threads are pushed on a lock-free stack and wake the loop only if
 * it sleeps: it says so in `asleep` before it looks at the stack for the last time, and whoever
 * pushes looks at `asleep` afterwards, so one of the two sees the other.
 *
 * A session whose socket is gone but whose operations are not stays as a memory until they end
 * (session.fd is -1 then). A socket that hangs up is not read any more: a write whose sender is
 * known to be gone must not be applied, since a client may have sent it again elsewhere by now. A
 * Unix socket says so (EPOLLHUP). TCP only says that nothing more will come (EPOLLRDHUP), which is
 * looked for while a limit keeps us from reading: what lies unread then has waited long.
 *
 * Absent on purpose: a queue of operations here. Whatever waits, waits in the library, in order.
 */
#include "nbd/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "nbd/nbd_log.h"

#define EVENTS_MAX  64
#define IOVS_MAX    256
#define READS_MAX   4
#define TICK_MS	    1000
#define STARVED_MS  2
#define EXTENTS_MAX NBD_EXTENTS_MAX

struct message {
	struct message *next;
	void (*run)(struct loop *loop, struct message *message);
};

struct session {
	struct nbd_conn conn;
	struct loop *loop;
	struct session *prev, *next;
	struct session *dirty_next;
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
	struct message message; /* that it is new, later that the job is done */
	char peer[64];
};

/* The operations for one volume that were gathered in this turn. */
struct batch {
	struct batch *next;
	struct lsvd_volume *volume;
	struct lsvd_io *first, **end;
};

struct loop {
	struct loop_config *config;
	unsigned number;
	pthread_t thread;
	int epoll_fd, event_fd;

	/* the loop's thread only */
	struct nbd_mem mem;
	struct session *sessions;
	struct session *dirty;
	struct batch *batches;
	struct lsvd_io *done, **done_end; /* completed inside a submission */
	uint64_t now_ms, tick_ms;
	uint64_t requests_at_tick, requests;
	bool starved; /* a session waits for the shared budget */
	uint32_t inflight;
	bool stopping, ending;
	struct lsvd_status_extent extents[EXTENTS_MAX];

	/* from any thread */
	_Alignas(64) _Atomic(struct lsvd_io *) posted;
	atomic_bool asleep;
	atomic_uint load;
	atomic_bool quiet;
	pthread_mutex_t lock; /* guards the messages */
	struct message *messages, **messages_end;
	struct message stop, end;
	atomic_bool has_messages;
};

static _Thread_local struct loop *this_loop;

static uint64_t clock_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static struct session *session_of(struct nbd_conn *c)
{
	return c->user;
}

/* ---------------------------------------------------------------------- from other threads */

static void wake(struct loop *l)
{
	uint64_t one = 1;

	if (atomic_exchange(&l->asleep, false))
		(void)!write(l->event_fd, &one, sizeof one); /* full means readable: as good */
}

static void post_message(struct loop *l, struct message *message)
{
	message->next = NULL;
	pthread_mutex_lock(&l->lock);
	*l->messages_end = message;
	l->messages_end = &message->next;
	atomic_store(&l->has_messages, true);
	pthread_mutex_unlock(&l->lock);
	wake(l);
}

static void io_done(struct lsvd_io *io)
{
	struct nbd_req *req = io->user;
	struct loop *l = session_of(req->conn)->loop;

	if (l == this_loop) {
		io->next = NULL;
		*l->done_end = io;
		l->done_end = &io->next;
		return;
	}
	io->next = atomic_load_explicit(&l->posted, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&l->posted, &io->next, io))
		;
	wake(l);
}

/* ------------------------------------------------------------------------- a session's end */

static void mark(struct session *s)
{
	struct loop *l = s->loop;

	if (s->dirty)
		return;
	s->dirty = true;
	s->dirty_next = l->dirty;
	l->dirty = s;
}

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
	free(s->job.names);
	free(s);
}

/* ----------------------------------------------------------------------------- operations */

static struct batch *batch_of(struct loop *l, struct session *s)
{
	struct lsvd_volume *volume = s->conn.export.user;
	struct batch *b = s->batch;

	if (b)
		return b;
	for (b = l->batches; b && b->volume != volume; b = b->next)
		;
	if (!b) {
		b = calloc(1, sizeof *b);
		if (!b)
			return NULL;
		b->volume = volume;
		b->end = &b->first;
		b->next = l->batches;
		l->batches = b;
	}
	s->batch = b;
	return b;
}

/* True if the answer to a READ can be had without reading. */
static bool all_zero(struct session *s, const struct nbd_req *req)
{
	struct lsvd_status_extent extent = {0};

	return nbd_req_may_skip(req) &&
	       lsvd_volume_block_status(s->conn.export.user, req->off, req->len, &extent, 1) == 1 &&
	       extent.flags & LSVD_STATUS_ZERO && extent.len >= req->len;
}

static void submit(struct session *s, struct nbd_req *req)
{
	struct loop *l = s->loop;
	struct batch *b;

	if (all_zero(s, req)) {
		nbd_conn_complete_hole(&s->conn, req);
		return;
	}
	b = batch_of(l, s);
	if (!b) {
		nbd_conn_complete(&s->conn, req, -ENOMEM);
		return;
	}
	req->io.done = io_done;
	req->io.user = req;
	req->io.next = NULL;
	*b->end = &req->io;
	b->end = &req->io.next;
	l->inflight++;
	l->requests++;
}

static void block_status(struct session *s, struct nbd_req *req)
{
	struct loop *l = s->loop;
	int n = lsvd_volume_block_status(s->conn.export.user, req->off, req->len, l->extents,
					 nbd_req_status_max(req));

	nbd_conn_complete_status(&s->conn, req, l->extents, n);
}

static bool submit_batches(struct loop *l)
{
	bool any = false;

	for (struct batch *b = l->batches; b; b = b->next) {
		struct lsvd_io *list = b->first;

		if (!list)
			continue;
		b->first = NULL;
		b->end = &b->first;
		lsvd_volume_submit(b->volume, list);
		any = true;
	}
	return any;
}

static void complete(struct loop *l, struct lsvd_io *io)
{
	struct nbd_req *req = io->user;
	struct session *s = session_of(req->conn);

	l->inflight--;
	nbd_conn_complete(&s->conn, req, io->err);
	s->blocked = false;
	mark(s);
}

static struct lsvd_io *take_posted(struct loop *l)
{
	struct lsvd_io *io, *list = NULL;

	if (!atomic_load_explicit(&l->posted, memory_order_relaxed))
		return NULL;
	io = atomic_exchange(&l->posted, NULL);
	while (io) { /* the last posted is the first found: turn round */
		struct lsvd_io *next = io->next;

		io->next = list;
		list = io;
		io = next;
	}
	return list;
}

static void complete_list(struct loop *l, struct lsvd_io *io)
{
	while (io) {
		struct lsvd_io *next = io->next;

		complete(l, io);
		io = next;
	}
}

static bool take_completions(struct loop *l)
{
	struct lsvd_io *own = l->done;
	struct lsvd_io *foreign = take_posted(l);

	l->done = NULL;
	l->done_end = &l->done;
	complete_list(l, own);
	complete_list(l, foreign);
	return own || foreign;
}

/* --------------------------------------------------------------------------------- exports */

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
	mark(s);
}

/* On a thread of the exports. */
static void job_done(struct export_job *job)
{
	struct session *s = (struct session *)((char *)job - offsetof(struct session, job));

	s->message.run = on_answer;
	post_message(s->loop, &s->message);
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

/* ------------------------------------------------------------------------------------ input */

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
	mark(s);
}

/* ----------------------------------------------------------------------------------- output */

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

/* Sends, goes on where a limit held it back, ends it if it is over. May free the session. */
static void serve(struct session *s)
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
		mark(s); /* to be forgotten, now or when its last operation has ended */
		return;
	}
	if (!writable && !(s->armed & EPOLLOUT))
		s->tx_ms = s->loop->now_ms;
	if (s->conn.pause == NBD_PAUSE_SHARED)
		s->loop->starved = true;
	arm(s, input_events(s) | (writable ? 0 : (uint32_t)EPOLLOUT));
}

static bool serve_dirty(struct loop *l)
{
	struct session *list = l->dirty;
	bool any = list != NULL;

	l->dirty = NULL;
	while (list) {
		struct session *s = list;

		list = s->dirty_next;
		s->dirty = false;
		serve(s);
	}
	return any;
}

/* -------------------------------------------------------------------------------- messages */

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
	mark(s);
}

static void on_stop(struct loop *l, struct message *message)
{
	(void)message;
	l->stopping = true;
	for (struct session *s = l->sessions; s; s = s->next)
		nbd_conn_stop(&s->conn);
}

static void on_end(struct loop *l, struct message *message)
{
	(void)message;
	l->ending = true;
	for (struct session *s = l->sessions; s; s = s->next) {
		if (s->fd >= 0)
			(void)send_all(s); /* what does not fit now will not be sent */
		hang_up(s);
		mark(s);
	}
}

static bool take_messages(struct loop *l)
{
	struct message *list;

	if (!atomic_load(&l->has_messages))
		return false;
	pthread_mutex_lock(&l->lock);
	list = l->messages;
	l->messages = NULL;
	l->messages_end = &l->messages;
	atomic_store(&l->has_messages, false);
	pthread_mutex_unlock(&l->lock);
	while (list) {
		struct message *message = list;

		list = message->next;
		message->run(l, message);
	}
	return true;
}

/* ------------------------------------------------------------------------------------ time */

static void check_time(struct loop *l, struct session *s)
{
	struct nbd_conn *c = &s->conn;
	uint64_t now = l->now_ms, stall = l->config->stall_ms;

	if (s->fd < 0)
		return;
	if (c->phase < NBD_PHASE_TRANSMISSION && !c->asking && now > s->deadline_ms)
		nbd_conn_kill(c, "no export was chosen in time");
	else if (s->armed & EPOLLOUT && now - s->tx_ms > stall)
		nbd_conn_kill(c, "the client takes no replies");
	else if (c->cur && nbd_conn_reads(c) && c->bytes > NBD_RESERVE_BYTES &&
		 now - s->rx_ms > stall)
		nbd_conn_kill(c, "the client does not send the rest of a large write");
	else
		return;
	mark(s);
}

static void tick(struct loop *l)
{
	if (l->now_ms < l->tick_ms)
		return;
	l->tick_ms = l->now_ms + TICK_MS;
	for (struct session *s = l->sessions; s; s = s->next)
		check_time(l, s);
	if (l->requests == l->requests_at_tick && !l->inflight)
		nbd_mem_trim(&l->mem);
	l->requests_at_tick = l->requests;
}

/* Those who wait for the budget of all look again whether there is some. */
static void retry_starved(struct loop *l)
{
	if (!l->starved)
		return;
	l->starved = false;
	for (struct session *s = l->sessions; s; s = s->next)
		if (s->conn.pause == NBD_PAUSE_SHARED)
			mark(s);
}

/* ------------------------------------------------------------------------------------ turns */

static bool has_work(struct loop *l)
{
	return atomic_load(&l->posted) || atomic_load(&l->has_messages);
}

/* Looks for work without sleeping, for a while; -1 if there is none. */
static int spin(struct loop *l, struct epoll_event *events)
{
	uint64_t end = clock_us() + l->config->poll_us;
	int n;

	do {
		n = epoll_wait(l->epoll_fd, events, EVENTS_MAX, 0);
		if (n > 0 || has_work(l))
			return n > 0 ? n : 0;
	} while (clock_us() < end);
	return -1;
}

static int wait_for_work(struct loop *l, struct epoll_event *events)
{
	int timeout = l->starved ? STARVED_MS : l->sessions ? TICK_MS : -1;
	int n = l->config->poll_us ? spin(l, events) : -1;

	if (n >= 0)
		return n;
	atomic_store(&l->asleep, true);
	if (has_work(l))
		timeout = 0;
	n = epoll_wait(l->epoll_fd, events, EVENTS_MAX, timeout);
	atomic_store(&l->asleep, false);
	return n > 0 ? n : 0; /* EINTR cannot be: signals go to a thread of their own */
}

static void on_event(struct loop *l, const struct epoll_event *event)
{
	struct session *s = event->data.ptr;
	uint64_t n;

	if (!s) {
		(void)!read(l->event_fd, &n, sizeof n); /* EAGAIN: was read before */
		return;
	}
	if (event->events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR))
		nbd_conn_kill(&s->conn, nbd_conn_idle(&s->conn) && !nbd_conn_midway(&s->conn)
						? ""
						: "the client hung up with requests open");
	else if (event->events & EPOLLIN)
		read_some(s);
	mark(s);
}

/* Steps 3 to 5, until nothing moves. */
static void work(struct loop *l)
{
	bool moved;

	do {
		moved = submit_batches(l);
		moved |= take_completions(l);
		moved |= serve_dirty(l);
	} while (moved);
	atomic_store(&l->quiet, l->stopping && !l->inflight);
}

static void *run(void *arg)
{
	struct epoll_event events[EVENTS_MAX];
	struct loop *l = arg;

	this_loop = l;
	while (!l->ending || l->sessions) {
		int n = wait_for_work(l, events);

		l->now_ms = clock_us() / 1000;
		for (int i = 0; i < n; i++)
			on_event(l, &events[i]);
		(void)take_messages(l);
		retry_starved(l);
		tick(l);
		work(l);
	}
	return NULL;
}

/* ---------------------------------------------------------------------------- from outside */

static void free_loop(struct loop *l)
{
	while (l->batches) {
		struct batch *b = l->batches;

		l->batches = b->next;
		free(b);
	}
	nbd_mem_fini(&l->mem);
	if (l->epoll_fd >= 0)
		(void)close(l->epoll_fd);
	if (l->event_fd >= 0)
		(void)close(l->event_fd);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static int set_up(struct loop *l)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->epoll_fd < 0 || l->event_fd < 0)
		return -errno;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->event_fd, &event) < 0)
		return -errno;
	return -pthread_create(&l->thread, NULL, run, l);
}

int loop_start(struct loop **ret, struct loop_config *config, unsigned number)
{
	struct loop *l = aligned_alloc(64, (sizeof *l + 63) / 64 * 64);
	char name[16];
	int err;

	if (!l)
		return -ENOMEM;
	memset(l, 0, sizeof *l);
	l->config = config;
	l->number = number;
	l->done_end = &l->done;
	l->messages_end = &l->messages;
	nbd_mem_init(&l->mem, &config->budget);
	(void)pthread_mutex_init(&l->lock, NULL); /* with default attributes it cannot fail */
	err = set_up(l);
	if (err < 0) {
		free_loop(l);
		return err;
	}
	(void)snprintf(name, sizeof name, "nbd-loop-%u", number % 1000);
	(void)pthread_setname_np(l->thread, name); /* only for people who look */
	*ret = l;
	return 0;
}

void loop_add(struct loop *l, int fd, const char *peer)
{
	struct session *s = calloc(1, sizeof *s);

	if (!s) {
		(void)close(fd); /* the client sees the end, nothing was promised */
		return;
	}
	s->fd = fd;
	s->loop = l;
	(void)snprintf(s->peer, sizeof s->peer, "%s", peer);
	s->message.run = on_newcomer;
	atomic_fetch_add(&l->config->connections, 1);
	atomic_fetch_add(&l->load, 1);
	post_message(l, &s->message);
}

unsigned loop_load(const struct loop *l)
{
	return atomic_load(&l->load);
}

void loop_stop(struct loop *l)
{
	l->stop.run = on_stop;
	post_message(l, &l->stop);
}

bool loop_quiet(const struct loop *l)
{
	return atomic_load(&l->quiet);
}

void loop_end(struct loop *l)
{
	if (!l)
		return;
	l->end.run = on_end;
	post_message(l, &l->end);
	(void)pthread_join(l->thread, NULL); /* fails only for a thread that is none */
	free_loop(l);
}
