/* SPDX-License-Identifier: BSD-2-Clause */
/* stop.c - signals to a descriptor and a flag: a thread in sigwaitinfo(2), an eventfd, two words.
 */
#include "common/stop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int event_fd = -1;
static atomic_uint pending;
static atomic_bool requested;

static void watched(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGQUIT);
	sigaddset(ret, SIGHUP);
	sigaddset(ret, SIGCHLD);
}

void stop_ignored(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGPIPE);
	sigaddset(ret, SIGXFSZ);
}

static void post(unsigned what)
{
	uint64_t one = 1;

	atomic_fetch_or(&pending, what);
	(void)!write(event_fd, &one, sizeof one); /* fails only when it is readable anyway */
}

void stop_now(void)
{
	atomic_store(&requested, true);
	post(STOP_TERM);
}

static void *wait_for_signals(void *unused)
{
	sigset_t set;

	(void)unused;
	watched(&set);
	for (;;) {
		int sig = sigwaitinfo(&set, NULL);

		if (sig == SIGHUP)
			post(STOP_HUP);
		else if (sig == SIGCHLD)
			post(STOP_CHILD);
		else if (sig > 0 && atomic_exchange(&requested, true))
			_exit(STOP_EXIT_NOW);
		else if (sig > 0)
			post(STOP_TERM);
	}
	return NULL;
}

int stop_start(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t set;
	int err;

	watched(&set);
	err = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (err)
		return -err;
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return -errno;
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event_fd < 0)
		return -errno;
	(void)pthread_attr_init(&attr); /* cannot fail on Linux, nor can the next two */
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&thread, &attr, wait_for_signals, NULL);
	(void)pthread_attr_destroy(&attr);
	return -err;
}

int stop_fd(void)
{
	return event_fd;
}

unsigned stop_take(void)
{
	uint64_t n;

	(void)!read(event_fd, &n, sizeof n); /* EAGAIN: nothing has come */
	return atomic_exchange(&pending, 0);
}

bool stop_requested(void)
{
	return atomic_load(&requested);
}
