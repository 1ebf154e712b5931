/* SPDX-License-Identifier: BSD-2-Clause */
/* thread.c - a thread of the library takes no signals: they are the program's. */
#include "base/thread.h"

#include <signal.h>

int lsvd_thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	int err;

	/* Neither this nor the masks can fail: their arguments are valid. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &old);
	err = pthread_create(ret, NULL, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	(void)pthread_setname_np(*ret, name); /* only for people who look */
	return 0;
}
