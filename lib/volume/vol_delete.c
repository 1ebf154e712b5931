/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_delete.c - what is dead leaves the store, after a checkpoint.
 *
 * Dead is what died at or before the place of the newest root, and what no snapshot needs: data
 * that nothing in the map refers to any more, page objects and roots that checkpoints have
 * replaced. It goes when a chain object that names that root is acknowledged, and when no read of
 * it is on its way; the log adds its own conditions (log_delete.c), and the mirror must not lead to
 * it any more. What it leaves is asked for again after the next checkpoint, also after a crash:
 * what has died stays in the table, and so in every root, until it is known to be gone.
 *
 *   root put -> NAMED (a chain object that names it is acknowledged) -> DELETING
 *            -> FINISHED -> none
 *
 * If nothing is on its way to the store that would name the root, a note is put that does. While a
 * checkpoint is being encoded nothing leaves the table: FINISHED waits for that.
 */
#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/vol_mirror.h"
#include "volume/volume_internal.h"

/*
 * Dead bytes that are held back until the next anchor, beyond a share of what lives, make one come:
 * beyond little of it once nobody has written for a while, for then none comes by itself.
 */
#define HELD_SHARE 10u
#define HELD_LEAST (8u << 20)
#define HELD_AT_REST_SHARE 50u
#define ANCHOR_NOTES_MAX CHAIN_ANCHOR_EVERY

struct deletion {
	struct lsvd_volume *v;
	struct log_delete d;
	uint64_t *numbers;         /* of the victims */
	unsigned room;
	int err;
	bool finished;
};

static void free_deletion(struct deletion *d)
{
	lsvd_free(d->numbers);
	lsvd_free(d->d.victims);
	lsvd_free(d);
}

static uint64_t held_by_anchor(const struct lsvd_volume *v, const struct deletion *d, unsigned i)
{
	const struct log_victim *victim = &d->d.victims[i];

	/* An anchor does not help against a store that refuses. */
	if (d->err || victim->kind != KEY_CHAIN || victim->epoch != lsvd_log_epoch(v->log) ||
	    victim->number < d->d.before)
		return 0;
	return lsvd_object_table_get(&v->objects, d->numbers[i])->bytes;
}

/* Between two bursts an anchor would cost more requests than the burst did. */
static bool is_idle(const struct lsvd_volume *v)
{
	return list_empty(&v->segments) && lsvd_vol_now(v) >= v->last_write_ms + v->opt.gc_idle_ms;
}

static bool is_much_held(const struct lsvd_volume *v)
{
	if (is_idle(v))
		return v->held_bytes > v->objects.live / HELD_AT_REST_SHARE + v->opt.segment_bytes;
	return v->held_bytes > v->objects.live / HELD_SHARE + HELD_LEAST;
}

void lsvd_vol_release_held(struct lsvd_volume *v)
{
	if (!v->held_bytes || v->deletion || v->anchoring || !v->gc.options.automatic)
		return;
	if (lsvd_log_anchored(v->log) > v->held_before) {
		v->held_bytes = 0;
		lsvd_vol_name_root(v); /* an anchor has come: what is left is deleted now */
	} else if (is_much_held(v)) {
		(void)lsvd_vol_anchor(v); /* or there is no memory: the next time, then */
	}
}

void lsvd_vol_deleted_more(struct lsvd_volume *v)
{
	struct deletion *d = v->deletion;

	if (!d || !d->finished || v->frozen)
		return;
	v->held_bytes = 0;
	v->held_before = d->d.before;
	for (unsigned i = 0; i < d->d.count; i++) {
		if (!d->d.victims[i].gone) {
			v->held_bytes += held_by_anchor(v, d, i);
			continue;
		}
		v->stats.deleted_objects++;
		v->stats.deleted_bytes +=
			lsvd_object_table_get(&v->objects, d->numbers[i])->bytes;
		lsvd_object_table_clear(&v->objects, d->numbers[i]);
	}
	v->deletion = NULL;
	free_deletion(d);
	lsvd_port_changed(&v->port);
	lsvd_vol_delete_dead(v);
	lsvd_vol_release_held(v);
}

