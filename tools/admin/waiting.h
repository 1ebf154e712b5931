/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * waiting.h - the main thread waits for operations that end on other threads, and for the user.
 *
 * A lock and a condition; who waits wakes up now and then to see whether a signal wants the command
 * to end, since operations may wait for a store that is away.
 */
#ifndef ADMIN_WAITING_H
#define ADMIN_WAITING_H

#include <pthread.h>

struct waiting {
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

void waiting_init(struct waiting *w);
void waiting_fini(struct waiting *w);
void waiting_lock(struct waiting *w);
void waiting_unlock(struct waiting *w);
/* Lock held: somebody else may go on. */
void waiting_wake(struct waiting *w);
/* Lock held: returns 0 after a wake-up, or for no reason; -1 if the command is to end. */
int waiting_wait(struct waiting *w);
/* Lock held: the same, whatever the user wants. */
void waiting_wait_on(struct waiting *w);

#endif
