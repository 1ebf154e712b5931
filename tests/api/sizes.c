/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sizes.c - the sizes and places that programs built against 0.1 rely on, on LP64.
 *
 * A failure here means that a struct of the interface has changed in a way that breaks programs
 * already built. New fields take the place of reserved ones or come at the end, and then only the
 * size is renewed here; an offset is never changed. Compiled, not run.
 */
#include <stddef.h>

#include <lsvd/lsvd.h>
#include <lsvd/store_driver.h>

#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type " has another size")
#define PLACE(type, field, off) \
	_Static_assert(offsetof(struct type, field) == (off), #type "." #field " has moved")

#if defined(__LP64__)
SIZE(lsvd_store_options, 40);
PLACE(lsvd_store_options, flags, 4);
SIZE(lsvd_store_ops, 96);
PLACE(lsvd_store_ops, caps, 4);
PLACE(lsvd_store_ops, put_if_absent, 8);
PLACE(lsvd_store_ops, get, 16);
PLACE(lsvd_store_ops, head, 24);
PLACE(lsvd_store_ops, list, 32);
PLACE(lsvd_store_ops, remove, 40);
PLACE(lsvd_store_ops, close, 48);
PLACE(lsvd_store_ops, submit, 56);
PLACE(lsvd_store_ops, counters, 80);
SIZE(lsvd_store_request, 168);
PLACE(lsvd_store_request, done, 88);
SIZE(lsvd_store_counters, 224);
PLACE(lsvd_store_counters, puts, 8);
PLACE(lsvd_store_counters, clock_offset_ms, 152);
SIZE(lsvd_s3_options, 184);
PLACE(lsvd_s3_options, bucket, 8);
PLACE(lsvd_s3_options, connections, 104);
SIZE(lsvd_object_info, 24);
PLACE(lsvd_object_info, bytes, 8);
SIZE(lsvd_check_finding, 104);
PLACE(lsvd_check_finding, object, 16);
PLACE(lsvd_check_finding, ranges, 40);
PLACE(lsvd_check_finding, text, 56);
SIZE(lsvd_check_options, 96);
PLACE(lsvd_check_options, cache_dir, 8);
PLACE(lsvd_check_options, ctx, 32);
SIZE(lsvd_check_report, 232);
PLACE(lsvd_check_report, errors, 8);
PLACE(lsvd_check_report, gets, 144);
PLACE(lsvd_check_report, stage, 160);
SIZE(lsvd_repair_report, 104);
PLACE(lsvd_repair_report, repaired, 4);
PLACE(lsvd_repair_report, epoch, 8);
SIZE(lsvd_store_probe, 384);
PLACE(lsvd_store_probe, create, 12);
PLACE(lsvd_store_probe, requests, 40);
PLACE(lsvd_store_probe, text, 64);
SIZE(lsvd_volume_info, 192);
PLACE(lsvd_volume_info, name, 8);
PLACE(lsvd_volume_info, uuid, 73);
PLACE(lsvd_volume_info, bytes, 112);
PLACE(lsvd_volume_info, created_ms, 120);
PLACE(lsvd_volume_info, base_uuid, 128);
SIZE(lsvd_base_info, 248);
PLACE(lsvd_base_info, volume, 8);
PLACE(lsvd_base_info, volume_uuid, 138);
SIZE(lsvd_snapshot_info, 192);
PLACE(lsvd_snapshot_info, bytes, 112);
PLACE(lsvd_snapshot_info, op, 128);
SIZE(lsvd_volume_usage, 120);
PLACE(lsvd_volume_usage, objects, 8);
PLACE(lsvd_volume_usage, ops, 48);
PLACE(lsvd_volume_usage, free_objects, 88);
SIZE(lsvd_volume_options, 160);
PLACE(lsvd_volume_options, flags, 4);
PLACE(lsvd_volume_options, cache_dir, 8);
PLACE(lsvd_volume_options, log_bytes, 16);
PLACE(lsvd_volume_options, memory_bytes, 48);
PLACE(lsvd_volume_options, rcache_bytes, 56);
PLACE(lsvd_volume_options, stall_timeout_ms, 64);
PLACE(lsvd_volume_options, checkpoint_segments, 76);
PLACE(lsvd_volume_options, segment_fn, 80);
PLACE(lsvd_volume_options, segment_ctx, 88);
PLACE(lsvd_volume_options, denied_retry_ms, 96);
PLACE(lsvd_volume_options, read_ahead_bytes, 100);
PLACE(lsvd_volume_options, snapshot, 104);
PLACE(lsvd_volume_options, map_memory_bytes, 112);
PLACE(lsvd_volume_options, gc, 120);
PLACE(lsvd_volume_options, gc_target_percent, 128);
PLACE(lsvd_volume_options, gc_space_bytes, 144);
SIZE(lsvd_gc_status, 184);
PLACE(lsvd_gc_status, rounds, 16);
PLACE(lsvd_gc_status, orphans, 120);
SIZE(lsvd_collect_options, 64);
PLACE(lsvd_collect_options, progress, 16);
SIZE(lsvd_segment_event, 48);
PLACE(lsvd_segment_event, user_bytes, 40);
SIZE(lsvd_io, 128);
PLACE(lsvd_io, off, 8);
PLACE(lsvd_io, iov, 24);
PLACE(lsvd_io, err, 36);
PLACE(lsvd_io, done, 40);
PLACE(lsvd_io, user, 48);
PLACE(lsvd_io, next, 56);
SIZE(lsvd_status_extent, 16);
PLACE(lsvd_status_extent, flags, 8);
SIZE(lsvd_usage_row, 208);
PLACE(lsvd_usage_row, objects, 112);
PLACE(lsvd_usage_row, volume_bytes, 144);
PLACE(lsvd_usage_row, base_uuid, 160);
SIZE(lsvd_space_row, 128);
PLACE(lsvd_space_row, objects, 80);
PLACE(lsvd_space_row, held_bytes, 96);
SIZE(lsvd_stats, 632);
PLACE(lsvd_stats, reads, 8);
PLACE(lsvd_stats, log_groups, 80);
PLACE(lsvd_stats, read_memory_bytes, 128);
PLACE(lsvd_stats, data_puts, 176);
PLACE(lsvd_stats, segments, 256);
PLACE(lsvd_stats, epoch, 288);
PLACE(lsvd_stats, rcache_writes, 376);
PLACE(lsvd_stats, stored_bytes, 400);
PLACE(lsvd_stats, gc_bytes, 496);
PLACE(lsvd_stats, shared_gets, 504);
PLACE(lsvd_stats, ahead_used_bytes, 528);
PLACE(lsvd_stats, checkpoint_bytes, 560);
SIZE(lsvd_vlog_cache_stats, 120);
SIZE(lsvd_vlog_cache_ops, 56);
SIZE(lsvd_vlog_codec_ops, 24);
SIZE(lsvd_vlog_info, 184);
SIZE(lsvd_vlog_options, 120);
SIZE(lsvd_vlog_scan, 88);
SIZE(lsvd_vlog_segment, 136);
SIZE(lsvd_vlog_report, 184);
SIZE(lsvd_vlog_index, 48);
SIZE(lsvd_vlog_strategy, 48);
SIZE(lsvd_vlog_v1_options, 48);
SIZE(lsvd_vlog_gc_limits, 64);
SIZE(lsvd_vlog_gc_result, 176);
SIZE(lsvd_vlog_stats, 224);
SIZE(lsvd_vlog_handle, 24);
SIZE(lsvd_vlog_request, 56);
SIZE(lsvd_vlog_item, 72);
SIZE(lsvd_vlog_query, 56);
SIZE(lsvd_vlog_move, 72);
PLACE(lsvd_vlog_options, segment_bytes, 8);
PLACE(lsvd_vlog_options, cache, 40);
PLACE(lsvd_vlog_scan, first, 24);
PLACE(lsvd_vlog_segment, items, 24);
PLACE(lsvd_vlog_report, dangling, 104);
PLACE(lsvd_vlog_index, is_live, 16);
PLACE(lsvd_vlog_strategy, pick, 16);
PLACE(lsvd_vlog_gc_limits, cancel, 24);
PLACE(lsvd_vlog_gc_result, freed_bytes, 96);
PLACE(lsvd_vlog_stats, gets, 40);
#endif
