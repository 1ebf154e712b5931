/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doctor_disk.c - how long the cache directory's disk takes to make 4 KiB durable.
 *
 * As the local log does it: a file whose blocks have been written once, one pwrite, one fdatasync.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "admin/doctor.h"
#include "admin/long.h"

#define SYNCS	   200u
#define SYNC_MS	   3000.0
#define FILE_BYTES (1u << 20)

static void complain(struct doctor *d, const char *what)
{
	(void)snprintf(d->cache_error, sizeof d->cache_error, "%s: %s: %s", d->options.cache_dir,
		       what, strerrordesc_np(errno)); /* cut at worst */
}

static bool write_all(int fd, const void *bytes, size_t len, off_t off)
{
	ssize_t n = pwrite(fd, bytes, len, off);

	if (n >= 0 && (size_t)n < len)
		errno = ENOSPC;
	return n == (ssize_t)len;
}

static bool fill(int fd, const uint8_t block[DOCTOR_SMALL])
{
	for (off_t off = 0; off < FILE_BYTES; off += DOCTOR_SMALL)
		if (!write_all(fd, block, DOCTOR_SMALL, off))
			return false;
	return fsync(fd) == 0;
}

static void measure(struct doctor *d, int fd)
{
	static uint8_t block[DOCTOR_SMALL];
	double ms[SYNCS], end = doctor_now_ms() + SYNC_MS;
	unsigned n = 0;

	memset(block, 0xa5, sizeof block);
	if (!fill(fd, block)) {
		complain(d, "write");
		return;
	}
	while (n < SYNCS && doctor_now_ms() < end && !admin_stopped()) {
		double start = doctor_now_ms();

		if (!write_all(fd, block, sizeof block, n * DOCTOR_SMALL % FILE_BYTES) ||
		    fdatasync(fd) < 0) {
			complain(d, "write");
			return;
		}
		ms[n++] = doctor_now_ms() - start;
	}
	d->sync.operation = "fdatasync";
	d->sync.bytes = DOCTOR_SMALL;
	doctor_summarize(&d->sync, ms, n);
}

/* The directory, or the one it would be made in. */
static bool existing_dir(char *path)
{
	struct stat st;

	while (stat(path, &st) < 0) {
		char *slash = strrchr(path, '/');

		if (errno != ENOENT)
			return false;
		if (!slash) { /* a name below the working directory */
			path[0] = '.';
			path[1] = '\0';
		} else {
			slash[slash == path] = '\0';
		}
	}
	return S_ISDIR(st.st_mode);
}

void doctor_measure_disk(struct doctor *d)
{
	char *dir = strdup(d->options.cache_dir);
	struct statvfs fs;
	int fd;

	if (!dir || !existing_dir(dir)) {
		complain(d, "directory");
		free(dir);
		return;
	}
	doctor_step("the disk of the cache");
	if (statvfs(dir, &fs) == 0)
		d->cache_free = (uint64_t)fs.f_bavail * fs.f_frsize;
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); /* gone with its descriptor */
	if (fd < 0) {
		complain(d, "file");
	} else {
		measure(d, fd);
		(void)close(fd); /* nothing of it is wanted */
	}
	free(dir);
}
