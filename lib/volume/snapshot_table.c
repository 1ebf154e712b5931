/* SPDX-License-Identifier: BSD-2-Clause */
/* snapshot_table.c - the list of snapshots, in nodes. */
#include "volume/snapshot_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"

void lsvd_snapshots_fini(struct snapshot_table *t)
{
	for (unsigned i = 0; i < t->node_count; i++)
		lsvd_free(t->nodes[i]);
	lsvd_free(t->nodes);
	lsvd_free(t->spare);
	memset(t, 0, sizeof *t);
}

static struct snapshot_node *last_node(const struct snapshot_table *t)
{
	return t->node_count ? t->nodes[t->node_count - 1] : NULL;
}

/* Room in the array of nodes for one more. */
static int reserve_place(struct snapshot_table *t)
{
	unsigned room = t->node_room ? t->node_room * 2 : 8;
	void *p;

	if (t->node_count < t->node_room)
		return 0;
	p = lsvd_realloc(t->nodes, room * sizeof *t->nodes);
	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	t->nodes = p;
	t->node_room = room;
	return 0;
}

int lsvd_snapshots_reserve(struct snapshot_table *t)
{
	int err = reserve_place(t);

	if (err || t->spare)
		return err;
	t->spare = lsvd_calloc(1, sizeof *t->spare);
	return t->spare ? 0 : lsvd_fail_plain(-ENOMEM);
}

void lsvd_snapshots_add(struct snapshot_table *t, const struct snapshot *s)
{
	struct snapshot_node *node = last_node(t);

	if (lsvd_snapshots_by_id(t, &s->id))
		return;
	if (!node || node->count == SNAPSHOT_NODE) {
		assert(t->spare && t->node_count < t->node_room);
		node = t->spare;
		t->spare = NULL;
		node->number = t->next_node++;
		t->nodes[t->node_count++] = node;
	}
	node->list[node->count++] = *s;
	node->dirty = true;
	t->count++;
}

static bool is_before(struct place a, struct place b)
{
	return !place_at_or_before(b, a);
}

static struct place root_place(const struct snapshot *s)
{
	return (struct place){ s->root.epoch, s->root.number };
}

static bool in_order(const struct snapshot *a, const struct snapshot *b)
{
	return is_before(a->at, b->at) && place_at_or_before(root_place(a), root_place(b)) &&
	       place_at_or_before(a->root_at, b->root_at);
}

