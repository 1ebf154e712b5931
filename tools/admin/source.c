/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * source.c - which kind of source a name means.
 *
 * The format is never guessed from the content: who writes to a raw disk could make it look like a
 * qcow2 image that is backed by a file of the host. Content that looks so, and is not called raw,
 * is refused instead.
 */
#include "admin/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/cmd.h"

bool source_is_qcow2(const void *bytes)
{
	return memcmp(bytes, "QFI\xfb", 4) == 0;
}

static bool is_url(const char *place)
{
	return strncasecmp(place, "http://", 7) == 0 || strncasecmp(place, "https://", 8) == 0;
}

/* Looks at the beginning of what can be read twice. */
static int check_content(int fd, const char *name, enum source_format format)
{
	char magic[4];

	if (format == SOURCE_AUTO && pread(fd, magic, sizeof magic, 0) == sizeof magic &&
	    source_is_qcow2(magic))
		return admin_error("%s looks like a qcow2 image: say --format qcow2, or --format "
				   "raw to take it as it is", name);
	return 0;
}

static struct source *open_raw(const char *place, enum source_format format)
{
	bool input = strcmp(place, "-") == 0;
	const char *name = input ? "standard input" : place;
	/* A named pipe is waited for when it is read, where a signal is heard. */
	int fd = input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
		       : open(place, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0) {
		(void)admin_error("%s: %s", name, strerror(errno));
		return NULL;
	}
	if (check_content(fd, name, format) < 0) {
		(void)close(fd); /* nothing was written */
		return NULL;
	}
	return source_file_open(fd, name);
}

/* qemu-img would wait for a pipe, and for a directory has words of its own. */
static struct source *open_qcow2(const char *place)
{
	struct stat st;

	if (stat(place, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		(void)admin_error("%s is no file: a qcow2 image is read from a file only", place);
		return NULL;
	}
	return source_nbd_open(place);
}

struct source *source_open(const char *place, enum source_format format,
			   const struct source_web *web)
{
	if (format == SOURCE_QCOW2 && (is_url(place) || strcmp(place, "-") == 0)) {
		(void)admin_error("%s: a qcow2 image is read from a file only", place);
		return NULL;
	}
	if (format == SOURCE_QCOW2)
		return open_qcow2(place);
	if (is_url(place))
		return source_http_open(place, web);
	return open_raw(place, format);
}

void source_close(struct source *s)
{
	if (s)
		s->ops->close(s);
}
