/* SPDX-License-Identifier: BSD-2-Clause */
/* rnd_real.c - the system's randomness. */
#include "io/real.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"

/*
 * Where the system call is forbidden: identifiers must differ from one another, they keep no
 * secret. The clock's nanoseconds, the process and a counter see to that.
 */
static void fill_without_system(uint8_t *p, size_t len)
{
	static uint64_t counter;
	struct { struct timespec now, used; uint64_t pid, n, where; } in;
	uint64_t h;

	memset(&in, 0, sizeof in);
	in.pid = (uint64_t)getpid();
	in.where = (uint64_t)(uintptr_t)&in;
	for (size_t i = 0; i < len; i += sizeof h) {
		size_t part = len - i < sizeof h ? len - i : sizeof h;

		(void)clock_gettime(CLOCK_REALTIME, &in.now); /* cannot fail */
		(void)clock_gettime(CLOCK_MONOTONIC, &in.used);
		in.n = __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
		h = lsvd_hash(&in, sizeof in);
		memcpy(p + i, &h, part);
	}
}

static void rnd_fill(struct world *w, void *buf, size_t len)
{
	uint8_t *p = buf;

	(void)w;
	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fill_without_system(p, len);
			return;
		}
		p += n;
		len -= (size_t)n;
	}
}

const struct rnd_ops lsvd_rnd_ops_real = { .fill = rnd_fill };
