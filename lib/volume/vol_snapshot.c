/* SPDX-License-Identifier: BSD-2-Clause */
/* vol_snapshot.c - snapshots of an open volume. */
#include <lsvd/snapshot.h>

#include "base/err.h"
#include "volume/volume_internal.h"

static int not_yet(const char *what)
{
	return lsvd_fail(LSVD_E_UNSUPPORTED, "%s: not yet", what);
}

int lsvd_snapshot_create(struct lsvd_volume *v, const char *name, uint32_t timeout_ms,
			 struct lsvd_snapshot_info *ret)
{
	(void)v, (void)timeout_ms, (void)ret;
	return not_yet(name);
}

int lsvd_snapshot_delete(struct lsvd_volume *v, const char *name, uint32_t timeout_ms)
{
	(void)v, (void)timeout_ms;
	return not_yet(name);
}

int lsvd_snapshot_rollback(struct lsvd_volume *v, const char *name, uint32_t timeout_ms)
{
	(void)v, (void)timeout_ms;
	return not_yet(name);
}

int lsvd_snapshot_list(struct lsvd_volume *v, lsvd_snapshot_fn fn, void *ctx)
{
	(void)fn, (void)ctx;
	return not_yet(v->name);
}

int lsvd_snapshot_list_store(struct lsvd_store *store, const char *volume, lsvd_snapshot_fn fn,
			     void *ctx)
{
	(void)store, (void)fn, (void)ctx;
	return not_yet(volume);
}
