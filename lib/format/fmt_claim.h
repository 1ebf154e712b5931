/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_claim.h - a claim: who takes an epoch of a volume.
 *
 * Pure, as fmt_object.h.
 */
#ifndef FORMAT_FMT_CLAIM_H
#define FORMAT_FMT_CLAIM_H

#include "format/fmt_object.h"

struct fmt_claim {
	struct uuid cache_id;   /* of the cache of who claims; all zero without one */
	char host[65];          /* for people */
	uint64_t pid;
	int64_t created_ms;
	uint64_t nonce;         /* random: no two attempts have the same bytes */
	/*
	 * The claim is void as soon as an epoch from here up to the one before its own is
	 * activated; 0: it never is.
	 */
	uint64_t void_from;
};
#define FMT_CLAIM_BYTES 256u
void lsvd_claim_encode(uint8_t buf[FMT_CLAIM_BYTES], const struct uuid *volume, uint64_t epoch,
		       const struct fmt_claim *c);
int lsvd_claim_decode(struct fmt_claim *ret, const struct uuid *volume, uint64_t epoch,
		      const void *buf, size_t len, const char *what);

#endif
