/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_dir.c - one file an object, below one directory; a '/' of the key is a sub-directory.
 *
 * Creating. The bytes go into a file without a name (O_TMPFILE; where there is none, into a file of
 * the directory TEMP_DIR, locked while it is written), which is synced; then the name is linked,
 * which fails if it is taken, whatever takes it; then the directory is synced. So a name never
 * stands for less than the whole object, one of any number of racing writers wins, and what was
 * acknowledged survives power loss. Who is told "taken" may rely on it too: the directory is synced
 * before that answer, since whoever made the name may have died before doing so.
 *
 * Sub-directories are made on demand. Before the first object of a directory is acknowledged the
 * names of all directories above it are synced, once in the life of the store; empty ones are not
 * removed. A directory and an object cannot have the same name here: putting "a" when there is "a/b"
 * is -EEXIST, putting "a/b" when there is "a" is -ENOTDIR.
 *
 * Confinement. Everything is opened below the root's descriptor with openat2, which refuses symbolic
 * links and ways out of the root; without openat2 component by component with O_NOFOLLOW. Whatever
 * is no regular file is no object.
 *
 * Leftovers. Files of TEMP_DIR that nobody has locked were left by a process that died: they are
 * removed when the store is opened for writing. No key contains its '~', so list passes it over.
 */
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/compiler.h"
#include "base/err.h"

#define TEMP_DIR "~tmp"
#define IOV_AT_ONCE 512
#define TEMP_TRIES 100

/* A directory whose own name, and those of all above it, are known to be durable. */
struct ready {
	struct ready *next;
	char path[];
};

struct dir {
	/* immutable */
	int root;
	unsigned flags;              /* STORE_DIR_NO_… */
	char *path;                  /* for texts */

	/* atomic, relaxed: learnt once, what the system or the file system does not have */
	bool no_openat2, no_tmpfile;

	pthread_mutex_t lock;
	struct ready *ready;         /* protected by lock; grows only */
	uint64_t temps;              /* protected by lock: temporary files named so far */
};

static bool learnt(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

static void learn(bool *flag)
{
	__atomic_store_n(flag, true, __ATOMIC_RELAXED);
}

/* ----------------------------------------------------------------------------------------- failures */

/* A code that the users of stores know. */
static int code_of(int err)
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

static int fail_at(const struct dir *d, const char *verb, const char *key, const char *what, int err)
{
	return lsvd_store_fail(code_of(err), "dir:%s: %s %s: %s: %s%s", d->path, verb, key, what,
			       lsvd_strerror(-err),
			       err == ELOOP ? " (symbolic links are not followed)" : "");
}

static int absent(const struct dir *d, const char *verb, const char *key)
{
	return lsvd_store_fail(-ENOENT, "dir:%s: %s %s: no such object", d->path, verb, key);
}

/* ------------------------------------------------------------------------- opening below the root */

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
		fd = openat(at, part, (last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC);
		if (at != root) {
			int saved = errno;

			(void)close(at); /* O_PATH: nothing to lose */
			errno = saved;
		}
		if (fd < 0 || last)
			return fd;
		at = fd;
		path += len + 1;
	}
}

/* Opens a path of components, at most LSVD_KEY_MAX long; "" is the root itself. -1 and errno. */
static int open_below(struct dir *d, const char *path, int flags)
{
	int fd;

	if (!*path)
		return openat(d->root, ".", flags | O_CLOEXEC);
	if (!(d->flags & STORE_DIR_NO_OPENAT2) && !learnt(&d->no_openat2)) {
		do
			fd = sys_openat2(d->root, path, flags | O_NOFOLLOW);
		while (fd < 0 && errno == EAGAIN); /* a rename raced with the look-up */
		/* EPERM: a filter of system calls; the other way says whether it meant the file. */
		if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
			return fd;
		if (errno == ENOSYS)
			learn(&d->no_openat2);
	}
	return open_stepwise(d->root, path, flags);
}

static int open_dir_below(struct dir *d, const char *path)
{
	return open_below(d, path, O_RDONLY | O_DIRECTORY);
}

/* Splits a key into its directory ("" for the root) and the name in it. */
static const char *split(const char *key, char dir[LSVD_KEY_MAX + 1])
{
	const char *slash = strrchr(key, '/');
	size_t len = slash ? (size_t)(slash - key) : 0;

	memcpy(dir, key, len);
	dir[len] = '\0';
	return slash ? slash + 1 : key;
}

