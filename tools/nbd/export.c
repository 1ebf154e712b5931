/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export.c - the table of volumes, and the threads that open them.
 *
 * An entry is made when a volume or a snapshot is about to be opened:
 *
 *   OPENING -> OPEN      it was opened
 *   OPENING -> (freed)   that failed: the next client tries again
 *   OPEN -> GONE         in the store another volume has its name; not in the table any more
 *   OPEN -> GONE         a snapshot that nobody has used for IDLE_LOOKS looks
 *   GONE -> (freed)      its last user has given it back, and it is closed
 *   OPEN -> (freed)      exports_close()
 *
 * The lock guards the table, the queue, the users and the counters; it is never held while the
 * library is called, but for calls that do not wait. Who has opened an entry is its user, until it
 * is given back: only then is its volume closed.
 *
 * Threads are made when a question comes and all others are busy, THREADS_MAX at most, and wait for
 * the next question then. Two clients that open the same volume wait for one opening.
 *
 * With all volumes served, whoever opens one that is open already has its record looked up, to see
 * that it is still the same: but not while the store is known to be away.
 */
#include "nbd/export.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nbd/control.h"
#include "nbd/nbd_log.h"
#include "nbd/served.h"

#define THREADS_MAX 4u
#define IDLE_LOOKS  10u

struct entry {
	struct exports *exports;
	struct entry *next;
	bool open;
	atomic_bool gone;
	unsigned users;
	unsigned idle;	       /* looks since somebody used it */
	struct served served;  /* its export's `user` is this entry */
	struct lsvd_volume *volume;
	bool closing;	       /* protected by exports.lock: the volume is not to be asked any more */
	struct control_point *point; /* NULL: it is not to be controlled */
	struct lsvd_stats before; /* of the last report */
	int status;		  /* last one logged */
};

struct exports {
	struct exports_config config; /* constant */
	struct entry *fixed;	      /* the entry of config.name, or NULL; constant */
	struct control *control;      /* NULL if there are no control sockets; constant */

	pthread_mutex_t lock;
	pthread_cond_t wake; /* a job has come, an entry has changed, or the end */
	struct entry *entries;
	struct export_job *jobs, **jobs_end;
	pthread_t threads[THREADS_MAX];
	unsigned thread_count, idle, busy;
	bool stopping;
};

static struct entry *find_locked(struct exports *x, const char *name)
{
	for (struct entry *e = x->entries; e; e = e->next)
		if (strcmp(e->served.export.name, name) == 0)
			return e;
	return NULL;
}

static void unlink_locked(struct exports *x, struct entry *entry)
{
	struct entry **at = &x->entries;

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
}

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
		found = fits ? find_locked(e->exports, name) : NULL;
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
		log_line(LSVD_LOG_WARN, "%s: no control socket in %s: %s", e->served.export.name, dir,
			 strerrordesc_np(-err));
}

