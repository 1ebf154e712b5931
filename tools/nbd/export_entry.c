/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export_entry.c - an entry of the table: one volume or snapshot, for as long as it is open.
 *
 * It is made when somebody is about to use what has its name:
 *
 *   OPENING -> OPEN      it was opened
 *   OPENING -> (freed)   that failed: the next client tries again
 *   OPEN -> GONE         in the store another volume has its name; not in the table any more
 *   OPEN -> GONE         a snapshot that nobody has used for a while (export.c)
 *   GONE -> (freed)      its last user has given it back, and it is closed
 *   OPEN -> (freed)      exports_close()
 *
 * Who has opened an entry is its user, until it is given back: only then is its volume closed.
 * Two clients that open the same volume wait for one opening.
 *
 * With all volumes served, whoever opens one that is open already has its record looked up, to
 * see that it is still the same: but not while the store is known to be away.
 */
#include "nbd/export_inner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nbd/nbd_log.h"

/* ----------------------------------------------------------------------------------- the table */

struct entry *entry_find_locked(struct exports *x, const char *name)
{
	for (struct entry *e = x->entries; e; e = e->next)
		if (strcmp(e->served.export.name, name) == 0)
			return e;
	return NULL;
}

void entry_unlink_locked(struct exports *x, struct entry *entry)
{
	struct entry **at = &x->entries;

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
}

static struct entry *add_locked(struct exports *x, const char *name)
{
	struct entry *e = calloc(1, sizeof *e);

	if (!e)
		return NULL;
	/* It fits: names are checked. */
	(void)snprintf(e->served.export.name, sizeof e->served.export.name, "%s", name);
	e->before = (struct lsvd_stats)LSVD_STATS_INIT;
	e->exports = x;
	e->next = x->entries;
	x->entries = e;
	return e;
}

/* --------------------------------------------------------------------------- coming into being */

static int open_entry(struct exports *x, struct entry *e)
{
	struct served served;
	int err = served_open(&x->config, e->served.export.name, &served, &e->volume);

	if (err < 0)
		return err;
	served.export.user = e;
	e->served = served;
	return 0;
}

/* A request on the control socket has been answered: the volume may have another size. */
static void on_changed(void *ctx)
{
	struct entry *e = ctx;

	pthread_mutex_lock(&e->exports->lock);
	if (!e->closing)
		e->served.export.bytes = lsvd_volume_bytes(e->volume);
	pthread_mutex_unlock(&e->exports->lock);
}

static bool on_in_use(void *ctx, const char *snapshot)
{
	struct entry *e = ctx, *found = e;
	char name[NBD_NAME_MAX + 1];
	bool yes, fits = true;

	if (snapshot)
		fits = snprintf(name, sizeof name, "%s@%s", e->served.export.name, snapshot) <
		       (int)sizeof name;
	pthread_mutex_lock(&e->exports->lock);
	if (snapshot)
		found = fits ? entry_find_locked(e->exports, name) : NULL;
	yes = found && found->users;
	pthread_mutex_unlock(&e->exports->lock);
	return yes;
}

/* The volume is served without a control socket rather than not at all. */
static void start_control(struct exports *x, struct entry *e)
{
	const struct control_host host = {e, on_changed, on_in_use};
	const char *dir = x->config.options.cache_dir;
	int err;

	if (!x->control || lsvd_volume_readonly(e->volume))
		return;
	err = control_listen(&e->point, x->control, dir, e->volume, &host);
	if (err < 0)
		log_line(LSVD_LOG_WARN, "%s: no control socket in %s: %s", e->served.export.name,
			 dir, strerrordesc_np(-err));
}

/* Opens the volume of an entry just made, or takes the entry away again. */
static int bring_up(struct exports *x, struct entry *e)
{
	int err = open_entry(x, e);

	if (!err)
		start_control(x, e);
	pthread_mutex_lock(&x->lock);
	if (err < 0) {
		entry_unlink_locked(x, e);
	} else {
		e->open = true;
		e->users = 1;
	}
	pthread_cond_broadcast(&x->wake);
	pthread_mutex_unlock(&x->lock);
	if (err < 0)
		free(e);
	return err;
}

/* ----------------------------------------------------------------------------- is it still it? */

