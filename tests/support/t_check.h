/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * t_check.h - what every test of ours has beside Check: asserts that print the library's own text,
 * the seed of random tests, and the main function.
 *
 *	ck_assert_ok(lsvd_store_head(s, "a", &bytes));
 *	ck_assert_err(lsvd_store_head(s, "b", &bytes), -ENOENT);
 *
 * Both evaluate their argument once. ck_assert_ok accepts counts (>= 0) and yields nothing.
 */
#ifndef T_CHECK_H
#define T_CHECK_H

#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <lsvd/error.h>

/* What CTest reports as not run. */
#define T_SKIP 77

#define ck_assert_ok(expr) \
	do { \
		int t_err_ = (expr); \
		ck_assert_msg(t_err_ >= 0, "%s: %s (%d): %s", #expr, lsvd_error_name(t_err_), \
			      t_err_, lsvd_last_error()); \
	} while (0)

#define ck_assert_err(expr, code) \
	do { \
		int t_err_ = (expr), t_code_ = (code); \
		ck_assert_msg(t_err_ == t_code_, "%s: %s (%d), expected %s (%d): %s", #expr, \
			      lsvd_error_name(t_err_), t_err_, lsvd_error_name(t_code_), \
			      t_code_, lsvd_last_error()); \
	} while (0)

/* The text of the last failure contains `part`. */
#define ck_assert_error_says(part) \
	ck_assert_msg(strstr(lsvd_last_error(), (part)) != NULL, \
		      "the text does not say \"%s\": %s", (part), lsvd_last_error())

/* LSVD_TEST_SEED if it is set, else a new one; printed, so that a failure can be repeated. */
static inline uint64_t t_seed(void)
{
	const char *text = getenv("LSVD_TEST_SEED");
	struct timespec now;
	uint64_t seed;

	if (text && *text) {
		seed = strtoull(text, NULL, 0);
	} else {
		(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
		seed = (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec +
		       (uint64_t)getpid();
	}
	printf("seed: LSVD_TEST_SEED=%" PRIu64 "\n", seed);
	(void)fflush(stdout); /* a test may die before exit flushes it */
	return seed;
}

/* splitmix64: the next number of the sequence that *state stands in. */
static inline uint64_t t_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* A number of [0, n), n > 0. */
static inline uint64_t t_random_below(uint64_t *state, uint64_t n)
{
	return t_random(state) % n;
}

/* Fills `buf` with bytes that depend on `seed` alone. */
static inline void t_fill(void *buf, size_t len, uint64_t seed)
{
	unsigned char *p = buf;
	uint64_t state = seed, word = 0;

	for (size_t i = 0; i < len; i++) {
		if (i % 8 == 0)
			word = t_random(&state);
		p[i] = (unsigned char)(word >> (i % 8 * 8));
	}
}

/*
 * A test that does not say otherwise has a minute: its time passes while others have the processor
 * and the disk. Check looks when a case is made.
 */
__attribute__((constructor)) static void t_be_patient(void)
{
	(void)setenv("CK_DEFAULT_TIMEOUT", "60", 0); /* a shorter one would do, nearly always */
}

/* Runs a suite; what main returns. */
static inline int t_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define T_MAIN(make_suite) \
	int main(void) \
	{ \
		return t_run(make_suite()); \
	}

#endif
