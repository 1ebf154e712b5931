/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_doctor.c - "lsvd-admin doctor": is this store fit for volumes, how fast is it, and what
 * should be changed?
 *
 * Unlike other commands it prints what it found also when it ends with a failure: that is what it
 * was asked for.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "admin/cmd.h"
#include "admin/doctor.h"
#include "admin/long.h"
#include "admin/output.h"
#include "common/facts.h"

#define RACES  32u
#define RACERS 16u

struct doctor_cmd {
	struct admin admin;
	const char *cache;
	bool quick;
	struct doctor d;
};

void doctor_step(const char *what)
{
	if (!isatty(STDERR_FILENO))
		return;
	if (what)
		(void)fprintf(stderr, "\r\033[Klsvd-admin: %s ...", what);
	else
		(void)fprintf(stderr, "\r\033[K");
}

/* ------------------------------------------------------------------------------------ facts */

static json_t *result(uint32_t r)
{
	return json_string(r == LSVD_PROBE_GOOD ? "good" : r == LSVD_PROBE_BAD ? "bad" : "untried");
}

static const char *verdict(const struct doctor *d)
{
	if (d->err && d->err != LSVD_E_UNSUPPORTED)
		return "failed";
	if (!d->promises_create || d->err)
		return "unsafe";
	return d->measure_err ? "failed" : "good";
}

static json_t *latency(const struct doctor_latency *l)
{
	return json_pack("{s:s, s:I, s:i, s:f, s:f}", "operation", l->operation, "bytes",
			 (json_int_t)l->bytes, "samples", (int)l->samples, "median_ms",
			 l->median_ms, "p99_ms", l->p99_ms);
}

static json_t *latencies(const struct doctor *d)
{
	struct facts_rows rows;

	facts_rows_begin(&rows);
	for (size_t i = 0; i < sizeof d->latency / sizeof d->latency[0]; i++)
		if (d->latency[i].samples)
			(void)facts_rows_add(&rows, latency(&d->latency[i])); /* the end says it */
	return facts_rows_end(&rows);
}

static json_t *throughputs(const struct doctor *d)
{
	struct facts_rows rows;

	facts_rows_begin(&rows);
	for (size_t i = 0; i < DOCTOR_LEVELS; i++)
		if (d->throughput[i].up > 0)
			(void)facts_rows_add(&rows, /* the end says it */
					     json_pack("{s:i, s:I, s:I}", "parallel",
						       (int)d->throughput[i].parallel,
						       "up_bytes_per_second",
						       (json_int_t)d->throughput[i].up,
						       "down_bytes_per_second",
						       (json_int_t)d->throughput[i].down));
	return facts_rows_end(&rows);
}

static json_t *cache(const struct doctor *d)
{
	if (!d->options.cache_dir)
		return json_null();
	return json_pack("{s:o, s:I, s:i, s:f, s:f, s:o}", "path", facts_text(d->options.cache_dir),
			 "free_bytes", (json_int_t)d->cache_free, "samples", (int)d->sync.samples,
			 "fdatasync_median_ms", d->sync.median_ms, "fdatasync_p99_ms",
			 d->sync.p99_ms, "error",
			 d->cache_error[0] ? facts_text(d->cache_error) : json_null());
}

static json_t *requests(const struct doctor *d)
{
	const struct lsvd_store_counters *c = &d->counters;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "puts",
			 (json_int_t)c->puts, "gets", (json_int_t)c->gets, "heads",
			 (json_int_t)c->heads, "lists", (json_int_t)c->lists, "removes",
			 (json_int_t)c->removes, "server_errors", (json_int_t)c->server_errors,
			 "no_connection", (json_int_t)c->no_connection, "denied",
			 (json_int_t)c->denied, "redirects", (json_int_t)c->redirects);
}

static json_t *error_text(const struct doctor *d)
{
	const char *text = d->err ? d->error : d->measure_err ? d->measure_error : "";

	return text[0] ? facts_text(text) : json_null();
}

