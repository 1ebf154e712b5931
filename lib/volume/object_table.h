/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object_table.h - the data objects of a volume by number: where each is, its size, how much lives.
 *
 * Object numbers are given away in order and never reused, so the table is an array. A number that
 * was given away for an object that never came to be (a crash in between) stays empty.
 */
#ifndef VOLUME_OBJECT_TABLE_H
#define VOLUME_OBJECT_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct object_entry {
	uint64_t epoch, seq;   /* epoch 0: empty */
	uint64_t bytes;        /* of the whole object, as stored */
	uint64_t data;         /* user bytes it was made with */
	uint64_t live;         /* of these, what the map refers to */
};

struct object_table {
	struct object_entry *entries;
	uint64_t count;        /* entries with a place in the array */
	uint64_t capacity;
	uint64_t used;         /* not empty */
	uint64_t live, bytes;  /* sums */
};

void lsvd_object_table_fini(struct object_table *t);
/* Room for numbers below `count`, so that set cannot fail. -ENOMEM. */
int lsvd_object_table_reserve(struct object_table *t, uint64_t count);
void lsvd_object_table_set(struct object_table *t, uint64_t number, const struct object_entry *e);
/* NULL if there is no such object. */
const struct object_entry *lsvd_object_table_get(const struct object_table *t, uint64_t number);
void lsvd_object_table_live(struct object_table *t, uint64_t number, int64_t bytes);

#endif
