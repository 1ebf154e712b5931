/* SPDX-License-Identifier: BSD-2-Clause */
/* vlog_cache.h - values kept in memory, by a cache of ours or of the program's. */
#ifndef VLOG_VLOG_CACHE_H
#define VLOG_VLOG_CACHE_H

#include <lsvd/vlog.h>

/* All take a cache that is NULL: it keeps nothing. */
struct lsvd_vlog_value *lsvd_vlog_cache_get(struct lsvd_vlog_cache *c, uint64_t log,
					    const struct lsvd_vlog_handle *handle);
void lsvd_vlog_cache_insert(struct lsvd_vlog_cache *c, uint64_t log,
			    const struct lsvd_vlog_handle *handle, struct lsvd_vlog_value *value);
/* The same of what was prefetched. */
void lsvd_vlog_cache_bring(struct lsvd_vlog_cache *c, uint64_t log,
			   const struct lsvd_vlog_handle *handle, struct lsvd_vlog_value *value);
/* `segment` UINT64_MAX: of all of them. */
void lsvd_vlog_cache_drop(struct lsvd_vlog_cache *c, uint64_t log, uint64_t segment);

#endif
