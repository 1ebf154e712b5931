/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blk_sync.c - files of the cache directory by plain system calls: pread, pwrite, fdatasync.
 *
 * Who does what on which thread:
 *   write   the caller: it ends in the page cache. A long one that is to go past it: nobody
 *           (blk_aio.c)
 *   read    the caller, as far as the page cache has it (RWF_NOWAIT); the rest the caller too if it
 *           may wait, else a thread of the pool
 *   sync    the caller if it may wait, else a thread of the pool
 *
 * A file is opened below the directory's descriptor, never through a symbolic link, and is a
 * regular file. Its lock (flock) belongs to the open file description: it excludes other openers
 * in this process as well, and goes with the process however that ends. A second description,
 * opened with O_DIRECT where the file system has that, reads what the device has (after a failed
 * fdatasync the page cache shows bytes the device never got) and takes the long writes.
 *
 * Deliberately absent: retries of a failed fdatasync. The kernel reports an error once and forgets
 * it; a second call that succeeds proves nothing.
 */
#include "io/real.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "io/port.h"

#define DIRECT_ALIGN 4096u         /* enough for every device there is */
#define BOUNCE_BYTES (1u << 20)
#define FILL_BYTES (1u << 20)

struct file {
	struct real_world *world;
	int fd;
	int direct_fd;               /* -1 where there is no O_DIRECT */
	void *mapped;                /* by map(), or NULL */
	size_t mapped_len;
	bool no_nowait;              /* atomic, relaxed: a hint that RWF_NOWAIT is of no use here */
	bool no_direct;              /* atomic, relaxed: so for writes past the page cache */
	char name[];                 /* with the directory, for texts */
};

/* ----------------------------------------------------------------------------- opening, closing */

