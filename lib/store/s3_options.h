/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_options.h - the options of a bucket: checked and completed; from a URL, and back to one.
 */
#ifndef STORE_S3_OPTIONS_H
#define STORE_S3_OPTIONS_H

#include <stdbool.h>

#include <lsvd/store_s3.h>

/* Options that own their strings. */
struct s3_options {
	struct lsvd_s3_options o; /* strings point below, or are the caller's: see each function */
	char *text;               /* what has been copied */
	bool https;
};

/*
 * Copies, checks and completes what a caller gives (region, client, timeouts, directory without
 * slashes around it). Secrets are not copied: o.access_key, secret_key and session_token stay the
 * caller's. LSVD_E_CONFIG, -EINVAL, -E2BIG, -ENOMEM.
 */
int lsvd_s3_options_copy(struct s3_options *ret, const struct lsvd_s3_options *o);

/*
 * From "s3://BUCKET[/DIRECTORY][?NAME=VALUE&…]", with %XX for any character. Nothing is checked but
 * the grammar. LSVD_E_CONFIG: an unknown name, a secret, a bad number; the text quotes no value.
 */
int lsvd_s3_options_parse(struct s3_options *ret, const char *url);

void lsvd_s3_options_fini(struct s3_options *o);

/* The URL that means the same, but for secrets; lsvd_free() it. NULL: no memory. */
char *lsvd_s3_options_url(const struct lsvd_s3_options *o);

#endif
