/* SPDX-License-Identifier: BSD-2-Clause */
/* vol_resize.c - a volume of another size. */
#include "base/err.h"
#include "volume/volume_internal.h"

int lsvd_volume_resize(struct lsvd_volume *v, uint64_t bytes, uint32_t flags)
{
	(void)bytes;
	(void)flags;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "volume %s: cannot be resized yet", v->name);
}
