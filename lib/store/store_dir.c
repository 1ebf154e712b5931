/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_dir.c - one file an object, below one directory; a '/' of the key is a sub-directory.
 *
 * Objects come into being in store_dir_put.c and are listed in store_dir_list.c. Everything is
 * opened below the root's descriptor and never through a symbolic link (store_dir_path.c); what is
 * no regular file is no object.
 *
 * A directory and an object cannot have the same name here: putting "a" when there is "a/b" is
 * -EEXIST, putting "a/b" when there is "a" is -ENOTDIR.
 *
 * Deliberately absent: removing sub-directories that have become empty. They are few, and it would
 * race with those who are about to create in them.
 */
#include "store/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"

/* ---------------------------------------------------------------------------- reading, removing */

/* A regular file's descriptor and status; -ENOENT for what is not there or no object. */
static int open_object(struct dir *d, const char *verb, const char *key, struct stat *st)
{
	int fd = lsvd_dir_open(d, key, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	int err;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ENXIO))
		return lsvd_dir_absent(d, verb, key);
	if (fd < 0)
		return lsvd_dir_fail(d, verb, key, "open", errno);
	if (fstat(fd, st) < 0)
		err = lsvd_dir_fail(d, verb, key, "stat", errno);
	else if (!S_ISREG(st->st_mode))
		err = lsvd_dir_absent(d, verb, key);
	else
		return fd;
	lsvd_dir_close_fd(fd);
	return err;
}

static int read_at(struct dir *d, const char *key, int fd, uint64_t bytes, uint64_t off, void *buf,
		   size_t len, size_t *ret_len)
{
	size_t got = 0;

	while (got < len && off + got < bytes) {
		ssize_t n = pread(fd, (uint8_t *)buf + got, len - got, (off_t)(off + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lsvd_dir_fail(d, "get", key, "read", errno);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*ret_len = got;
	return 0;
}

static int dir_get(void *ctx, const char *key, uint64_t off, void *buf, size_t len,
		   size_t *ret_len)
{
	struct dir *d = ctx;
	uint64_t bytes;
	struct stat st;
	int err, fd;
	struct dir_held *held = lsvd_dir_held_get(d, key, &fd, &bytes);

	if (held) {
		err = read_at(d, key, fd, bytes, off, buf, len, ret_len);
		lsvd_dir_held_put(held);
		return err;
	}
	fd = open_object(d, "get", key, &st);
	if (fd < 0)
		return fd;
	err = read_at(d, key, fd, (uint64_t)st.st_size, off, buf, len, ret_len);
	if (err || !lsvd_dir_held_add(d, key, fd, (uint64_t)st.st_size))
		lsvd_dir_close_fd(fd);
	return err;
}

static int dir_head(void *ctx, const char *key, uint64_t *ret_bytes)
{
	struct dir *d = ctx;
	struct stat st;
	int fd = open_object(d, "head", key, &st);

	if (fd < 0)
		return fd;
	lsvd_dir_close_fd(fd);
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

static int remove_at(const struct dir *d, int dir_fd, const char *key, const char *name)
{
	/* What is no file is no object, and not there. EPERM is how POSIX says EISDIR. */
	if (unlinkat(dir_fd, name, 0) < 0) {
		if (errno == ENOENT || errno == EISDIR)
			return 0;
		return lsvd_dir_fail(d, "remove", key, "unlink", errno);
	}
	if (fsync(dir_fd) < 0)
		return lsvd_dir_fail(d, "remove", key, "sync of its directory", errno);
	return 0;
}

static int dir_remove(void *ctx, const char *key)
{
	struct dir *d = ctx;
	char dir[LSVD_KEY_MAX + 1];
	const char *name = lsvd_dir_split(key, dir);
	int fd, err;

	lsvd_dir_held_forget(d, key);
	fd = lsvd_dir_open_dir(d, dir);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0)
		return lsvd_dir_fail(d, "remove", key, "directory", errno);
	err = remove_at(d, fd, key, name);
	lsvd_dir_close_fd(fd);
	return err;
}

/* ----------------------------------------------------------------------------- opening, closing */

static void dir_close(void *ctx)
{
	struct dir *d = ctx;

	lsvd_dir_held_fini(d);
	lsvd_dir_forget_ready(d);
	lsvd_dir_free_buffers(d);
	lsvd_dir_close_fd(d->root);
	(void)pthread_mutex_destroy(&d->lock); /* nobody holds it */
	lsvd_free(d->path);
	lsvd_free(d);
}

static int make_root(const char *path)
{
	char *above = NULL, *slash;
	int fd, err = 0;

	if (mkdir(path, 0700) < 0)
		return errno == EEXIST ? 0 : errno;
	above = lsvd_strdup(path);
	if (!above)
		return ENOMEM;
	for (size_t n = strlen(above); n > 1 && above[n - 1] == '/'; n--)
		above[n - 1] = '\0';
	slash = strrchr(above, '/');
	if (slash)
		slash[slash == above] = '\0';
	fd = open(slash ? above : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		err = errno;
	lsvd_dir_close_fd(fd);
	lsvd_free(above);
	return err;
}

static int open_root(struct dir *d, unsigned flags)
{
	bool readonly = flags & LSVD_STORE_READONLY;
	int err = 0;

	if (!readonly && flags & LSVD_STORE_CREATE)
		err = make_root(d->path);
	if (err == 0) {
		d->root = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (d->root < 0 ||
		    (!readonly && faccessat(d->root, ".", W_OK | X_OK, AT_EACCESS) < 0))
			err = errno;
	}
	if (err)
		return lsvd_fail(lsvd_dir_code(err), "store dir:%s: %s", d->path,
				 lsvd_strerror(-err));
	return 0;
}

static struct dir *dir_new(const char *path, unsigned flags)
{
	struct dir *d = lsvd_calloc(1, sizeof *d);

	if (!d)
		return NULL;
	d->root = -1;
	d->flags = flags;
	/* A file without a name gets one through /proc. */
	d->no_tmpfile = access("/proc/self/fd", X_OK) < 0;
	d->path = lsvd_strdup(path);
	if (!d->path || pthread_mutex_init(&d->lock, NULL) != 0) {
		lsvd_free(d->path);
		lsvd_free(d);
		return NULL;
	}
	return d;
}

static void dir_keep_open(void *ctx, unsigned count)
{
	lsvd_dir_hold(ctx, count);
}

static void dir_counters(void *ctx, struct lsvd_store_counters *ret)
{
	uint64_t opened, reused;

	lsvd_dir_held_count(ctx, &opened, &reused);
	ret->opened += opened;
	ret->reused += reused;
}

static const struct lsvd_store_ops dir_ops = {
	.size = sizeof dir_ops,
	.caps = LSVD_STORE_CAP_CREATE,
	.put_if_absent = lsvd_dir_put,
	.get = dir_get,
	.head = dir_head,
	.list = lsvd_dir_list,
	.remove = dir_remove,
	.close = dir_close,
	.counters = dir_counters,
	.keep_open = dir_keep_open,
};

int lsvd_store_dir_open(struct lsvd_store **ret, const char *url, const char *path, unsigned flags)
{
	struct dir *d = dir_new(path, flags);
	int err;

	if (!d)
		return lsvd_fail_plain(-ENOMEM);
	err = open_root(d, flags);
	if (err == 0) {
		if (!(flags & LSVD_STORE_READONLY))
			lsvd_dir_remove_leftovers(d);
		err = lsvd_store_new(ret, url, &dir_ops, d);
	}
	if (err < 0)
		dir_close(d);
	return err;
}