static void deleted(struct log_delete *del, int err)
{
	struct deletion *d = del->owner;
	struct lsvd_volume *v = d->v;

	if (err && !v->failed && !v->closing)
		lsvd_report(LSVD_LOG_WARN, "volume %s: objects that are not needed any more could "
			    "not be deleted (%s): tried again after the next checkpoint", v->name,
			    lsvd_error_name(err));
	d->err = err;
	d->finished = true;
	lsvd_vol_deleted_more(v);
}

/* ------------------------------------------------------------------------------------- choosing */

static enum key_kind key_kind_of(const struct object_entry *e)
{
	if (lsvd_object_is_in_chain(e))
		return KEY_CHAIN;
	return e->home == HOME_ROOT ? KEY_ROOT : KEY_FREE;
}

static bool is_dead(const struct lsvd_volume *v, const struct object_entry *e)
{
	bool meta = e->home == HOME_PAGES || e->home == HOME_ROOT;
	const struct place root = { v->root_at.epoch, v->root_number };

	return e->died.epoch && !e->ancestor &&
	       place_at_or_before(e->died, meta ? root : v->root_at) &&
	       !e->readers && !lsvd_snapshots_needing(&v->snapshots, e);
}

static int add_victim(struct deletion *d, uint64_t number, const struct object_entry *e)
{
	unsigned n = d->d.count;

	if (n == d->room) {
		unsigned room = d->room ? d->room * 2 : 64;
		uint64_t *numbers = lsvd_realloc(d->numbers, room * sizeof *numbers);
		struct log_victim *victims;

		if (!numbers)
			return -ENOMEM;
		d->numbers = numbers;
		victims = lsvd_realloc(d->d.victims, room * sizeof *victims);
		if (!victims)
			return -ENOMEM;
		d->d.victims = victims;
		d->room = room;
	}
	d->numbers[n] = number;
	d->d.victims[n] = (struct log_victim){ key_kind_of(e), e->epoch, e->seq, false };
	d->d.count++;
	return 0;
}

/* NULL: there is nothing dead, or no memory now: after the next checkpoint then. */
static struct deletion *choose(struct lsvd_volume *v)
{
	struct deletion *d = lsvd_calloc(1, sizeof *d);
	int err = d ? 0 : -ENOMEM;

	for (uint64_t n = lsvd_object_table_next(&v->objects, 0); n != UINT64_MAX && !err;
	     n = lsvd_object_table_next(&v->objects, n + 1)) {
		const struct object_entry *e = lsvd_object_table_get(&v->objects, n);

		if (is_dead(v, e))
			err = add_victim(d, n, e);
	}
	if (!err && d->d.count)
		return d;
	if (d)
		free_deletion(d);
	return NULL;
}

/* -------------------------------------------------------------------------- naming the new root */

static void note_acked(struct log_put *put, int err)
{
	struct lsvd_volume *v = put->owner;

	v->note_out = false;
	if (err)
		return;
	lsvd_vol_note_is_in(v, &put->place, put->put_bytes);
	lsvd_vol_delete_dead(v);
}

/*
 * Will a segment say where the root is? One that is still being filled may never be full; who
 * collects by hand does not wait for that.
 */
static bool segment_comes(const struct lsvd_volume *v)
{
	if (list_empty(&v->segments))
		return false;
	return !v->collect || list_first(&v->segments, struct vseg, link)->state != VSEG_OPEN;
}

static void put_note(struct lsvd_volume *v)
{
	if (v->note_out || v->closing || segment_comes(v))
		return;
	v->note_out = true;
	v->note_put = (struct log_put){ .kind = OBJECT_NOTE, .acked = note_acked, .owner = v };
	lsvd_log_reserve(v->log, &v->note_put.place);
	lsvd_log_put(v->log, &v->note_put);
}

static bool anything_dead(const struct lsvd_volume *v)
{
	for (uint64_t n = lsvd_object_table_next(&v->objects, 0); n != UINT64_MAX;
	     n = lsvd_object_table_next(&v->objects, n + 1))
		if (is_dead(v, lsvd_object_table_get(&v->objects, n)))
			return true;
	return false;
}

