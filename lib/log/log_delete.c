/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_delete.c - what is dead leaves the store.
 *
 * The owner says what is dead, and shows a chain object, acknowledged, that names a root in which
 * it is: whoever opens from now on goes on from that root or a newer one, so nobody will read it.
 *
 * That is not enough. An opener that has claimed the volume may be looking for the end of this very
 * chain, object by object from a place that an anchor gave it; a name that it finds free it takes
 * for the end, and puts its fence there. So of this epoch's chain only those go that lie before the
 * place given by the newest acknowledged anchor; and only after a look, sent after that
 * acknowledgement, has found no newer claim: whoever claims later finds that anchor, or a newer
 * one, and begins behind all that was deleted. It does not matter how late the removals take
 * effect.
 *
 *   LOOKING -> REMOVING -> done      LOG_REMOVALS at a time
 *   LOOKING -> done with an error    a newer claim, or the store cannot say
 *
 * Once the log is over no more are sent; those that are in the world are harmless wherever they
 * land.
 */
#include "log/log_internal.h"

#include <assert.h>

/* May it go, as far as the log is concerned? */
static bool may_go(const struct log_delete *d, const struct log_victim *v)
{
	const struct log *log = d->log;

	if (v->kind == KEY_FREE || v->kind == KEY_ROOT)
		return v->epoch <= log->epoch;
	if (v->kind != KEY_CHAIN || v->number < 2 || anchor_at(log, v->number))
		return false;
	return v->epoch < log->epoch || (v->epoch == log->epoch && v->number < d->before);
}

static void describe(struct log_removal *r)
{
	const struct uuid *volume = &r->of->log->options.volume;
	const struct log_victim *v = r->victim;

	if (v->kind == KEY_CHAIN)
		lsvd_key_chain(r->up.io.key, volume, v->epoch, v->number);
	else if (v->kind == KEY_FREE)
		lsvd_key_free(r->up.io.key, volume, v->epoch, v->number);
	else
		lsvd_key_root(r->up.io.key, volume, v->epoch, v->number);
}

static void removed(struct log_upload *up, int err);

/* The next victim's turn, if there is one. */
static void remove_next(struct log_removal *r)
{
	struct log_delete *d = r->of;

	while (d->next < d->count && !may_go(d, &d->victims[d->next]))
		d->next++;
	if (d->next == d->count || d->err || lsvd_log_over(d->log))
		return;
	r->victim = &d->victims[d->next++];
	d->out++;
	r->up.log = d->log;
	r->up.kind = IO_REMOVE;
	r->up.ended = removed;
	describe(r);
	lsvd_upload_start(&r->up);
}

static void removed(struct log_upload *up, int err)
{
	struct log_removal *r = lsvd_container_of(up, struct log_removal, up);
	struct log_delete *d = r->of;

	d->out--;
	if (err < 0)
		d->err = err;
	r->victim->gone = err == 0;
	d->log->stats.removed += err == 0;
	remove_next(r);
	if (!d->out)
		d->done(d, d->err);
}

static void looked(struct log_look *look, int err)
{
	struct log_delete *d = look->owner;

	d->err = err;
	for (unsigned i = 0; err == 0 && i < LOG_REMOVALS; i++) {
		d->removals[i].of = d;
		remove_next(&d->removals[i]);
	}
	if (!d->out)
		d->done(d, d->err);
}

void lsvd_log_delete(struct log *log, struct log_delete *d)
{
	assert(lsvd_log_over(log) || d->seq <= log->acked_seq);
	d->log = log;
	d->before = log->anchored;
	d->next = d->out = 0;
	d->look.done = looked;
	d->look.owner = d;
	for (unsigned i = 0; i < d->count; i++)
		d->victims[i].gone = false;
	lsvd_log_look(log, &d->look);
}
