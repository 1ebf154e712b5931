/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_volume.h - the record of a volume or of a value log, volumes/<name> or vlogs/<name>.
 *
 * Pure, as fmt_object.h.
 */
#ifndef FORMAT_FMT_VOLUME_H
#define FORMAT_FMT_VOLUME_H

#include "format/fmt_object.h"

#define FMT_ANCESTORS_MAX 64u
/* What a clone began as: a snapshot of its base, which may be a clone itself. */
struct fmt_base {
	uint32_t ancestors;     /* volumes whose objects it may use, oldest first; the last is the
				 * base. 0: it is no clone */
	uint64_t own_first;     /* its own objects have this number and greater ones */
	struct uuid snapshot;
	struct root_ref root;   /* as the snapshot's note names it */
	uint64_t at_epoch, at_seq; /* that note */
	struct fmt_ancestor {
		uint64_t first; /* objects from here up to the next one's are of */
		struct uuid volume;
	} list[FMT_ANCESTORS_MAX];
};
/* Of a clone. */
static inline const struct uuid *fmt_base_volume(const struct fmt_base *base)
{
	return &base->list[base->ancestors - 1].volume;
}
#define FMT_LOWERS_MAX 32u
/*
 * Snapshots of other volumes that show where nothing was ever written; the last is the uppermost.
 */
struct fmt_lowers {
	uint32_t count;
	struct fmt_lower {
		struct uuid volume, snapshot;
		uint64_t bytes; /* the size of the snapshot */
		char name[65], snapshot_name[65];
	} list[FMT_LOWERS_MAX];
};
struct fmt_volume {
	uint16_t kind;          /* OBJECT_VOLUME, OBJECT_VLOG */
	struct uuid uuid;
	char name[65];
	uint64_t bytes;         /* 0 of a value log */
	int64_t created_ms;
	struct fmt_base base;
	struct fmt_lowers lowers;
};
#define FMT_VOLUME_BYTES 256u       /* of neither a clone nor one with lowers; ancestors follow, */
#define FMT_LOWER_BYTES 192u        /* then lowers, at a multiple of 16 */
#define FMT_VOLUME_BYTES_MAX (FMT_VOLUME_BYTES + 24u * FMT_ANCESTORS_MAX + \
			      FMT_LOWER_BYTES * FMT_LOWERS_MAX)
static inline uint32_t fmt_volume_lowers_at(uint32_t ancestors)
{
	return (FMT_VOLUME_BYTES + 24u * ancestors + 15) & ~UINT32_C(15);
}
/* The bytes it takes. */
static inline uint32_t fmt_volume_bytes(const struct fmt_volume *v)
{
	return fmt_volume_lowers_at(v->base.ancestors) + FMT_LOWER_BYTES * v->lowers.count;
}
void lsvd_volume_record_encode(uint8_t *buf, const struct fmt_volume *v);
int lsvd_volume_record_decode(struct fmt_volume *ret, const void *buf, size_t len,
			      const char *what);

#endif
