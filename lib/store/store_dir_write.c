/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_dir_write.c - the bytes of a new object into its file.
 *
 * Small objects are written through the page cache. Large ones go past it (O_DIRECT), a piece at a
 * time from an aligned buffer: they are synced right afterwards and hardly ever read soon, and what
 * the page cache would add is a page to be found, filled and written back for every 4 KiB, which
 * costs more than the copy into the buffer, and pushes out pages that somebody needs. A file system
 * that knows no O_DIRECT says EINVAL, once; from then on everything goes through the page cache.
 *
 * Who has asked for objects to stay open is going to read them, and soon: then large ones, too, are
 * written through the page cache, CACHED_BYTES at a time, each of which the kernel may begin to
 * write back meanwhile. What has been written in large steps lies there in large pages, from which
 * reading takes a quarter of the time that it takes from those which reads of little parts bring.
 *
 * The last piece is filled up with zeroes to DIRECT_ALIGN, and the file then cut to its length.
 * Buffers are kept for the next object, a few of them: fresh memory would have to be faulted in.
 */
#include "store/store_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"

#define IOV_AT_ONCE 512
#define DIRECT_MIN_BYTES (256u << 10)
#define DIRECT_ALIGN 4096u
#define PIECE_BYTES (2u << 20)
#define CACHED_BYTES (8u << 20)

/* ----------------------------------------------------------------------- through the page cache */

/* Copies the next elements, the first without its `skip` bytes, up to so many bytes. */
static int next_iov(struct iovec out[IOV_AT_ONCE], const struct iovec *iov, int iovcnt, size_t skip,
		    size_t most)
{
	int n = 0;

	for (; n < iovcnt && n < IOV_AT_ONCE && most; n++, skip = 0) {
		out[n].iov_base = (uint8_t *)iov[n].iov_base + skip;
		out[n].iov_len = min_u64(iov[n].iov_len - skip, most);
		most -= out[n].iov_len;
	}
	return n;
}

static int write_cached(int fd, const struct iovec *iov, int iovcnt)
{
	struct iovec part[IOV_AT_ONCE];
	size_t skip = 0, most;
	off_t off = 0;

	while (iovcnt > 0) {
		ssize_t n;

		if (iov->iov_len == skip) {
			iov++;
			iovcnt--;
			skip = 0;
			continue;
		}
		most = CACHED_BYTES - (size_t)off % CACHED_BYTES;
		n = writev(fd, part, next_iov(part, iov, iovcnt, skip, most));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		/*
		 * Only a hint: the sync that follows does all of it, and says what has gone wrong.
		 */
		if ((size_t)n == CACHED_BYTES)
			(void)sync_file_range(fd, off, n, SYNC_FILE_RANGE_WRITE);
		off += n;
		for (; iovcnt > 0 && (size_t)n >= iov->iov_len - skip; iov++, iovcnt--) {
			n -= (ssize_t)(iov->iov_len - skip);
			skip = 0;
		}
		skip += (size_t)n;
	}
	return 0;
}

/* -------------------------------------------------------------------------- past the page cache */

static uint8_t *take_buffer(struct dir *d)
{
	uint8_t *buf = NULL;

	pthread_mutex_lock(&d->lock);
	if (d->buffers)
		buf = d->buffer[--d->buffers];
	pthread_mutex_unlock(&d->lock);
	return buf ? buf : lsvd_huge_alloc(PIECE_BYTES);
}

static void keep_buffer(struct dir *d, uint8_t *buf)
{
	pthread_mutex_lock(&d->lock);
	if (d->buffers < DIR_BUFFERS) {
		d->buffer[d->buffers++] = buf;
		buf = NULL;
	}
	pthread_mutex_unlock(&d->lock);
	lsvd_huge_free(buf, PIECE_BYTES);
}

void lsvd_dir_free_buffers(struct dir *d)
{
	while (d->buffers)
		lsvd_huge_free(d->buffer[--d->buffers], PIECE_BYTES);
}

struct source {
	const struct iovec *iov;
	int iovcnt;
	size_t skip;             /* bytes of the first element that are already taken */
};

/* The next bytes of the vector, up to a piece. */
static size_t gather(struct source *s, uint8_t *buf)
{
	size_t got = 0;

	while (s->iovcnt > 0 && got < PIECE_BYTES) {
		size_t n = (size_t)min_u64(s->iov->iov_len - s->skip, PIECE_BYTES - got);

		memcpy(buf + got, (const uint8_t *)s->iov->iov_base + s->skip, n);
		got += n;
		s->skip += n;
		if (s->skip < s->iov->iov_len)
			break;
		s->iov++;
		s->iovcnt--;
		s->skip = 0;
	}
	return got;
}

/* 0, or -1 and errno. What was written in part is written again from its last whole block on. */
static int write_piece(int fd, const uint8_t *buf, size_t len, off_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, buf + done, len - done, off + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n >= 0 && n < (ssize_t)DIRECT_ALIGN)
			errno = ENOSPC;
		if (n < (ssize_t)DIRECT_ALIGN)
			return -1;
		done += round_down((size_t)n, DIRECT_ALIGN);
	}
	return 0;
}

static int write_direct(int fd, uint8_t *buf, const struct iovec *iov, int iovcnt)
{
	struct source s = { iov, iovcnt, 0 };
	off_t off = 0;
	size_t n;

	while ((n = gather(&s, buf)) > 0) {
		size_t whole = (size_t)round_up(n, DIRECT_ALIGN);

		memset(buf + n, 0, whole - n);
		if (write_piece(fd, buf, whole, off) < 0)
			return -1;
		off += (off_t)n;
	}
	return ftruncate(fd, off);
}

static bool may_go_direct(const struct dir *d, const struct iovec *iov, int iovcnt)
{
	return !(d->flags & STORE_DIR_NO_DIRECT) && !lsvd_dir_learnt(&d->no_direct) &&
	       !lsvd_dir_is_holding(d) && lsvd_iov_bytes(iov, iovcnt) >= DIRECT_MIN_BYTES;
}

/* O_DIRECT on or off; false if the file system does not know it. */
static bool set_direct(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

/* True if it is decided: *ret is 0, or -1 and errno. */
static bool try_direct(struct dir *d, int fd, const struct iovec *iov, int iovcnt, int *ret)
{
	uint8_t *buf;

	if (!set_direct(fd, true)) {
		lsvd_dir_learn(&d->no_direct);
		return false;
	}
	buf = take_buffer(d);
	if (buf)
		*ret = write_direct(fd, buf, iov, iovcnt);
	if (buf && (*ret == 0 || errno != EINVAL)) {
		int err = errno;

		keep_buffer(d, buf);
		errno = err;
		return true;
	}
	if (buf) {
		lsvd_dir_learn(&d->no_direct);
		keep_buffer(d, buf);
	}
	/* No memory, or not this way after all: from the beginning, through the page cache. */
	*ret = set_direct(fd, false) && lseek(fd, 0, SEEK_SET) == 0 && ftruncate(fd, 0) == 0 ? 0
											     : -1;
	return *ret < 0;
}

int lsvd_dir_write(struct dir *d, int fd, const struct iovec *iov, int iovcnt)
{
	int err = 0;

	if (may_go_direct(d, iov, iovcnt) && try_direct(d, fd, iov, iovcnt, &err))
		return err;
	return write_cached(fd, iov, iovcnt);
}
