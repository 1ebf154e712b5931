/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.h - the configuration file that lsvd-nbd and lsvd-admin share, for programs too.
 *
 *   cache_path = "/var/lib/lsvd/cache"
 *   storage {
 *     file_path = "/srv/lsvd"                # or an s3 { … } block
 *   }
 *
 * lsvd.conf(5) lists every key with its unit, bounds and default.
 *
 * Threads: a loaded configuration does not change and may be read from any thread.
 */
#ifndef LSVD_CONFIG_H
#define LSVD_CONFIG_H

#include <lsvd/base.h>
#include <lsvd/store.h>
#include <lsvd/volume.h>

LSVD_BEGIN_DECLS

struct lsvd_config;

/*
 * Reads and checks a configuration file. Fails with LSVD_E_CONFIG (the text names file, line, key
 * and both values) or -errno of reading the file.
 */
LSVD_API LSVD_MUST_USE int lsvd_config_load(struct lsvd_config **ret, const char *path);
LSVD_API void lsvd_config_free(struct lsvd_config *config);

/* cache_path as it stands in the file, NULL if the key is absent; lives as long as `config`. */
LSVD_API const char *lsvd_config_cache_path(const struct lsvd_config *config);

/* The URL of the storage block, as lsvd_store_open() takes it; lives as long as `config`. */
LSVD_API const char *lsvd_config_store_url(const struct lsvd_config *config);

/* Opens the store of the storage block; errors and `options` as lsvd_store_open(). */
LSVD_API LSVD_MUST_USE int lsvd_config_open_store(const struct lsvd_config *config,
						  struct lsvd_store **ret,
						  const struct lsvd_store_options *options);

/*
 * Sets in `options` what the file says of volumes (log_size, segment_size, seal_after, compression,
 * flush, rcache_size, …) and leaves the rest as it is. `options->cache_dir` is set to cache_path
 * and points into `config`.
 */
LSVD_API void lsvd_config_volume_options(const struct lsvd_config *config,
					 struct lsvd_volume_options *options);

/*
 * Reads a size as people write it: "4096", "512K", "10GiB" (powers of 1024), "10GB" (of 1000).
 * LSVD_E_CONFIG for anything else, for fractions, signs and more than 2^63-1 bytes.
 */
LSVD_API LSVD_MUST_USE int lsvd_parse_size(const char *text, uint64_t *ret_bytes);

LSVD_END_DECLS

#endif
