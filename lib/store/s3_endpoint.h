/* SPDX-License-Identifier: BSD-2-Clause */
/* s3_endpoint.h - where the requests of a bucket go. Pure. */
#ifndef STORE_S3_ENDPOINT_H
#define STORE_S3_ENDPOINT_H

#include <stdbool.h>

struct s3_endpoint {
	char base[512];        /* http://HOST[:PORT], without the path */
	char host[504];        /* as the Host header has it: no port that goes without saying */
	char bucket_path[264]; /* "/BUCKET", or "" if the host names it */
	bool https;
};

/*
 * `endpoint` is http://HOST[:PORT] or https://HOST[:PORT], a '/' may follow; its bucket is in the
 * path. NULL: AWS's of the region, where the bucket is in the name of the host unless it has a dot,
 * for which no certificate would be valid. false: the endpoint is none, or has a user in it.
 */
bool lsvd_s3_endpoint(struct s3_endpoint *ret, const char *endpoint, const char *region,
		      const char *bucket);

#endif
