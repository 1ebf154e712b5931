/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_child.c - qemu-nbd on the path, by socket activation.
 *
 * The path is made absolute: qemu reads a name with a colon as a protocol, and one that begins
 * with a hyphen as an option.
 */
#include "admin/nbd_child.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin/cmd.h"
#include "common/stop.h"

extern char **environ;

int nbd_child_fail(const char *path)
{
	return admin_error("%s: %s", path, nbd_get_error());
}

char *nbd_child_path(const char *path)
{
	char *absolute = realpath(path, NULL);

	if (!absolute)
		(void)admin_error("%s: %s", path, strerror(errno)); /* the caller ends */
	return absolute;
}

/* None of the calls but the spawn itself fails in glibc with such arguments. */
static int spawn(pid_t *pid, char *const argv[])
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, ignored;
	int err;

	sigemptyset(&none);
	stop_ignored(&ignored);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &ignored);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	err = posix_spawnp(pid, argv[0], &actions, &attr, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attr);
	return err;
}

int nbd_child_run(char *const argv[])
{
	int status = 0, err;
	pid_t pid;

	err = spawn(&pid, argv);
	if (err)
		return admin_error("%s (of Debian's qemu-utils): %s", argv[0], strerror(err));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return admin_error("%s: %s", argv[0], strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : admin_error("%s was killed", argv[0]);
}

static char *const *argv_of(char *argv[8], char *path, bool readonly)
{
	int n = 0;

	argv[n++] = "qemu-nbd";
	argv[n++] = "-f";
	argv[n++] = "qcow2";
	if (readonly)
		argv[n++] = "-r";
	else
		argv[n++] = "--discard=unmap";
	argv[n++] = path;
	argv[n] = NULL;
	return argv;
}

struct nbd_handle *nbd_child_start(const char *path, bool readonly)
{
	char *absolute = nbd_child_path(path), *argv[8];
	struct nbd_handle *nbd;

	if (!absolute)
		return NULL;
	nbd = nbd_create();
	if (!nbd || nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
	    nbd_connect_systemd_socket_activation(nbd, (char **)argv_of(argv, absolute,
								       readonly)) < 0) {
		(void)admin_error("%s: qemu-nbd (of Debian's qemu-utils) has not opened it: %s",
				  path, nbd_get_error());
		nbd_close(nbd);
		nbd = NULL;
	}
	free(absolute);
	return nbd;
}

int nbd_child_end(struct nbd_handle *nbd, const char *path)
{
	int err = nbd_shutdown(nbd, 0);

	if (err < 0)
		(void)nbd_child_fail(path); /* the status says it, too */
	nbd_close(nbd);
	return err;
}
