/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libs3_host.c - a program that has functions of its own under the names that libs3 uses inside. If
 * one of them is called, the module has taken the program's in place of its own.
 *
 *	libs3_host s3://BUCKET?client=libs3&...      exit status 0: the object "x" has 7 bytes
 */
#include <stdio.h>
#include <stdlib.h>

#include <lsvd/error.h>
#include <lsvd/store.h>
#include <lsvd/store_driver.h>

#define TRAP(name)                                                                                 \
	int name(void);                                                                            \
	int name(void)                                                                             \
	{                                                                                          \
		fprintf(stderr, "the program's %s was called\n", #name);                           \
		abort();                                                                           \
	}

TRAP(urlEncode)
TRAP(HMAC_SHA1)
TRAP(base64Encode)
TRAP(hash)
TRAP(is_blank)
TRAP(parseIso8601Time)
TRAP(parseUnsignedInt)
TRAP(request_perform)
TRAP(request_finish)
TRAP(request_api_initialize)
TRAP(error_parser_initialize)
TRAP(error_parser_add)
TRAP(response_headers_handler_add)
TRAP(simplexml_initialize)
TRAP(simplexml_add)
TRAP(S3_head_object)
TRAP(S3_initialize)
TRAP(lsvd_s3_client)

int main(int argc, char **argv)
{
	struct lsvd_store *store;
	uint64_t bytes = 0;

	if (argc != 2 || lsvd_store_open(&store, argv[1], NULL) < 0) {
		fprintf(stderr, "%s\n", lsvd_last_error());
		return 2;
	}
	if (lsvd_store_head(store, "x", &bytes) < 0 || bytes != 7) {
		fprintf(stderr, "%llu: %s\n", (unsigned long long)bytes, lsvd_last_error());
		return 1;
	}
	lsvd_store_close(store);
	return 0;
}
