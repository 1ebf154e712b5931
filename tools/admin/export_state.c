/* SPDX-License-Identifier: BSD-2-Clause */
/* export_state.c - reading, writing and ending the record of an unfinished export. */
#include "admin/export_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/cmd.h"

static int state_fail(const struct export_state *s)
{
	return admin_error("%s: %s", s->path, strerror(errno));
}

int export_state_init(struct export_state *s, const char *out, const char *volume_line)
{
	*s = (struct export_state){.fd = -1};
	(void)snprintf(s->head, sizeof s->head, "lsvd-export 1\n%s\n", volume_line); /* fits */
	if (asprintf(&s->path, "%s.lsvd-export", out) < 0) {
		s->path = NULL;
		return admin_error("out of memory");
	}
	return 0;
}

static int keep_window(struct export_state *s, const struct export_window *w)
{
	if ((s->count & (s->count - 1)) == 0) {
		size_t room = s->count ? 2 * s->count : 1;
		struct export_window *more = realloc(s->windows, room * sizeof *more);

		if (!more)
			return admin_error("out of memory");
		s->windows = more;
	}
	s->windows[s->count++] = *w;
	return 0;
}

/* False if the line is not whole. */
static bool parse_window(const char *line, struct export_window *ret)
{
	char hex[SUM_TEXT + 8];
	int end = 0;

	if (sscanf(line, "window %" SCNu64 " %70s%n", &ret->off, hex, &end) != 2 ||
	    line[end] != '\n' || !sum_is_one(hex) || ret->off % WINDOW_BYTES)
		return false;
	memcpy(ret->hex, hex, SUM_TEXT);
	return true;
}

static int read_head(struct export_state *s, FILE *file)
{
	char head[sizeof s->head];
	size_t len = strlen(s->head), n = fread(head, 1, len, file);

	if (n < 12 || memcmp(head, "lsvd-export ", 12) != 0)
		return admin_error("%s does not tell of an interrupted export", s->path);
	if (n < len || memcmp(head, s->head, len) != 0)
		return admin_error("%s is of another state of the volume, or of another format: "
				   "remove it and the image, and export anew", s->path);
	return 0;
}

int export_state_load(struct export_state *s)
{
	FILE *file = fopen(s->path, "re");
	struct export_window w;
	char line[160];
	int err;

	if (!file)
		return errno == ENOENT ? 0 : state_fail(s);
	err = read_head(s, file);
	while (!err && fgets(line, sizeof line, file) && parse_window(line, &w) &&
	       (!s->count || w.off > s->windows[s->count - 1].off))
		err = keep_window(s, &w);
	(void)fclose(file); /* only read */
	return err ? err : 1;
}

static int write_all(const struct export_state *s, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(s->fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return state_fail(s);
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int export_state_add(struct export_state *s, const struct export_window *windows, size_t n)
{
	char line[160];

	for (size_t i = 0; i < n; i++) {
		int len = snprintf(line, sizeof line, "window %" PRIu64 " %s\n", windows[i].off,
				   windows[i].hex);

		if (write_all(s, line, (size_t)len) < 0)
			return -1;
	}
	return fdatasync(s->fd) < 0 ? state_fail(s) : 0;
}

int export_state_begin(struct export_state *s)
{
	char *temporary;
	int err;

	if (asprintf(&temporary, "%s.new", s->path) < 0)
		return admin_error("out of memory");
	s->fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND, 0666);
	err = s->fd < 0 ? state_fail(s) : write_all(s, s->head, strlen(s->head));
	if (!err)
		err = export_state_add(s, s->windows, s->count);
	if (!err && rename(temporary, s->path) < 0)
		err = state_fail(s);
	if (err && s->fd >= 0)
		(void)unlink(temporary); /* ours, and of no use */
	free(temporary);
	return err;
}

int export_state_remove(struct export_state *s)
{
	return unlink(s->path) < 0 ? state_fail(s) : 0;
}

void export_state_fini(struct export_state *s)
{
	if (s->fd >= 0)
		(void)close(s->fd); /* every line was synced */
	free(s->windows);
	free(s->path);
}
