/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot_table.h - the snapshots of a volume, oldest first.
 *
 * A snapshot stands at a chain object, its note, and is read from the root that the note names and
 * the chain objects between the two. Both only ever move forward, so the list is in order of both,
 * and what a snapshot needs is found by halving.
 *
 * They lie in nodes of SNAPSHOT_NODE, which checkpoints save as they save nodes of objects: those
 * that changed. A snapshot stays in the node it was put in; a node has a number that is never used
 * again. One that has become empty stays until a checkpoint has noted it.
 */
#ifndef VOLUME_SNAPSHOT_TABLE_H
#define VOLUME_SNAPSHOT_TABLE_H

#include <lsvd/volume.h>

#include "base/uuid.h"
#include "format/fmt_object.h"
#include "volume/object_table.h"

#define SNAPSHOT_NODE 128u

struct snapshot {
	struct uuid id;
	char name[LSVD_NAME_MAX + 1];
	int64_t created_ms;
	uint64_t op;           /* the newest operation in it */
	uint64_t bytes;        /* the volume's size */
	struct place at;       /* its note */
	struct root_ref root;  /* that the note names; epoch 0: none */
	struct place root_at;  /* where that stands */
};

struct snapshot_node {
	uint64_t number;
	struct blob_ref saved; /* in the newest root */
	bool dirty;            /* changed since */
	unsigned count;
	struct snapshot list[SNAPSHOT_NODE];
};

struct snapshot_table {
	struct snapshot_node **nodes; /* in order of number */
	unsigned node_count, node_room;
	struct snapshot_node *spare;
	uint64_t next_node;
	uint64_t count;        /* snapshots */
};

void lsvd_snapshots_fini(struct snapshot_table *t);
/* Memory for the next add. -ENOMEM. */
int lsvd_snapshots_reserve(struct snapshot_table *t);
/* At the end, unless it is there already; there is memory for it. */
void lsvd_snapshots_add(struct snapshot_table *t, const struct snapshot *s);
/* A node as it was saved. LSVD_E_CORRUPT: there is one of its number. */
int lsvd_snapshots_add_node(struct snapshot_table *t, struct snapshot_node *node);
/* All have been added: LSVD_E_CORRUPT if the snapshots in them are not in order. */
int lsvd_snapshots_verify(const struct snapshot_table *t);
/* False: there is none. */
bool lsvd_snapshots_remove(struct snapshot_table *t, const struct uuid *id);
void lsvd_snapshots_drop_node(struct snapshot_table *t, uint64_t number);
struct snapshot_node *lsvd_snapshots_node(const struct snapshot_table *t, uint64_t number);

/* NULL: there is none. */
const struct snapshot *lsvd_snapshots_by_name(const struct snapshot_table *t, const char *name);
const struct snapshot *lsvd_snapshots_by_id(const struct snapshot_table *t, const struct uuid *id);
/* The oldest one at `at` or later; the oldest one whose root is `root` or a newer one. */
const struct snapshot *lsvd_snapshots_from(const struct snapshot_table *t, struct place at);
const struct snapshot *lsvd_snapshots_from_root(const struct snapshot_table *t, struct place root);
/* A snapshot that needs the object, now dead or not; NULL: none does. */
const struct snapshot *lsvd_snapshots_needing(const struct snapshot_table *t,
					      const struct object_entry *e);

#endif
