/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_warm.c - "lsvd-admin warm": fills the read cache of this host before a volume is served here,
 * or writes down what it holds, so that it can be filled elsewhere.
 *
 * The volume is opened for reading, with the cache. While it is served, the cache is the server's
 * and a second process would fill one of its own that nobody reads: refused. NBD's command CACHE
 * does the same through the server.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "admin/cmd.h"
#include "admin/long.h"
#include "admin/output.h"
#include "admin/profile.h"
#include "admin/progress.h"
#include "admin/waiting.h"

#define IN_FLIGHT 8u
#define PIECE     (UINT64_C(2) << 20)

struct slot {
	struct warm *warm;
	struct lsvd_io io;
	bool busy;           /* protected by the lock */
};

struct warm {
	struct admin admin;
	const char *range_text, *profile_path, *record_path;
	struct admin_range range;

	struct lsvd_volume *volume;
	struct profile profile;
	uint64_t done;       /* bytes of the ranges */
	struct lsvd_stats stats;

	struct slot slots[IN_FLIGHT];
	struct waiting waiting;
	/* protected by its lock */
	unsigned in_flight;
	int err;             /* the first failure */
	char text[512];
};

static void prefetched(struct lsvd_io *io)
{
	struct slot *s = io->user;
	struct warm *w = s->warm;

	waiting_lock(&w->waiting);
	if (io->err < 0 && !w->err) {
		w->err = io->err;
		(void)snprintf(w->text, sizeof w->text, "%s", lsvd_last_error()); /* fits */
	}
	s->busy = false;
	w->in_flight--;
	waiting_wake(&w->waiting);
	waiting_unlock(&w->waiting);
}

/* Waits until fewer than `most` are in flight. */
static int wait_below(struct warm *w, unsigned most)
{
	int stop = 0, err;

	waiting_lock(&w->waiting);
	while (w->in_flight >= most && !stop)
		stop = waiting_wait(&w->waiting);
	err = w->err;
	waiting_unlock(&w->waiting);
	if (err)
		return admin_error("%s", *w->text ? w->text : lsvd_strerror(err));
	if (stop || admin_stopped())
		return admin_error("interrupted");
	return 0;
}

static void start(struct warm *w, uint64_t off, uint64_t len)
{
	struct slot *s = w->slots;

	waiting_lock(&w->waiting);
	while (s->busy)
		s++;
	s->busy = true;
	w->in_flight++;
	waiting_unlock(&w->waiting);
	s->io = (struct lsvd_io){.kind = LSVD_IO_PREFETCH, .off = off, .len = len,
				 .done = prefetched, .user = s};
	lsvd_volume_submit(w->volume, &s->io);
}

static int fetch_range(struct warm *w, const struct admin_range *r)
{
	uint64_t off = r->off, end = r->off + r->len;

	while (off < end) {
		uint64_t n = PIECE - off % PIECE;

		n = n < end - off ? n : end - off;
		if (wait_below(w, IN_FLIGHT) < 0)
			return -1;
		start(w, off, n);
		off += n;
		w->done += n;
		progress_show(w->done);
	}
	return 0;
}

static void wait_all(struct warm *w)
{
	waiting_lock(&w->waiting);
	while (w->in_flight)
		waiting_wait_on(&w->waiting);
	waiting_unlock(&w->waiting);
}

static int fetch_all(struct warm *w)
{
	int err = 0;

	waiting_init(&w->waiting);
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		w->slots[i].warm = w;
	progress_begin("warm", w->profile.bytes);
	for (size_t i = 0; i < w->profile.count && !err; i++)
		err = fetch_range(w, &w->profile.ranges[i]);
	if (!err)
		err = wait_below(w, 1);
	wait_all(w);
	progress_end();
	waiting_fini(&w->waiting);
	return err;
}

/*
 * The locks of the cache's files are the library's own; here it only matters whether they are held.
 */
