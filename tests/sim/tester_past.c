/* SPDX-License-Identifier: BSD-2-Clause */
/* tester_past.c - what changes more than data: other sizes, snapshots, rollbacks. */
#include "tester.h"

/* ---- sizes */

/*
 * Was the operation that resizing may need one? If not it never was. When the volume has failed
 * nobody knows: it may be there later or not, as any other that was not acknowledged.
 */
static void settle_trim(struct tester *t, uint32_t op, int err)
{
	struct lsvd_stats stats = LSVD_STATS_INIT;

	if (t->hard && err && err == final_error(t)) {
		t->broken = true;
		return;
	}
	if (lsvd_volume_stats(t->volume, &stats) < 0 || stats.last_op + t->m.inherited < op) {
		withdraw(t, op);
		return;
	}
	t->m.ops[op].acked = err == 0;
	if (err == 0)
		t->m.acked = op;
}

void change_size(struct tester *t)
{
	uint32_t chunks = t->scripted ? CHUNKS / 2 : 1 + below(t, CHUNKS), op = 0,
		before = t->m.chunks;
	struct model_op trim = { .kind = MODEL_ZERO, .lba = chunks * CHUNK,
				 .sectors = (CHUNKS - chunks) * CHUNK };
	int err;

	wait_all(t);
	if (t->m.issued == OPS_MAX || t->broken || (t->over && chunks < LOWER_SECTORS / CHUNK))
		return;
	if (chunks < t->chunks) {
		op = ++t->m.issued;
		trim.tag = ++t->m.tags;
		t->m.ops[op] = trim;
	}
	t->m.chunks_maybe = chunks;
	t->chunks = (uint32_t)min_u64(chunks, t->chunks);
	err = lsvd_volume_resize(t->volume, chunks * CHUNK_SPAN, LSVD_RESIZE_CUT);
	if (op)
		settle_trim(t, op, err);
	t->chunks = chunks_of(t->volume);
	if (err)
		return; /* as anything else here */
	t->sizes++;
	t->m.chunks = chunks;
	t->m.chunks_maybe = 0;
	if (t->chunks != chunks)
		complain(t, "resized from %u pages to %u the volume has %u", before,
			 chunks, t->chunks);
}

/* ---- snapshots */

void snapshot_name(char name[8], unsigned i)
{
	(void)snprintf(name, 8, "s%u", i % 10); /* fits */
}

static const struct tester *first_of(const struct tester *t)
{
	return t->base ? t->base : t;
}

/* As in model_clone's `of`. */
unsigned number_of(const struct tester *t)
{
	return t->base ? (unsigned)(t - t->base->heirs) + 1 : 0;
}

/* Is there a clone of it for certain? */
bool has_clones(const struct tester *t)
{
	const struct model_clone *clones = first_of(t)->m.clones;

	for (unsigned j = 0; j < CLONES; j++)
		if (clones[j].state == CLONE_THERE && clones[j].of == number_of(t) &&
		    !clones[j].leaving)
			return true;
	return false;
}

static bool has_clone(const struct tester *t, unsigned i)
{
	return i == SNAPSHOTS - 1 && has_clones(t);
}

/* Of two writers each may find that the other has made a clone, fenced or not. */
bool cloned_in_duel;

static bool clones_need(const struct tester *t, unsigned i)
{
	return i == SNAPSHOTS - 1 && (t->m.cloned || cloned_in_duel);
}

/*
 * A clone that nobody knows of does not keep what it would be of: should its record come late, it
 * leads to nothing.
 */
static void give_up_unmade(struct tester *t)
{
	struct model_clone *clones = t->base ? t->base->m.clones : t->m.clones;

	for (unsigned j = 0; j < CLONES; j++)
		if (clones[j].state == CLONE_MAKING && clones[j].of == number_of(t))
			clones[j].state = CLONE_LOST;
}

