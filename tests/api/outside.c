/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outside.c - a program outside the tree: it knows the installed headers and library, nothing else.
 *
 *   outside write DIR    creates a volume in DIR/store, writes, flushes, writes on without a flush,
 *                        says "written" and waits to be killed
 *   outside verify DIR   opens it again and compares every block: killing the process loses no
 *                        acknowledged write, flushed or not
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lsvd/lsvd.h>

#define BLOCK 4096u
#define BLOCKS 2048u
#define UNFLUSHED 500u /* the last blocks are written after the flush */

static int complain(const char *what, int err)
{
	fprintf(stderr, "outside: %s: %s: %s\n", what, lsvd_error_name(err), lsvd_last_error());
	return 1;
}

/* Every block says which one it is, all over; every eighth is left to read as zeroes. */
static void fill(unsigned char *buf, unsigned block)
{
	unsigned state = block * 2654435761u + 1;

	memset(buf, 0, BLOCK);
	if (block % 8 == 7)
		return;
	for (unsigned i = 0; i < BLOCK; i++) {
		state = state * 1664525u + 1013904223u;
		buf[i] = (unsigned char)(state >> 24);
	}
}

static int write_blocks(struct lsvd_volume *volume, unsigned from, unsigned to)
{
	unsigned char buf[BLOCK];

	for (unsigned i = from; i < to; i++) {
		int err;

		if (i % 8 == 7)
			continue;
		fill(buf, i);
		err = lsvd_volume_write(volume, buf, (uint64_t)i * BLOCK, BLOCK, 0);
		if (err < 0)
			return complain("write", err);
	}
	return 0;
}

static int write_all(struct lsvd_volume *volume)
{
	int err;

	if (write_blocks(volume, 0, BLOCKS - UNFLUSHED))
		return 1;
	err = lsvd_volume_flush(volume);
	if (err < 0)
		return complain("flush", err);
	if (write_blocks(volume, BLOCKS - UNFLUSHED, BLOCKS))
		return 1;
	puts("written");
	fflush(stdout);
	for (;;)
		pause();
}

static int verify_all(struct lsvd_volume *volume)
{
	unsigned char expected[BLOCK], found[BLOCK];
	unsigned wrong = 0;

	for (unsigned i = 0; i < BLOCKS; i++) {
		int err = lsvd_volume_read(volume, found, (uint64_t)i * BLOCK, BLOCK);

		if (err < 0)
			return complain("read", err);
		fill(expected, i);
		wrong += memcmp(expected, found, BLOCK) != 0;
	}
	printf("%u blocks, %u wrong\n", BLOCKS, wrong);
	return wrong != 0;
}

static int with_volume(struct lsvd_store *store, const char *dir, int (*fn)(struct lsvd_volume *))
{
	struct lsvd_volume_options options = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume *volume;
	char cache[4096];
	int err, status;

	snprintf(cache, sizeof cache, "%s/cache", dir);
	options.cache_dir = cache;
	options.log_bytes = 32u << 20;
	err = lsvd_volume_open(&volume, store, "outside", &options);
	if (err < 0)
		return complain("open", err);
	status = fn(volume);
	err = lsvd_volume_close(volume, UINT32_MAX);
	return err ? complain("close", err) : status;
}

static int run(const char *verb, const char *dir)
{
	struct lsvd_store_options options = LSVD_STORE_OPTIONS_INIT;
	struct lsvd_store *store;
	char url[4096];
	int err, status;

	options.flags = LSVD_STORE_CREATE;
	snprintf(url, sizeof url, "dir:%s/store", dir);
	err = lsvd_store_open(&store, url, &options);
	if (err < 0)
		return complain("store", err);
	if (!strcmp(verb, "write")) {
		err = lsvd_volume_create(store, "outside", (uint64_t)BLOCKS * BLOCK, NULL, NULL);
		status = err < 0 ? complain("create", err) : with_volume(store, dir, write_all);
	} else {
		status = with_volume(store, dir, verify_all);
	}
	lsvd_store_close(store);
	return status;
}

int main(int argc, char **argv)
{
	if (argc != 3 || (strcmp(argv[1], "write") && strcmp(argv[1], "verify"))) {
		fprintf(stderr, "usage: outside write|verify DIR\n");
		return 2;
	}
	return run(argv[1], argv[2]);
}