int entry_close(struct entry *e, uint32_t drain_ms)
{
	int err;

	control_quiet(e->point);
	pthread_mutex_lock(&e->exports->lock);
	e->closing = true; /* a request that closing ends says that it may have changed something */
	pthread_mutex_unlock(&e->exports->lock);
	err = lsvd_volume_close(e->volume, drain_ms);
	control_forget(e->point);
	if (err < 0)
		log_line(LSVD_LOG_ERROR, "%s: %s", e->served.export.name, log_reason(err));
	else if (err > 0)
		log_line(LSVD_LOG_WARN,
			 "%s: not everything is in the store: open it next with the "
			 "same cache",
			 e->served.export.name);
	return err;
}

/* Whether the store has another volume of that name by now: 0, 1, or -ENOENT for none at all. */
static int is_another(struct exports *x, const char *name, const char *uuid)
{
	struct served now;
	int err = served_look(&x->config, name, &now);

	if (err == -ENOENT)
		return err;
	if (err < 0)
		return 0; /* the store cannot say */
	return strcmp(now.uuid, uuid) != 0;
}

/* Is the open entry `e`, used by the caller, not what the store has by that name? As above. */
static int check_entry(struct exports *x, struct entry *e)
{
	int status = lsvd_volume_status(e->volume, NULL, 0);
	int err = 0;

	/* A store that is away is not asked, and what it does not know cannot be another. */
	if (!(x->config.options.flags & LSVD_OPEN_OFFLINE) &&
	    (status == 0 || status == LSVD_E_FENCED))
		err = is_another(x, e->served.export.name, e->served.uuid);
	return err;
}

/* The entry of that name, if it is open, with the caller as a user. */
static struct entry *use_open(struct exports *x, const char *name)
{
	struct entry *e;

	pthread_mutex_lock(&x->lock);
	while ((e = entry_find_locked(x, name)) && !e->open)
		pthread_cond_wait(&x->wake, &x->lock);
	if (e)
		e->users++;
	pthread_mutex_unlock(&x->lock);
	return e;
}

static void release(struct exports *x, struct entry *e)
{
	pthread_mutex_lock(&x->lock);
	e->users--;
	e->idle = 0;
	pthread_cond_broadcast(&x->wake);
	pthread_mutex_unlock(&x->lock);
}

/* Of several who find out that it is another one, the first takes it away. */
static void retire(struct exports *x, struct entry *e)
{
	bool mine;

	pthread_mutex_lock(&x->lock);
	mine = !atomic_exchange(&e->gone, true);
	if (mine)
		entry_unlink_locked(x, e);
	e->users--;
	pthread_cond_broadcast(&x->wake);
	while (mine && e->users)
		pthread_cond_wait(&x->wake, &x->lock);
	pthread_mutex_unlock(&x->lock);
	if (!mine)
		return;
	log_line(LSVD_LOG_WARN, "%s: was deleted", e->served.export.name);
	(void)entry_close(e, 0); /* what it had is no part of any volume any more */
	free(e);
}

/* ------------------------------------------------------------------------------------- opening */

/* Its size may just be changing. */
static void copy_export(struct exports *x, const struct entry *e, struct nbd_export *ret)
{
	pthread_mutex_lock(&x->lock);
	*ret = e->served.export;
	pthread_mutex_unlock(&x->lock);
}

static int open_new(struct exports *x, const char *name, struct nbd_export *ret)
{
	struct entry *e = NULL;
	bool stopping, other;
	int err;

	pthread_mutex_lock(&x->lock);
	stopping = x->stopping;
	other = entry_find_locked(x, name) != NULL;
	if (!stopping && !other)
		e = add_locked(x, name);
	pthread_mutex_unlock(&x->lock);
	if (other)
		return -EAGAIN;
	if (!e)
		return stopping ? -ESHUTDOWN : -ENOMEM;
	err = bring_up(x, e);
	if (!err)
		copy_export(x, e, ret);
	return err;
}

int entry_open(struct exports *x, const char *name, struct nbd_export *ret)
{
	struct entry *e;
	int err;

	do {
		e = use_open(x, name);
		err = e ? check_entry(x, e) : 0;
		if (e && !err) {
			copy_export(x, e, ret);
			return 0;
		}
		if (e)
			retire(x, e);
		if (err != -ENOENT)
			err = open_new(x, name, ret);
	} while (err == -EAGAIN);
	return err;
}

/* ------------------------------------------------------------------------------- for its users */

struct lsvd_volume *exports_volume(const struct nbd_export *export)
{
	return ((const struct entry *)export->user)->volume;
}

bool exports_is_gone(const struct nbd_export *export)
{
	return atomic_load(&((const struct entry *)export->user)->gone);
}

void exports_release(const struct nbd_export *export)
{
	struct entry *e = export->user;

	release(e->exports, e);
}
