/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_dir_put.c - creating an object of the directory store.
 *
 * The bytes go into a file without a name (O_TMPFILE; where there is none, into a file of the
 * directory DIR_TEMP, locked while it is written), which is synced; then the name is linked, which
 * fails if it is taken, whatever takes it; then the directory is synced. So a name never stands for
 * less than the whole object, one of any number of racing writers wins, and what was acknowledged
 * survives power loss. Who is told "taken" may rely on it too: the directory is synced before that
 * answer, since whoever made the name may have died before doing so.
 *
 * Sub-directories are made on demand. Before the first object of a directory is acknowledged the
 * names of all directories above it are synced, once in the life of the store.
 *
 * Files of DIR_TEMP that nobody has locked were left by a process that died.
 */
#include "store/store_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"

#define TEMP_TRIES 100

/* A directory whose own name, and those of all above it, are known to be durable. */
struct dir_ready {
	struct dir_ready *next;
	char path[];
};

/* ----------------------------------------------------------------------- making sub-directories */

static bool is_ready_locked(const struct dir *d, const char *path)
{
	for (const struct dir_ready *r = d->ready; r; r = r->next)
		if (strcmp(r->path, path) == 0)
			return true;
	return false;
}

static bool is_ready(struct dir *d, const char *path)
{
	bool ready;

	pthread_mutex_lock(&d->lock);
	ready = is_ready_locked(d, path);
	pthread_mutex_unlock(&d->lock);
	return ready;
}

/* Forgetting one, for want of memory, costs only a sync the next time. */
static void note_ready(struct dir *d, const char *path)
{
	size_t len = strlen(path) + 1;
	struct dir_ready *r = lsvd_malloc(sizeof *r + len);

	if (!r)
		return;
	memcpy(r->path, path, len);
	pthread_mutex_lock(&d->lock);
	if (is_ready_locked(d, path)) {
		lsvd_free(r);
	} else {
		r->next = d->ready;
		d->ready = r;
	}
	pthread_mutex_unlock(&d->lock);
}

/* Makes `path` in the directory above it, which exists, and makes the name durable. */
static int make_one(struct dir *d, const char *path)
{
	char above[LSVD_KEY_MAX + 1];
	const char *name = lsvd_dir_split(path, above);
	int fd = lsvd_dir_open_dir(d, above), err = 0;

	if (fd < 0)
		return errno;
	/* Also if it was there: whoever made it may not have come to the sync. */
	if ((mkdirat(fd, name, 0700) < 0 && errno != EEXIST) || fsync(fd) < 0)
		err = errno;
	lsvd_dir_close_fd(fd);
	return err;
}

static int make_all(struct dir *d, const char *path)
{
	char part[LSVD_KEY_MAX + 1];
	int err = 0;

	for (const char *p = path; err == 0; p++) {
		if (*p && *p != '/')
			continue;
		memcpy(part, path, (size_t)(p - path));
		part[p - path] = '\0';
		if (!is_ready(d, part)) {
			err = make_one(d, part);
			if (err == 0)
				note_ready(d, part);
		}
		if (!*p)
			break;
	}
	return err;
}

void lsvd_dir_forget_ready(struct dir *d)
{
	struct dir_ready *r;

	pthread_mutex_lock(&d->lock);
	while ((r = d->ready)) {
		d->ready = r->next;
		lsvd_free(r);
	}
	pthread_mutex_unlock(&d->lock);
}

/* The directory a new object goes to, made and durable; its descriptor, or -1 and errno. */
static int ready_dir(struct dir *d, const char *path)
{
	int err, fd;

	if (!*path || is_ready(d, path)) {
		fd = lsvd_dir_open_dir(d, path);
		if (fd >= 0 || errno != ENOENT)
			return fd;
		lsvd_dir_forget_ready(d); /* somebody has cleared it away, and perhaps others */
	}
	err = make_all(d, path);
	if (err == 0)
		return lsvd_dir_open_dir(d, path);
	errno = err;
	return -1;
}

/* ------------------------------------------------------------------------------ temporary files */

/* A file being written, with or without a name. */
struct temp {
	int fd;
	int dir_fd;                  /* of DIR_TEMP; -1 without a name */
	char name[40];
};

static void temp_fini(struct temp *t)
{
	if (t->dir_fd >= 0)
		(void)unlinkat(t->dir_fd, t->name, 0); /* else the next opening does it */
	lsvd_dir_close_fd(t->fd);
	lsvd_dir_close_fd(t->dir_fd);
}

static int temp_dir(struct dir *d)
{
	int fd = lsvd_dir_open_dir(d, DIR_TEMP);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mkdirat(d->root, DIR_TEMP, 0700) < 0 && errno != EEXIST)
		return -1;
	return lsvd_dir_open_dir(d, DIR_TEMP); /* it need not be durable: nothing in it does */
}

static void temp_name(struct dir *d, struct temp *t)
{
	uint64_t n;

	pthread_mutex_lock(&d->lock);
	n = d->temps++;
	pthread_mutex_unlock(&d->lock);
	(void)snprintf(t->name, sizeof t->name, "%lld.%llx", (long long)getpid(),
		       (unsigned long long)n); /* fits */
}

