/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blk_aio.c - long writes past the page cache, which nobody waits for: the kernel's AIO.
 *
 * A write is submitted by the thread that starts it and ended by one thread that waits for all of a
 * world's (lsvd-aio). Both come into being with the first long write; where the system has no AIO
 * for us (no ring, no thread) there is none, and the page cache is as good.
 *
 * Not a pool of threads that pwrite: that is a hand-over more for each write, and a pwrite past the
 * page cache keeps the file locked against writers through the page cache until the device has
 * answered, while AIO gives the lock up at submission. Not io_uring: nothing of it would be used
 * here that AIO has not had for long, and it is more often forbidden (containers).
 */
#include "io/real.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/port.h"

#define AIO_DEPTH 64u
#define EVENTS 16

static void end_writes(struct aio *a, const struct io_event *events, long n)
{
	/* Pairs with the one before io_submit(): what was queued is seen here. */
	(void)__atomic_load_n(&a->submitted, __ATOMIC_ACQUIRE);
	for (long i = 0; i < n; i++) {
		struct file_io *io = (struct file_io *)(uintptr_t)events[i].data;

		lsvd_file_written(io, (int64_t)events[i].res);
		lsvd_port_finish(&io->io);
	}
}

/*
 * Asked before it waits again: the number of a ring that is gone may be that of another world's by
 * then.
 */
static bool ends(struct aio *a)
{
	return __atomic_load_n(&a->state, __ATOMIC_ACQUIRE) == AIO_ENDS;
}

static void *reap(void *arg)
{
	struct io_event events[EVENTS];
	struct aio *a = arg;
	long n;

	do {
		n = syscall(SYS_io_getevents, a->ring, 1L, (long)EVENTS, events, NULL);
		if (n > 0)
			end_writes(a, events, n);
	} while ((n >= 0 || errno == EINTR) && !ends(a)); /* EINVAL: the ring was taken away */
	return NULL;
}

static enum aio_state start(struct aio *a)
{
	aio_context_t ring = 0;

	if (syscall(SYS_io_setup, AIO_DEPTH, &ring) < 0)
		return AIO_NONE;
	a->ring = ring;
	if (lsvd_thread_start(&a->thread, "lsvd-aio", reap, a) == 0)
		return AIO_RUNS;
	(void)syscall(SYS_io_destroy, ring); /* nothing is in it */
	return AIO_NONE;
}

static bool runs(struct aio *a)
{
	enum aio_state s = __atomic_load_n(&a->state, __ATOMIC_ACQUIRE);

	if (s != AIO_NEW)
		return s == AIO_RUNS;
	pthread_mutex_lock(&a->lock);
	if (a->state == AIO_NEW)
		__atomic_store_n(&a->state, start(a), __ATOMIC_RELEASE);
	s = a->state;
	pthread_mutex_unlock(&a->lock);
	return s == AIO_RUNS;
}

bool lsvd_aio_write(struct aio *a, int fd, struct file_io *io)
{
	struct iocb cb, *list = &cb;

	if (!runs(a))
		return false;
	memset(&cb, 0, sizeof cb);
	cb.aio_data = (uintptr_t)io;
	cb.aio_lio_opcode = IOCB_CMD_PWRITE;
	cb.aio_fildes = (uint32_t)fd;
	cb.aio_buf = (uintptr_t)io->buf;
	cb.aio_nbytes = io->len;
	cb.aio_offset = (int64_t)io->off;
	(void)__atomic_add_fetch(&a->submitted, 1, __ATOMIC_RELEASE);
	return syscall(SYS_io_submit, a->ring, 1L, &list) == 1; /* full: not this way, then */
}

int lsvd_aio_init(struct aio *a)
{
	a->state = AIO_NEW;
	a->submitted = 0;
	return -pthread_mutex_init(&a->lock, NULL);
}

void lsvd_aio_fini(struct aio *a)
{
	if (a->state == AIO_RUNS) {
		__atomic_store_n(&a->state, AIO_ENDS, __ATOMIC_RELEASE);
		(void)syscall(SYS_io_destroy, a->ring); /* ends the thread's wait */
		(void)pthread_join(a->thread, NULL);    /* ours, joinable, joined once */
	}
	(void)pthread_mutex_destroy(&a->lock);
}
