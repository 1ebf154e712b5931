/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.c - control sockets: one thread that accepts for all of them, one for each who is talked
 * to.
 *
 * Life of a point:  LISTENING -> QUIET      control_quiet(): the socket is gone, no request begins
 *                   QUIET -> (freed)        control_forget(): the last talk has ended
 *
 * A talk is one connection: requests are answered one after the other until the client hangs up, or
 * a whole request has not come within REQUEST_MS, or the point is quiet. The client is not trusted
 * with anything but the volume: a line has a longest length, replies that nobody takes are given up
 * after REPLY_MS, progress that does not fit into the socket is dropped, and there are TALKS_MAX
 * talks at most; who comes then is told so and must come again.
 *
 * The lock guards the lists and the counts; it is never held in a call that waits.
 *
 * A request that has begun goes on when its client has gone: a snapshot half asked for is none.
 */
#include "nbd/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/control_addr.h"
#include "common/verbs.h"
#include "nbd/nbd_log.h"

#define TALKS_MAX  16u
#define BACKLOG	   16
#define REQUEST_MS 10000
#define REPLY_MS   10000
#define QUIET_S	   10
#define RETRY_MS   100
#define EVENTS_MAX 16

struct talk {
	struct talk *next;
	struct control_point *point;
	int fd;
	size_t len;		    /* bytes in `line` */
	char line[CONTROL_LINE_MAX];
};

struct control_point {
	struct control *control;
	struct control_point *next; /* of those the accepting thread may meet */
	struct lsvd_volume *volume;
	struct control_host host;
	int dir_fd, listen_fd;
	atomic_bool quiet;
	/* protected by control->lock */
	struct talk *talks;
};

struct control {
	int epoll_fd, event_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t ended;	      /* a talk has ended */
	/* protected by the lock */
	struct control_point *points; /* listening */
	unsigned talks;
};

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---------------------------------------------------------------------------------- one talk */

/* Waits until the socket is ready; false at the deadline. */
static bool wait_for(int fd, short events, int64_t end_ms)
{
	struct pollfd p = {fd, events, 0};
	int64_t left = end_ms - now_ms();

	return left > 0 && poll(&p, 1, (int)left) > 0;
}

/* Sends all of it; false if the client does not take it in time, or is gone. */
static bool send_all(int fd, const char *data, size_t len)
{
	int64_t end = now_ms() + REPLY_MS;

	while (len) {
		ssize_t n = send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (errno != EAGAIN || !wait_for(fd, POLLOUT, end)) {
			return false;
		}
	}
	return true;
}

/* Takes `reply` over, which may be NULL. */
static bool send_reply(int fd, json_t *reply)
{
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	bool ok = false;

	json_decref(reply);
	if (text) {
		size_t len = strlen(text);

		text[len] = '\n'; /* in place of the terminator, which nobody needs any more */
		ok = send_all(fd, text, len + 1);
	}
	free(text);
	return ok;
}

/* Begun, it is sent to its end, so that lines stay whole. */
static void progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	struct talk *t = ctx;
	char line[256];
	int len = snprintf(line, sizeof line,
			   "{\"progress\":{\"what\":\"%s\",\"done\":%llu,\"total\":%llu}}\n", what,
			   (unsigned long long)done, (unsigned long long)total);
	ssize_t n = send(t->fd, line, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0 && n < len)
		(void)send_all(t->fd, line + n, (size_t)(len - n)); /* the reply will fail, too */
}

static bool stopping(void *ctx)
{
	const struct talk *t = ctx;

	return atomic_load(&t->point->quiet);
}

static bool in_use(void *ctx, const char *snapshot)
{
	const struct control_host *host = &((const struct talk *)ctx)->point->host;

	return host->in_use(host->ctx, snapshot);
}

/* Answers the request of `len` bytes at the beginning of the line. */
static bool answer(struct talk *t, size_t len)
{
	const struct verb_host host = {t, progress, stopping, in_use};
	json_error_t error;
	json_t *request = json_loadb(t->line, len, JSON_REJECT_DUPLICATES, &error);
	json_t *reply;

	reply = request ? verb_run(t->point->volume, request, &host)
			: verb_failure(-EINVAL, "the request is not JSON");
	json_decref(request);
	t->point->host.changed(t->point->host.ctx);
	return send_reply(t->fd, reply);
}

