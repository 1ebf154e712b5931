/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_volume.c - the record of a volume or of a value log: bytes to struct and back
 * (docs/format.md, "Volume record").
 *
 * Behind the fixed part are the ancestors of a clone, then the lower volumes, both of a number
 * that the fixed part says. A library that does not know of lower volumes would show zeroes in
 * their place: so their list has a feature bit, and one is not believed without the other.
 */
#include "format/fmt_volume.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/err.h"
#include "format/fmt_key.h"
#include "format/fmt_small.h"

/* Counted from the beginning of the object; of a lower volume, from that of its entry. */
enum volume_at {
	VOLUME_BYTES = 80,
	VOLUME_CREATED_MS = 88,
	VOLUME_NAME = 96,
	VOLUME_ANCESTORS = 168,
	VOLUME_OWN_FIRST = 176,
	VOLUME_SNAPSHOT = 184,
	VOLUME_ROOT = 200,
	VOLUME_AT = 216,
	VOLUME_LOWERS = 232,
	VOLUME_LIST = 256,
	LOWER_VOLUME = 0,
	LOWER_SNAPSHOT = 16,
	LOWER_BYTES = 32,
	LOWER_NAME = 48,
	LOWER_SNAPSHOT_NAME = 120,
};

/* ------------------------------------------------------------------------------ a clone's base */

static void encode_base(uint8_t *buf, const struct fmt_base *b)
{
	le32_put(buf + VOLUME_ANCESTORS, b->ancestors);
	le64_put(buf + VOLUME_OWN_FIRST, b->own_first);
	memcpy(buf + VOLUME_SNAPSHOT, b->snapshot.b, sizeof b->snapshot.b);
	le64_put(buf + VOLUME_ROOT, b->root.epoch);
	le64_put(buf + VOLUME_ROOT + 8, b->root.number);
	le64_put(buf + VOLUME_AT, b->at_epoch);
	le64_put(buf + VOLUME_AT + 8, b->at_seq);
	for (uint32_t i = 0; i < b->ancestors; i++) {
		uint8_t *p = buf + VOLUME_LIST + 24u * i;

		le64_put(p, b->list[i].first);
		memcpy(p + 8, b->list[i].volume.b, sizeof b->list[i].volume.b);
	}
}

static int decode_base(struct fmt_base *ret, const uint8_t *p, const struct object_head *h,
		       const char *what)
{
	uint32_t n = le32_get(p + VOLUME_ANCESTORS);
	uint64_t last = 0;

	memset(ret, 0, sizeof *ret);
	if (n > FMT_ANCESTORS_MAX || (n && h->header_bytes < VOLUME_LIST + 24u * n))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: %u ancestors in %u bytes", what, n,
				 h->header_bytes);
	ret->ancestors = n;
	ret->own_first = le64_get(p + VOLUME_OWN_FIRST);
	memcpy(ret->snapshot.b, p + VOLUME_SNAPSHOT, sizeof ret->snapshot.b);
	ret->root = (struct root_ref){ le64_get(p + VOLUME_ROOT), le64_get(p + VOLUME_ROOT + 8) };
	ret->at_epoch = le64_get(p + VOLUME_AT);
	ret->at_seq = le64_get(p + VOLUME_AT + 8);
	for (uint32_t i = 0; i < n; i++) {
		struct fmt_ancestor *a = &ret->list[i];

		a->first = le64_get(p + VOLUME_LIST + 24u * i);
		memcpy(a->volume.b, p + VOLUME_LIST + 24u * i + 8, sizeof a->volume.b);
		if (a->first < last || a->first > ret->own_first)
			return lsvd_fail(LSVD_E_CORRUPT, "object %s: ancestor %u begins at object "
					 "%" PRIu64 ", expected %" PRIu64 " to %" PRIu64, what, i,
					 a->first, last, ret->own_first);
		last = a->first;
	}
	if (n && (ret->own_first >= OBJECT_NUMBER_LIMIT || !ret->at_epoch))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: a clone whose objects begin at %"
				 PRIu64, what, ret->own_first);
	return 0;
}

/* ------------------------------------------------------------------------------- lower volumes */

static void encode_lowers(uint8_t *buf, const struct fmt_volume *v)
{
	uint8_t *p = buf + fmt_volume_lowers_at(v->base.ancestors);

	le32_put(buf + VOLUME_LOWERS, v->lowers.count);
	for (uint32_t i = 0; i < v->lowers.count; i++, p += FMT_LOWER_BYTES) {
		const struct fmt_lower *l = &v->lowers.list[i];

		memcpy(p + LOWER_VOLUME, l->volume.b, sizeof l->volume.b);
		memcpy(p + LOWER_SNAPSHOT, l->snapshot.b, sizeof l->snapshot.b);
		le64_put(p + LOWER_BYTES, l->bytes);
		put_text(p + LOWER_NAME, l->name);
		put_text(p + LOWER_SNAPSHOT_NAME, l->snapshot_name);
	}
}

