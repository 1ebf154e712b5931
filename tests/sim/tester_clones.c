/* SPDX-License-Identifier: BSD-2-Clause */
/* tester_clones.c - clones: made, written to by fibers of their own, made flat, deleted. */
#include "tester.h"

#include "volume/vol_clone.h"

/* The clone's tester, with the name that it has now. */
struct tester *heir_of(struct tester *t, unsigned i)
{
	struct tester *h = &t->heirs[i];

	(void)snprintf(h->name, sizeof h->name, "c%u-%u", i % 10, t->m.clones[i].generation % 1000);
	return h;
}

/* A clone's history begins with that of what it is made of. Its tags are its own. */
void inherit(struct tester *h, const struct tester *from, uint32_t op)
{
	uint32_t tags = h->m.tags ? h->m.tags : number_of(h) << 24;

	memset(&h->m, 0, sizeof h->m);
	memcpy(h->m.ops, from->m.ops, (op + 1) * sizeof h->m.ops[0]);
	for (uint32_t i = 1; i <= op; i++)
		h->m.ops[i].acked = true;
	h->m.tags = tags;
	h->m.inherited = h->m.issued = h->m.acked = h->m.flushed = h->m.stored = op;
}

/* The place of a clone, or of none: what is laid down takes the last that suits it. */
static unsigned pick_clone(struct tester *t, bool there)
{
	for (unsigned i = t->scripted ? CLONES : 0; i-- > 0;)
		if ((t->m.clones[i].state == CLONE_THERE) == there)
			return i;
	return below(t, CLONES);
}

/* What is laid down makes clones of a clone, as soon as there is one that has what it takes. */
static unsigned last_base(const struct tester *t)
{
	for (unsigned i = CLONES; i-- > 0;)
		if (t->m.clones[i].state == CLONE_THERE &&
		    t->heirs[i].m.snapshots[SNAPSHOTS - 1].state == SNAP_THERE)
			return i + 1;
	return 0;
}

void make_clone(struct tester *t)
{
	unsigned i = pick_clone(t, false), of = t->scripted ? last_base(t) : below(t, 1 + CLONES);
	struct model_clone *c = &t->m.clones[i];
	struct tester *from = of && t->m.clones[of - 1].state == CLONE_THERE ? heir_of(t, of - 1)
									     : t;
	const struct model_snapshot *s = &from->m.snapshots[SNAPSHOTS - 1];
	char snapshot[8];
	int err;

	if (s->state != SNAP_THERE || c->state == CLONE_THERE)
		return;
	snapshot_name(snapshot, SNAPSHOTS - 1);
	*c = (struct model_clone){ CLONE_MAKING, number_of(from), c->generation + 1, false };
	from->m.cloned = true;
	cloned_in_duel = cloned_in_duel || t->in_duel;
	inherit(heir_of(t, i), from, s->op);
	err = lsvd_volume_clone_world(sim_host_world(t->host), from->name, snapshot,
				      t->heirs[i].name);
	if (err == -EEXIST || err == LSVD_E_CORRUPT || (err == -ENOENT && s->state == SNAP_THERE))
		complain(t, "clone %s: %s", t->heirs[i].name, lsvd_last_error());
	if (!err && s->state == SNAP_NONE)
		complain(t, "there is a clone %s of what is deleted", t->heirs[i].name);
	/* Without an answer, or memory to look at it, it may be there. */
	c->state = !err ? CLONE_THERE
		   : err == LSVD_E_UNAVAILABLE || err == -ENOMEM ? CLONE_MAKING : CLONE_NONE;
	t->clones_of_clones += !err && c->of;
}

void delete_clone(struct tester *t)
{
	unsigned i = pick_clone(t, true);
	struct model_clone *c = &t->m.clones[i];
	struct tester *h = heir_of(t, i);
	bool needed = has_clones(h);
	int err;

	if (c->state != CLONE_THERE || h->visited)
		return;
	h->visited = true;
	c->state = CLONE_LOST;
	err = lsvd_volume_delete_world(sim_host_world(t->host), h->name);
	h->visited = false;
	if (!err && needed && has_clones(h))
		complain(t, "%s was deleted, and has clones", h->name);
	if (err == -ENOENT || (err == -EBUSY && !h->m.cloned))
		complain(t, "deletion of %s: %s", h->name, lsvd_last_error());
	c->state = !err ? CLONE_NONE : err == -EBUSY ? CLONE_THERE : CLONE_LOST;
	t->clones_deleted += !err;
}

/* A clone of the volume that is not worked on, and so remains one. */
static struct tester *steady_clone(struct tester *t)
{
	for (unsigned j = 0; j < CLONES; j++) {
		const struct model_clone *c = &t->m.clones[j];

		if (c->state == CLONE_THERE && !c->of && !c->leaving && !t->heirs[j].visited)
			return &t->heirs[j];
	}
	return NULL;
}