/* It may fail as anything else here; what has become of it is then seen later. */
void change_snapshot(struct tester *t)
{
	unsigned i = pick(t, SNAPSHOTS);
	struct model_snapshot *s = &t->m.snapshots[i];
	struct lsvd_snapshot_info info = LSVD_SNAPSHOT_INFO_INIT;
	bool there = s->state == SNAP_THERE;
	uint32_t least = t->m.acked;
	char name[8];
	int err;

	if (s->state == SNAP_MAYBE)
		return;
	snapshot_name(name, i);
	s->state = SNAP_MAYBE;
	if (there && i == SNAPSHOTS - 1)
		give_up_unmade(t);
	if (there)
		err = lsvd_snapshot_delete(t->volume, name, UINT32_MAX);
	else
		err = lsvd_snapshot_create(t->volume, name, UINT32_MAX, &info);
	if (err == -ENOENT || err == -EEXIST || (err == -EBUSY && !clones_need(t, i)))
		complain(t, "snapshot %s: %s", name, lsvd_last_error());
	if (err == -EBUSY)
		s->state = SNAP_THERE;
	if (err)
		return;
	if (there && has_clone(t, i))
		complain(t, "snapshot %s went, and has a clone", name);
	s->state = there ? SNAP_NONE : SNAP_THERE;
	if (there)
		return;
	s->op = (uint32_t)info.op + t->m.inherited;
	s->chunks = (uint32_t)(info.bytes / CHUNK_SPAN);
	if (s->op < least || s->op > t->m.issued)
		complain(t, "snapshot %s holds %u operations, expected %u to %u", name, s->op,
			 least, t->m.issued);
}

struct found_snapshots {
	struct tester *t;
	bool there[SNAPSHOTS];
};

static int find_snapshot(void *ctx, const struct lsvd_snapshot_info *info)
{
	struct found_snapshots *f = ctx;
	unsigned i = (unsigned)(info->name[1] - '0');
	uint32_t op = (uint32_t)info->op + f->t->m.inherited;
	struct model_snapshot *s;

	if (info->name[0] != 's' || i >= SNAPSHOTS || f->there[i]) {
		complain(f->t, "there is a snapshot %s", info->name);
		return 1;
	}
	s = &f->t->m.snapshots[i];
	f->there[i] = true;
	if (s->state == SNAP_NONE)
		complain(f->t, "snapshot %s was deleted, or never made", info->name);
	if (s->state == SNAP_THERE && s->op != op)
		complain(f->t, "snapshot %s holds %u operations, expected %u", info->name,
			 op, s->op);
	*s = (struct model_snapshot){ SNAP_THERE, op, (uint32_t)(info->bytes / CHUNK_SPAN) };
	return 0;
}

/* A snapshot, or the volume (snapshot NULL), reads as the volume did after an operation. */
void check_past(struct tester *t, struct sim_host *host, const char *snapshot, uint32_t op)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume *past;
	int err = LSVD_E_UNAVAILABLE;

	o.flags = LSVD_OPEN_READONLY;
	o.snapshot = snapshot;
	o.read_timeout_ms = 3600000;
	for (unsigned j = 0; j < 500 && (err == LSVD_E_UNAVAILABLE || err == -ENOMEM); j++) {
		if (j)
			sim_sleep(host, 1000);
		err = lsvd_volume_open_world(&past, sim_host_world(host), t->name, &o);
	}
	if (err) {
		complain(t, "open @%s: %s: %s", snapshot ? snapshot : "", lsvd_error_name(err),
			 lsvd_last_error());
	} else {
		if (read_from(t, past) && distance(t, op, false))
			explain(t, op);
		if (lsvd_volume_close(past, 0) != 0)
			complain(t, "close @%s", snapshot ? snapshot : "");
		t->snapshots_read += snapshot != NULL;
	}
}

static void check_snapshot(struct tester *t, struct sim_host *host, unsigned i)
{
	char name[8];

	snapshot_name(name, i);
	check_past(t, host, name, t->m.snapshots[i].op);
}

