/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export_inner.h - the table of volumes served, as its files see it.
 *
 *   export.c        begin and end; what is done from time to time
 *   export_entry.c  one volume or snapshot: opened, used, found to be another, closed
 *   export_job.c    questions about them, and the threads that answer those
 *
 * The lock guards the table, the queue, the users and the counters; it is never held while the
 * library is called, but for calls that do not wait.
 */
#ifndef NBD_EXPORT_INNER_H
#define NBD_EXPORT_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "nbd/control.h"
#include "nbd/export.h"
#include "nbd/served.h"

#define EXPORT_THREADS_MAX 4u

struct entry {
	struct exports *exports;
	struct entry *next;
	bool open;
	atomic_bool gone;
	unsigned users;
	unsigned idle;	       /* looks since somebody used it */
	struct served served;  /* its export's `user` is this entry */
	struct lsvd_volume *volume;
	bool closing;	       /* protected by exports.lock: the volume is to be left alone */
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
	pthread_t threads[EXPORT_THREADS_MAX];
	unsigned thread_count, idle, busy;
	bool stopping;
};

/* ---- export_entry.c; _locked: with the lock held */
struct entry *entry_find_locked(struct exports *x, const char *name);
/* Not in the table any more. */
void entry_unlink_locked(struct exports *x, struct entry *entry);
/* The open volume of that name, or opens it; the caller is its user. Waits for the store. */
int entry_open(struct exports *x, const char *name, struct nbd_export *ret);
/* Nobody uses it any more, or what they begin is refused. The entry stays. */
int entry_close(struct entry *e, uint32_t drain_ms);

#endif