/* Reads more; false at the end, and if a whole request does not come in time. */
static bool read_more(struct talk *t, int64_t end)
{
	ssize_t n;

	if (!wait_for(t->fd, POLLIN, end))
		return false;
	n = recv(t->fd, t->line + t->len, sizeof t->line - t->len, MSG_DONTWAIT);
	if (n > 0)
		t->len += (size_t)n;
	return n > 0 || (n < 0 && errno == EAGAIN);
}

/* One request; false: the talk is over. */
static bool turn(struct talk *t)
{
	int64_t end = now_ms() + REQUEST_MS;
	char *newline;
	size_t len;

	while (!(newline = memchr(t->line, '\n', t->len))) {
		if (t->len == sizeof t->line) {
			(void)send_reply(t->fd, verb_failure(-E2BIG, "the request is too long"));
			return false;
		}
		if (!read_more(t, end))
			return false;
	}
	if (atomic_load(&t->point->quiet))
		return false;
	len = (size_t)(newline - t->line) + 1;
	if (!answer(t, len))
		return false;
	t->len -= len;
	memmove(t->line, newline + 1, t->len);
	return true;
}

static void end_talk(struct talk *t)
{
	struct control *c = t->point->control;
	struct talk **at;

	pthread_mutex_lock(&c->lock);
	for (at = &t->point->talks; *at != t; at = &(*at)->next)
		;
	*at = t->next;
	c->talks--;
	/* under the lock: nobody shuts a number down that is another's by now */
	(void)close(t->fd);
	pthread_cond_broadcast(&c->ended);
	pthread_mutex_unlock(&c->lock);
	free(t);
}

static void *talk(void *arg)
{
	struct talk *t = arg;

	while (turn(t))
		;
	end_talk(t);
	return NULL;
}

/* --------------------------------------------------------------------------------- accepting */

static int start_thread(struct talk *t)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	(void)pthread_attr_init(&attr); /* cannot fail on Linux, nor can the next */
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, talk, t);
	(void)pthread_attr_destroy(&attr);
	return err;
}

static bool begin_talk_locked(struct control_point *p, int fd)
{
	struct talk *t = p->control->talks < TALKS_MAX ? calloc(1, sizeof *t) : NULL;

	if (!t)
		return false;
	t->point = p;
	t->fd = fd;
	if (start_thread(t)) { /* if not, it waits for the lock before it looks at the list */
		free(t);
		return false;
	}
	t->next = p->talks;
	p->talks = t;
	p->control->talks++;
	return true;
}

/*
 * False: there is no descriptor or no memory for whoever waits, so that epoll would say it at once.
 */
static bool accept_one(struct control_point *p)
{
	static const char busy[] = "{\"ok\":false,\"error\":\"EBUSY\",\"text\":\"too many are "
				   "connected: try again\"}\n";
	int fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return errno == EAGAIN || errno == ECONNABORTED; /* it has gone */
	if (begin_talk_locked(p, fd))
		return true;
	(void)send(fd, busy, sizeof busy - 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* a courtesy */
	(void)close(fd);
	return true;
}

static bool is_listening_locked(const struct control *c, const struct control_point *point)
{
	for (const struct control_point *p = c->points; p; p = p->next)
		if (p == point)
			return true;
	return false;
}

/* The event's point may have gone since; it was one of the list then. */
static bool on_event(struct control *c, struct control_point *p)
{
	bool ok;

	pthread_mutex_lock(&c->lock);
	ok = !is_listening_locked(c, p) || accept_one(p);
	pthread_mutex_unlock(&c->lock);
	return ok;
}

/* Whoever waits goes on waiting; only control_close() is heard. */
static void pause_accepting(const struct control *c)
{
	struct pollfd p = {c->event_fd, POLLIN, 0};

	(void)poll(&p, 1, RETRY_MS); /* cut short it is only tried sooner */
}

static void *accept_all(void *arg)
{
	struct epoll_event events[EVENTS_MAX];
	struct control *c = arg;

	for (;;) {
		int n = epoll_wait(c->epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			if (!events[i].data.ptr)
				return NULL; /* control_close() */
			if (!on_event(c, events[i].data.ptr))
				pause_accepting(c);
		}
	}
}

int control_open(struct control **ret)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	struct control *c = calloc(1, sizeof *c);
	int err;

	if (!c)
		return -ENOMEM;
	(void)pthread_mutex_init(&c->lock, NULL); /* with default attributes they cannot fail */
	(void)pthread_cond_init(&c->ended, NULL);
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->epoll_fd < 0 || c->event_fd < 0 ||
	    epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->event_fd, &event) < 0)
		err = -errno;
	else
		err = -pthread_create(&c->thread, NULL, accept_all, c);
	if (err < 0) {
		(void)close(c->epoll_fd); /* unused; as good as never opened */
		(void)close(c->event_fd);
		free(c);
		return err;
	}
	(void)pthread_setname_np(c->thread, "nbd-control"); /* only for people who look */
	*ret = c;
	return 0;
}