/* Opens the volume of an entry just made, or takes the entry away again. */
static int bring_up(struct exports *x, struct entry *e)
{
	int err = open_entry(x, e);

	if (!err)
		start_control(x, e);
	pthread_mutex_lock(&x->lock);
	if (err < 0) {
		unlink_locked(x, e);
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

static struct entry *add_locked(struct exports *x, const char *name)
{
	struct entry *e = calloc(1, sizeof *e);

	if (!e)
		return NULL;
	(void)snprintf(e->served.export.name, sizeof e->served.export.name, "%s", name); /* fits: checked names */
	e->before = (struct lsvd_stats)LSVD_STATS_INIT;
	e->exports = x;
	e->next = x->entries;
	x->entries = e;
	return e;
}

/* --------------------------------------------------------------------------- is it still it? */

/* Nobody uses it any more, or what they begin is refused. */
static int close_volume(struct entry *e, uint32_t drain_ms)
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

/* The open entry `e`, used by the caller, is let go if it is not what the store has by that name. */
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
	while ((e = find_locked(x, name)) && !e->open)
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
		unlink_locked(x, e);
	e->users--;
	pthread_cond_broadcast(&x->wake);
	while (mine && e->users)
		pthread_cond_wait(&x->wake, &x->lock);
	pthread_mutex_unlock(&x->lock);
	if (!mine)
		return;
	log_line(LSVD_LOG_WARN, "%s: was deleted", e->served.export.name);
	(void)close_volume(e, 0); /* what it had is no part of any volume any more */
	free(e);
}

/* --------------------------------------------------------------------------------- opening */

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
	other = find_locked(x, name) != NULL;
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

/* The open volume of that name, or opens it; the caller is its user. */
static int open_named(struct exports *x, const char *name, struct nbd_export *ret)
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

/* ---------------------------------------------------------------------------------- listing */

static int add_name(struct export_job *job, const char *name)
{
	char (*names)[NBD_NAME_MAX + 1];

	/* grows when the count is a power of two */
	if ((job->count & (job->count - 1)) == 0) {
		names = realloc(job->names, (job->count ? 2 * job->count : 1) * sizeof *names);
		if (!names)
			return -ENOMEM;
		job->names = names;
	}
	(void)snprintf(job->names[job->count++], sizeof *job->names, "%s", name);
	return 0;
}

static int on_name(void *ctx, const char *name)
{
	struct export_job *job = ctx;

	job->err = add_name(job, name);
	return job->err;
}

static void list_all(struct exports *x, struct export_job *job)
{
	int err = served_list(&x->config, on_name, job);

	if (!job->err && err < 0)
		job->err = err;
}

static int count_one(void *ctx, const char *name)
{
	(void)name;
	++*(uint32_t *)ctx;
	return 0;
}

uint32_t exports_count(struct exports *x)
{
	uint32_t count = 0;
	int err = x->fixed ? 0 : served_list(&x->config, count_one, &count);

	if (err < 0)
		log_line(LSVD_LOG_WARN, "volumes cannot be listed: %s", log_reason(err));
	return count ? count : 1;
}

/* ------------------------------------------------------------------------------------- jobs */

static void look_up(struct exports *x, struct export_job *job, const char *name)
{
	struct served served;

	job->err = served_look(&x->config, name, &served);
	if (!job->err)
		job->export = served.export;
}

static void run_job(struct exports *x, struct export_job *job)
{
	char name[NBD_NAME_MAX + 1];

	memcpy(name, job->name, sizeof name);
	if (job->ask == EXPORT_LIST)
		list_all(x, job);
	else if (job->ask == EXPORT_LOOK)
		look_up(x, job, name);
	else
		job->err = open_named(x, name, &job->export);
	if (job->err < 0 && job->err != -ENOENT)
		log_limited(LSVD_LOG_WARN, "%s: %s", job->ask == EXPORT_LIST ? "list" : name,
			    log_reason(job->err));
	job->done(job);
}

static void *serve(void *arg)
{
	struct exports *x = arg;

	pthread_mutex_lock(&x->lock);
	while (!x->stopping || x->jobs) {
		struct export_job *job = x->jobs;

		if (!job) {
			x->idle++;
			pthread_cond_wait(&x->wake, &x->lock);
			x->idle--;
			continue;
		}
		x->jobs = job->next;
		if (!x->jobs)
			x->jobs_end = &x->jobs;
		pthread_mutex_unlock(&x->lock);
		run_job(x, job);
		pthread_mutex_lock(&x->lock);
		x->busy--;
	}
	pthread_mutex_unlock(&x->lock);
	return NULL;
}

/* Queues a job; false if no thread could be made and none will come to it. */
static bool queue_locked(struct exports *x, struct export_job *job)
{
	if (!x->idle && x->thread_count < THREADS_MAX &&
	    pthread_create(&x->threads[x->thread_count], NULL, serve, x) == 0)
		x->thread_count++;
	if (!x->thread_count)
		return false;
	job->next = NULL;
	*x->jobs_end = job;
	x->jobs_end = &job->next;
	x->busy++;
	pthread_cond_broadcast(&x->wake);
	return true;
}

/* An open entry's answer to who means to look at it, or to use it. */
static void answer_locked(struct export_job *job, struct entry *e)
{
	job->export = e->served.export;
	if (job->ask == EXPORT_OPEN)
		e->users++;
}

/* With one volume served: answers unless it is about one of its snapshots. */
static bool answer_fixed(struct exports *x, struct export_job *job)
{
	size_t len = strlen(x->config.name);

	if (job->ask == EXPORT_LIST) {
		job->err = add_name(job, x->config.name);
	} else if (!job->name[0] || strcmp(job->name, x->config.name) == 0) {
		pthread_mutex_lock(&x->lock);
		answer_locked(job, x->fixed);
		pthread_mutex_unlock(&x->lock);
	} else {
		job->err = -ENOENT;
		return strncmp(job->name, x->config.name, len) != 0 || job->name[len] != '@';
	}
	return true;
}

/* Answers from what is known; false if the store has to be asked. */
static bool answer_known(struct exports *x, struct export_job *job)
{
	if (x->fixed)
		return answer_fixed(x, job);
	job->err = -ENOENT; /* no default export, unless it turns out otherwise */
	return job->ask != EXPORT_LIST && !job->name[0];
}

/* Is it open, and may a look be answered with that? Its size is that of now, then. */
static struct entry *known_locked(struct exports *x, const struct export_job *job)
{
	struct entry *e = job->ask == EXPORT_LOOK ? find_locked(x, job->name) : NULL;

	return e && e->open && lsvd_volume_status(e->volume, NULL, 0) != LSVD_E_FENCED ? e : NULL;
}

bool exports_ask(struct exports *x, struct export_job *job)
{
	struct entry *e;
	bool known = true;

	job->err = 0;
	job->names = NULL;
	job->count = 0;
	if (answer_known(x, job))
		return true;
	job->err = 0;
	pthread_mutex_lock(&x->lock);
	e = known_locked(x, job);
	if (x->stopping)
		job->err = -ESHUTDOWN;
	else if (e)
		answer_locked(job, e);
	else if (queue_locked(x, job))
		known = false;
	else
		job->err = -ENOMEM;
	pthread_mutex_unlock(&x->lock);
	return known;
}

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

/* ---------------------------------------------------------------------------- begin and end */

void exports_free(struct exports *x)
{
	if (!x)
		return;
	while (x->entries) {
		struct entry *e = x->entries;

		x->entries = e->next;
		free(e);
	}
	control_close(x->control);
	pthread_cond_destroy(&x->wake);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

int exports_open(struct exports **ret, const struct exports_config *config)
{
	struct exports *x = calloc(1, sizeof *x);
	struct nbd_export export;
	int err = 0;

	if (!x)
		return -ENOMEM;
	x->config = *config;
	x->jobs_end = &x->jobs;
	(void)pthread_mutex_init(&x->lock, NULL); /* with default attributes they cannot fail */
	(void)pthread_cond_init(&x->wake, NULL);
	if (!config->readonly)
		err = control_open(&x->control);
	if (!err && config->name)
		err = open_named(x, config->name, &export);
	if (err < 0) {
		exports_free(x);
		return err;
	}
	x->fixed = x->entries;
	if (x->fixed)
		x->fixed->users = 0; /* it is open for clients, not for us */
	*ret = x;
	return 0;
}

void exports_each(struct exports *x, void (*fn)(void *ctx, struct lsvd_volume *volume), void *ctx)
{
	pthread_mutex_lock(&x->lock);
	for (struct entry *e = x->entries; e; e = e->next)
		if (e->open)
			fn(ctx, e->volume);
	pthread_mutex_unlock(&x->lock);
}

static bool changed(const struct lsvd_stats *now, const struct lsvd_stats *before)
{
	return now->reads != before->reads || now->writes != before->writes ||
	       now->flushes != before->flushes || now->trims != before->trims ||
	       now->zeroes != before->zeroes || now->data_puts != before->data_puts ||
	       now->retries != before->retries;
}

static void report(struct entry *e)
{
	struct lsvd_stats now = LSVD_STATS_INIT;

	if (lsvd_volume_stats(e->volume, &now) < 0 || !changed(&now, &e->before))
		return;
	log_stats(e->served.export.name, &now, &e->before);
	e->before = now;
}

void exports_report(struct exports *x)
{
	pthread_mutex_lock(&x->lock);
	for (struct entry *e = x->entries; e; e = e->next)
		if (e->open)
			report(e);
	pthread_mutex_unlock(&x->lock);
}

static void watch(struct entry *e)
{
	char text[512] = "";
	int status = lsvd_volume_status(e->volume, text, sizeof text);

	if (status == e->status)
		return;
	e->status = status;
	if (status < 0)
		log_line(status == LSVD_E_UNAVAILABLE ? LSVD_LOG_WARN : LSVD_LOG_ERROR, "%s: %s",
			 e->served.export.name, text[0] ? text : lsvd_strerror(status));
	else
		log_line(LSVD_LOG_INFO, "%s: all is well again", e->served.export.name);
}

/* A snapshot that nobody uses any more, taken out of the table; NULL: there is none. */
static struct entry *take_idle_locked(struct exports *x)
{
	for (struct entry *e = x->entries; e; e = e->next)
		if (e->idle > IDLE_LOOKS) {
			unlink_locked(x, e);
			return e;
		}
	return NULL;
}

void exports_watch(struct exports *x)
{
	struct entry *idle;

	pthread_mutex_lock(&x->lock);
	for (struct entry *e = x->entries; e; e = e->next) {
		if (e->open)
			watch(e);
		if (e->open && !e->users && served_is_snapshot(e->served.export.name))
			e->idle++;
	}
	idle = take_idle_locked(x);
	pthread_mutex_unlock(&x->lock);
	if (idle)
		(void)close_volume(idle, 0); /* read-only: there is nothing to be stored */
	free(idle);
}

void exports_stop(struct exports *x)
{
	pthread_mutex_lock(&x->lock);
	x->stopping = true;
	pthread_cond_broadcast(&x->wake);
	pthread_mutex_unlock(&x->lock);
}

bool exports_busy(struct exports *x)
{
	bool busy;

	pthread_mutex_lock(&x->lock);
	busy = x->busy > 0;
	pthread_mutex_unlock(&x->lock);
	return busy;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void seal(void *ctx, struct lsvd_volume *volume)
{
	(void)ctx;
	(void)lsvd_volume_seal(volume); /* what it cannot do, closing says */
}

/* Closes one after the other, while all of them store what they have. */
static int close_all(struct exports *x, uint32_t drain_ms)
{
	uint64_t end;
	int worst = 0;

	for (struct entry *e = x->entries; e; e = e->next)
		control_quiet(e->point);
	end = now_ms() + drain_ms; /* what was waited for requests is not taken from what is stored */
	exports_each(x, seal, NULL);
	for (struct entry *e = x->entries; e; e = e->next) {
		uint64_t now = now_ms();
		int err;

		err = close_volume(e, now < end ? (uint32_t)(end - now) : 0);
		if (worst == 0 || (worst > 0 && err < 0))
			worst = err;
	}
	return worst;
}

int exports_close(struct exports *x, uint32_t drain_ms)
{
	exports_stop(x);
	for (unsigned i = 0; i < x->thread_count; i++)
		(void)pthread_join(x->threads[i], NULL); /* fails only for a thread that is none */
	return close_all(x, drain_ms);
}
