/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.h - locks that are held for some instructions only, by many threads in turn.
 *
 * Who finds one taken looks again for a moment before it sleeps: the holder is about to let go, and
 * sleeping and being woken takes longer than what it does.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>

/* 0, or -errno; ends with pthread_mutex_destroy(). */
int lsvd_lock_init(pthread_mutex_t *lock);

#endif
