/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop.c - the turns of an event loop: sockets that are ready, operations to volumes, completions.
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
 * What a session does with all this is in session.c.
 *
 * Absent on purpose: a queue of operations here. Whatever waits, waits in the library, in order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "nbd/session.h"

#define EVENTS_MAX 64
#define TICK_MS	   1000
#define STARVED_MS 2

static _Thread_local struct loop *this_loop;

static uint64_t clock_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ------------------------------------------------------------------------- from other threads */

static void wake(struct loop *l)
{
	uint64_t one = 1;

	if (atomic_exchange(&l->asleep, false))
		(void)!write(l->event_fd, &one, sizeof one); /* full means readable: as good */
}

void loop_post(struct loop *l, struct message *message)
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

/* --------------------------------------------------------------------------------- operations */

struct batch *loop_batch(struct loop *l, struct lsvd_volume *volume)
{
	struct batch *b;

	for (b = l->batches; b && b->volume != volume; b = b->next)
		;
	if (b)
		return b;
	b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	b->volume = volume;
	b->end = &b->first;
	b->next = l->batches;
	l->batches = b;
	return b;
}

void loop_gather(struct loop *l, struct batch *b, struct lsvd_io *io)
{
	io->done = io_done;
	io->next = NULL;
	*b->end = io;
	b->end = &io->next;
	l->inflight++;
	l->requests++;
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
		struct nbd_req *req = io->user;

		l->inflight--;
		session_complete(session_of(req->conn), io);
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

/* ----------------------------------------------------------------------------------- sessions */

void loop_mark(struct loop *l, struct session *s)
{
	if (s->dirty)
		return;
	s->dirty = true;
	s->dirty_next = l->dirty;
	l->dirty = s;
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
		session_serve(s);
	}
	return any;
}

/* ----------------------------------------------------------------------------------- messages */

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
	for (struct session *s = l->sessions; s; s = s->next)
		session_finish(s);
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

/* --------------------------------------------------------------------------------------- time */

static void tick(struct loop *l)
{
	if (l->now_ms < l->tick_ms)
		return;
	l->tick_ms = l->now_ms + TICK_MS;
	for (struct session *s = l->sessions; s; s = s->next)
		session_check_time(s);
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
			loop_mark(s->loop, s);
}

/* -------------------------------------------------------------------------------------- turns */

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
	uint64_t n;

	if (event->data.ptr)
		session_event(event->data.ptr, event->events);
	else
		(void)!read(l->event_fd, &n, sizeof n); /* EAGAIN: was read before */
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

/* ------------------------------------------------------------------------------- from outside */

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
	struct session *s = session_new(l, fd, peer);

	if (!s)
		return;
	atomic_fetch_add(&l->config->connections, 1);
	atomic_fetch_add(&l->load, 1);
	loop_post(l, &s->message);
}

unsigned loop_load(const struct loop *l)
{
	return atomic_load(&l->load);
}

void loop_stop(struct loop *l)
{
	l->stop.run = on_stop;
	loop_post(l, &l->stop);
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
	loop_post(l, &l->end);
	(void)pthread_join(l->thread, NULL); /* fails only for a thread that is none */
	free_loop(l);
}
