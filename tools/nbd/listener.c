/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * listener.c - sockets that clients connect to.
 *
 * A Unix socket that exists already is probed: if somebody answers, the address is in use; if not,
 * a dead server left it behind and it is removed. Between probe and bind another server may do the
 * same; bind() then fails for one of the two.
 *
 * There is no encryption and no authentication: TCP is for this machine or a network that is
 * trusted, and main.c says so when it listens for everyone.
 */
#include "nbd/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/args.h"

#define BACKLOG	     128
#define INHERITED_FD 3
/* Room for a whole batch of replies, so that one system call sends it. */
#define SEND_BYTES   (1 << 20)
#define KEEP_IDLE_S  60
#define KEEP_EVERY_S 10
#define KEEP_COUNT   6
#define KEEP_LOST_MS 120000

static int say(char *text, size_t len, int err, const char *what)
{
	(void)snprintf(text, len, "%s: %s", what, strerrordesc_np(-err)); /* cut if too long */
	return err;
}

static bool on(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* --------------------------------------------------------------------------------------- TCP */

/* Cuts "HOST:PORT" in two; false if there is no port. */
static bool cut(const char *address, char *host, size_t len, const char **ret_port)
{
	const char *colon = strrchr(address, ':');
	size_t n = colon ? (size_t)(colon - address) : 0;
	uint64_t port;

	if (!colon || n >= len || !args_number(colon + 1, &port) || port > 65535)
		return false;
	if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
		address++;
		n -= 2;
	} else if (memchr(address, ':', n)) {
		return false; /* an IPv6 address without brackets: which part is the port? */
	}
	memcpy(host, address, n);
	host[n] = '\0';
	*ret_port = colon + 1;
	return true;
}

static bool is_loopback(const struct sockaddr *addr)
{
	if (addr->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)addr)->sin_addr.s_addr) >>
			       24 ==
		       127;
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr);
}

static void set_port(struct sockaddr *addr, in_port_t port)
{
	if (addr->sa_family == AF_INET)
		((struct sockaddr_in *)(void *)addr)->sin_port = port;
	else
		((struct sockaddr_in6 *)(void *)addr)->sin6_port = port;
}

/* The port, in network order, that a bound socket has; 0 if it cannot be told. */
static in_port_t port_of(int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof addr;

	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return 0;
	if (addr.ss_family == AF_INET)
		return ((struct sockaddr_in *)&addr)->sin_port;
	return addr.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&addr)->sin6_port : 0;
}

