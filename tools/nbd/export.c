/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export.c - the table of volumes, and the threads that open them.
 *
 * An entry is made when a volume is about to be opened:
 *
 *   OPENING -> OPEN      lsvd_volume_open() succeeded; stays until exports_close()
 *   OPENING -> (gone)    it failed: the next client tries again
 *
 * The lock guards the table, the queue and the counters; it is never held while the library is
 * called, but for calls that do not wait. Entries that are OPEN do not move and do not go away, so
 * a volume handed out stays valid.
 *
 * Threads are made when a question comes and all others are busy, THREADS_MAX at most, and wait for
 * the next question then. Two clients that open the same volume wait for one opening.
 */
#include "nbd/export.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nbd/nbd_log.h"

#define THREADS_MAX 4u

struct entry {
	struct entry *next;
	bool open;
	struct nbd_export export;
	struct lsvd_volume *volume;
	struct lsvd_stats before; /* of the last report */
	int status;		  /* last one logged */
};

struct exports {
	struct exports_config config; /* constant */
	struct entry *fixed;	      /* the entry of config.name, or NULL; constant */

	pthread_mutex_t lock;
	pthread_cond_t wake; /* a job has come, an entry has changed, or the end */
	struct entry *entries;
	struct export_job *jobs, **jobs_end;
	pthread_t threads[THREADS_MAX];
	unsigned thread_count, idle, busy;
	bool stopping;
};

static void describe(struct nbd_export *ret, const struct lsvd_volume_info *info, bool readonly)
{
	memset(ret, 0, sizeof *ret);
	memcpy(ret->name, info->name, sizeof ret->name);
	ret->bytes = info->bytes;
	ret->readonly = readonly;
	(void)snprintf(ret->description, sizeof ret->description, "LSVD volume %s", info->uuid);
}

static int look(struct exports *x, const char *name, struct nbd_export *ret)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	int err;

	if (x->config.options.flags & LSVD_OPEN_OFFLINE) {
		(void)snprintf(info.name, sizeof info.name, "%s", name); /* fits: checked names */
		(void)snprintf(info.uuid, sizeof info.uuid, "%s, offline", name);
		describe(ret, &info, x->config.readonly);
		return 0;
	}
	err = lsvd_volume_lookup(x->config.store, name, &info);

	if (err < 0)
		return err;
	describe(ret, &info, x->config.readonly);
	return 0;
}

static struct entry *find_locked(struct exports *x, const char *name)
{
	for (struct entry *e = x->entries; e; e = e->next)
		if (strcmp(e->export.name, name) == 0)
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
	struct nbd_export export;
	int err = look(x, e->export.name, &export);

	if (err < 0)
		return err;
	err = lsvd_volume_open(&e->volume, x->config.store, export.name, &x->config.options);
	if (err < 0)
		return err;
	export.bytes = lsvd_volume_bytes(e->volume);
	export.user = e->volume;
	e->export = export;
	return 0;
}

/* Opens the volume of an entry just made, or takes the entry away again. */
static int bring_up(struct exports *x, struct entry *e)
{
	int err = open_entry(x, e);

	pthread_mutex_lock(&x->lock);
	if (err < 0)
		unlink_locked(x, e);
	else
		e->open = true;
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
	(void)snprintf(e->export.name, sizeof e->export.name, "%s", name); /* fits: checked names */
	e->before = (struct lsvd_stats)LSVD_STATS_INIT;
	e->next = x->entries;
	x->entries = e;
	return e;
}

/* The open volume of that name, or opens it. */
static int open_named(struct exports *x, const char *name, struct nbd_export *ret)
{
	struct entry *e;
	bool mine = false, stopping;
	int err = 0;

	pthread_mutex_lock(&x->lock);
	while ((e = find_locked(x, name)) && !e->open)
		pthread_cond_wait(&x->wake, &x->lock);
	stopping = x->stopping;
	if (!e) {
		e = stopping ? NULL : add_locked(x, name);
		mine = true;
	}
	pthread_mutex_unlock(&x->lock);
	if (!e)
		return stopping ? -ESHUTDOWN : -ENOMEM;
	if (mine)
		err = bring_up(x, e);
	if (!err)
		*ret = e->export;
	return err;
}

/* ---------------------------------------------------------------------------------- listing */

