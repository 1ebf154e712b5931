/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_options.c - what a volume may be opened with: defaults, bounds, what goes together.
 */
#include <errno.h>

#include "base/err.h"
#include "base/options.h"
#include "volume/volume_internal.h"

#define DAY_MS (24u * 60 * 60 * 1000)

struct bound {
	const char *name;
	uint64_t value, least, most;
};

static int check_bounds(const struct bound *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (b[i].value < b[i].least || b[i].value > b[i].most)
			return lsvd_fail(-EINVAL, "option %s is %llu, must be %llu to %llu",
					 b[i].name, (unsigned long long)b[i].value,
					 (unsigned long long)b[i].least,
					 (unsigned long long)b[i].most);
	return 0;
}

static void default_u32(uint32_t *field, uint32_t value)
{
	if (!*field)
		*field = value;
}

static void default_u64(uint64_t *field, uint64_t value)
{
	if (!*field)
		*field = value;
}

const struct vol_limits lsvd_vol_public_limits = { 1u << 20, 64u << 10, 4u << 20, 1u << 20, 0 };
const struct vol_limits lsvd_vol_tiny_limits = { 64u << 10, 4u << 10, 64u << 10, 1,
						 VOL_TINY_ANCHOR_EVERY };

static void set_defaults(struct lsvd_volume_options *o)
{
	default_u64(&o->log_bytes, UINT64_C(512) << 20);
	default_u32(&o->segment_bytes, 8u << 20);
	default_u32(&o->seal_after_ms, 5000);
	default_u32(&o->compression, LSVD_COMPRESS_LZ4);
	default_u32(&o->unit_bytes, 16384);
	default_u32(&o->put_window, 8);
	default_u64(&o->memory_bytes, UINT64_C(64) << 20);
	default_u64(&o->map_memory_bytes, UINT64_C(64) << 20);
	default_u64(&o->rcache_bytes, UINT64_C(1) << 30);
	default_u32(&o->read_timeout_ms, 30000);
	default_u32(&o->lease_check_ms, 10000);
	default_u32(&o->checkpoint_segments, 64);
	default_u32(&o->denied_retry_ms, 30000);
	default_u32(&o->read_ahead_bytes, 8u << 20);
	default_u32(&o->gc, LSVD_GC_AUTO);
	default_u32(&o->gc_target_percent, 125);
	default_u32(&o->gc_idle_ms, 10000);
	default_u64(&o->gc_bytes_per_second, UINT64_C(32) << 20);
}

static int check_each(const struct lsvd_volume_options *o, const struct vol_limits *limits)
{
	const struct bound bounds[] = {
		{ "flags", o->flags, 0, 0x3f },
		{ "log_bytes", o->log_bytes, limits->log_least, UINT64_C(1) << 40 },
		{ "segment_bytes", o->segment_bytes, limits->segment_least, 64u << 20 },
		{ "seal_after_ms", o->seal_after_ms == UINT32_MAX ? 1 : o->seal_after_ms, 1,
		  DAY_MS },
		{ "flush", o->flush, 0, LSVD_FLUSH_REMOTE },
		{ "compression", o->compression, LSVD_COMPRESS_NONE, LSVD_COMPRESS_ZLIB },
		{ "unit_bytes", o->unit_bytes, 4096, 65536 },
		{ "put_window", o->put_window, 1, 64 },
		{ "memory_bytes", o->memory_bytes, limits->memory_least, UINT64_C(4) << 30 },
		{ "map_memory_bytes", o->map_memory_bytes, limits->map_least, UINT64_C(1) << 40 },
		{ "denied_retry_ms", o->denied_retry_ms, 100, DAY_MS },
		{ "read_ahead_bytes", o->read_ahead_bytes == UINT32_MAX ? 64u << 10
									: o->read_ahead_bytes,
		  64u << 10, 64u << 20 },
		{ "gc", o->gc, 0, LSVD_GC_AUTO },
		{ "gc_strategy", o->gc_strategy, 0, LSVD_GC_SEPARATE },
		{ "gc_target_percent", o->gc_target_percent, 101, 10000 },
		{ "gc_idle_ms", o->gc_idle_ms == UINT32_MAX ? 1 : o->gc_idle_ms, 1, DAY_MS },
		{ "gc_bytes_per_second", o->gc_bytes_per_second, 4096, UINT64_MAX },
	};
	int err = check_bounds(bounds, LSVD_ARRAY_LEN(bounds));

	for (unsigned i = 0; i < LSVD_ARRAY_LEN(o->reserved) && !err; i++)
		if (o->reserved[i])
			err = lsvd_fail(-E2BIG, "option reserved[%u] is set: it means nothing to "
					"this library (use the INIT macro)", i);
	if (!err && (o->unit_bytes & (o->unit_bytes - 1)))
		err = lsvd_fail(-EINVAL, "option unit_bytes is %u, must be a power of two",
				o->unit_bytes);
	return err;
}

/* What goes with what. */
static int check_together(const struct lsvd_volume_options *o)
{
	if (o->snapshot &&
	    (!(o->flags & LSVD_OPEN_READONLY) || o->flags & LSVD_OPEN_OFFLINE))
		return lsvd_fail(-EINVAL, "option snapshot: snapshots can only be read, and only "
				 "with the store");
	if (o->flags & LSVD_OPEN_RCACHE &&
	    !(o->flags & LSVD_OPEN_READONLY && o->cache_dir))
		return lsvd_fail(-EINVAL, "flag LSVD_OPEN_RCACHE is for readers, with a cache_dir: "
				 "writers have their cache without it");
	if (!o->cache_dir && !(o->flags & LSVD_OPEN_READONLY))
		return lsvd_fail(-EINVAL, "option cache_dir is missing: a volume that is written "
				 "needs a directory for its local log");
	if (o->flags & LSVD_OPEN_OFFLINE && !o->cache_dir)
		return lsvd_fail(-EINVAL, "option cache_dir is missing: the cache is all there is "
				 "offline");
	if (o->flags & LSVD_OPEN_OFFLINE &&
	    o->flags & (LSVD_OPEN_ACCEPT_ROLLBACK | LSVD_OPEN_TAKEOVER))
		return lsvd_fail(-EINVAL, "option flags is %#x: offline nothing can be taken over "
				 "or rolled back", o->flags);
	return 0;
}

int lsvd_vol_set_options(struct lsvd_volume_options *o, const struct lsvd_volume_options *given,
			 const struct vol_limits *limits)
{
	int err = lsvd_options_copy(o, sizeof *o, given, sizeof *o, "volume options");

	if (err)
		return err;
	set_defaults(o);
	err = check_each(o, limits);
	return err ? err : check_together(o);
}
