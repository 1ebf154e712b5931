/* SPDX-License-Identifier: BSD-2-Clause */
/* object_table.c - the array of data objects. */
#include "volume/object_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"

void lsvd_object_table_fini(struct object_table *t)
{
	lsvd_free(t->entries);
	memset(t, 0, sizeof *t);
}

int lsvd_object_table_reserve(struct object_table *t, uint64_t count)
{
	struct object_entry *entries;
	uint64_t capacity;

	if (count > t->capacity) {
		if (count > SIZE_MAX / 4 / sizeof *entries)
			return lsvd_fail(-ENOMEM, "no memory for a table of %llu objects",
					 (unsigned long long)count);
		capacity = max_u64(count, t->capacity + t->capacity / 2 + 64);
		entries = lsvd_realloc(t->entries, capacity * sizeof *entries);
		if (!entries)
			return lsvd_fail(-ENOMEM, "no memory for a table of %llu objects",
					 (unsigned long long)capacity);
		t->entries = entries;
		t->capacity = capacity;
	}
	if (count > t->count) {
		memset(t->entries + t->count, 0, (count - t->count) * sizeof *t->entries);
		t->count = count;
	}
	return 0;
}

void lsvd_object_table_set(struct object_table *t, uint64_t number, const struct object_entry *e)
{
	assert(number < t->count && !t->entries[number].epoch);
	t->entries[number] = *e;
	t->used++;
	t->live += e->live;
	t->bytes += e->bytes;
}

const struct object_entry *lsvd_object_table_get(const struct object_table *t, uint64_t number)
{
	if (number >= t->count || !t->entries[number].epoch)
		return NULL;
	return &t->entries[number];
}

void lsvd_object_table_live(struct object_table *t, uint64_t number, int64_t bytes)
{
	if (number >= t->count)
		return;
	t->entries[number].live += (uint64_t)bytes;
	t->live += (uint64_t)bytes;
}
