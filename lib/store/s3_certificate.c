/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_certificate.c - why a server's certificate was not believed; for both clients.
 *
 * libcurl with GnuTLS only says that verification failed; which part of it, it keeps in
 * CURLINFO_SSL_VERIFYRESULT, as the bits of gnutls_certificate_status_t. Built into the module,
 * too: it needs nothing of ours.
 */
#include "store/s3_certificate.h"

#include <string.h>

static const struct {
	unsigned bit;
	const char *text;
} faults[] = {
	/* the more telling ones first: several may be set */
	{1u << 10, "the server's certificate has expired"},
	{1u << 9, "the server's certificate is not valid yet"},
	{1u << 5, "the server's certificate was revoked"},
	{1u << 8, "the server's certificate is signed in a way that is no longer safe"},
	{1u << 11, "the signature of the server's certificate is wrong"},
	{1u << 6, "the server's certificate is by no authority that is known here (ca_file)"},
	{1u << 7, "the server's certificate is signed by one that is no authority"},
};

const char *lsvd_s3_certificate_fault(CURL *easy, CURLcode code)
{
	const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);
	long result = 0;

	if (code != CURLE_PEER_FAILED_VERIFICATION || !version->ssl_version ||
	    strncmp(version->ssl_version, "GnuTLS", 6) != 0 ||
	    curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &result) != CURLE_OK)
		return NULL;
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
		if ((unsigned long)result & faults[i].bit)
			return faults[i].text;
	return NULL;
}
