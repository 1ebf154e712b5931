/* SPDX-License-Identifier: BSD-2-Clause */
/* target_file.c - raw images, sparse; and standard output, which gets zeroes as they are. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/long.h"
#include "admin/target.h"
#include "admin/writer.h"

#define BLOCK 4096u

struct file_target {
	struct target target;
	int fd;
};

static struct file_target *of(struct target *t)
{
	return (struct file_target *)(void *)t;
}

static int file_fail(const struct target *t)
{
	return admin_error("%s: %s", t->name, strerror(errno));
}

/* ----------------------------------------------------------------------------------- raw files */

static int write_at(struct target *t, uint64_t off, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = pwrite(of(t)->fd, buf, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_fail(t);
		off += (uint64_t)n;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Runs of blocks that are not zero: the rest is a hole already. */
static int file_write(struct target *t, uint64_t off, const void *buf, size_t len)
{
	const char *p = buf;
	size_t at = 0, end;

	while (at < len) {
		for (end = at; end < len && !is_zero((const uint8_t *)p + end,
						     least(BLOCK, len - end));)
			end += least(BLOCK, len - end);
		if (end > at && write_at(t, off + at, p + at, end - at) < 0)
			return -1;
		at = end;
		while (at < len && is_zero((const uint8_t *)p + at, least(BLOCK, len - at)))
			at += least(BLOCK, len - at);
	}
	return 0;
}

static int file_zero(struct target *t, uint64_t off, uint64_t len)
{
	if (!t->resumed || fallocate(of(t)->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     (off_t)off, (off_t)len) == 0)
		return 0;
	if (errno == EOPNOTSUPP)
		return admin_error("%s: this file system makes no holes in files: remove it "
				   "and export anew", t->name);
	return file_fail(t);
}

static int file_read(struct target *t, uint64_t off, void *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = pread(of(t)->fd, (char *)buf + at, len - at, (off_t)(off + at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_fail(t);
		if (n == 0)
			return admin_error("%s has become shorter", t->name);
		at += (size_t)n;
	}
	return 0;
}

static int file_sync(struct target *t)
{
	return fdatasync(of(t)->fd) < 0 ? file_fail(t) : 0;
}

static int file_end(struct target *t)
{
	int err = fsync(of(t)->fd) < 0 ? file_fail(t) : 0;

	if (close(of(t)->fd) < 0 && !err)
		err = file_fail(t);
	free(t);
	return err;
}

static void file_abandon(struct target *t)
{
	(void)close(of(t)->fd); /* what is not there is not counted on */
	free(t);
}

static const struct target_ops file_ops = {file_write, file_zero, file_read,
					   file_sync,  file_end,  file_abandon};

/* A file of the right kind and, from here on, of the right length. */
static int prepare(struct file_target *f)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return file_fail(&f->target);
	if (!S_ISREG(st.st_mode))
		return admin_error("%s is no regular file: use standard output, -", f->target.name);
	if (ftruncate(f->fd, (off_t)f->target.bytes) < 0)
		return file_fail(&f->target);
	return 0;
}

struct target *target_file_open(const char *path, uint64_t bytes, bool resume)
{
	struct file_target *f;

	if (!resume && target_reserve(path) < 0)
		return NULL;
	f = calloc(1, sizeof *f);
	if (!f) {
		(void)admin_error("out of memory");
		return NULL;
	}
	f->target = (struct target){&file_ops, path, bytes, resume};
	f->fd = open(path, O_RDWR | O_CLOEXEC);
	if (f->fd < 0 ? file_fail(&f->target) < 0 : prepare(f) < 0) {
		if (!resume)
			(void)unlink(path); /* ours, and empty */
		file_abandon(&f->target);
		return NULL;
	}
	return &f->target;
}

/* ------------------------------------------------------------------------------ standard output */

static int pipe_write(struct target *t, uint64_t off, const void *buf, size_t len)
{
	const char *p = buf;

	(void)off; /* ranges come in order */
	while (len) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_fail(t);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int pipe_zero(struct target *t, uint64_t off, uint64_t len)
{
	static const char zeroes[1u << 20];

	while (len) {
		size_t n = len < sizeof zeroes ? (size_t)len : sizeof zeroes;

		if (admin_stopped() || pipe_write(t, off, zeroes, n) < 0)
			return -1;
		len -= n;
	}
	return 0;
}

static int pipe_sync(struct target *t)
{
	(void)t;
	return 0;
}

static int pipe_end(struct target *t)
{
	free(t);
	return 0;
}

static void pipe_abandon(struct target *t)
{
	free(t);
}

static const struct target_ops pipe_ops = {pipe_write, pipe_zero, NULL,
					   pipe_sync,  pipe_end,  pipe_abandon};

struct target *target_stdout_open(uint64_t bytes)
{
	struct target *t = calloc(1, sizeof *t);

	if (!t) {
		(void)admin_error("out of memory");
		return NULL;
	}
	*t = (struct target){&pipe_ops, "standard output", bytes, false};
	return t;
}
