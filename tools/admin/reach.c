/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reach.c - asks the server of a volume, or does it here.
 *
 * Between the look for a server and the opening here another may have come: then the volume's log
 * is locked, which the library says.
 *
 * A first signal ends a command that works on a volume opened here, at its next step. One that
 * waits for a server hangs up: the server goes on with what it has begun, but for what can be
 * cancelled.
 */
#include "admin/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/long.h"
#include "admin/progress.h"
#include "common/control_addr.h"
#include "common/verbs.h"

#define LOOK_MS 100

struct reach {
	struct admin *admin;
	int fd;			    /* to the server; -1: it is open here */
	char *buf;		    /* received, not yet understood */
	size_t len, room;
	struct lsvd_volume *volume; /* NULL: it is served */
};

static const char *cache_of(const struct admin *a, const struct reach_options *options)
{
	return options->cache ? options->cache : lsvd_config_cache_path(a->config);
}

/* A connection to the server, or -errno: -ENOENT and -ECONNREFUSED mean that there is none. */
static int connect_server(const char *cache, const char *volume)
{
	struct sockaddr_un addr;
	int dir, fd, err = 0;

	dir = open(cache, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	control_address(&addr, dir, volume);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof addr) < 0)
		err = -errno;
	(void)close(dir); /* only opened to be passed through */
	if (err < 0 && fd >= 0)
		(void)close(fd); /* nothing was sent */
	return err < 0 ? err : fd;
}

/* 1: it is served, and *ret_fd connected. 0: it is not. -1: it has been said what is wrong. */
static int find_server(const struct admin *a, const char *cache, int *ret_fd)
{
	int fd = connect_server(cache, a->name);

	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return 0;
	if (fd < 0)
		return admin_error("%s/%s.ctl: %s", cache, a->name, strerror(-fd));
	*ret_fd = fd;
	return 1;
}

int reach_served(const struct admin *a, const struct reach_options *options)
{
	const char *cache = cache_of(a, options);
	int fd, found = cache ? find_server(a, cache, &fd) : 0;

	if (found > 0)
		(void)close(fd); /* nothing was sent */
	return found;
}

void reach_volume_options(const struct admin *a, const struct reach_options *options,
			  struct lsvd_volume_options *ret)
{
	lsvd_config_volume_options(a->config, ret);
	ret->cache_dir = cache_of(a, options);
	ret->flags = admin_flags(a) |
		     (options->accept_rollback ? LSVD_OPEN_ACCEPT_ROLLBACK : 0) |
		     (options->takeover ? LSVD_OPEN_TAKEOVER : 0);
}

static int open_here(struct reach *r, const struct reach_options *options)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;

	reach_volume_options(r->admin, options, &o);
	if (lsvd_volume_open(&r->volume, r->admin->store, r->admin->name, &o) < 0)
		return admin_fail();
	return ADMIN_OK;
}

static int begin(struct reach *r, struct admin *a, const struct reach_options *options,
		 bool only_server)
{
	const char *cache = cache_of(a, options);
	int found;

	*r = (struct reach){.admin = a, .fd = -1};
	if (!cache) {
		(void)admin_error("%s: no cache_path, and no --cache given", a->config_path);
		return ADMIN_USAGE;
	}
	found = find_server(a, cache, &r->fd);
	if (found)
		return found > 0 ? ADMIN_OK : ADMIN_FAILED;
	if (!only_server)
		return open_here(r, options);
	(void)admin_error("volume %s is not served from %s", a->name, cache);
	return ADMIN_FAILED;
}

/* ---------------------------------------------------------------------------------- progress */

static void show(const char *what, uint64_t done, uint64_t total)
{
	static char shown[32]; /* the line that stands there; "": none */

	if (strcmp(shown, what) != 0) {
		(void)snprintf(shown, sizeof shown, "%.31s", what);
		progress_begin(shown, total);
	}
	progress_show(done);
}

static void show_here(void *ctx, const char *what, uint64_t done, uint64_t total)
{
	(void)ctx;
	show(what, done, total);
}

static bool stopping(void *ctx)
{
	(void)ctx;
	return admin_stopped();
}

/* ------------------------------------------------------------------------------ the server's */