static unsigned index_of(const struct snapshot_table *t, uint64_t number)
{
	unsigned lo = 0, hi = t->node_count;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (t->nodes[mid]->number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int lsvd_snapshots_add_node(struct snapshot_table *t, struct snapshot_node *node)
{
	unsigned at = index_of(t, node->number);
	int err;

	if (at < t->node_count && t->nodes[at]->number == node->number)
		return lsvd_fail(LSVD_E_CORRUPT, "there are two nodes %llu of snapshots",
				 (unsigned long long)node->number);
	err = reserve_place(t);
	if (err)
		return err;
	memmove(&t->nodes[at + 1], &t->nodes[at], (t->node_count - at) * sizeof *t->nodes);
	t->nodes[at] = node;
	t->node_count++;
	if (node->number >= t->next_node)
		t->next_node = node->number + 1;
	t->count += node->count;
	return 0;
}

int lsvd_snapshots_verify(const struct snapshot_table *t)
{
	const struct snapshot *before = NULL;

	for (unsigned i = 0; i < t->node_count; i++)
		for (unsigned j = 0; j < t->nodes[i]->count; j++) {
			const struct snapshot *s = &t->nodes[i]->list[j];

			if (before && !in_order(before, s))
				return lsvd_fail(LSVD_E_CORRUPT, "snapshot \"%s\" is listed after "
						 "\"%s\", and is not newer", s->name,
						 before->name);
			before = s;
		}
	return 0;
}

bool lsvd_snapshots_remove(struct snapshot_table *t, const struct uuid *id)
{
	for (unsigned i = 0; i < t->node_count; i++) {
		struct snapshot_node *node = t->nodes[i];

		for (unsigned j = 0; j < node->count; j++) {
			if (!lsvd_uuid_equal(&node->list[j].id, id))
				continue;
			memmove(&node->list[j], &node->list[j + 1],
				(node->count - j - 1) * sizeof node->list[0]);
			node->count--;
			node->dirty = true;
			t->count--;
			return true;
		}
	}
	return false;
}

struct snapshot_node *lsvd_snapshots_node(const struct snapshot_table *t, uint64_t number)
{
	unsigned i = index_of(t, number);

	return i < t->node_count && t->nodes[i]->number == number ? t->nodes[i] : NULL;
}

void lsvd_snapshots_drop_node(struct snapshot_table *t, uint64_t number)
{
	unsigned i = index_of(t, number);

	assert(i < t->node_count && t->nodes[i]->number == number && !t->nodes[i]->count);
	lsvd_free(t->nodes[i]);
	memmove(&t->nodes[i], &t->nodes[i + 1], (t->node_count - i - 1) * sizeof *t->nodes);
	t->node_count--;
}

const struct snapshot *lsvd_snapshots_by_name(const struct snapshot_table *t, const char *name)
{
	for (unsigned i = 0; i < t->node_count; i++)
		for (unsigned j = 0; j < t->nodes[i]->count; j++)
			if (strcmp(t->nodes[i]->list[j].name, name) == 0)
				return &t->nodes[i]->list[j];
	return NULL;
}

const struct snapshot *lsvd_snapshots_by_id(const struct snapshot_table *t, const struct uuid *id)
{
	for (unsigned i = 0; i < t->node_count; i++)
		for (unsigned j = 0; j < t->nodes[i]->count; j++)
			if (lsvd_uuid_equal(&t->nodes[i]->list[j].id, id))
				return &t->nodes[i]->list[j];
	return NULL;
}

/* The first one of which `is_from` says so, as it does of all that follow it. */
static const struct snapshot *first_from(const struct snapshot_table *t, struct place p,
					 bool (*is_from)(const struct snapshot *, struct place))
{
	for (unsigned i = 0; i < t->node_count; i++) {
		const struct snapshot_node *node = t->nodes[i];
		unsigned lo = 0, hi = node->count;

		if (!hi || !is_from(&node->list[hi - 1], p))
			continue;
		while (lo < hi) {
			unsigned mid = lo + (hi - lo) / 2;

			if (is_from(&node->list[mid], p))
				hi = mid;
			else
				lo = mid + 1;
		}
		return &node->list[lo];
	}
	return NULL;
}

static bool stands_from(const struct snapshot *s, struct place at)
{
	return place_at_or_before(at, s->at);
}

static bool root_from(const struct snapshot *s, struct place root)
{
	return place_at_or_before(root, root_place(s));
}

const struct snapshot *lsvd_snapshots_from(const struct snapshot_table *t, struct place at)
{
	return first_from(t, at, stands_from);
}

const struct snapshot *lsvd_snapshots_from_root(const struct snapshot_table *t, struct place root)
{
	return first_from(t, root, root_from);
}

static bool dead_at(const struct object_entry *e, struct place at)
{
	return e->died.epoch && place_at_or_before(e->died, at);
}

const struct snapshot *lsvd_snapshots_needing(const struct snapshot_table *t,
					      const struct object_entry *e)
{
	const struct place name = { e->epoch, e->seq };
	const struct snapshot *s;

	if (!t->count)
		return NULL;
	switch (e->home) {
	case HOME_ROOT:
		s = lsvd_snapshots_from_root(t, name);
		return s && s->root.epoch == e->epoch && s->root.number == e->seq ? s : NULL;
	case HOME_PAGES:
		s = lsvd_snapshots_from_root(t, e->born);
		return s && !dead_at(e, root_place(s)) ? s : NULL;
	default:
		/*
		 * The chain from the root to the note is read for what it says,
		 * also if it is dead there.
		 */
		s = lsvd_snapshots_from(t, e->born);
		return s && (!dead_at(e, s->at) ||
			     (e->home != HOME_MOVED && is_before(s->root_at, e->born))) ? s : NULL;
	}
}
