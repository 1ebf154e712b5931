/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export.c - the table of volumes: its beginning and its end, and what is done from time to time.
 *
 * What is in it, and who is asked about it: export_inner.h. At the end all volumes are closed,
 * one after the other, while all of them store what they have; what one needs of the time to
 * drain is taken from the next.
 */
#include "nbd/export_inner.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "nbd/nbd_log.h"

#define IDLE_LOOKS  10u

/* --------------------------------------------------------------------------------------- begin */

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
		err = entry_open(x, config->name, &export);
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

/* --------------------------------------------------------------------------- from time to time */

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
			entry_unlink_locked(x, e);
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
		(void)entry_close(idle, 0); /* read-only: there is nothing to be stored */
	free(idle);
}

/* ----------------------------------------------------------------------------------------- end */

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
	end = now_ms() + drain_ms; /* from now on: requests do not take of the time to store */
	exports_each(x, seal, NULL);
	for (struct entry *e = x->entries; e; e = e->next) {
		uint64_t now = now_ms();
		int err;

		err = entry_close(e, now < end ? (uint32_t)(end - now) : 0);
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
