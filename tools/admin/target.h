/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * target.h - where an export puts its bytes: a raw file, standard output, a qcow2 image.
 *
 * Files are made new and are all holes; what is zero is never written to them. Failures are printed
 * where they are met; main thread only.
 *
 *   target_file.c   raw files; pipes, which are given every byte
 *   target_nbd.c    qcow2, made by qemu-img and written through qemu-nbd
 */
#ifndef ADMIN_TARGET_H
#define ADMIN_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct target;

struct target_ops {
	/* Ranges come in order and do not overlap. */
	int (*write)(struct target *t, uint64_t off, const void *buf, size_t len);
	/* The range is zero: written out by pipes, made a hole where there might be something. */
	int (*zero)(struct target *t, uint64_t off, uint64_t len);
	/* What is there; NULL: cannot be read, and so not resumed. */
	int (*read)(struct target *t, uint64_t off, void *buf, size_t len);
	/* What has been written survives a power loss. */
	int (*sync)(struct target *t);
	/* Everything is there: syncs and closes. Frees also on failure. */
	int (*end)(struct target *t);
	/* Gives up: what is there stays. */
	void (*abandon)(struct target *t);
};

struct target {
	const struct target_ops *ops;
	const char *name;    /* for people */
	uint64_t bytes;
	bool resumed;        /* it may hold anything: zeroes have to be made */
};

/* NULL: it has been said why not. A file that is there is refused, or demanded if `resume`. */
struct target *target_open(const char *place, bool qcow2, uint64_t bytes, bool resume);

/* For the kinds. */
struct target *target_stdout_open(uint64_t bytes);
struct target *target_file_open(const char *path, uint64_t bytes, bool resume);
struct target *target_nbd_open(const char *path, uint64_t bytes, bool resume);
/* Makes an empty file; -1 if there is one. */
int target_reserve(const char *path);

#endif