static bool name_is_plain(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int fail_file(const struct file *f, const char *what)
{
	int err = -errno;

	return lsvd_fail(err, "%s: %s: %s", f->name, what, lsvd_strerror(err));
}

static int new_file(struct file **ret, struct real_world *w, const char *name)
{
	size_t dir_len = strlen(w->dir), len = strlen(name);
	struct file *f = lsvd_calloc(1, sizeof *f + dir_len + len + 2);

	if (!f)
		return lsvd_fail_plain(-ENOMEM);
	f->world = w;
	f->fd = -1;
	f->direct_fd = -1;
	memcpy(f->name, w->dir, dir_len);
	f->name[dir_len] = '/';
	memcpy(f->name + dir_len + 1, name, len + 1);
	*ret = f;
	return 0;
}

/* O_NONBLOCK: a FIFO put in the file's place must not keep us waiting. Regular files ignore it. */
static int open_at(const struct file *f, const char *name, int flags)
{
	return openat(f->world->dir_fd, name,
		      flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
}

static int open_main(struct file *f, const char *name, unsigned flags)
{
	int how = flags & FILE_READONLY ? O_RDONLY : O_RDWR;
	struct stat st;

	if (flags & FILE_CREATE)
		how |= O_CREAT;
	f->fd = open_at(f, name, how);
	if (f->fd < 0)
		return fail_file(f, "open");
	if (fstat(f->fd, &st) < 0)
		return fail_file(f, "stat");
	if (!S_ISREG(st.st_mode))
		return lsvd_fail(-EINVAL, "%s: not a regular file", f->name);
	/*
	 * Also when the file was there: whoever made it may have died before its name was
	 * durable.
	 */
	if (flags & FILE_CREATE && fsync(f->world->dir_fd) < 0)
		return fail_file(f, "making its name durable");
	return 0;
}

static int lock_file(const struct file *f, unsigned flags)
{
	int how;

	if (!(flags & (FILE_EXCLUSIVE | FILE_SHARED)))
		return 0;
	how = flags & FILE_EXCLUSIVE ? LOCK_EX : LOCK_SH;
	if (flock(f->fd, how | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return lsvd_fail(LSVD_E_LOCKED, "%s: in use by another process or another handle",
				 f->name);
	return fail_file(f, "lock");
}

/* The same file once more, for going past the page cache; doing without it is no failure. */
static void open_direct(struct file *f, const char *name, unsigned flags)
{
	int how = flags & FILE_READONLY ? O_RDONLY : O_RDWR;
	struct stat a, b;

	f->direct_fd = open_at(f, name, how | O_DIRECT);
	if (f->direct_fd < 0)
		return;
	if (fstat(f->fd, &a) == 0 && fstat(f->direct_fd, &b) == 0 && a.st_dev == b.st_dev &&
	    a.st_ino == b.st_ino)
		return;
	(void)close(f->direct_fd); /* nothing was written through it */
	f->direct_fd = -1;
}

static void file_close(struct file *f)
{
	if (!f)
		return;
	/* What had to last was synced, and said so, before: close has nothing to add. */
	if (f->mapped)
		(void)munmap(f->mapped, f->mapped_len);
	if (f->direct_fd >= 0)
		(void)close(f->direct_fd);
	if (f->fd >= 0)
		(void)close(f->fd);
	lsvd_free(f);
}

static int file_open(struct world *world, const char *name, unsigned flags, struct file **ret)
{
	struct real_world *w = real_world_of(world);
	struct file *f = NULL;
	int err;

	if (!w->dir)
		return lsvd_fail(-EINVAL, "%s: no cache directory was given", name);
	if (!name_is_plain(name))
		return lsvd_fail(-EINVAL, "\"%s\": not the name of a file in %s", name, w->dir);
	err = new_file(&f, w, name);
	if (err < 0)
		goto out;
	err = open_main(f, name, flags);
	if (err < 0)
		goto out;
	err = lock_file(f, flags);
	if (err < 0)
		goto out;
	open_direct(f, name, flags);
	*ret = f;
	f = NULL;
out:
	file_close(f);
	return err;
}

static int file_size(struct file *f, uint64_t *ret_bytes)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return fail_file(f, "stat");
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

/* -------------------------------------------------------------------------------------- filling */

static int write_all(int fd, const void *buf, size_t len, uint64_t off)
{
	const uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Zeroes [off, bytes) by whole blocks of `zeroes`; how far it came is in *off. */
static int write_zeroes(int fd, const void *zeroes, uint64_t *off, uint64_t bytes, size_t align)
{
	while (bytes - *off >= align) {
		size_t len = (size_t)round_down(min_u64(bytes - *off, FILL_BYTES), align);
		int err = write_all(fd, zeroes, len, *off);

		if (err < 0)
			return err;
		*off += len;
	}
	return 0;
}

/*
 * Past the page cache first: this is several times faster and leaves the cache to others. Whatever
 * O_DIRECT does not take, the page cache does.
 */
static int write_zeroes_fast(const struct file *f, const char *base, const void *zeroes,
			     uint64_t bytes)
{
	uint64_t off = 0;
	int fd, err;

	fd = open_at(f, base, O_WRONLY | O_DIRECT);
	if (fd >= 0) {
		err = write_zeroes(fd, zeroes, &off, bytes, DIRECT_ALIGN);
		(void)close(fd); /* the sync of the other description covers it */
		if (err < 0 && err != -EINVAL)
			return err;
	}
	err = write_zeroes(f->fd, zeroes, &off, bytes, 1);
	return err;
}

static int reserve(const struct file *f, uint64_t bytes)
{
	if (bytes > INT64_MAX) {
		errno = EFBIG;
		return -1;
	}
	if (ftruncate(f->fd, 0) < 0)
		return -1;
	if (bytes == 0 || fallocate(f->fd, 0, 0, (off_t)bytes) == 0)
		return 0;
	return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -1;
}

static int file_fill(struct file *f, uint64_t bytes)
{
	void *zeroes = lsvd_aligned_alloc(DIRECT_ALIGN, FILL_BYTES);
	int err;

	if (!zeroes)
		return lsvd_fail_plain(-ENOMEM);
	memset(zeroes, 0, FILL_BYTES);
	err = reserve(f, bytes) < 0 ? -errno : 0;
	if (err == 0)
		err = write_zeroes_fast(f, strrchr(f->name, '/') + 1, zeroes, bytes);
	if (err == 0 && fsync(f->fd) < 0)
		err = -errno;
	lsvd_free(zeroes);
	if (err < 0)
		return lsvd_fail(err, "%s: making it %llu bytes long: %s", f->name,
				 (unsigned long long)bytes, lsvd_strerror(err));
	return 0;
}

static int file_resize(struct file *f, uint64_t bytes)
{
	if (bytes <= INT64_MAX && ftruncate(f->fd, (off_t)bytes) == 0)
		return 0;
	return lsvd_fail(bytes > INT64_MAX ? -EFBIG : -errno, "%s: making it %llu bytes long",
			 f->name, (unsigned long long)bytes);
}

static int file_map(struct file *f, size_t len, void **ret)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);

	if (p == MAP_FAILED)
		return lsvd_fail(-errno, "%s: mapping %zu bytes: %s", f->name, len,
				 lsvd_strerror(-errno));
	f->mapped = p;
	f->mapped_len = len;
	*ret = p;
	return 0;
}

/* ---------------------------------------------------------------------- reads, writes and syncs */

static int fail_io(const struct file_io *io, const char *what, int err)
{
	(void)lsvd_fail(err, "%s: %s of %zu bytes at %llu: %s", io->file->name, what, io->len,
			(unsigned long long)io->off, lsvd_strerror(err));
	lsvd_report(LSVD_LOG_WARN, "%s", lsvd_last_error());
	return err;
}

static int fail_short(const struct file_io *io, size_t got)
{
	(void)lsvd_fail(-EIO, "%s: read of %zu bytes at %llu: the file ends after %zu of them",
			io->file->name, io->len, (unsigned long long)io->off, got);
	lsvd_report(LSVD_LOG_WARN, "%s", lsvd_last_error());
	return -EIO;
}

static int do_write(const struct file_io *io)
{
	int err = write_all(io->file->fd, io->buf, io->len, io->off);

	return err < 0 ? fail_io(io, "write", err) : 0;
}

static bool is_aligned(const struct file_io *io)
{
	return (io->len | io->off | (uintptr_t)io->buf) % DIRECT_ALIGN == 0;
}

static bool may_go_direct(const struct file_io *io)
{
	const struct file *f = io->file;

	return io->past_cache && io->len >= FILE_LONG_BYTES && f->direct_fd >= 0 &&
	       is_aligned(io) && !__atomic_load_n(&f->no_direct, __ATOMIC_RELAXED);
}

/* What was not taken whole goes through the page cache, from the beginning. */
void lsvd_file_written(struct file_io *io, int64_t res)
{
	if (res == -EINVAL)
		__atomic_store_n(&io->file->no_direct, true, __ATOMIC_RELAXED);
	if (res >= 0 && (uint64_t)res == io->len)
		io->io.err = 0;
	else if (res >= 0 || res == -EINVAL)
		io->io.err = do_write(io);
	else
		io->io.err = fail_io(io, "write", (int)res);
}

static int do_sync(const struct file_io *io)
{
	if (fdatasync(io->file->fd) == 0)
		return 0;
	return fail_io(io, "sync", -errno);
}

/* Bytes read: fewer than asked only at the end of the file. */
static ssize_t read_full(int fd, uint8_t *p, size_t len, uint64_t off)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, p + got, len - got, (off_t)(off + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static int finish_read(const struct file_io *io, ssize_t got)
{
	if (got < 0)
		return fail_io(io, "read", (int)got);
	return (size_t)got < io->len ? fail_short(io, (size_t)got) : 0;
}

/*
 * One aligned piece that covers as much as it can of [off, off + len). The bytes of the range that
 * were got; 0 at the end of the file.
 */
static ssize_t read_direct_piece(int fd, uint8_t *bounce, uint8_t *p, size_t len, uint64_t off)
{
	uint64_t from = round_down(off, DIRECT_ALIGN);
	size_t skip = (size_t)(off - from);
	size_t want = (size_t)min_u64(round_up(skip + len, DIRECT_ALIGN), BOUNCE_BYTES);
	ssize_t n;

	do
		n = pread(fd, bounce, want, (off_t)from);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n <= skip)
		return 0;
	n -= (ssize_t)skip;
	if ((size_t)n > len)
		n = (ssize_t)len;
	memcpy(p, bounce + skip, (size_t)n);
	return n;
}

static ssize_t read_direct(int fd, uint8_t *bounce, const struct file_io *io)
{
	size_t got = 0;

	while (got < io->len) {
		ssize_t n = read_direct_piece(fd, bounce, (uint8_t *)io->buf + got, io->len - got,
					      io->off + got);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/*
 * Where O_DIRECT is refused the page cache is asked to forget what it can, which is as near as one
 * gets.
 */
static int do_read_past_cache(const struct file_io *io)
{
	const struct file *f = io->file;
	ssize_t got = -EINVAL;

	if (f->direct_fd >= 0 && is_aligned(io)) {
		got = read_full(f->direct_fd, io->buf, io->len, io->off);
	} else if (f->direct_fd >= 0) {
		uint8_t *bounce = lsvd_aligned_alloc(DIRECT_ALIGN, BOUNCE_BYTES);

		if (!bounce)
			return fail_io(io, "read", -ENOMEM);
		got = read_direct(f->direct_fd, bounce, io);
		lsvd_free(bounce);
	}
	if (got == -EINVAL) {
		/* Advice: nothing follows from its failure. */
		(void)posix_fadvise(f->fd, (off_t)io->off, (off_t)io->len, POSIX_FADV_DONTNEED);
		got = read_full(f->fd, io->buf, io->len, io->off);
	}
	return finish_read(io, got);
}

static int do_read(const struct file_io *io)
{
	if (io->past_cache)
		return do_read_past_cache(io);
	return finish_read(io, read_full(io->file->fd, io->buf, io->len, io->off));
}

/* True if the page cache had all of it. */
static bool read_cached(const struct file_io *io)
{
	struct file *f = io->file;
	struct iovec iov = { io->buf, io->len };
	ssize_t n;

	if (io->past_cache || __atomic_load_n(&f->no_nowait, __ATOMIC_RELAXED))
		return false;
	n = preadv2(f->fd, &iov, 1, (off_t)io->off, RWF_NOWAIT);
	if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
		__atomic_store_n(&f->no_nowait, true, __ATOMIC_RELAXED);
	return n >= 0 && (size_t)n == io->len;
}

void lsvd_file_run(void *ctx, struct io *io)
{
	struct file_io *f = lsvd_container_of(io, struct file_io, io);

	(void)ctx;
	io->err = io->kind == IO_FILE_SYNC ? do_sync(f) : do_read(f);
	lsvd_port_finish(io);
}

static void file_start(struct file_io *io, bool may_wait)
{
	struct real_world *w = io->file->world;
	bool over = true;

	if (io->io.kind == IO_FILE_WRITE && may_go_direct(io) &&
	    lsvd_aio_write(&w->aio, io->file->direct_fd, io))
		return;
	if (io->io.kind == IO_FILE_WRITE)
		io->io.err = do_write(io);
	else
		over = io->io.kind == IO_FILE_READ && (io->len == 0 || read_cached(io));
	if (over)
		lsvd_port_finish(&io->io);
	else if (may_wait)
		lsvd_file_run(NULL, &io->io);
	else
		lsvd_pool_submit(io->io.kind == IO_FILE_SYNC ? &w->syncs : &w->reads, &io->io);
}

const struct file_ops lsvd_file_ops_sync = {
	.open = file_open,
	.size = file_size,
	.fill = file_fill,
	.resize = file_resize,
	.map = file_map,
	.close = file_close,
	.start = file_start,
};
