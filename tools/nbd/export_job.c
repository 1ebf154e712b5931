/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export_job.c - questions about what is served, and the threads that answer those that wait.
 *
 *   asked -> answered     at once, if the table knows the answer
 *   asked -> queued -> running -> answered, by done()     else
 *
 * Threads are made when a question comes and all others are busy, EXPORT_THREADS_MAX at most, and
 * wait for the next question then. What is queued when the end comes is answered still; what is
 * asked after that is refused.
 */
#include "nbd/export_inner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nbd/nbd_log.h"

/* ------------------------------------------------------------------------------------- listing */

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

/* ----------------------------------------------------------------------- what a thread answers */

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
		job->err = entry_open(x, name, &job->export);
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
	if (!x->idle && x->thread_count < EXPORT_THREADS_MAX &&
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

/* ------------------------------------------------------------------------------- what is known */

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
	struct entry *e = job->ask == EXPORT_LOOK ? entry_find_locked(x, job->name) : NULL;

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
