/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doctor.h - what "lsvd-admin doctor" measures, and what it makes of it.
 *
 * doctor_store.c puts objects into the store and takes the time, doctor_disk.c does the same with a
 * file in the cache directory, doctor_advice.c says in sentences what to change. cmd_doctor.c runs
 * them one after the other and prints. All of it stands in struct doctor.
 */
#ifndef ADMIN_DOCTOR_H
#define ADMIN_DOCTOR_H

#include <stdbool.h>

#include <jansson.h>

#include <lsvd/lsvd.h>
#include <lsvd/store_driver.h>

#define DOCTOR_SMALL 4096u
#define DOCTOR_LARGE (8u << 20)
#define DOCTOR_LEVELS 3u

struct doctor_latency {
	const char *operation; /* "put", "get", "head", "fdatasync" */
	uint64_t bytes;
	unsigned samples; /* 0: not measured */
	double median_ms, p99_ms;
};

struct doctor_throughput {
	unsigned parallel;
	double up, down; /* bytes a second; 0: not measured */
};

struct doctor {
	struct lsvd_store *store;
	struct lsvd_volume_options options; /* as the configuration says */
	bool promises_create;
	struct lsvd_store_probe probe;
	int err; /* what the store could not be probed for; 0 */
	char error[512];
	struct lsvd_store_counters counters;
	uint32_t remove_many; /* enum lsvd_probe_result */
	struct doctor_latency latency[5];
	struct doctor_throughput throughput[DOCTOR_LEVELS];
	int measure_err; /* the first failure while measuring */
	char measure_error[512];
	struct doctor_latency sync; /* of the cache directory */
	uint64_t cache_free;
	char cache_error[512];
};

/* Says what is being done, on a terminal. NULL: nothing any more. */
void doctor_step(const char *what);

/* Measures the store; what it put is gone when it returns, or remove_many says that it is not. */
void doctor_measure_store(struct doctor *d);

/* Measures a file in options.cache_dir, which is made for it and removed. */
void doctor_measure_disk(struct doctor *d);

/* Sorts the samples and fills in the rest. */
void doctor_summarize(struct doctor_latency *l, double *ms, unsigned n);
double doctor_now_ms(void);

/* What to change: an array of sentences. NULL: no memory. */
json_t *doctor_advice(const struct doctor *d);

#endif
