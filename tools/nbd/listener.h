/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * listener.h - where clients connect: TCP, a Unix socket, or sockets handed over by who started us.
 *
 * Threads: the main thread only.
 */
#ifndef NBD_LISTENER_H
#define NBD_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#define LISTENER_FDS_MAX 16

struct listener {
	int fds[LISTENER_FDS_MAX];
	int count;
	char unix_path[sizeof((struct sockaddr_un *)0)->sun_path]; /* ours to unlink; or "" */
	char address[256]; /* for people: "localhost:8989", "unix:/run/x.sock" */
	bool everyone;	   /* listens beyond this machine */
};

/* All return 0, or a negative code with a text for people in `text`. */

/* HOST:PORT, [ADDRESS]:PORT, or :PORT for all addresses; port 0 takes a free one. */
int listener_open_tcp(struct listener *ret, const char *address, char *text, size_t len);

/* A socket that only its owner may use. One that a dead server left behind is replaced. */
int listener_open_unix(struct listener *ret, const char *path, char *text, size_t len);

/* Socket activation (LISTEN_PID, LISTEN_FDS): 1 if there was any, 0 if not. */
int listener_open_inherited(struct listener *ret, char *text, size_t len);

/* Takes a connection from `fd`, ready to be used; `peer` says who it is. -errno on failure. */
int listener_accept(int fd, char *peer, size_t len);

/* Settings for a connected socket, whoever made it. */
void listener_tune(int fd);

/* Stops listening; removes the Unix socket. */
void listener_close(struct listener *listener);

/*
 * The URI of an export (NULL: none) that is served here, for clients on this machine; "" if there
 * is none, for inherited sockets of unknown kinds.
 */
void listener_uri(const struct listener *listener, const char *export, char *ret, size_t len);

#endif
