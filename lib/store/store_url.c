/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_url.c - from the text that names a store to the open store.
 *
 * Messages quote of a URL only what stands before its first ':', until its kind is known to carry
 * no secrets.
 */
#include "store/store.h"

#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/options.h"

#define KNOWN_FLAGS (LSVD_STORE_READONLY | LSVD_STORE_CREATE)
#define OPTIONS_FIRST_SIZE 40u
_Static_assert(sizeof(struct lsvd_store_options) >= OPTIONS_FIRST_SIZE, "the struct only grows");

static int open_dir(struct lsvd_store **ret, const char *url, const char *rest, unsigned flags)
{
	if (!*rest)
		return lsvd_fail(LSVD_E_CONFIG, "store %s: a path is expected after the ':'", url);
	return lsvd_store_dir_open(ret, url, rest, flags);
}

static int open_mem(struct lsvd_store **ret, const char *url, const char *rest, unsigned flags)
{
	(void)flags; /* lsvd_store_open() sees to LSVD_STORE_READONLY */
	return lsvd_store_mem_open(ret, url, rest);
}

static int open_s3(struct lsvd_store **ret, const char *url, const char *rest, unsigned flags)
{
	(void)rest;
	(void)flags; /* nothing is made by opening; lsvd_store_open() sees to LSVD_STORE_READONLY */
	return lsvd_store_s3_open(ret, url);
}

static const struct {
	const char *scheme;
	int (*open)(struct lsvd_store **ret, const char *url, const char *rest, unsigned flags);
} kinds[] = {
	{ "dir:", open_dir },
	{ "mem:", open_mem },
	{ "s3:", open_s3 },
};

static int open_by_scheme(struct lsvd_store **ret, const char *url, unsigned flags)
{
	size_t len = strcspn(url, ":");

	for (size_t i = 0; i < LSVD_ARRAY_LEN(kinds); i++) {
		size_t n = strlen(kinds[i].scheme);

		if (strncmp(url, kinds[i].scheme, n) == 0)
			return kinds[i].open(ret, url, url + n, flags);
	}
	return lsvd_fail(LSVD_E_CONFIG,
			 "store %.*s%s: no kind of store; there are s3://BUCKET, dir:PATH, mem: "
			 "and mem:NAME",
			 len > 64 ? 64 : (int)len, url, url[len] ? ":..." : "");
}

static int check_options(const struct lsvd_store_options *o)
{
	if (o->flags & ~KNOWN_FLAGS)
		return lsvd_fail(-EINVAL, "store options: flags are %#x, known are %#x", o->flags,
				 KNOWN_FLAGS);
	for (size_t i = 0; i < LSVD_ARRAY_LEN(o->reserved); i++)
		if (o->reserved[i])
			return lsvd_fail(-EINVAL, "store options: reserved[%zu] is %llu, must be 0",
					 i, (unsigned long long)o->reserved[i]);
	return 0;
}

int lsvd_store_options_flags(const struct lsvd_store_options *options, unsigned *ret)
{
	struct lsvd_store_options o;
	int err = lsvd_options_copy(&o, sizeof o, options, OPTIONS_FIRST_SIZE, "store options");

	if (err == 0)
		err = check_options(&o);
	if (err == 0)
		*ret = o.flags;
	return err;
}

int lsvd_store_open(struct lsvd_store **ret, const char *url,
		    const struct lsvd_store_options *options)
{
	struct lsvd_store *store;
	unsigned flags;
	int err;

	if (!ret || !url)
		return lsvd_fail(-EINVAL, "store: the URL is NULL");
	err = lsvd_store_options_flags(options, &flags);
	if (err < 0)
		return err;
	err = open_by_scheme(&store, url, flags);
	if (err < 0)
		return err;
	if (flags & LSVD_STORE_READONLY)
		lsvd_store_make_readonly(store);
	*ret = store;
	return 0;
}
