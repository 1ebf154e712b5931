/* SPDX-License-Identifier: BSD-2-Clause */
/* vol_blobs.h - parts of page objects, many at a time. */
#ifndef VOLUME_VOL_BLOBS_H
#define VOLUME_VOL_BLOBS_H

#include "volume/checkpoint.h"

struct blob_want {
	struct blob_ref ref;
	enum blob_kind kind;
	uint64_t index;        /* of the page or node */
	bool bad;              /* found so by a check, which has been told */
};

/* A verified blob. */
typedef int (*blob_take_fn)(struct lsvd_volume *v, const struct blob_want *want,
			    const uint8_t *bytes);

/* A procedure: all of them, in whatever order; sorts the list. */
int lsvd_vol_fetch_blobs(struct lsvd_volume *v, struct blob_want *wants, uint64_t n,
			 blob_take_fn take);

#endif
