/* SPDX-License-Identifier: BSD-2-Clause */
/* s3_certificate.h - why a server's certificate was not believed; for both clients. */
#ifndef STORE_S3_CERTIFICATE_H
#define STORE_S3_CERTIFICATE_H

#include <curl/curl.h>

/* In words, of the transfer that has just failed; NULL if it failed for another reason. */
const char *lsvd_s3_certificate_fault(CURL *easy, CURLcode code);

#endif