static void close_quietly(int fd)
{
	if (fd >= 0)
		(void)close(fd); /* only of what was read, or synced, or given up */
}

/* ------------------------------------------------------------------------ making sub-directories */

static bool is_ready_locked(const struct dir *d, const char *path)
{
	for (const struct ready *r = d->ready; r; r = r->next)
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
	struct ready *r = lsvd_malloc(sizeof *r + len);

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
	const char *name = split(path, above);
	int fd = open_dir_below(d, above), err = 0;

	if (fd < 0)
		return errno;
	/* Also if it was there: whoever made it may not have come to the sync. */
	if ((mkdirat(fd, name, 0700) < 0 && errno != EEXIST) || fsync(fd) < 0)
		err = errno;
	close_quietly(fd);
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

static void forget_ready(struct dir *d)
{
	struct ready *r;

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
		fd = open_dir_below(d, path);
		if (fd >= 0 || errno != ENOENT)
			return fd;
		forget_ready(d); /* somebody has cleared it away, and perhaps others */
	}
	err = make_all(d, path);
	if (err == 0)
		return open_dir_below(d, path);
	errno = err;
	return -1;
}

/* ------------------------------------------------------------------------------------------ creating */

/* A file being written, with or without a name. */
struct temp {
	int fd;
	int dir_fd;                  /* of TEMP_DIR; -1 without a name */
	char name[40];
};

static void temp_fini(struct temp *t)
{
	if (t->dir_fd >= 0)
		(void)unlinkat(t->dir_fd, t->name, 0); /* else the next opening does it */
	close_quietly(t->fd);
	close_quietly(t->dir_fd);
}

static int temp_dir(struct dir *d)
{
	int fd = open_dir_below(d, TEMP_DIR);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mkdirat(d->root, TEMP_DIR, 0700) < 0 && errno != EEXIST)
		return -1;
	return open_dir_below(d, TEMP_DIR); /* it need not be durable: nothing in it does */
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

/* False if remove_leftovers() of another handle has taken the file for one between making and locking. */
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
		close_quietly(t->fd);
	}
	close_quietly(t->dir_fd);
	t->dir_fd = -1;
	return -1;
}