void lsvd_vol_root_is_put(struct lsvd_volume *v)
{
	if (anything_dead(v))
		lsvd_vol_delete_dead(v);
	else
		v->root_named_by = 0; /* nobody waits for that */
}

void lsvd_vol_delete_dead(struct lsvd_volume *v)
{
	struct deletion *d;

	if (!v->log || v->readonly || v->failed || v->deletion || !v->root_named_by || v->rolling)
		return;
	if (lsvd_log_acked_seq(v->log) < v->root_named_by) {
		put_note(v);
		return;
	}
	if (v->rebuild)
		return; /* a repair only adds */
	if (!lsvd_mirror_is_whole(v) || lsvd_vol_snapshot_is_between(v))
		return; /* tells when it is */
	v->root_named_by = 0; /* once for each root */
	d = choose(v);
	if (!d)
		return;
	v->deletion = d;
	d->v = v;
	d->d.seq = lsvd_log_acked_seq(v->log);
	d->d.done = deleted;
	d->d.owner = d;
	lsvd_log_delete(v->log, &d->d);
}

bool lsvd_vol_root_is_named(const struct lsvd_volume *v)
{
	return lsvd_log_acked_seq(v->log) >= v->root_first_seq;
}

void lsvd_vol_name_root(struct lsvd_volume *v)
{
	v->root_named_by = max_u64(v->root_first_seq, 1);
	lsvd_vol_delete_dead(v);
}

/* -------------------------------------------------------------------------------- to the anchor */

/*
 * Notes on all places up to the next anchor's; when they are acknowledged one behind it, with which
 * the log puts the anchor, which then says that all before it is. A chain that is written to all
 * the time need not wait for that: its own objects fill the places.
 */
struct anchoring {
	struct lsvd_volume *v;
	struct log_put last;
	unsigned left, count;
	struct log_put puts[ANCHOR_NOTES_MAX];
};

static void anchoring_over(struct anchoring *a, int err)
{
	struct lsvd_volume *v = a->v;

	v->anchoring = NULL;
	lsvd_free(a);
	if (!err)
		lsvd_vol_name_root(v); /* what is left is deleted now */
	lsvd_port_changed(&v->port);
}

static void last_acked(struct log_put *put, int err)
{
	struct anchoring *a = put->owner;

	if (!err)
		lsvd_vol_note_is_in(a->v, &put->place, put->put_bytes);
	anchoring_over(a, err);
}

static void put_anchor_note(struct anchoring *a, struct log_put *put,
			    void (*acked)(struct log_put *put, int err))
{
	*put = (struct log_put){ .kind = OBJECT_NOTE, .acked = acked, .owner = a };
	lsvd_log_reserve(a->v->log, &put->place);
	lsvd_log_put(a->v->log, put);
}

static void all_acked(struct anchoring *a, int err)
{
	if (err || a->v->closing)
		anchoring_over(a, err ? err : LSVD_E_SHUTDOWN);
	else
		put_anchor_note(a, &a->last, last_acked);
}

static void filler_acked(struct log_put *put, int err)
{
	struct anchoring *a = put->owner;

	if (!err)
		lsvd_vol_note_is_in(a->v, &put->place, put->put_bytes);
	if (--a->left == 0)
		all_acked(a, err);
}

bool lsvd_vol_anchor(struct lsvd_volume *v)
{
	struct anchoring *a;

	if (v->anchoring)
		return true;
	if (!v->held_bytes || v->failed || v->closing || v->rolling)
		return false;
	a = lsvd_calloc(1, sizeof *a);
	if (!a)
		return false; /* the next time, then */
	v->anchoring = a;
	v->held_bytes = 0;
	a->v = v;
	a->count = a->left = lsvd_log_until_anchor(v->log);
	assert(a->count <= ANCHOR_NOTES_MAX);
	if (!a->count)
		all_acked(a, 0);
	for (unsigned i = 0, n = a->count; i < n; i++)
		put_anchor_note(a, &a->puts[i], filler_acked);
	return true;
}

void lsvd_vol_free_deletion(struct lsvd_volume *v)
{
	lsvd_free(v->anchoring);
	v->anchoring = NULL;
	if (v->deletion)
		free_deletion(v->deletion);
	v->deletion = NULL;
}