/*
 * False if lsvd_dir_remove_leftovers() of another handle has taken the file for one between
 * making and locking.
 */
static bool mark_in_use(int fd)
{
	struct stat st;

	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return false;
	return fstat(fd, &st) < 0 || st.st_nlink > 0;
}

/* -1 and errno. Two hosts may share the directory, and the same process ids. */
static int temp_named(struct dir *d, struct temp *t)
{
	t->dir_fd = temp_dir(d);
	if (t->dir_fd < 0)
		return -1;
	for (int i = 0; i < TEMP_TRIES; i++) {
		temp_name(d, t);
		t->fd = openat(t->dir_fd, t->name,
			       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (t->fd < 0 && errno != EEXIST)
			break;
		if (t->fd >= 0 && mark_in_use(t->fd))
			return 0;
		lsvd_dir_close_fd(t->fd);
	}
	lsvd_dir_close_fd(t->dir_fd);
	t->dir_fd = -1;
	return -1;
}

static int temp_init(struct dir *d, struct temp *t, int dir_fd)
{
	t->dir_fd = -1;
	if (!(d->flags & STORE_DIR_NO_TMPFILE) && !lsvd_dir_learnt(&d->no_tmpfile)) {
		t->fd = openat(dir_fd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
		if (t->fd >= 0)
			return 0;
		if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
			return -1;
		lsvd_dir_learn(&d->no_tmpfile);
	}
	return temp_named(d, t);
}

/*
 * Gives the file its name in `dir_fd`. A file without a name is reached through its descriptor's
 * entry in /proc.
 */
static int temp_link(const struct temp *t, int dir_fd, const char *name)
{
	char self[40];

	if (t->dir_fd >= 0)
		return linkat(t->dir_fd, t->name, dir_fd, name, 0);
	(void)snprintf(self, sizeof self, "/proc/self/fd/%d", t->fd); /* fits */
	return linkat(AT_FDCWD, self, dir_fd, name, AT_SYMLINK_FOLLOW);
}

static void remove_leftover(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		(void)unlinkat(dir_fd, name, 0); /* else the next opening tries again */
	lsvd_dir_close_fd(fd);
}

void lsvd_dir_remove_leftovers(struct dir *d)
{
	int fd = lsvd_dir_open_dir(d, DIR_TEMP);
	struct dirent *entry;
	DIR *stream;

	if (fd < 0)
		return;
	stream = fdopendir(fd);
	if (!stream) {
		lsvd_dir_close_fd(fd);
		return;
	}
	while ((entry = readdir(stream)))
		if (entry->d_name[0] != '.')
			remove_leftover(fd, entry->d_name);
	(void)closedir(stream); /* it was only read */
}

/* ------------------------------------------------------------------------------------- creating */

/* The name is there, but its directory would not be synced: what cannot last must not be seen. */
static int take_back(const struct dir *d, int dir_fd, const char *key, const char *name, int err)
{
	(void)unlinkat(dir_fd, name, 0); /* best effort: the answer is a failure either way */
	return lsvd_dir_fail(d, "put", key, "sync of its directory", err);
}

/* The answer to who comes second, true after power loss as well. */
static int fail_taken(const struct dir *d, int dir_fd, const char *key)
{
	if (fsync(dir_fd) < 0)
		return lsvd_dir_fail(d, "put", key, "sync of its directory", errno);
	return lsvd_store_fail(-EEXIST, "dir:%s: put %s: there is an object of this name", d->path,
			       key);
}

static int publish(const struct dir *d, const struct temp *t, int dir_fd, const char *key,
		   const char *name)
{
	if (temp_link(t, dir_fd, name) < 0)
		return errno == EEXIST ? fail_taken(d, dir_fd, key) :
					 lsvd_dir_fail(d, "put", key, "link", errno);
	return fsync(dir_fd) < 0 ? take_back(d, dir_fd, key, name, errno) : 0;
}

static int create_at(struct dir *d, int dir_fd, const char *key, const char *name,
		     const struct iovec *iov, int iovcnt)
{
	struct temp t;
	int err;

	if (temp_init(d, &t, dir_fd) < 0)
		return lsvd_dir_fail(d, "put", key, "temporary file", errno);
	if (lsvd_dir_write(d, t.fd, iov, iovcnt) < 0)
		err = lsvd_dir_fail(d, "put", key, "write", errno);
	else if (fsync(t.fd) < 0)
		err = lsvd_dir_fail(d, "put", key, "sync", errno);
	else
		err = publish(d, &t, dir_fd, key, name);
	temp_fini(&t);
	return err;
}

/* Not to write what will be refused; the decision itself falls in publish(). */
static bool is_taken(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int lsvd_dir_put(void *ctx, const char *key, const struct iovec *iov, int iovcnt)
{
	struct dir *d = ctx;
	char dir[LSVD_KEY_MAX + 1];
	const char *name = lsvd_dir_split(key, dir);
	int fd, err;

	fd = ready_dir(d, dir);
	if (fd < 0)
		return lsvd_dir_fail(d, "put", key, "directory", errno);
	err = is_taken(fd, name) ? fail_taken(d, fd, key) :
				   create_at(d, fd, key, name, iov, iovcnt);
	lsvd_dir_close_fd(fd);
	return err;
}
