/* SPDX-License-Identifier: BSD-2-Clause */
/* source_file.c - raw images: files and block devices, whose length is known, and pipes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/long.h"
#include "admin/source.h"
#include "common/stop.h"

struct file_source {
	struct source source;
	int fd;
};

static struct file_source *of(struct source *s)
{
	return (struct file_source *)(void *)s;
}

static int file_fail(const struct source *s)
{
	return admin_error("%s: %s", s->name, strerror(errno));
}

/* Files that know no holes, and devices, are data to the end. */
static int file_stretch(struct source *s, uint64_t off, uint64_t *ret_len, bool *ret_hole)
{
	off_t data = lseek(of(s)->fd, (off_t)off, SEEK_DATA), hole;

	if (data < 0 && errno != ENXIO && errno != EINVAL && errno != EOPNOTSUPP)
		return file_fail(s);
	*ret_hole = data != (off_t)off && !(data < 0 && errno != ENXIO);
	*ret_len = s->bytes - off;
	if (*ret_hole && data > 0)
		*ret_len = (uint64_t)data - off;
	if (data == (off_t)off) {
		hole = lseek(of(s)->fd, (off_t)off, SEEK_HOLE);
		if (hole > (off_t)off)
			*ret_len = (uint64_t)hole - off;
	}
	if (*ret_len > s->bytes - off)
		*ret_len = s->bytes - off; /* it has grown: not ours */
	return 0;
}

static int file_read(struct source *s, uint64_t off, void *buf, size_t len, size_t *ret_len)
{
	*ret_len = 0;
	while (*ret_len < len) {
		ssize_t n = pread(of(s)->fd, (char *)buf + *ret_len, len - *ret_len,
				  (off_t)(off + *ret_len));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_fail(s);
		if (n == 0)
			return 0;
		*ret_len += (size_t)n;
	}
	return 0;
}

/* Until there is something to read, or a signal wants the command to end. */
static int wait_readable(const struct source *s, int fd)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
			       {.fd = stop_fd(), .events = POLLIN}};

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return file_fail(s);
		if (stop_requested())
			return -1;
		if (fds[0].revents)
			return 0;
		if (fds[1].revents)
			(void)stop_take(); /* a hang-up or a child: not for us */
	}
}

static int pipe_read(struct source *s, uint64_t off, void *buf, size_t len, size_t *ret_len)
{
	(void)off; /* there is only one place */
	*ret_len = 0;
	while (*ret_len < len) {
		ssize_t n;

		if (wait_readable(s, of(s)->fd) < 0)
			return -1;
		n = read(of(s)->fd, (char *)buf + *ret_len, len - *ret_len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return file_fail(s);
		if (n == 0)
			return 0;
		*ret_len += (size_t)n;
	}
	return 0;
}

static void file_close(struct source *s)
{
	(void)close(of(s)->fd); /* nothing was written */
	free(s);
}

static const struct source_ops file_ops = {file_stretch, file_read, file_close};
static const struct source_ops pipe_ops = {NULL, pipe_read, file_close};

/* Takes `fd` over. */
struct source *source_file_open(int fd, const char *name)
{
	struct file_source *f = calloc(1, sizeof *f);
	struct stat st;
	off_t end;

	if (!f || fstat(fd, &st) < 0) {
		(void)admin_error("%s: %s", name, strerror(errno));
		(void)close(fd);
		free(f);
		return NULL;
	}
	f->fd = fd;
	f->source = (struct source){&pipe_ops, SOURCE_UNKNOWN, name};
	if (S_ISDIR(st.st_mode)) {
		(void)admin_error("%s is a directory", name);
		file_close(&f->source);
		return NULL;
	}
	end = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ? lseek(fd, 0, SEEK_END) : -1;
	if (end >= 0) {
		f->source.ops = &file_ops;
		f->source.bytes = (uint64_t)end;
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* only a hint */
	}
	return &f->source;
}