static int temp_init(struct dir *d, struct temp *t, int dir_fd)
{
	t->dir_fd = -1;
	if (!(d->flags & STORE_DIR_NO_TMPFILE) && !learnt(&d->no_tmpfile)) {
		t->fd = openat(dir_fd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
		if (t->fd >= 0)
			return 0;
		if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
			return -1;
		learn(&d->no_tmpfile);
	}
	return temp_named(d, t);
}

/*
 * Gives the file its name in `dir_fd`. A file without a name is reached through its descriptor's
 * entry in /proc; where that is not mounted, only named ones work.
 */
static int temp_link(const struct temp *t, int dir_fd, const char *name)
{
	char self[40];

	if (t->dir_fd >= 0)
		return linkat(t->dir_fd, t->name, dir_fd, name, 0);
	(void)snprintf(self, sizeof self, "/proc/self/fd/%d", t->fd); /* fits */
	return linkat(AT_FDCWD, self, dir_fd, name, AT_SYMLINK_FOLLOW);
}

/* Copies the next elements, the first without its `skip` bytes. */
static int next_iov(struct iovec out[IOV_AT_ONCE], const struct iovec *iov, int iovcnt, size_t skip)
{
	int n = iovcnt < IOV_AT_ONCE ? iovcnt : IOV_AT_ONCE;

	memcpy(out, iov, (size_t)n * sizeof *iov);
	out[0].iov_base = (uint8_t *)out[0].iov_base + skip;
	out[0].iov_len -= skip;
	return n;
}

/* 0, or -1 and errno. */
static int write_iov(int fd, const struct iovec *iov, int iovcnt)
{
	struct iovec part[IOV_AT_ONCE];
	size_t skip = 0;

	while (iovcnt > 0) {
		ssize_t n;

		if (iov->iov_len == skip) {
			iov++;
			iovcnt--;
			skip = 0;
			continue;
		}
		n = writev(fd, part, next_iov(part, iov, iovcnt, skip));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		for (; iovcnt > 0 && (size_t)n >= iov->iov_len - skip; iov++, iovcnt--) {
			n -= (ssize_t)(iov->iov_len - skip);
			skip = 0;
		}
		skip += (size_t)n;
	}
	return 0;
}

/* The name is there, but its directory would not be synced: what cannot last must not be seen. */
static int take_back(const struct dir *d, int dir_fd, const char *key, const char *name, int err)
{
	(void)unlinkat(dir_fd, name, 0); /* best effort: the answer is a failure either way */
	return fail_at(d, "put", key, "sync of its directory", err);
}

/* The answer to who comes second, true after power loss as well. */
static int fail_taken(const struct dir *d, int dir_fd, const char *key)
{
	if (fsync(dir_fd) < 0)
		return fail_at(d, "put", key, "sync of its directory", errno);
	return lsvd_store_fail(-EEXIST, "dir:%s: put %s: there is an object of this name", d->path,
			       key);
}

static int publish(const struct dir *d, const struct temp *t, int dir_fd, const char *key,
		   const char *name)
{
	if (temp_link(t, dir_fd, name) < 0)
		return errno == EEXIST ? fail_taken(d, dir_fd, key) :
					 fail_at(d, "put", key, "link", errno);
	return fsync(dir_fd) < 0 ? take_back(d, dir_fd, key, name, errno) : 0;
}

static int create_at(struct dir *d, int dir_fd, const char *key, const char *name,
		     const struct iovec *iov, int iovcnt)
{
	struct temp t;
	int err;

	if (temp_init(d, &t, dir_fd) < 0)
		return fail_at(d, "put", key, "temporary file", errno);
	if (write_iov(t.fd, iov, iovcnt) < 0)
		err = fail_at(d, "put", key, "write", errno);
	else if (fsync(t.fd) < 0)
		err = fail_at(d, "put", key, "sync", errno);
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

static int dir_put(void *ctx, const char *key, const struct iovec *iov, int iovcnt)
{
	struct dir *d = ctx;
	char dir[LSVD_KEY_MAX + 1];
	const char *name = split(key, dir);
	int fd, err;

	fd = ready_dir(d, dir);
	if (fd < 0)
		return fail_at(d, "put", key, "directory", errno);
	err = is_taken(fd, name) ? fail_taken(d, fd, key) :
				   create_at(d, fd, key, name, iov, iovcnt);
	close_quietly(fd);
	return err;
}

/* ------------------------------------------------------------------------------------------- reading */

/* A regular file's descriptor and status; -ENOENT for what is not there or no object. */
static int open_object(struct dir *d, const char *verb, const char *key, struct stat *st)
{
	int fd = open_below(d, key, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	int err;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ENXIO))
		return absent(d, verb, key);
	if (fd < 0)
		return fail_at(d, verb, key, "open", errno);
	if (fstat(fd, st) < 0)
		err = fail_at(d, verb, key, "stat", errno);
	else if (!S_ISREG(st->st_mode))
		err = absent(d, verb, key);
	else
		return fd;
	close_quietly(fd);
	return err;
}

static int dir_get(void *ctx, const char *key, uint64_t off, void *buf, size_t len,
		   size_t *ret_len)
{
	struct dir *d = ctx;
	struct stat st;
	size_t got = 0;
	int err = 0, fd = open_object(d, "get", key, &st);

	if (fd < 0)
		return fd;
	while (got < len && off + got < (uint64_t)st.st_size) {
		ssize_t n = pread(fd, (uint8_t *)buf + got, len - got, (off_t)(off + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = fail_at(d, "get", key, "read", errno);
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	close_quietly(fd);
	if (err == 0)
		*ret_len = got;
	return err;
}

static int dir_head(void *ctx, const char *key, uint64_t *ret_bytes)
{
	struct dir *d = ctx;
	struct stat st;
	int fd = open_object(d, "head", key, &st);

	if (fd < 0)
		return fd;
	close_quietly(fd);
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

/* ------------------------------------------------------------------------------------------- listing */

/*
 * The entries of one directory. A directory's name is kept with a '/' behind it: sorted so, their
 * order is that of the keys below them. Memory: the names of one directory for each level.
 */
struct entries {
	char *text;                  /* the names, each with its 0 */
	size_t text_len, text_room;
	size_t *at;                  /* where each begins */
	size_t count, room;
};

struct walk {
	struct dir *d;
	const char *prefix;          /* as asked for */
	lsvd_object_fn fn;
	void *fn_ctx;
	bool stop;
	char key[LSVD_KEY_MAX + 2];  /* of the directory with its '/', or of the object */
};

static void entries_fini(struct entries *e)
{
	lsvd_free(e->text);
	lsvd_free(e->at);
}

/* Room for `need` more elements of `size` bytes behind `count`. */
static int make_room(void **p, size_t *room, size_t count, size_t need, size_t size)
{
	size_t want = *room ? *room : 256;
	void *bigger;

	if (count + need <= *room)
		return 0;
	while (want < count + need)
		want *= 2;
	bigger = lsvd_realloc(*p, want * size);
	if (!bigger)
		return -ENOMEM;
	*p = bigger;
	*room = want;
	return 0;
}

static int entries_add(struct entries *e, const char *name, bool is_dir)
{
	size_t len = strlen(name);
	void *text = e->text, *at = e->at;
	int err;

	err = make_room(&text, &e->text_room, e->text_len, len + 2, 1);
	e->text = text;
	if (err < 0)
		return err;
	err = make_room(&at, &e->room, e->count, 1, sizeof *e->at);
	e->at = at;
	if (err < 0)
		return err;
	e->at[e->count++] = e->text_len;
	memcpy(e->text + e->text_len, name, len);
	e->text_len += len;
	if (is_dir)
		e->text[e->text_len++] = '/';
	e->text[e->text_len++] = '\0';
	return 0;
}

static int by_name(const void *a, const void *b, void *text)
{
	return strcmp((const char *)text + *(const size_t *)a,
		      (const char *)text + *(const size_t *)b);
}

static bool is_component(const char *name)
{
	return !strchr(name, '/') && lsvd_key_valid(name);
}

/* DT_REG, DT_DIR or anything else. */
static int type_of(int dir_fd, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type;
	if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return DT_UNKNOWN;
	return S_ISREG(st.st_mode) ? DT_REG : S_ISDIR(st.st_mode) ? DT_DIR : DT_LNK;
}

/* The walk begins in the deepest directory the prefix names: only there is a part left to compare. */
static bool matches(const struct walk *w, const char *name)
{
	size_t key_len = strlen(w->key), prefix_len = strlen(w->prefix);

	return key_len >= prefix_len ||
	       strncmp(name, w->prefix + key_len, prefix_len - key_len) == 0;
}

static int add_entry(const struct walk *w, struct entries *e, int dir_fd, const struct dirent *entry)
{
	int type;

	if (!is_component(entry->d_name))
		return 0;
	type = type_of(dir_fd, entry);
	if ((type != DT_REG && type != DT_DIR) || !matches(w, entry->d_name))
		return 0;
	return entries_add(e, entry->d_name, type == DT_DIR);
}

static int fail_list(const struct walk *w, const char *what, int err)
{
	return fail_at(w->d, "list", *w->key ? w->key : ".", what, err);
}

static int read_entries(const struct walk *w, struct entries *e, DIR *stream)
{
	struct dirent *entry;
	int err = 0;

	errno = 0;
	while (err == 0 && (entry = readdir(stream))) {
		err = add_entry(w, e, dirfd(stream), entry);
		errno = 0;
	}
	if (err == 0 && errno)
		return fail_list(w, "read of the directory", errno);
	if (err < 0)
		return fail_list(w, "names of the directory", -err);
	if (e->count > 1)
		qsort_r(e->at, e->count, sizeof *e->at, by_name, e->text);
	return 0;
}

static int report_object(struct walk *w, int dir_fd, const char *name)
{
	struct lsvd_object_info info = { .key = w->key };
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail_list(w, "stat", errno); /* removed meanwhile */
	if (!S_ISREG(st.st_mode))
		return 0;
	info.bytes = (uint64_t)st.st_size;
	info.modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	if (w->fn(w->fn_ctx, &info))
		w->stop = true;
	return 0;
}

static int walk_dir(struct walk *w);

static int walk_entry(struct walk *w, int dir_fd, const char *name)
{
	size_t base = strlen(w->key), len = strlen(name);
	int err = 0;

	if (base + len > LSVD_KEY_MAX)
		return 0;            /* nothing of ours has so long a name */
	memcpy(w->key + base, name, len + 1);
	err = name[len - 1] == '/' ? walk_dir(w) : report_object(w, dir_fd, name);
	w->key[base] = '\0';
	return err;
}

/* The directory that w->key names. The recursion is as deep as a key has parts: at most 128. */
static int walk_dir(struct walk *w)
{
	char path[LSVD_KEY_MAX + 2];
	struct entries e = { 0 };
	size_t len = strlen(w->key);
	DIR *stream;
	int fd, err;

	memcpy(path, w->key, len + 1);
	if (len > 0)
		path[len - 1] = '\0';
	fd = open_dir_below(w->d, path);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return 0;            /* gone meanwhile, or no directory: no objects */
	if (fd < 0)
		return fail_list(w, "open", errno);
	stream = fdopendir(fd);
	if (!stream) {
		err = fail_list(w, "open", errno);
		close_quietly(fd);
		return err;
	}
	err = read_entries(w, &e, stream);
	for (size_t i = 0; err == 0 && !w->stop && i < e.count; i++)
		err = walk_entry(w, fd, e.text + e.at[i]);
	entries_fini(&e);
	(void)closedir(stream); /* it was only read */
	return err;
}

static int dir_list(void *ctx, const char *prefix, lsvd_object_fn fn, void *fn_ctx)
{
	struct walk w = { .d = ctx, .prefix = prefix, .fn = fn, .fn_ctx = fn_ctx };
	const char *slash = strrchr(prefix, '/');

	/* Straight to the deepest directory that holds all of them. */
	if (slash)
		memcpy(w.key, prefix, (size_t)(slash - prefix) + 1);
	return walk_dir(&w);
}

/* ------------------------------------------------------------------------------------------- removing */

static int remove_at(const struct dir *d, int dir_fd, const char *key, const char *name)
{
	/* What is no file is no object, and not there. EPERM is how POSIX says EISDIR. */
	if (unlinkat(dir_fd, name, 0) < 0) {
		if (errno == ENOENT || errno == EISDIR)
			return 0;
		return fail_at(d, "remove", key, "unlink", errno);
	}
	if (fsync(dir_fd) < 0)
		return fail_at(d, "remove", key, "sync of its directory", errno);
	return 0;
}

static int dir_remove(void *ctx, const char *key)
{
	struct dir *d = ctx;
	char dir[LSVD_KEY_MAX + 1];
	const char *name = split(key, dir);
	int fd, err;

	fd = open_dir_below(d, dir);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0)
		return fail_at(d, "remove", key, "directory", errno);
	err = remove_at(d, fd, key, name);
	close_quietly(fd);
	return err;
}

/* ---------------------------------------------------------------------------------- opening, closing */

static void remove_leftover(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		(void)unlinkat(dir_fd, name, 0); /* else the next opening tries again */
	close_quietly(fd);
}

/* Best effort. */
static void remove_leftovers(struct dir *d)
{
	int fd = open_dir_below(d, TEMP_DIR);
	struct dirent *entry;
	DIR *stream;

	if (fd < 0)
		return;
	stream = fdopendir(fd);
	if (!stream) {
		close_quietly(fd);
		return;
	}
	while ((entry = readdir(stream)))
		if (entry->d_name[0] != '.')
			remove_leftover(fd, entry->d_name);
	(void)closedir(stream); /* it was only read */
}

static void dir_close(void *ctx)
{
	struct dir *d = ctx;

	forget_ready(d);
	close_quietly(d->root);
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
	close_quietly(fd);
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
		return lsvd_fail(code_of(err), "store dir:%s: %s", d->path,
				 lsvd_strerror(code_of(err)));
	return 0;
}

static struct dir *dir_new(const char *path, unsigned flags)
{
	struct dir *d = lsvd_calloc(1, sizeof *d);

	if (!d)
		return NULL;
	d->root = -1;
	d->flags = flags;
	d->path = lsvd_strdup(path);
	if (!d->path || pthread_mutex_init(&d->lock, NULL) != 0) {
		lsvd_free(d->path);
		lsvd_free(d);
		return NULL;
	}
	return d;
}

static const struct lsvd_store_ops dir_ops = {
	.size = sizeof dir_ops,
	.caps = LSVD_STORE_CAP_CREATE,
	.put_if_absent = dir_put,
	.get = dir_get,
	.head = dir_head,
	.list = dir_list,
	.remove = dir_remove,
	.close = dir_close,
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
			remove_leftovers(d);
		err = lsvd_store_new(ret, url, &dir_ops, d);
	}
	if (err < 0)
		dir_close(d);
	return err;
}
