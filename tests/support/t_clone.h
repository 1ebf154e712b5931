/* SPDX-License-Identifier: BSD-2-Clause */
/* t_clone.h - clones beside a volume under test, each with a model of its own. */
#ifndef T_CLONE_H
#define T_CLONE_H

#include <lsvd/snapshot.h>

#include "t_volume.h"

#define EVER UINT32_MAX
#define BLOCKS (TV_BYTES / TV_BLOCK)

static inline struct tv *fresh(void)
{
	struct tv *t = tv_new();

	tv_open(t);
	return t;
}

static inline void scatter(struct tv *t, unsigned n, uint64_t seed)
{
	for (unsigned i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		tv_write(t, (seed >> 33) % BLOCKS * TV_BLOCK, TV_BLOCK, seed);
	}
}

/* Another volume of the same store, with a model of its own. */
struct other {
	struct tv t;             /* all of it but the name as in a tv */
	char name[32];
};

static inline void open_other(struct other *c)
{
	ck_assert_ok(lsvd_volume_open(&c->t.v, c->t.store, c->name, &c->t.o));
}

static inline struct other *clone_of(struct tv *t, const char *base, const char *snapshot,
				     const char *name)
{
	struct other *c = calloc(1, sizeof *c);

	ck_assert_ptr_nonnull(c);
	c->t = *t;
	c->t.v = NULL;
	c->t.model = tv_buffer(TV_BYTES);
	memcpy(c->t.model, t->model, TV_BYTES);
	(void)snprintf(c->name, sizeof c->name, "%s", name); /* fits */
	ck_assert_ok(lsvd_volume_clone(t->store, base, snapshot, name, NULL, NULL));
	open_other(c);
	return c;
}

static inline void close_other(struct other *c)
{
	ck_assert_err(tv_close_in(&c->t, EVER), 0);
}

static inline void end_other(struct other *c)
{
	if (c->t.v)
		close_other(c);
	free(c->t.model);
	free(c);
}

static inline void reopen_other(struct other *c)
{
	close_other(c);
	open_other(c);
}

static inline void snapshot(struct tv *t, const char *name)
{
	ck_assert_ok(lsvd_snapshot_create(t->v, name, EVER, NULL));
}

#endif