static int listen_on(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return -errno;
	if (on(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
	    (ai->ai_family != AF_INET6 || on(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) &&
	    bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	err = -errno;
	(void)close(fd); /* never used */
	return err;
}

/* Binds all addresses; those after the first take the port that the first was given. */
static int bind_all(struct listener *ret, struct addrinfo *list)
{
	in_port_t port = 0;
	int err = -EADDRNOTAVAIL;

	for (struct addrinfo *ai = list; ai && ret->count < LISTENER_FDS_MAX; ai = ai->ai_next) {
		int fd;

		if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
			continue;
		if (port)
			set_port(ai->ai_addr, port);
		fd = listen_on(ai);
		if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) {
			err = fd; /* a machine without IPv6 still knows its addresses */
			continue;
		}
		if (fd < 0)
			return fd;
		port = port_of(fd);
		ret->everyone |= !is_loopback(ai->ai_addr);
		ret->fds[ret->count++] = fd;
	}
	return ret->count ? 0 : err;
}

int listener_open_tcp(struct listener *ret, const char *address, char *text, size_t len)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *list;
	const char *port;
	char host[200];
	int err;

	memset(ret, 0, sizeof *ret);
	if (!cut(address, host, sizeof host, &port)) {
		(void)snprintf(text, len, "'%s' is not HOST:PORT", address);
		return -EINVAL;
	}
	err = getaddrinfo(host[0] ? host : NULL, port, &hints, &list);
	if (err) {
		(void)snprintf(text, len, "%s: %s", address, gai_strerror(err));
		return -EADDRNOTAVAIL;
	}
	err = bind_all(ret, list);
	freeaddrinfo(list);
	if (err < 0) {
		listener_close(ret);
		return say(text, len, err, address);
	}
	(void)snprintf(ret->address, sizeof ret->address, strchr(host, ':') ? "[%s]:%u" : "%s:%u",
		       host, ntohs(port_of(ret->fds[0])));
	return 0;
}

/* -------------------------------------------------------------------------------------- Unix */

/* Removes a socket that nobody listens on; -EADDRINUSE if somebody does. */
static int clear_stale(const struct sockaddr_un *addr)
{
	struct stat st;
	int fd, err;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	err = connect(fd, (const struct sockaddr *)addr, sizeof *addr) == 0 ? 0 : errno;
	(void)close(fd); /* only a probe */
	if (err != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(addr->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

/* A server that was killed a moment ago may still answer the probe: it gets a second to be gone. */
static int clear_stale_patiently(const struct sockaddr_un *addr)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	int err = clear_stale(addr);

	for (unsigned i = 0; err == -EADDRINUSE && i < 50; i++) {
		(void)nanosleep(&pause, NULL); /* cut short by a signal: tried a little sooner */
		err = clear_stale(addr);
	}
	return err;
}

static int bind_private(int fd, const struct sockaddr_un *addr)
{
	mode_t old = umask(0177); /* the socket is never open to others, not even for a moment */
	int err = bind(fd, (const struct sockaddr *)addr, sizeof *addr) < 0 ? -errno : 0;

	(void)umask(old); /* cannot fail */
	return err;
}

int listener_open_unix(struct listener *ret, const char *path, char *text, size_t len)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, err;

	memset(ret, 0, sizeof *ret);
	if (!*path || strlen(path) >= sizeof addr.sun_path) {
		(void)snprintf(text, len, "socket path '%s' has %zu bytes, not 1 to %zu", path,
			       strlen(path), sizeof addr.sun_path - 1);
		return -EINVAL;
	}
	memcpy(addr.sun_path, path, strlen(path) + 1);
	err = clear_stale_patiently(&addr);
	if (err < 0)
		return say(text, len, err, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return say(text, len, -errno, path);
	err = bind_private(fd, &addr);
	if (!err) /* from here on the path is ours to remove */
		memcpy(ret->unix_path, addr.sun_path, sizeof ret->unix_path);
	ret->fds[ret->count++] = fd;
	if (!err && listen(fd, BACKLOG) < 0)
		err = -errno;
	if (err < 0) {
		listener_close(ret);
		return say(text, len, err, path);
	}
	(void)snprintf(ret->address, sizeof ret->address, "unix:%s", path);
	return 0;
}

/* --------------------------------------------------------------------------------- inherited */

static bool is_listening(int fd)
{
	int yes = 0;
	socklen_t len = sizeof yes;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes;
}

int listener_open_inherited(struct listener *ret, char *text, size_t len)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t n, whose;

	memset(ret, 0, sizeof *ret);
	if (!pid || !fds || !args_number(pid, &whose) || whose != (uint64_t)getpid())
		return 0;
	if (!args_number(fds, &n) || n < 1 || n > LISTENER_FDS_MAX) {
		(void)snprintf(text, len, "LISTEN_FDS is '%s', not 1 to %d", fds, LISTENER_FDS_MAX);
		return -EINVAL;
	}
	for (uint64_t i = 0; i < n; i++) {
		int fd = INHERITED_FD + (int)i;

		if (!is_listening(fd)) {
			(void)snprintf(text, len,
				       "LISTEN_FDS is '%s', but %d is no listening socket", fds,
				       fd);
			return -EINVAL;
		}
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
			return say(text, len, -errno, "a socket of LISTEN_FDS");
		ret->fds[ret->count++] = fd;
	}
	(void)unsetenv("LISTEN_PID"); /* valid names: cannot fail */
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	(void)snprintf(ret->address, sizeof ret->address, "%s", "inherited sockets");
	return 1;
}

/* -------------------------------------------------------------------------------- connections */

static void name_peer(const struct sockaddr_storage *addr, socklen_t addr_len, int fd, char *peer,
		      size_t len)
{
	char host[INET6_ADDRSTRLEN + 32], port[8];
	struct ucred cred;
	socklen_t cred_len = sizeof cred;

	if (addr->ss_family == AF_UNIX) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) == 0)
			(void)snprintf(peer, len, "process %d", (int)cred.pid);
		else
			(void)snprintf(peer, len, "unix client");
		return;
	}
	if (getnameinfo((const struct sockaddr *)addr, addr_len, host, sizeof host, port,
			sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		(void)snprintf(peer, len, "%s port %s", host, port);
	else
		(void)snprintf(peer, len, "unknown client");
}

void listener_tune(int fd)
{
	/* Each of these makes a good thing better; the connection works without. */
	(void)on(fd, SOL_SOCKET, SO_SNDBUF, SEND_BYTES);
	(void)on(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (!on(fd, IPPROTO_TCP, TCP_NODELAY, 1))
		return; /* not TCP */
	(void)on(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S);
	(void)on(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_EVERY_S);
	(void)on(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT);
	(void)on(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, KEEP_LOST_MS);
}

int listener_accept(int fd, char *peer, size_t len)
{
	struct sockaddr_storage addr = {.ss_family = AF_UNSPEC};
	socklen_t addr_len = sizeof addr;
	int client = accept4(fd, (struct sockaddr *)&addr, &addr_len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (client < 0)
		return -errno;
	name_peer(&addr, addr_len, client, peer, len);
	listener_tune(client);
	return client;
}

void listener_close(struct listener *l)
{
	for (int i = 0; i < l->count; i++)
		(void)close(l->fds[i]); /* listening sockets have nothing to lose */
	l->count = 0;
	if (l->unix_path[0])
		(void)unlink(l->unix_path); /* it may be gone already */
	l->unix_path[0] = '\0';
}

/* ---------------------------------------------------------------------------------------- URI */

struct text {
	char *at, *end;
};

static void add(struct text *t, const char *s)
{
	while (*s && t->at < t->end)
		*t->at++ = *s++;
	*t->at = '\0';
}

/* Adds what is not an unreserved character (or '/') as %XX. */
static void add_escaped(struct text *t, const char *s)
{
	for (; *s; s++) {
		unsigned char ch = (unsigned char)*s;
		char piece[4];
		bool plain = (ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'z') ||
			     strchr("-._~/", ch);

		(void)snprintf(piece, sizeof piece, plain ? "%c" : "%%%02X", ch);
		add(t, piece);
	}
}

void listener_uri(const struct listener *l, const char *export, char *ret, size_t len)
{
	struct text t = {ret, ret + len - 1};
	const char *path = strncmp(l->address, "unix:", 5) == 0 ? l->address + 5 : NULL;

	*ret = '\0';
	if (!path && !strchr(l->address, ':'))
		return;
	add(&t, path ? "nbd+unix:///" : "nbd://");
	if (!path && l->address[0] == ':')
		add(&t, "localhost");
	add(&t, path ? "" : l->address);
	add(&t, path ? "" : "/");
	add_escaped(&t, export ? export : "");
	add(&t, path ? "?socket=" : "");
	add_escaped(&t, path ? path : "");
}
