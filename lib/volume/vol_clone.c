/* SPDX-License-Identifier: BSD-2-Clause */
/* vol_clone.c - volumes that begin as a snapshot of another. */
#include <lsvd/snapshot.h>

#include "base/err.h"
#include "volume/volume_internal.h"

int lsvd_volume_clone(struct lsvd_store *store, const char *base, const char *snapshot,
		      const char *name, const struct lsvd_volume_options *options,
		      struct lsvd_volume_info *ret)
{
	(void)store, (void)base, (void)snapshot, (void)options, (void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "%s: volumes cannot be cloned yet", name);
}

int lsvd_volume_flatten(struct lsvd_volume *v, uint32_t timeout_ms)
{
	(void)timeout_ms;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "volume %s: cannot be flattened yet", v->name);
}
