/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.h - what every benchmark has: an end with a reason, a clock, chance, a median, a line of
 * results. One program is one file, so what has to be remembered is static here.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <lsvd/error.h>

static bool json;
static unsigned results;      /* shown so far */

_Noreturn static inline void die(const char *what)
{
	(void)fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what,
		      *lsvd_last_error() ? lsvd_last_error() : strerror(errno));
	exit(1);
}

static inline void must(int err, const char *what)
{
	if (err < 0)
		die(what);
}

static inline double seconds_of(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts); /* cannot fail for the clocks below */
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline double now(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

/* Processor time of all threads: what a busy neighbour does not change. */
static inline double cpu_now(void)
{
	return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

static inline uint64_t chance(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static inline int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline double median(double *v, unsigned n)
{
	qsort(v, n, sizeof *v, by_value);
	return v[n / 2];
}

/* One figure; with --json a part of an array, which results_end() ends. */
static inline void result(const char *name, double value, const char *unit)
{
	if (json)
		printf("%s\n  {\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"}",
		       results ? "," : "[", name, value, unit);
	else
		printf("%-64s %12.6g %s\n", name, value, unit);
	results++;
	(void)fflush(stdout); /* only shown sooner */
}

static inline void results_end(void)
{
	if (json)
		printf("\n]\n");
}

#endif
