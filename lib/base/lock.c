/* SPDX-License-Identifier: BSD-2-Clause */
/* lock.c - making locks that are tried again before they are slept for (lock.h). */
#include "base/lock.h"

int lsvd_lock_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;
	int err = pthread_mutexattr_init(&attr);

	if (err)
		return -err;
	err = pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	if (!err)
		err = pthread_mutex_init(lock, &attr);
	(void)pthread_mutexattr_destroy(&attr); /* it has been used */
	return -err;
}