/*
 * A list without its feature bit, or the bit without a list:
 * whoever did not know it would not see it.
 */
static int check_lowers(uint32_t n, uint32_t at, const struct object_head *h, const char *what)
{
	if (n > FMT_LOWERS_MAX || h->header_bytes < at + FMT_LOWER_BYTES * n ||
	    !(h->incompat & OBJECT_INCOMPAT_LOWERS) != !n)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: %u lower volumes in %u bytes, features %08x", what, n,
				 h->header_bytes, h->incompat);
	return 0;
}

static int decode_lowers(struct fmt_volume *v, const uint8_t *buf, const struct object_head *h,
			 const char *what)
{
	uint32_t at = fmt_volume_lowers_at(v->base.ancestors), n = le32_get(buf + VOLUME_LOWERS);
	const uint8_t *p = buf + at;
	int err = check_lowers(n, at, h, what);

	memset(&v->lowers, 0, sizeof v->lowers);
	for (uint32_t i = 0; i < n && !err; i++, p += FMT_LOWER_BYTES) {
		struct fmt_lower *l = &v->lowers.list[i];

		memcpy(l->volume.b, p + LOWER_VOLUME, sizeof l->volume.b);
		memcpy(l->snapshot.b, p + LOWER_SNAPSHOT, sizeof l->snapshot.b);
		l->bytes = le64_get(p + LOWER_BYTES);
		if (!get_text(l->name, p + LOWER_NAME) || !lsvd_name_valid(l->name) ||
		    !get_text(l->snapshot_name, p + LOWER_SNAPSHOT_NAME) ||
		    !lsvd_name_valid(l->snapshot_name) || !volume_bytes_valid(l->bytes))
			err = lsvd_fail(LSVD_E_CORRUPT, "object %s: lower volume %u "
					"has no name, or %" PRIu64 " bytes", what, i, l->bytes);
	}
	v->lowers.count = n;
	return err;
}

/* ---------------------------------------------------------------------------------- the record */

void lsvd_volume_record_encode(uint8_t *buf, const struct fmt_volume *v)
{
	struct object_head h = {
		.kind = v->kind,
		.header_bytes = fmt_volume_bytes(v),
		.incompat = v->lowers.count ? OBJECT_INCOMPAT_LOWERS : 0,
		.volume = v->uuid,
	};

	memset(buf, 0, h.header_bytes);
	encode_base(buf, &v->base);
	encode_lowers(buf, v);
	le64_put(buf + VOLUME_BYTES, v->bytes);
	le64_put(buf + VOLUME_CREATED_MS, (uint64_t)v->created_ms);
	put_text(buf + VOLUME_NAME, v->name);
	lsvd_object_head_encode(buf, &h);
}

int lsvd_volume_record_decode(struct fmt_volume *ret, const void *buf, size_t len, const char *what)
{
	const uint8_t *p = buf;
	struct object_head h;
	struct fmt_volume v;
	int kind, err;

	/* Its kind may be either: it stands where only these two are. */
	kind = lsvd_object_kind_of(buf, len) == OBJECT_VLOG ? OBJECT_VLOG : OBJECT_VOLUME;
	err = lsvd_small_decode(&h, buf, len, kind, FMT_VOLUME_BYTES, what);
	if (err < 0)
		return err;
	v.kind = h.kind;
	v.uuid = h.volume;
	v.bytes = le64_get(p + VOLUME_BYTES);
	v.created_ms = (int64_t)le64_get(p + VOLUME_CREATED_MS);
	if (!get_text(v.name, p + VOLUME_NAME) || !lsvd_name_valid(v.name))
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: the volume's name is not one", what);
	if (v.kind == OBJECT_VOLUME && !volume_bytes_valid(v.bytes))
		return lsvd_fail(LSVD_E_CORRUPT,
				 "object %s: volume of %" PRIu64
				 " bytes, expected whole sectors up to %" PRIu64,
				 what, v.bytes, (uint64_t)LSVD_VOLUME_MAX_BYTES);
	err = decode_base(&v.base, p, &h, what);
	if (err == 0)
		err = decode_lowers(&v, p, &h, what);
	if (err < 0)
		return err;
	*ret = v;
	return 0;
}
