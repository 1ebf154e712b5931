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
	if (to->ancestor)
		return;
	if (lsvd_object_is_data(e)) {
		t->live += e->live;
		t->bytes += e->bytes;
	} else {
		t->meta_bytes += e->bytes;
	}
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
	e->died = at;
	node_of(t, number)->dirty = true;
}

void lsvd_object_table_live(struct object_table *t, uint64_t number, int64_t bytes,
			    struct place at)
{
	struct object_entry *e = lsvd_object_table_get(t, number);

	if (!e || bytes == 0)
		return;
	e->live += (uint32_t)bytes;
	if (!lsvd_object_is_data(e))
		return; /* counted anew at every open */
	if (!e->ancestor)
		t->live += (uint64_t)bytes;
	node_of(t, number)->dirty = true;
	if (e->live == 0)
		e->died = at;
	else if (bytes > 0)
		e->died = (struct place){ 0, 0 };
}

void lsvd_object_table_clear(struct object_table *t, uint64_t number)
{
	struct object_entry *e = lsvd_object_table_get(t, number);
	struct object_node *node = node_of(t, number);

	if (!e)
		return;
	if (e->ancestor) {
		; /* not counted */
	} else if (lsvd_object_is_data(e)) {
		t->live -= e->live;
		t->bytes -= e->bytes;
	} else {
		t->meta_bytes -= e->bytes;
	}
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
