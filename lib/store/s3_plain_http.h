/* SPDX-License-Identifier: BSD-2-Clause */
/* s3_plain_http.h - one request to a metadata service, whose answer is a secret. */
#ifndef STORE_S3_PLAIN_HTTP_H
#define STORE_S3_PLAIN_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct s3_plain_http {
	/* set by the caller */
	const char *endpoint;     /* http://HOST[:PORT] */
	int64_t deadline_ms;      /* by CLOCK_BOOTTIME */
	const atomic_bool *stop;  /* looked at now and then */
	char *buf;                /* holds the request, then the answer; in secret memory */
	size_t size;
	/* set by lsvd_s3_plain_http() */
	unsigned status;
	int64_t date_ms;          /* the answer's Date, 0 if there is none */
	char *body;               /* in buf, with a '\0' behind it */
	size_t body_len;
};

int64_t lsvd_s3_boot_ms(void);

/*
 * Sends the `len` bytes in buf (HTTP 1.0, so that the answer ends with the connection) and takes
 * the answer. Proxies are not asked, redirects not followed. LSVD_E_UNAVAILABLE: nobody there, no
 * whole answer in time; LSVD_E_CONFIG: it is no HTTP, or does not fit; -ENOMEM.
 */
int lsvd_s3_plain_http(struct s3_plain_http *h, size_t len);

#endif
