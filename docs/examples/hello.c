/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hello.c - the smallest whole program: a store, a volume, a write that lasts, a read.
 *
 *   cc hello.c $(pkg-config --cflags --libs lsvd) -o hello && ./hello /tmp/somewhere
 *
 * The argument is an existing directory; the store and the cache are made in it. Run it twice: the
 * second run finds what the first one wrote.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <lsvd/lsvd.h>

/* Codes are for programs; the text says which object, and what was wrong with it. */
static int complain(const char *what, int err)
{
	fprintf(stderr, "hello: %s: %s (%s)\n", what, lsvd_last_error(), lsvd_error_name(err));
	return 1;
}

static int use(struct lsvd_volume *volume)
{
	char sector[LSVD_SECTOR_BYTES] = "";
	int err;

	err = lsvd_volume_read(volume, sector, 0, sizeof sector);
	if (err < 0)
		return complain("read", err);
	printf("the disk says: \"%.*s\"\n", (int)sizeof sector, sector);

	memset(sector, 0, sizeof sector);
	snprintf(sector, sizeof sector, "hello from lsvd %s", lsvd_version());
	err = lsvd_volume_write(volume, sector, 0, sizeof sector, 0);
	if (err < 0)
		return complain("write", err);
	/* The write has survived a SIGKILL from here on; after the flush, a power cut too. */
	err = lsvd_volume_flush(volume);
	if (err < 0)
		return complain("flush", err);
	printf("written and flushed\n");
	return 0;
}

static int with_store(struct lsvd_store *store, const char *dir)
{
	struct lsvd_volume_options options = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume *volume;
	char cache[4096];
	int err, status;

	err = lsvd_volume_create(store, "hello", UINT64_C(1) << 30, NULL, NULL);
	if (err < 0 && err != -EEXIST)
		return complain("create", err);

	snprintf(cache, sizeof cache, "%s/cache", dir);
	options.cache_dir = cache;
	options.log_bytes = 16u << 20; /* for a disk in earnest leave the default, 512 MiB */
	err = lsvd_volume_open(&volume, store, "hello", &options);
	if (err < 0)
		return complain("open", err);
	status = use(volume);

	/* 0: everything is in the store; 1: some of it is only in the cache, and safe there. */
	err = lsvd_volume_close(volume, 10000);
	return err < 0 ? complain("close", err) : status;
}

int main(int argc, char **argv)
{
	struct lsvd_store_options options = LSVD_STORE_OPTIONS_INIT;
	struct lsvd_store *store;
	char url[4096];
	int err, status;

	if (argc != 2) {
		fprintf(stderr, "usage: hello DIR\n");
		return 2;
	}
	snprintf(url, sizeof url, "dir:%s/store", argv[1]);
	options.flags = LSVD_STORE_CREATE;
	err = lsvd_store_open(&store, url, &options);
	if (err < 0)
		return complain("store", err);
	status = with_store(store, argv[1]);
	lsvd_store_close(store);
	return status;
}
