/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * single.c - standard input and output as a connection; a command beside the server.
 *
 * If standard input and output are one socket, as libnbd makes it, that socket is the connection.
 * Anything else (pipes, files) is joined to one end of a socket pair by two threads that copy: the
 * loop needs something that it can wait for, which a file is not.
 */
#include "nbd/single.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/stop.h"

#define COPY_BYTES (64 << 10)
#define FINISH_S   5

extern char **environ;

static int copy_fd = -1; /* our end of the pair, if there are threads that copy */
static pthread_t out_thread;

static bool write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return true;
}

static void copy(int from, int to)
{
	static _Thread_local char buf[COPY_BYTES];
	ssize_t n;

	do {
		n = read(from, buf, sizeof buf);
		if (n > 0 && !write_all(to, buf, (size_t)n))
			return;
	} while (n > 0 || (n < 0 && errno == EINTR));
}

static void *copy_in(void *unused)
{
	(void)unused;
	copy(STDIN_FILENO, copy_fd);
	(void)shutdown(copy_fd, SHUT_WR); /* fails only if the other end is closed already */
	return NULL;
}

static void *copy_out(void *unused)
{
	(void)unused;
	copy(copy_fd, STDOUT_FILENO);
	/* Whoever takes no replies has hung up. Fails only if the other end is closed already. */
	(void)shutdown(copy_fd, SHUT_RDWR);
	return NULL;
}

static bool one_socket(void)
{
	struct stat in, out;

	return fstat(STDIN_FILENO, &in) == 0 && fstat(STDOUT_FILENO, &out) == 0 &&
	       S_ISSOCK(in.st_mode) && in.st_dev == out.st_dev && in.st_ino == out.st_ino;
}

/* Moves the socket away from 0 and 1, so that closing it is seen by the peer. */
static int take_socket(void)
{
	int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool ok = fd >= 0 && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
		  dup2(null, STDOUT_FILENO) >= 0;
	int err = ok ? fd : -errno;

	if (null >= 0)
		(void)close(null); /* was only opened to be duplicated */
	if (!ok && fd >= 0)
		(void)close(fd);
	return err;
}

int single_open(void)
{
	pthread_t in_thread;
	int pair[2], err;

	if (one_socket())
		return take_socket();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	copy_fd = pair[1];
	err = pthread_create(&out_thread, NULL, copy_out, NULL);
	if (err) {
		(void)close(copy_fd); /* nothing went through it */
		copy_fd = -1;
	} else {
		err = pthread_create(&in_thread, NULL, copy_in, NULL);
		if (!err) /* it may wait for input until the process ends */
			err = pthread_detach(in_thread);
	}
	if (err) { /* the end of the process is near: the threads go with it */
		(void)close(pair[0]);
		return -err;
	}
	return pair[0];
}

void single_finish(void)
{
	struct timespec end;

	if (copy_fd < 0)
		return;
	(void)clock_gettime(CLOCK_MONOTONIC, &end); /* cannot fail */
	end.tv_sec += FINISH_S;
	/* The socket's other end is closed; a reader that has stopped does not hold us up. */
	(void)pthread_clockjoin_np(out_thread, NULL, CLOCK_MONOTONIC, &end);
}

/* ----------------------------------------------------------------------------------- command */

/* "name=value" in memory of its own; NULL without memory. */
static char *variable(const char *name, const char *value)
{
	size_t len = strlen(name) + strlen(value) + 2;
	char *text = malloc(len);

	if (text)
		(void)snprintf(text, len, "%s=%s", name, value);
	return text;
}

/* The environment with `vars` in front, which getenv() and shells prefer. */
static char **environment(const struct run_vars *vars)
{
	size_t n = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 4, sizeof *env);
	if (!env)
		return NULL;
	env[0] = variable("uri", vars->uri);
	env[1] = variable("unixsocket", vars->unixsocket);
	env[2] = variable("exportname", vars->exportname);
	memcpy(env + 3, environ, n * sizeof *env);
	return env;
}

static int spawn(pid_t *ret, const char *command, char **env)
{
	char sh[] = "sh", dash_c[] = "-c";
	char *argv[] = {sh, dash_c, (char *)(uintptr_t)command, NULL};
	posix_spawnattr_t attr;
	sigset_t none, ignored;
	int err = posix_spawnattr_init(&attr);

	if (err)
		return -err;
	sigemptyset(&none);
	stop_ignored(&ignored);
	err = posix_spawnattr_setsigmask(&attr, &none);
	if (!err)
		err = posix_spawnattr_setsigdefault(&attr, &ignored);
	if (!err)
		err = posix_spawnattr_setflags(&attr,
					       POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (!err)
		err = posix_spawn(ret, "/bin/sh", NULL, &attr, argv, env);
	(void)posix_spawnattr_destroy(&attr); /* cannot fail */
	return -err;
}

int run_start(pid_t *ret, const char *command, const struct run_vars *vars)
{
	char **env = environment(vars);
	int err = -ENOMEM;

	if (env && env[0] && env[1] && env[2])
		err = spawn(ret, command, env);
	for (int i = 0; env && i < 3; i++)
		free(env[i]);
	free(env);
	return err;
}

int run_ended(pid_t child, int *ret_status)
{
	int status;

	if (waitpid(child, &status, WNOHANG) != child)
		return 0;
	*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return 1;
}
