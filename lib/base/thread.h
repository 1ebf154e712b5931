/* SPDX-License-Identifier: BSD-2-Clause */
/* thread.h - starting a thread; only lib/io and the drivers of lib/store do. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/* pthread_create() with all signals blocked and a name of at most 15 characters; 0 or -errno. */
int lsvd_thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg);

#endif