static int add_name(struct export_job *job, const char *name)
{
	char(*names)[LSVD_NAME_MAX + 1];

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

static int on_volume(void *ctx, const struct lsvd_volume_info *info)
{
	struct export_job *job = ctx;

	job->err = add_name(job, info->name);
	return job->err;
}

static void list_all(struct exports *x, struct export_job *job)
{
	int err = lsvd_volume_list(x->config.store, on_volume, job);

	if (!job->err && err < 0)
		job->err = err;
}

/* ------------------------------------------------------------------------------------- jobs */

static void run_job(struct exports *x, struct export_job *job)
{
	char name[LSVD_NAME_MAX + 1];

	memcpy(name, job->name, sizeof name);
	if (job->ask == EXPORT_LIST)
		list_all(x, job);
	else if (job->ask == EXPORT_LOOK)
		job->err = look(x, name, &job->export);
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

/* Answers from what is known; false if the store has to be asked. */
static bool answer_known(struct exports *x, struct export_job *job)
{
	if (!x->fixed) {
		job->err = -ENOENT; /* no default export, unless it turns out otherwise */
		return job->ask != EXPORT_LIST && !job->name[0];
	}
	if (job->ask == EXPORT_LIST) {
		job->err = add_name(job, x->config.name);
	} else if (job->name[0] && strcmp(job->name, x->config.name) != 0) {
		job->err = -ENOENT;
	} else {
		job->export = x->fixed->export;
	}
	return true;
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
	e = job->ask == EXPORT_LIST ? NULL : find_locked(x, job->name);
	if (x->stopping)
		job->err = -ESHUTDOWN;
	else if (e && e->open)
		job->export = e->export;
	else if (queue_locked(x, job))
		known = false;
	else
		job->err = -ENOMEM;
	pthread_mutex_unlock(&x->lock);
	return known;
}

/* ---------------------------------------------------------------------------- begin and end */

int exports_open(struct exports **ret, const struct exports_config *config)
{
	struct exports *x = calloc(1, sizeof *x);
	struct nbd_export export;
	int err;

	if (!x)
		return -ENOMEM;
	x->config = *config;
	x->jobs_end = &x->jobs;
	(void)pthread_mutex_init(&x->lock, NULL); /* with default attributes they cannot fail */
	(void)pthread_cond_init(&x->wake, NULL);
	if (config->name) {
		err = open_named(x, config->name, &export);
		if (err < 0) {
			free(x);
			return err;
		}
		x->fixed = x->entries;
	}
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
	log_stats(e->export.name, &now, &e->before);
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
			 e->export.name, text[0] ? text : lsvd_strerror(status));
	else
		log_line(LSVD_LOG_INFO, "%s: all is well again", e->export.name);
}

void exports_watch(struct exports *x)
{
	pthread_mutex_lock(&x->lock);
	for (struct entry *e = x->entries; e; e = e->next)
		if (e->open)
			watch(e);
	pthread_mutex_unlock(&x->lock);
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

static int close_entry(struct entry *e, uint32_t drain_ms)
{
	int err = lsvd_volume_close(e->volume, drain_ms);

	if (err < 0)
		log_line(LSVD_LOG_ERROR, "%s: %s", e->export.name, log_reason(err));
	else if (err > 0)
		log_line(LSVD_LOG_WARN,
			 "%s: not everything is in the store: open it next with the "
			 "same cache",
			 e->export.name);
	free(e);
	return err;
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
	uint64_t end = now_ms() + drain_ms;
	int worst = 0;

	exports_each(x, seal, NULL);
	while (x->entries) {
		struct entry *e = x->entries;
		uint64_t now = now_ms();
		int err;

		x->entries = e->next;
		err = close_entry(e, now < end ? (uint32_t)(end - now) : 0);
		if (worst == 0 || (worst > 0 && err < 0))
			worst = err;
	}
	return worst;
}

int exports_close(struct exports *x, uint32_t drain_ms)
{
	int worst;

	exports_stop(x);
	for (unsigned i = 0; i < x->thread_count; i++)
		(void)pthread_join(x->threads[i], NULL); /* fails only for a thread that is none */
	worst = close_all(x, drain_ms);
	pthread_cond_destroy(&x->wake);
	pthread_mutex_destroy(&x->lock);
	free(x);
	return worst;
}
