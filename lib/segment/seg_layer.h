/* SPDX-License-Identifier: BSD-2-Clause */
/* seg_layer.h - records laid over one another: what is left to be seen of each, in order of lba. */
#ifndef SEGMENT_SEG_LAYER_H
#define SEGMENT_SEG_LAYER_H

#include <stdint.h>

#include "segment/segment.h"

/* Sectors that `record` is the last to have covered. Fragments do not overlap. */
struct seg_fragment {
	uint64_t lba, sectors;
	uint32_t record;         /* index */
};

/*
 * The fragments of n records in the order of the history, at most 2n; allocated, the caller frees.
 * -ENOMEM, -E2BIG beyond SEG_RECORDS_MAX, -EINVAL for a record beyond LSVD_VOLUME_MAX_BYTES.
 */
int lsvd_seg_layer(struct seg_fragment **ret, uint32_t *ret_count,
		   const struct seg_record *records, unsigned n);

#endif