static int check_not_served(const struct warm *w)
{
	const char *cache = lsvd_config_cache_path(w->admin.config);
	char *path;
	int fd, err = 0;

	if (!cache)
		return admin_error("%s: cache_path is missing: there is no cache to be filled",
				   w->admin.config_path);
	if (asprintf(&path, "%s/rcache.0", cache) < 0)
		return admin_error("out of memory");
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		err = admin_error("%s is in use: while a volume is served from this directory, "
				  "fill the cache through the server, with NBD's command CACHE",
				  path);
	if (fd >= 0)
		(void)close(fd); /* and with it the lock */
	free(path);
	return err;
}

static int make_profile(struct warm *w)
{
	if (w->record_path)
		return profile_of_cache(&w->profile, w->volume);
	if (w->profile_path)
		return profile_read(&w->profile, w->profile_path, lsvd_volume_bytes(w->volume));
	if (admin_fit_range(&w->range, w->volume) < 0)
		return -1;
	return profile_add(&w->profile, w->range.off, w->range.len);
}

static int warm(struct warm *w)
{
	int err = check_not_served(w);

	if (err)
		return err;
	w->volume = admin_open_reader(&w->admin, LSVD_OPEN_RCACHE);
	if (!w->volume)
		return -1;
	err = make_profile(w);
	if (!err)
		err = w->record_path ? profile_write(&w->profile, w->record_path, w->admin.name)
				     : fetch_all(w);
	if (!err && lsvd_volume_stats(w->volume, &w->stats) < 0)
		err = admin_error("%s", lsvd_last_error());
	if (lsvd_volume_close(w->volume, 0) < 0 && !err)
		err = admin_error("%s", lsvd_last_error());
	return err;
}

static int print_warmed(const struct warm *w)
{
	char bytes[32], fetched[32], sentence[512];

	output_bytes(bytes, w->profile.bytes);
	output_bytes(fetched, w->stats.data_get_bytes);
	if (w->record_path)
		(void)snprintf(sentence, sizeof sentence,
			       "volume %s: %zu ranges, %s, written to %.300s", w->admin.name,
			       w->profile.count, bytes, w->record_path);
	else
		(void)snprintf(sentence, sizeof sentence,
			       "volume %s: %zu ranges, %s; %s fetched from the store",
			       w->admin.name, w->profile.count, bytes, fetched);
	return output_sentence(sentence,
			       json_pack("{s:s, s:I, s:I, s:I}", "name", w->admin.name, "ranges",
					 (json_int_t)w->profile.count, "bytes",
					 (json_int_t)w->profile.bytes, "fetched_bytes",
					 (json_int_t)w->stats.data_get_bytes),
			       w->admin.json);
}

static int act(void *ctx)
{
	struct warm *w = ctx;

	return warm(w) < 0 ? ADMIN_FAILED : print_warmed(w);
}

static int check(struct warm *w, const struct args *args)
{
	if (!!w->range_text + !!w->profile_path + !!w->record_path > 1)
		return args_fail(args, "--range, --profile and --record exclude each other");
	return w->range_text ? admin_parse_range(args, w->range_text, &w->range) : 0;
}

static int run(int argc, char **argv)
{
	struct warm w = {.range = {0, UINT64_MAX}, .stats = LSVD_STATS_INIT};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&w.admin),
		ADMIN_NAME(&w.admin, "the volume"),
		{ARGS_STRING, 'r', "range", &w.range_text, "OFF:LEN",
		 "only this range, sizes like 4K:1M (default: all)", 0, 0, false},
		{ARGS_STRING, 0, "profile", &w.profile_path, "FILE",
		 "the ranges of a profile", 0, 0, false},
		{ARGS_STRING, 0, "record", &w.record_path, "FILE",
		 "only write a profile of what the cache holds", 0, 0, false},
		ADMIN_OPTIONS(&w.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin warm",
		.usage = "-c FILE -n NAME "
			 "[--range OFF:LEN | --profile FILE | --record FILE] [--json]",
		.about = "Fills the read cache of this host with data of a volume that "
			 "is not served.",
		.options = options,
	};
	int status;

	if (admin_parse(&w.admin, &args, argc, argv, &status) < 0)
		return status;
	if (check(&w, &args) < 0)
		return ADMIN_USAGE;
	status = admin_do_long(&w.admin, LSVD_STORE_READONLY, act, &w);
	profile_fini(&w.profile);
	return status;
}

const struct admin_cmd cmd_warm = {"warm", "fill the read cache of this host", run};
