/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_claim.c - claims of epochs: bytes to struct and back (docs/format.md, "Claim").
 *
 * A claim may be void from an epoch before its own on, never from a later one.
 */
#include "format/fmt_claim.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/err.h"
#include "format/fmt_small.h"

/* Counted from the beginning of the object. */
enum claim_at {
	CLAIM_CACHE_ID = 80,
	CLAIM_PID = 96,
	CLAIM_CREATED_MS = 104,
	CLAIM_HOST = 112,
	CLAIM_NONCE = 184,
	CLAIM_VOID_FROM = 192,
};

void lsvd_claim_encode(uint8_t buf[FMT_CLAIM_BYTES], const struct uuid *volume, uint64_t epoch,
		       const struct fmt_claim *c)
{
	struct object_head h = {
		.kind = OBJECT_CLAIM,
		.header_bytes = FMT_CLAIM_BYTES,
		.volume = *volume,
		.epoch = epoch,
	};

	memset(buf, 0, FMT_CLAIM_BYTES);
	memcpy(buf + CLAIM_CACHE_ID, c->cache_id.b, sizeof c->cache_id.b);
	le64_put(buf + CLAIM_PID, c->pid);
	le64_put(buf + CLAIM_CREATED_MS, (uint64_t)c->created_ms);
	put_text(buf + CLAIM_HOST, c->host);
	le64_put(buf + CLAIM_NONCE, c->nonce);
	le64_put(buf + CLAIM_VOID_FROM, c->void_from);
	lsvd_object_head_encode(buf, &h);
}

/* A host's name is shown to people and chosen by a stranger: nothing but plain text gets out. */
static void make_plain(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

int lsvd_claim_decode(struct fmt_claim *ret, const struct uuid *volume, uint64_t epoch,
		      const void *buf, size_t len, const char *what)
{
	const uint8_t *p = buf;
	struct object_head h;
	struct fmt_claim c;
	int err;

	err = lsvd_small_decode(&h, buf, len, OBJECT_CLAIM, FMT_CLAIM_BYTES, what);
	if (err == 0)
		err = lsvd_object_head_expect(&h, volume, OBJECT_CLAIM, epoch, 0, what);
	if (err < 0)
		return err;
	memcpy(c.cache_id.b, p + CLAIM_CACHE_ID, sizeof c.cache_id.b);
	c.pid = le64_get(p + CLAIM_PID);
	c.created_ms = (int64_t)le64_get(p + CLAIM_CREATED_MS);
	c.nonce = le64_get(p + CLAIM_NONCE);
	c.void_from = le64_get(p + CLAIM_VOID_FROM);
	if (c.void_from > epoch)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: void from epoch %" PRIu64
				 " on, and is the claim of %" PRIu64, what, c.void_from, epoch);
	if (!get_text(c.host, p + CLAIM_HOST))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: the host's name does not end", what);
	make_plain(c.host);
	*ret = c;
	return 0;
}