void try_to_delete_base(struct tester *t)
{
	struct tester *h = steady_clone(t);
	int err;

	if (!h)
		return;
	h->visited = true;
	err = lsvd_volume_delete_world(sim_host_world(t->host), t->name);
	h->visited = false;
	if (err != -EBUSY && err != LSVD_E_UNAVAILABLE && err != -ENOMEM)
		complain(t, "deletion of a base: %d", err);
	t->bases_refused += err == -EBUSY;
}

void wait_for_heirs(struct tester *t)
{
	for (unsigned i = 0; i < CLONES; i++)
		while (t->heirs[i].visited)
			sim_sleep(t->host, 1);
}

static bool may_have_snapshots(const struct tester *t)
{
	for (unsigned i = 0; i < SNAPSHOTS; i++)
		if (t->m.snapshots[i].state != SNAP_NONE)
			return true;
	return false;
}

/* A clone, which is open. From now on it may need its base no more, unless its snapshots do. */
int flatten(struct tester *h)
{
	struct model_clone *c = &h->base->m.clones[number_of(h) - 1];
	bool was = c->leaving;
	int err;

	c->leaving = true;
	(void)!lsvd_volume_gc_control(h->volume, LSVD_GC_RESUME); /* or it would wait for that */
	err = lsvd_volume_flatten(h->volume, UINT32_MAX);
	if (err == -EBUSY)
		c->leaving = was;
	if (err == LSVD_E_CORRUPT || (err == -EBUSY && !may_have_snapshots(h)))
		complain(h, "flatten: %s", lsvd_last_error());
	h->base->flattened += !err;
	return err;
}

static void work_a_little_on_clone(struct tester *h)
{
	uint32_t what = below(h, 24);

	if (what == 0)
		(void)lsvd_volume_seal(h->volume);
	else if (what <= 2)
		change_snapshot(h);
	else if (what == 3)
		collect(h);
	else if (what == 4)
		checkpoint(h);
	else if (what == 5)
		change_size(h);
	else if (what == 6)
		check_now(h);
	else if (what == 7 && !h->base->scripted) /* there its base is to be needed */
		(void)flatten(h); /* may fail as anything else here */
	else if (h->m.issued < OPS_MAX)
		submit_one(h);
}

/* A clone that clones are to be made of. */
static void make_base_of(struct tester *h)
{
	h->scripted = true;
	if (h->m.snapshots[SNAPSHOTS - 1].state == SNAP_NONE)
		change_snapshot(h);
	h->scripted = false;
}

/* A fiber of its own. */
static void work_on_clone(void *arg)
{
	struct tester *h = arg;

	if (open_volume(h, h->host, 0)) {
		check_now(h);
		h->base->clones_written++;
		for (unsigned n = 4 + below(h, 20); n && !h->failed; n--)
			work_a_little_on_clone(h);
		if (h->base->scripted)
			make_base_of(h);
		check_now(h);
		close_volume(h);
	}
	h->visited = false;
}

void visit_clone(struct tester *t)
{
	struct tester *h;
	unsigned i;

	if (t->scripted)
		wait_for_operator(t);
	i = pick_clone(t, true);
	h = heir_of(t, i);
	if (t->m.clones[i].state != CLONE_THERE || h->visited)
		return;
	h->visited = true;
	h->hard = t->hard;
	sim_spawn(h->host, work_on_clone, h);
}

/* A fiber of its own. */
static void flatten_between_writes(void *arg)
{
	struct tester *h = arg;

	if (open_volume(h, h->host, 0)) {
		submit_one(h);
		(void)flatten(h); /* may fail as anything else here */
		submit_one(h);
		check_now(h);
		close_volume(h);
	}
	h->visited = false;
}

/* A clone of a clone needs that no more, nor the volume. */
void flatten_clone_of_clone(struct tester *t)
{
	wait_for_operator(t);
	wait_for_heirs(t);
	for (unsigned i = 0; i < CLONES; i++) {
		struct tester *h = heir_of(t, i);

		if (t->m.clones[i].state != CLONE_THERE || !t->m.clones[i].of || h->visited)
			continue;
		h->visited = true;
		sim_spawn(h->host, flatten_between_writes, h);
		return;
	}
}

/* Without its log it is what the store has. */
void read_clone(struct tester *t)
{
	unsigned i = below(t, CLONES);
	struct tester *h = heir_of(t, i);

	if (t->m.clones[i].state != CLONE_THERE || h->visited || h->m.stored != h->m.issued)
		return;
	h->visited = true;
	check_past(h, h->host, NULL, h->m.issued);
	h->visited = false;
	t->clones_read++;
}

int delete_patiently(struct tester *t, struct sim_host *host)
{
	int err = LSVD_E_UNAVAILABLE;

	for (unsigned i = 0; i < 50 && err == LSVD_E_UNAVAILABLE; i++) {
		err = lsvd_volume_delete_world(sim_host_world(host), t->name);
		if (i && err == -ENOENT)
			err = 0;
	}
	if (err && err != -EBUSY)
		complain(t, "deletion of the base: %s: %s", lsvd_error_name(err),
			 lsvd_last_error());
	return err;
}
