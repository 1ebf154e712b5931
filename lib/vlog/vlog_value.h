/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_value.h - a value while it is being read: memory with room, of which a part will be shown.
 */
#ifndef VLOG_VLOG_VALUE_H
#define VLOG_VLOG_VALUE_H

#include <lsvd/vlog.h>

struct lsvd_vlog_value {
	unsigned refs;           /* atomic */
	const uint8_t *data;     /* within room; fixed once it is shared, as is size */
	size_t size;
	uint8_t room[];
};

/* With all of its room as its data, to be filled; one reference. NULL: no memory. */
struct lsvd_vlog_value *lsvd_vlog_value_alloc(size_t room);

#endif
