/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * source.h - where an import takes its bytes from: a file, standard input, a qcow2 image, a URL.
 *
 * A source is read from beginning to end. Those that know where their holes are say so. Failures
 * are printed where they are met; main thread only.
 *
 *   source_file.c   raw files and block devices (holes by SEEK_DATA), pipes
 *   source_nbd.c    qcow2, through qemu-nbd and libnbd: nothing of the format is known here
 *   source_http.c   http and https, through libcurl
 */
#ifndef ADMIN_SOURCE_H
#define ADMIN_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOURCE_UNKNOWN UINT64_MAX

struct source;

struct source_ops {
	/*
	 * What lies at `off`: data, or a hole, of *ret_len bytes (at least 1).
	 * NULL: data to the end.
	 */
	int (*stretch)(struct source *s, uint64_t off, uint64_t *ret_len, bool *ret_hole);
	/* Reads `len` bytes at `off`, which only grows; fewer only at the end. -1: it failed. */
	int (*read)(struct source *s, uint64_t off, void *buf, size_t len, size_t *ret_len);
	void (*close)(struct source *s);
};

struct source {
	const struct source_ops *ops;
	uint64_t bytes;      /* SOURCE_UNKNOWN: nobody knows before its end */
	const char *name;    /* for people */
};

enum source_format {
	SOURCE_AUTO = 0, SOURCE_RAW = 1, SOURCE_QCOW2 = 2
};

/* What matters for a URL alone. */
struct source_web {
	bool verified;       /* the sum is known: a transfer need not say where it ends */
	const char *ca_file; /* who is trusted; NULL: whom the system trusts */
};

/*
 * Opens what `place` names: "-", a URL that begins with http:// or https://, or a path. NULL: it
 * cannot be opened, which has been said.
 */
struct source *source_open(const char *place, enum source_format format,
			   const struct source_web *web);
void source_close(struct source *s);

/* For the kinds. */
struct source *source_file_open(int fd, const char *name);
struct source *source_nbd_open(const char *path);
struct source *source_http_open(const char *url, const struct source_web *web);
/* True of the first bytes of a qcow2 image; at least 4 of them. */
bool source_is_qcow2(const void *bytes);

#endif
