/* SPDX-License-Identifier: BSD-2-Clause */
/* profile.c - reading, writing and making lists of ranges. */
#include "admin/profile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char first_line[] = "lsvd-profile 1\n";

#define STATUSES 128u

int profile_add(struct profile *p, uint64_t off, uint64_t len)
{
	if ((p->count & (p->count - 1)) == 0) {
		size_t room = p->count ? 2 * p->count : 1;
		struct admin_range *more = realloc(p->ranges, room * sizeof *more);

		if (!more)
			return admin_error("out of memory");
		p->ranges = more;
	}
	p->ranges[p->count++] = (struct admin_range){off, len};
	p->bytes += len;
	return 0;
}

/* "OFFSET LENGTH" and the end of the line; false if it is anything else. */
static bool parse_line(const char *line, uint64_t *off, uint64_t *len)
{
	int end = 0;

	if (line[strspn(line, "0123456789 \t\r\n")] ||
	    sscanf(line, "%" SCNu64 " %" SCNu64 " %n", off, len, &end) != 2 || line[end])
		return false;
	return *off % LSVD_SECTOR_BYTES == 0 && *len % LSVD_SECTOR_BYTES == 0 &&
	       *off <= LSVD_VOLUME_MAX_BYTES && *len <= LSVD_VOLUME_MAX_BYTES;
}

static int take_line(struct profile *p, const char *path, unsigned number, const char *line,
		     uint64_t bytes)
{
	uint64_t off, len;

	if (line[0] == '#' || line[strspn(line, " \t\r\n")] == '\0')
		return 0;
	if (!parse_line(line, &off, &len))
		return admin_error("%s:%u: not OFFSET LENGTH in bytes, multiples of %u", path,
				   number, LSVD_SECTOR_BYTES);
	if (off >= bytes)
		return 0;
	return profile_add(p, off, len < bytes - off ? len : bytes - off);
}

int profile_read(struct profile *p, const char *path, uint64_t bytes)
{
	FILE *file = admin_read_text(path);
	char line[128];
	int err = 0;

	if (!file)
		return -1;
	if (!fgets(line, sizeof line, file) || strcmp(line, first_line) != 0)
		err = admin_error("%s is no profile: its first line is not \"lsvd-profile 1\"",
				  path);
	for (unsigned i = 2; !err && fgets(line, sizeof line, file); i++)
		err = take_line(p, path, i, line, bytes);
	if (!err && ferror(file))
		err = admin_error("%s: %s", path, strerror(errno));
	(void)fclose(file); /* only read */
	return err;
}

int profile_write(const struct profile *p, const char *path, const char *volume)
{
	FILE *file = admin_write_text(path);
	bool good;

	if (!file)
		return -1;
	good = fputs(first_line, file) >= 0 && fprintf(file, "# volume %s\n", volume) >= 0;
	for (size_t i = 0; i < p->count && good; i++)
		good = fprintf(file, "%" PRIu64 " %" PRIu64 "\n", p->ranges[i].off,
			       p->ranges[i].len) >= 0;
	if (fclose(file) != 0 || !good)
		return admin_error("%s: %s", path, strerror(errno));
	return 0;
}

int profile_of_cache(struct profile *p, struct lsvd_volume *volume)
{
	uint64_t off = 0, end = lsvd_volume_bytes(volume);
	struct lsvd_status_extent status[STATUSES];

	while (off < end && !admin_stopped()) {
		int n = lsvd_volume_cache_status(volume, off, end - off, status, STATUSES);

		if (n < 0) {
			(void)admin_fail(); /* the status says it */
			return -1;
		}
		for (int i = 0; i < n; off += status[i++].len)
			if (status[i].flags & LSVD_STATUS_CACHED &&
			    profile_add(p, off, status[i].len) < 0)
				return -1;
	}
	return admin_stopped() ? admin_error("interrupted") : 0;
}

void profile_fini(struct profile *p)
{
	free(p->ranges);
}
