/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_credentials.h - the access keys of an S3 store: where they come from, and the ones of now.
 *
 * A source is chosen once, when the store is opened: the first of those in <lsvd/store_s3.h> that
 * is there. From it comes a set {access key, secret key, session token} that never changes; a
 * reload puts another set in its place. Whoever has taken a set keeps it until it gives it back.
 *
 * Everything secret lies in memory of base/secret.h.
 */
#ifndef STORE_S3_CREDENTIALS_H
#define STORE_S3_CREDENTIALS_H

#include <lsvd/store_s3.h>

#include "store/s3_client.h"

struct s3_credentials;

/*
 * Chooses the source and reads it; blocks on files, or on the metadata service. LSVD_E_CONFIG (none
 * is there, or it is malformed, or a file that others may read), LSVD_E_UNAVAILABLE (the metadata
 * service), -errno of a file, -ENOMEM.
 */
int lsvd_s3_credentials_open(struct s3_credentials **ret, const struct lsvd_s3_options *o);
/* All sets have been put back; NULL is ignored. */
void lsvd_s3_credentials_close(struct s3_credentials *c);

/*
 * The set of now, for one request; any thread. Never waits: 0, or LSVD_E_UNAVAILABLE when a set
 * that ends has ended and no other came yet.
 */
int lsvd_s3_credentials_get(struct s3_credentials *c, struct s3_secrets *ret);
void lsvd_s3_credentials_put(struct s3_credentials *c, struct s3_secrets *s);

/*
 * Reads the source again, now: 1 if there is another set since, 0 if it is the same. Files are read
 * only if they have changed (inode, length, times). Blocks as open does; on failure the old set
 * stays.
 */
int lsvd_s3_credentials_reload(struct s3_credentials *c);

/*
 * The same because the program wants it, without waiting for the metadata service: that is asked on
 * a thread, and what comes of it is reported. 0, or why a file could not be read.
 */
int lsvd_s3_credentials_renew(struct s3_credentials *c);

/* Another number than before: other keys have come meanwhile, whoever has read them. */
unsigned lsvd_s3_credentials_generation(struct s3_credentials *c);

#endif
