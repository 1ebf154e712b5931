/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_dir_path.c - paths of the directory store: opening below the root and nowhere else, and the
 * words for what goes wrong.
 *
 * openat2 refuses symbolic links and ways out of the root in one call. Where the kernel has none,
 * or a filter of system calls hides it, a path is opened component by component with O_NOFOLLOW.
 */
#include "store/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"

int lsvd_dir_code(int err)
{
	switch (err) {
	case ELOOP:
	case EXDEV:
		return -EACCES;      /* a symbolic link, or a way out of the root */
	case EDQUOT:
		return -ENOSPC;
	case EPERM:
		return -EACCES;
	default:
		return -err;
	}
}

int lsvd_dir_fail(const struct dir *d, const char *verb, const char *key, const char *what, int err)
{
	return lsvd_store_fail(lsvd_dir_code(err), "dir:%s: %s %s: %s: %s%s", d->path, verb, key,
			       what, lsvd_strerror(-err),
			       err == ELOOP ? " (symbolic links are not followed)" : "");
}

int lsvd_dir_absent(const struct dir *d, const char *verb, const char *key)
{
	return lsvd_store_fail(-ENOENT, "dir:%s: %s %s: no such object", d->path, verb, key);
}

void lsvd_dir_close_fd(int fd)
{
	int saved = errno;

	if (fd >= 0)
		(void)close(fd); /* there is nothing left that could fail */
	errno = saved;
}

/* ----------------------------------------------------------------------- opening below the root */

static int sys_openat2(int at, const char *path, int flags)
{
	struct open_how how;

	memset(&how, 0, sizeof how);
	how.flags = (unsigned)(flags | O_CLOEXEC);
	how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
	return (int)syscall(SYS_openat2, at, path, &how, sizeof how);
}

/* The same, a component at a time. */
static int open_stepwise(int root, const char *path, int flags)
{
	char part[LSVD_KEY_MAX + 1];
	int at = root, fd;

	for (;;) {
		size_t len = strcspn(path, "/");
		bool last = !path[len];

		memcpy(part, path, len);
		part[len] = '\0';
		fd = openat(at, part,
			    (last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC);
		if (at != root)
			lsvd_dir_close_fd(at);
		if (fd < 0 || last)
			return fd;
		at = fd;
		path += len + 1;
	}
}

int lsvd_dir_open(struct dir *d, const char *path, int flags)
{
	int fd;

	if (!*path)
		return openat(d->root, ".", flags | O_CLOEXEC);
	if (!(d->flags & STORE_DIR_NO_OPENAT2) && !lsvd_dir_learnt(&d->no_openat2)) {
		do
			fd = sys_openat2(d->root, path, flags | O_NOFOLLOW);
		while (fd < 0 && errno == EAGAIN); /* a rename raced with the look-up */
		/* EPERM: a filter of system calls; the other way says whether it meant the file. */
		if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
			return fd;
		if (errno == ENOSYS)
			lsvd_dir_learn(&d->no_openat2);
	}
	return open_stepwise(d->root, path, flags);
}

int lsvd_dir_open_dir(struct dir *d, const char *path)
{
	return lsvd_dir_open(d, path, O_RDONLY | O_DIRECTORY);
}

const char *lsvd_dir_split(const char *key, char dir[LSVD_KEY_MAX + 1])
{
	const char *slash = strrchr(key, '/');
	size_t len = slash ? (size_t)(slash - key) : 0;

	memcpy(dir, key, len);
	dir[len] = '\0';
	return slash ? slash + 1 : key;
}