/* NULL: no memory; json_pack() fails if one of its objects is NULL. */
static json_t *facts(const struct doctor *d)
{
	const struct lsvd_store_probe *p = &d->probe;
	const struct lsvd_store_counters *c = &d->counters;
	bool counted = c->puts + c->gets + c->heads > 0;

	return json_pack(
		"{s:o, s:s, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
		"s:o, s:o}",
		"store", facts_text(lsvd_store_url(d->store)), "verdict", verdict(d), "error",
		error_text(d), "promises_create", d->promises_create, "create", result(p->create),
		"refuse", result(p->refuse), "read_back", result(p->read_back), "ranges",
		result(p->ranges), "length", result(p->length), "list", result(p->list), "removed",
		result(p->removed), "remove_many", result(d->remove_many), "clock_offset_ms",
		counted ? json_integer((json_int_t)c->clock_offset_ms) : json_null(), "latency",
		latencies(d), "throughput", throughputs(d), "cache", cache(d), "requests",
		counted ? requests(d) : json_null(), "advice", doctor_advice(d));
}

/* ------------------------------------------------------------------------------------- text */

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "-";
}

static void print_promises(const json_t *o)
{
	static const struct {
		const char *key, *label;
	} rows[] = {
		{"create", "one of many creators wins"},
		{"refuse", "a taken name is refused"},
		{"read_back", "what was put is read"},
		{"ranges", "ranges are exact"},
		{"length", "lengths are right"},
		{"list", "listings are fresh"},
		{"removed", "what is removed is gone"},
		{"remove_many", "many are removed at once"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		(void)printf("%-28s%s\n", rows[i].label, text_of(o, rows[i].key));
}

static void print_latency(const json_t *l)
{
	char label[64], size[32];

	output_bytes(size, (uint64_t)json_integer_value(json_object_get(l, "bytes")));
	(void)snprintf(label, sizeof label, "%s %s", text_of(l, "operation"), size); /* fits */
	(void)printf("%-28s%.1f ms, of 100 the slowest %.1f ms (%d samples)\n", label,
		     json_real_value(json_object_get(l, "median_ms")),
		     json_real_value(json_object_get(l, "p99_ms")),
		     (int)json_integer_value(json_object_get(l, "samples")));
}

static void print_throughput(const json_t *t)
{
	char label[64];

	(void)snprintf(label, sizeof label, "%d at once",
		       (int)json_integer_value(json_object_get(t, "parallel"))); /* fits */
	(void)printf("%-28s%.1f MB/s up, %.1f MB/s down\n", label,
		     (double)json_integer_value(json_object_get(t, "up_bytes_per_second")) / 1e6,
		     (double)json_integer_value(json_object_get(t, "down_bytes_per_second")) / 1e6);
}

static void print_cache(const json_t *c)
{
	char size[32];

	if (!json_is_object(c) || !json_integer_value(json_object_get(c, "samples")))
		return;
	output_bytes(size, (uint64_t)json_integer_value(json_object_get(c, "free_bytes")));
	(void)printf("%-28s%s, %s free\n", "cache", text_of(c, "path"), size);
	(void)printf("%-28s%.2f ms, of 100 the slowest %.2f ms\n", "fdatasync there",
		     json_real_value(json_object_get(c, "fdatasync_median_ms")),
		     json_real_value(json_object_get(c, "fdatasync_p99_ms")));
}

static void print_facts(const json_t *o)
{
	const json_t *item, *offset = json_object_get(o, "clock_offset_ms");
	size_t i;

	(void)printf("%-28s%s\n", "store", text_of(o, "store"));
	(void)printf("%-28s%s\n", "verdict", text_of(o, "verdict"));
	if (json_is_string(json_object_get(o, "error")))
		(void)printf("%-28s%s\n", "error", text_of(o, "error"));
	print_promises(o);
	if (json_is_integer(offset))
		(void)printf("%-28s%.1f s\n", "its clock less ours",
			     (double)json_integer_value(offset) / 1e3);
	json_array_foreach(json_object_get(o, "latency"), i, item)
		print_latency(item);
	json_array_foreach(json_object_get(o, "throughput"), i, item)
		print_throughput(item);
	print_cache(json_object_get(o, "cache"));
	json_array_foreach(json_object_get(o, "advice"), i, item)
		(void)printf("%s* %s\n", i ? "" : "\nadvice\n", json_string_value(item));
}

static int print(struct doctor_cmd *c)
{
	json_t *o = facts(&c->d);

	if (c->admin.json || !o)
		return output_sentence("", o, true);
	print_facts(o);
	json_decref(o);
	return ADMIN_OK;
}

/* ---------------------------------------------------------------------------------- running */

static void keep_error(struct doctor *d, int err)
{
	d->err = err;
	(void)snprintf(d->error, sizeof d->error, "%s", lsvd_last_error()); /* is as long */
}

static void probe(struct doctor *d)
{
	int err;

	d->promises_create = lsvd_store_caps(d->store) & LSVD_STORE_CAP_CREATE;
	d->probe = (struct lsvd_store_probe)LSVD_STORE_PROBE_INIT;
	d->probe.races = RACES;
	d->probe.racers = RACERS;
	doctor_step("what it promises");
	err = lsvd_store_probe(d->store, &d->probe);
	if (err < 0)
		keep_error(d, err);
}

static int exit_status(const struct doctor *d)
{
	const char *v = verdict(d);

	if (strcmp(v, "good") == 0)
		return ADMIN_OK;
	return strcmp(v, "unsafe") == 0 ? ADMIN_UNSAFE_STORE : ADMIN_FAILED;
}

/* A first signal ends the measuring, and what was put is removed. */
static int examine(void *ctx)
{
	struct doctor_cmd *c = ctx;
	struct doctor *d = &c->d;
	int status;

	d->store = c->admin.store;
	d->options = (struct lsvd_volume_options)LSVD_VOLUME_OPTIONS_INIT;
	lsvd_config_volume_options(c->admin.config, &d->options);
	if (c->cache)
		d->options.cache_dir = c->cache;
	d->counters = (struct lsvd_store_counters)LSVD_STORE_COUNTERS_INIT;
	probe(d);
	if (!c->quick && (!d->err || d->err == LSVD_E_UNSUPPORTED) && !admin_stopped())
		doctor_measure_store(d);
	if (!c->quick && d->options.cache_dir && !admin_stopped())
		doctor_measure_disk(d);
	doctor_step(NULL);
	if (lsvd_store_counters(d->store, &d->counters) < 0)
		keep_error(d, -EINVAL); /* a size of ours is wrong */
	status = print(c);
	if (!admin_stopped())
		return status ? status : exit_status(d);
	(void)admin_error("interrupted: what was not done yet is missing"); /* so does the status */
	return ADMIN_FAILED;
}

static int run(int argc, char **argv)
{
	static struct doctor_cmd c;
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&c.admin),
		{ARGS_STRING, 'p', "cache", &c.cache, "DIR",
		 "directory whose disk is measured (default: cache_path)", 0, 0, false},
		{ARGS_FLAG, 'q', "quick", &c.quick, NULL, "probe only, measure nothing", 0,
		 0, false},
		ADMIN_OPTIONS(&c.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin doctor",
		.usage = "-c FILE [-p DIR] [--quick] [--json]",
		.about =
			"Probes the store: does it do what a volume needs, "
			"how long does it take, what\n"
			"should be changed? Puts some hundred megabytes at most, "
			"for half a minute, and\n"
			"removes them. Volumes may be served meanwhile.",
		.epilogue =
			"Exit status: 0 fit, 1 it could not be probed or measured, "
			"2 wrong usage or\n"
			"configuration, 3 it lacks something that volumes need.",
		.options = options,
	};
	int status;

	if (admin_parse(&c.admin, &args, argc, argv, &status) < 0)
		return status;
	return admin_do_long(&c.admin, 0, examine, &c);
}

const struct admin_cmd cmd_doctor = {"doctor", "probe and measure the store, and give advice", run};
