/* SPDX-License-Identifier: BSD-2-Clause */
/* verb_stats.c - a table of all members of struct lsvd_stats; the compiler counts them. */
#include "common/verb_stats.h"

#include <stddef.h>
#include <string.h>

#define PLACE(x) {#x, offsetof(struct lsvd_stats, x)}

static const struct {
	const char *name;
	size_t place;
} members[] = {
	PLACE(reads), PLACE(writes), PLACE(flushes), PLACE(trims), PLACE(zeroes),
	PLACE(prefetches), PLACE(read_bytes), PLACE(write_bytes), PLACE(errors),
	PLACE(log_groups), PLACE(log_bytes), PLACE(log_syncs), PLACE(log_used),
	PLACE(log_capacity), PLACE(stalls), PLACE(read_memory_bytes), PLACE(read_log_bytes),
	PLACE(read_rcache_bytes), PLACE(read_store_bytes), PLACE(read_zero_bytes), PLACE(corrupt),
	PLACE(data_puts), PLACE(data_put_bytes), PLACE(checkpoint_puts),
	PLACE(checkpoint_put_bytes), PLACE(recovery_gets), PLACE(recovery_get_bytes),
	PLACE(data_gets), PLACE(data_get_bytes), PLACE(fence_requests), PLACE(retries),
	PLACE(segments), PLACE(coalesced_bytes), PLACE(compressed_from), PLACE(compressed_to),
	PLACE(epoch), PLACE(last_op), PLACE(durable_op), PLACE(stored_op), PLACE(unstored_bytes),
	PLACE(unstored_ms), PLACE(map_extents), PLACE(map_bytes), PLACE(memory_bytes),
	PLACE(replayed_ops), PLACE(replayed_segments), PLACE(rcache_writes),
	PLACE(rcache_write_bytes), PLACE(live_bytes), PLACE(stored_bytes), PLACE(store_away),
	PLACE(store_full), PLACE(store_denied), PLACE(read_backs), PLACE(missing_objects),
	PLACE(bad_gets), PLACE(torn_objects), PLACE(fence_put_bytes), PLACE(probe_requests),
	PLACE(probe_bytes), PLACE(gc_requests), PLACE(gc_bytes), PLACE(shared_gets),
	PLACE(ahead_gets), PLACE(ahead_get_bytes), PLACE(ahead_used_bytes),
	PLACE(gc_copied_bytes), PLACE(deleted_objects), PLACE(deleted_bytes),
	PLACE(checkpoint_bytes), PLACE(map_loads), PLACE(map_gets), PLACE(map_get_bytes),
	PLACE(gc_damaged),
};
#undef PLACE

#define MEMBERS (sizeof members / sizeof members[0])

/* Whoever adds a member to the struct adds it to the table: all but size and what is reserved. */
_Static_assert(MEMBERS * sizeof(uint64_t) == offsetof(struct lsvd_stats, reserved) -
					     offsetof(struct lsvd_stats, reads),
	       "a member of struct lsvd_stats is not in the table");

json_t *verb_stats_json(const struct lsvd_stats *stats)
{
	json_t *o = json_object();
	int err = o ? 0 : -1;

	for (size_t i = 0; i < MEMBERS && !err; i++) {
		uint64_t n;

		memcpy(&n, (const char *)stats + members[i].place, sizeof n);
		err = json_object_set_new(o, members[i].name, json_integer((json_int_t)n));
	}
	if (!err)
		return o;
	json_decref(o);
	return NULL;
}