/* All that must be there are, no other, and one of them, by chance, is what it was. */
void check_snapshots(struct tester *t, struct sim_host *host)
{
	struct found_snapshots f = { .t = t };
	unsigned i = below(t, SNAPSHOTS);

	if (lsvd_snapshot_list(t->volume, find_snapshot, &f) < 0)
		return; /* no memory */
	for (unsigned j = 0; j < SNAPSHOTS; j++) {
		struct model_snapshot *s = &t->m.snapshots[j];

		if (!f.there[j] && s->state == SNAP_THERE)
			complain(t, "snapshot s%u of operation %u is gone", j, s->op);
		if (!f.there[j])
			s->state = SNAP_NONE;
		else if (s->op > t->m.issued)
			complain(t, "snapshot s%u holds %u operations of %u", j,
				 s->op, t->m.issued);
	}
	if (!t->failed && f.there[i])
		check_snapshot(t, host, i);
}

void check_snapshot_now(struct tester *t)
{
	unsigned i = below(t, SNAPSHOTS);

	if (t->errand != ERRAND_SNAPSHOT && t->m.snapshots[i].state == SNAP_THERE)
		check_snapshot(t, t->host, i);
}

/* ---- rollbacks */

/*
 * An operation that nothing stands at but the rollback after it: a snapshot says by it what it has.
 */
static bool mark(struct tester *t)
{
	uint32_t before = t->m.issued;

	if (before == OPS_MAX)
		return false;
	submit_this(t, false);
	wait_all(t);
	return !t->broken && t->m.issued == before + 1 && t->m.acked == t->m.issued;
}

static void rolled_back(struct tester *t, uint32_t chunks)
{
	t->rollbacks++;
	t->m.rolling = 0;
	t->m.flushed = t->m.stored = t->m.issued;
	t->m.chunks = chunks;
	t->m.chunks_maybe = 0;
	t->chunks = chunks_of(t->volume);
	if (t->chunks != chunks)
		complain(t, "rolled back to %u pages the volume has %u", chunks, t->chunks);
	else if (!t->hard)
		note_mirror(t, t->host);
}

/* It may fail as anything else here: before it has changed anything, or for good. */
void roll_back(struct tester *t)
{
	unsigned i = pick(t, SNAPSHOTS);
	const struct model_snapshot *s = &t->m.snapshots[i];
	struct model_op *op;
	char name[8];
	int err;

	wait_all(t);
	if (t->errand == ERRAND_SNAPSHOT)
		wait_for_operator(t);
	if (s->state != SNAP_THERE || t->m.chunks_maybe || !mark(t))
		return;
	snapshot_name(name, i);
	op = &t->m.ops[t->m.issued];
	op->back_to = s->op;
	t->m.rolling = t->m.issued;
	t->m.chunks_maybe = s->chunks;
	t->m.mirrored = false;
	err = lsvd_snapshot_rollback(t->volume, name, UINT32_MAX);
	if (err == -EBUSY || err == -ENOENT || err == LSVD_E_CORRUPT)
		complain(t, "rollback to %s: %s", name, lsvd_last_error());
	if (!err) {
		op->rolled = true;
		rolled_back(t, s->chunks);
	} else if (t->volume->rolling != ROLL_LOST) {
		t->m.rolling = t->m.chunks_maybe = 0;
	} else {
		t->broken = true;
		if (!t->hard)
			complain(t, "rollback to %s failed half-way: %s", name, lsvd_last_error());
	}
}

/*
 * Was it rolled back, if that had begun? What is found says so. Who sees only a part of it may not
 * be able to tell; then it does not matter to him, and the next one tells.
 */
void settle_rollback(struct tester *t, uint32_t k)
{
	struct model_op *op = &t->m.ops[t->m.rolling];
	bool may_be, may_not;

	if (!t->m.rolling)
		return;
	if (k < t->m.rolling) {
		t->m.rolling = 0;
		return;
	}
	op->rolled = false;
	may_not = distance(t, k, false) == 0;
	op->rolled = true;
	may_be = distance(t, k, false) == 0;
	op->rolled = may_be;
	t->rollbacks_found += may_be && !may_not;
	if (!t->offline || may_be != may_not)
		t->m.rolling = 0;
}