void control_close(struct control *c)
{
	uint64_t one = 1;

	if (!c)
		return;
	(void)!write(c->event_fd, &one, sizeof one); /* fails only when it is readable anyway */
	(void)pthread_join(c->thread, NULL);	     /* fails only for a thread that is none */
	(void)close(c->epoll_fd);
	(void)close(c->event_fd);
	pthread_cond_destroy(&c->ended);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* ------------------------------------------------------------------------------------ a point */

/* Removes the socket of a server that is dead: who has the volume's log has its name. */
static int clear_stale(int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int bind_socket(struct control_point *p)
{
	struct sockaddr_un addr;
	char name[CONTROL_NAME_CAP];
	int err;

	control_name(name, lsvd_volume_name(p->volume));
	control_address(&addr, p->dir_fd, lsvd_volume_name(p->volume));
	err = clear_stale(p->dir_fd, name);
	if (err < 0)
		return err;
	/* The file gets the mode of the socket: it is never open to others, whatever the umask. */
	if (fchmod(p->listen_fd, 0600) < 0 ||
	    bind(p->listen_fd, (const struct sockaddr *)&addr, sizeof addr) < 0)
		return -errno;
	if (listen(p->listen_fd, BACKLOG) == 0)
		return 0;
	err = -errno;
	(void)unlinkat(p->dir_fd, name, 0); /* ours, and of no use */
	return err;
}

static void remove_socket(struct control_point *p)
{
	char name[CONTROL_NAME_CAP];

	control_name(name, lsvd_volume_name(p->volume));
	(void)unlinkat(p->dir_fd, name, 0); /* somebody may have done so */
}

static int watch(struct control_point *p)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};
	struct control *c = p->control;
	int err = 0;

	pthread_mutex_lock(&c->lock);
	p->next = c->points;
	c->points = p;
	if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, p->listen_fd, &event) < 0) {
		err = -errno;
		c->points = p->next;
	}
	pthread_mutex_unlock(&c->lock);
	return err;
}

int control_listen(struct control_point **ret, struct control *control, const char *dir,
		   struct lsvd_volume *volume, const struct control_host *host)
{
	struct control_point *p = calloc(1, sizeof *p);
	int err;

	if (!p)
		return -ENOMEM;
	p->control = control;
	p->volume = volume;
	p->host = *host;
	p->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	p->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = p->dir_fd < 0 || p->listen_fd < 0 ? -errno : bind_socket(p);
	if (!err) {
		err = watch(p);
		if (err < 0)
			remove_socket(p);
	}
	if (err < 0) {
		(void)close(p->dir_fd); /* nothing was written to either */
		(void)close(p->listen_fd);
		free(p);
		return err;
	}
	*ret = p;
	return 0;
}

static void stop_listening(struct control_point *p)
{
	struct control_point **at;

	for (at = &p->control->points; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	remove_socket(p);
	(void)close(p->listen_fd); /* and with it leaves epoll */
	(void)close(p->dir_fd);
}

void control_quiet(struct control_point *p)
{
	struct timespec end;

	if (!p || atomic_exchange(&p->quiet, true))
		return;
	(void)clock_gettime(CLOCK_MONOTONIC, &end); /* cannot fail */
	end.tv_sec += QUIET_S;
	pthread_mutex_lock(&p->control->lock);
	stop_listening(p);
	/* Those who say nothing are at their end; those who are answered are answered still. */
	for (struct talk *t = p->talks; t; t = t->next)
		(void)shutdown(t->fd, SHUT_RD); /* fails only if the client was first */
	while (p->talks && pthread_cond_clockwait(&p->control->ended, &p->control->lock,
						  CLOCK_MONOTONIC, &end) == 0)
		;
	pthread_mutex_unlock(&p->control->lock);
}

void control_forget(struct control_point *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->control->lock);
	while (p->talks)
		pthread_cond_wait(&p->control->ended, &p->control->lock);
	pthread_mutex_unlock(&p->control->lock);
	free(p);
}
