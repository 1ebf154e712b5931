/* SPDX-License-Identifier: BSD-2-Clause */
/* object_table.c - the array of nodes of objects. */
#include "volume/object_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"

void lsvd_object_table_fini(struct object_table *t)
{
	for (uint64_t i = 0; i < t->count / OBJECT_NODE; i++)
		lsvd_free(t->nodes[i]);
	lsvd_free(t->nodes);
	*t = (struct object_table){ .ancestry = t->ancestry };
}

static int no_memory(uint64_t number)
{
	return lsvd_fail(-ENOMEM, "no memory for a table with object %llu",
			 (unsigned long long)number);
}

/* Places for nodes up to `index`. */
static int grow(struct object_table *t, uint64_t index, uint64_t number)
{
	uint64_t capacity = max_u64(index + 1, t->capacity + t->capacity / 2 + 8);
	struct object_node **nodes;

	if (index >= t->capacity) {
		if (capacity > SIZE_MAX / 4 / sizeof *nodes)
			return no_memory(number);
		nodes = lsvd_realloc(t->nodes, capacity * sizeof *nodes);
		if (!nodes)
			return no_memory(number);
		t->nodes = nodes;
		t->capacity = capacity;
	}
	for (uint64_t i = t->count / OBJECT_NODE; i <= index; i++)
		t->nodes[i] = NULL;
	t->count = max_u64(t->count, (index + 1) * OBJECT_NODE);
	return 0;
}

int lsvd_object_table_reserve(struct object_table *t, uint64_t number)
{
	uint64_t index = number / OBJECT_NODE;
	int err;

	if (number >= t->count) {
		err = grow(t, index, number);
		if (err)
			return err;
	}
	if (!t->nodes[index])
		t->nodes[index] = lsvd_calloc(1, sizeof **t->nodes);
	return t->nodes[index] ? 0 : no_memory(number);
}

/* Into the sums, or out of them, as it is now. What wraps around comes back. */
static void count(struct object_table *t, const struct object_entry *e, bool in)
{
	uint64_t sign = in ? 1 : UINT64_MAX;

	if (e->ancestor || e->home == HOME_NOTE)
		return;
	if (!lsvd_object_is_data(e)) {
		t->meta_bytes += sign * e->bytes;
		return;
	}
	t->live += sign * e->live;
	t->bytes += sign * e->bytes;
	t->data += e->live ? sign * e->data : 0;
	t->dead_bytes += e->died.epoch ? sign * e->bytes : 0;
}

void lsvd_object_table_set(struct object_table *t, uint64_t number, const struct object_entry *e)
{
	struct object_node *node = t->nodes[number / OBJECT_NODE];
	struct object_entry *to = &node->entries[number % OBJECT_NODE];

	assert(number < t->count && !to->epoch && e->epoch && e->home);
	*to = *e;
	to->ancestor = (uint8_t)ancestor_of(t->ancestry, number);
	node->used++;
	node->dirty = true;
	t->used++;
	count(t, to, true);
}

static struct object_node *node_of(const struct object_table *t, uint64_t number)
{
	return number < t->count ? t->nodes[number / OBJECT_NODE] : NULL;
}

struct object_entry *lsvd_object_table_get(const struct object_table *t, uint64_t number)
{
	struct object_node *node = node_of(t, number);

	if (!node || !node->entries[number % OBJECT_NODE].epoch)
		return NULL;
	return &node->entries[number % OBJECT_NODE];
}

void lsvd_object_table_died(struct object_table *t, uint64_t number, struct place at)
{
	struct object_entry *e = lsvd_object_table_get(t, number);

	if (!e || e->died.epoch)
		return;
	count(t, e, false);
	e->died = at;
	count(t, e, true);
	node_of(t, number)->dirty = true;
}

void lsvd_object_table_revive(struct object_table *t, uint64_t number)
{
	struct object_entry *e = lsvd_object_table_get(t, number);

	if (!e || !e->died.epoch)
		return;
	count(t, e, false);
	e->died = (struct place){ 0, 0 };
	count(t, e, true);
	node_of(t, number)->dirty = true;
}

void lsvd_object_table_live(struct object_table *t, uint64_t number, int64_t bytes,
			    struct place at)
{
	struct object_entry *e = lsvd_object_table_get(t, number);

	if (!e || bytes == 0)
		return;
	count(t, e, false);
	e->live += (uint32_t)bytes;
	if (!lsvd_object_is_data(e)) {
		count(t, e, true);
		return; /* live is counted anew at every open, and nothing dies of that */
	}
	node_of(t, number)->dirty = true;
	if (e->live == 0) {
		t->died_bytes += e->ancestor ? 0 : e->bytes;
		if (!e->died.epoch)
			e->died = at;
	} else if (bytes > 0) {
		e->died = (struct place){ 0, 0 };
	}
	count(t, e, true);
}

void lsvd_object_table_clear(struct object_table *t, uint64_t number)
{
	struct object_entry *e = lsvd_object_table_get(t, number);
	struct object_node *node = node_of(t, number);

	if (!e)
		return;
	count(t, e, false);
	memset(e, 0, sizeof *e);
	node->used--;
	node->dirty = true;
	t->used--;
}

uint64_t lsvd_object_table_next(const struct object_table *t, uint64_t number)
{
	while (number < t->count) {
		const struct object_node *node = t->nodes[number / OBJECT_NODE];

		if (!node || !node->used)
			number = (number / OBJECT_NODE + 1) * OBJECT_NODE;
		else if (node->entries[number % OBJECT_NODE].epoch)
			return number;
		else
			number++;
	}
	return UINT64_MAX;
}

void lsvd_object_table_drop_node(struct object_table *t, uint64_t index)
{
	assert(index < t->count / OBJECT_NODE && t->nodes[index] && !t->nodes[index]->used);
	lsvd_free(t->nodes[index]);
	t->nodes[index] = NULL;
}
