/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_value.c - values: immutable bytes with a count of references.
 *
 * A value keeps the memory it was read into, of which it may be but a part: of a record that is
 * stored as it is nothing is copied.
 */
#include "vlog/vlog_value.h"

#include <string.h>

#include "base/alloc.h"

struct lsvd_vlog_value *lsvd_vlog_value_alloc(size_t room)
{
	struct lsvd_vlog_value *v;

	if (room > SIZE_MAX - sizeof *v)
		return NULL;
	v = lsvd_malloc(sizeof *v + room);
	if (!v)
		return NULL;
	v->refs = 1;
	v->data = v->room;
	v->size = room;
	return v;
}

struct lsvd_vlog_value *lsvd_vlog_value_new(const void *data, size_t size)
{
	struct lsvd_vlog_value *v = lsvd_vlog_value_alloc(size);

	if (v && size)
		memcpy(v->room, data, size);
	return v;
}

const void *lsvd_vlog_value_data(const struct lsvd_vlog_value *v)
{
	return v->data;
}

size_t lsvd_vlog_value_size(const struct lsvd_vlog_value *v)
{
	return v->size;
}

struct lsvd_vlog_value *lsvd_vlog_value_ref(struct lsvd_vlog_value *v)
{
	/* Who has one reference may make another: nothing is to be seen before it. */
	(void)__atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
	return v;
}

void lsvd_vlog_value_unref(struct lsvd_vlog_value *v)
{
	if (v && __atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) == 0)
		lsvd_free(v);
}
