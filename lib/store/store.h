/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.h - what the built-in stores share with each other, beside <lsvd/store_driver.h>.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include <lsvd/store.h>
#include <lsvd/store_driver.h>

/* The grammar of <lsvd/store_driver.h>. */
bool lsvd_key_char(char c);
bool lsvd_key_valid(const char *key);
/* What some valid key could begin with; "" too. */
bool lsvd_key_prefix_valid(const char *prefix);

/* The bytes of a vector that lsvd_store_put_if_absent() has checked. */
size_t lsvd_iov_bytes(const struct iovec *iov, int iovcnt);

/* Submits a request to a driver and waits for its end; the text of a failure is brought along. */
int lsvd_store_wait(void (*submit)(void *ctx, struct lsvd_store_request *request), void *ctx,
		    struct lsvd_store_request *r);

/* Parts of few objects are going to be read: so many may stay open. Before they are. */
void lsvd_store_keep_open(struct lsvd_store *store, unsigned count);

/* From now on put and remove are -EROFS, whatever the driver. */
void lsvd_store_make_readonly(struct lsvd_store *store);

/* ---- the built-in stores; `url` is what messages call them; flags: LSVD_STORE_… */

/* Ways of the operating system that the store does without; for tests of the other ways. */
#define STORE_DIR_NO_OPENAT2 0x10000u
#define STORE_DIR_NO_TMPFILE 0x20000u
#define STORE_DIR_NO_DIRECT 0x40000u

int lsvd_store_dir_open(struct lsvd_store **ret, const char *url, const char *path,
			unsigned flags);

/* name "": a store of its own, else one shared by all of that name. */
int lsvd_store_mem_open(struct lsvd_store **ret, const char *url, const char *name);

/* `url` is s3://… */
int lsvd_store_s3_open(struct lsvd_store **ret, const char *url);

/* Checks the options of an open and gives its flags; `o` may be NULL. */
int lsvd_store_options_flags(const struct lsvd_store_options *o, unsigned *ret);

#endif