static int send_line(struct reach *r, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = send(r->fd, text, len, MSG_NOSIGNAL);

		if (n < 0)
			return admin_error("the server: %s", strerror(errno));
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int send_request(struct reach *r, const json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	int err = text ? send_line(r, text) : admin_error("out of memory");

	free(text);
	return err ? err : send_line(r, "\n");
}

static int make_room(struct reach *r)
{
	size_t room = r->room ? r->room * 2 : 4096;
	char *buf;

	if (r->len < r->room)
		return 0;
	if (room > CONTROL_REPLY_MAX)
		return admin_error("the server: a reply of more than %u bytes", CONTROL_REPLY_MAX);
	buf = realloc(r->buf, room);
	if (!buf)
		return admin_error("out of memory");
	r->buf = buf;
	r->room = room;
	return 0;
}

/* Receives more. -1: it has been said why not. */
static int receive(struct reach *r)
{
	struct pollfd p = {r->fd, POLLIN, 0};
	ssize_t n;

	while (poll(&p, 1, LOOK_MS) == 0)
		if (admin_stopped())
			return admin_error("interrupted; the server goes on with "
					   "what it has begun");
	if (make_room(r) < 0)
		return -1;
	n = recv(r->fd, r->buf + r->len, r->room - r->len, 0);
	if (n <= 0)
		return admin_error("the server: %s", n ? strerror(errno) : "it has hung up");
	r->len += (size_t)n;
	return 0;
}

/* One line of the server as JSON; NULL: it has been said why not. */
static json_t *receive_line(struct reach *r)
{
	json_error_t error;
	json_t *value;
	char *newline;

	while (!r->len || !(newline = memchr(r->buf, '\n', r->len)))
		if (receive(r) < 0)
			return NULL;
	value = json_loadb(r->buf, (size_t)(newline - r->buf), 0, &error);
	if (!value)
		(void)admin_error("the server: its reply is not JSON: %s", error.text);
	r->len -= (size_t)(newline + 1 - r->buf);
	memmove(r->buf, newline + 1, r->len);
	return value;
}

static void show_progress(const json_t *progress)
{
	show(json_is_string(json_object_get(progress, "what"))
		     ? json_string_value(json_object_get(progress, "what"))
		     : "",
	     (uint64_t)json_integer_value(json_object_get(progress, "done")),
	     (uint64_t)json_integer_value(json_object_get(progress, "total")));
}

static json_t *ask_server(struct reach *r, const json_t *request)
{
	json_t *reply;

	if (send_request(r, request) < 0)
		return NULL;
	while ((reply = receive_line(r)) && json_object_get(reply, "progress")) {
		show_progress(json_object_get(reply, "progress"));
		json_decref(reply);
	}
	return reply;
}

/* ---------------------------------------------------------------------------------- asking */

/* The result in a reply, which it takes over. */
static json_t *result_of(json_t *reply)
{
	const char *text = json_string_value(json_object_get(reply, "text"));
	json_t *result = NULL;

	if (json_is_true(json_object_get(reply, "ok")))
		result = json_incref(json_object_get(reply, "result"));
	else
		(void)admin_error("%s", text && *text ? text : "the server's reply says nothing");
	json_decref(reply);
	return result;
}

static json_t *ask(struct reach *r, const json_t *request)
{
	const struct verb_host host = {.progress = show_here, .stopping = stopping};
	json_t *reply;

	if (!request) {
		(void)admin_error("out of memory");
		return NULL;
	}
	if (r->fd >= 0)
		reply = ask_server(r, request);
	else if (!(reply = verb_run(r->volume, request, &host)))
		(void)admin_error("out of memory");
	progress_end();
	return reply ? result_of(reply) : NULL;
}

/* Hangs up, or closes the volume with all that is stored of it. */
static int finish(struct reach *r)
{
	int err = lsvd_volume_close(r->volume, UINT32_MAX);

	if (r->fd >= 0)
		(void)close(r->fd); /* all that was to come has come */
	free(r->buf);
	return err < 0 ? admin_fail() : ADMIN_OK;
}

static json_t *ask_somewhere(struct admin *a, const struct reach_options *options, json_t *request,
			     bool only_server, int *ret_status)
{
	struct reach r;
	json_t *facts = NULL;

	*ret_status = begin(&r, a, options, only_server);
	if (*ret_status == ADMIN_OK) {
		facts = ask(&r, request);
		*ret_status = finish(&r);
	}
	json_decref(request);
	if (facts && *ret_status == ADMIN_OK &&
	    json_object_set_new(facts, "name", json_string(a->name)) == 0)
		return facts;
	json_decref(facts);
	if (*ret_status == ADMIN_OK)
		*ret_status = ADMIN_FAILED;
	return NULL;
}

json_t *reach_ask(struct admin *a, const struct reach_options *options, json_t *request,
		  int *ret_status)
{
	return ask_somewhere(a, options, request, false, ret_status);
}

json_t *reach_ask_server(struct admin *a, const struct reach_options *options, json_t *request,
			 int *ret_status)
{
	return ask_somewhere(a, options, request, true, ret_status);
}

uint64_t reach_number(const json_t *facts, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(facts, key));
}
