/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_set.h - one set of access keys: made once, never changed, wiped when nobody has it any more.
 */
#ifndef STORE_S3_SET_H
#define STORE_S3_SET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/s3_client.h"

/* Longer ones are refused, wherever they come from. */
#define S3_ACCESS_KEY_MAX 256u
#define S3_SECRET_KEY_MAX 1024u
#define S3_TOKEN_MAX	  16384u

/* In memory of base/secret.h, the texts behind the struct. */
struct s3_set {
	atomic_uint refs;
	int64_t expires_ms; /* by CLOCK_BOOTTIME: set right after it was made; 0: never */
	const char *secret_key;
	const char *session_token; /* or NULL */
	char access_key[];
};

/* A piece of a text that was found somewhere; NULL: it was not. */
struct s3_piece {
	const char *at;
	size_t len;
};

/*
 * Makes a set of what was found at `where` (for the message: a file, "the environment"). An empty
 * token is none. LSVD_E_CONFIG: a key is missing, too long or has bytes that no key has; -ENOMEM.
 */
int lsvd_s3_set_new(struct s3_set **ret, struct s3_piece access_key, struct s3_piece secret_key,
		    struct s3_piece session_token, const char *where);

struct s3_set *lsvd_s3_set_ref(struct s3_set *set);
void lsvd_s3_set_unref(struct s3_set *set); /* NULL is ignored */

/* The set whose access key this is. */
struct s3_set *lsvd_s3_set_of(const struct s3_secrets *s);

/* Have they the same keys? */
bool lsvd_s3_set_equal(const struct s3_set *a, const struct s3_set *b);

#endif
