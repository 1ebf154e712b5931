/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_sim_mirror.c - the newest complete copy of the map is enough, wherever the power fails.
 *
 * There are two files, and an open falls back on the older one. That can hide a newer one that is
 * called complete too early, until the older is written over. So the older one is taken away here:
 * what was given up in the local log, or deleted from the store, the newer one must have.
 */
#include "sim_world.h"

#include "t_check.h"

#include "volume/vol_mirror.h"
#include "volume/volume_internal.h"

#define VOLUME_BYTES (UINT64_C(16) << 20)
#define ROUNDS 40u
#define OPENS 5u
#define BLOCKS 96u

/* Under a sanitizer everything takes many times as long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STRIDE 256u
#define TRIED_LEAST 5u
#else
#define STRIDE 40u
#define TRIED_LEAST 50u
#endif

struct life {
	struct sim *sim;
	struct sim_host *host;
	struct lsvd_volume *volume;
	uint8_t data[2 * BLOCK_BYTES];
	bool finished;
};

static struct lsvd_volume_options options(uint32_t flags)
{
	struct lsvd_volume_options o = LSVD_VOLUME_OPTIONS_INIT;

	o.flags = flags;
	o.cache_dir = "cache";
	o.log_bytes = 96u << 10;
	o.segment_bytes = 12u << 10;
	o.memory_bytes = 16u << 20;
	o.checkpoint_segments = 3;
	o.rcache_bytes = UINT64_MAX;
	o.compression = LSVD_COMPRESS_NONE;
	return o;
}

/* Block after block written over, so that objects die and are deleted. */
static void write_some(struct life *l, uint32_t from, uint32_t end)
{
	for (uint32_t i = from; i < end; i++) {
		uint64_t block = sim_random_below(l->sim, BLOCKS);

		memset(l->data, (int)(1 + i % 250), sizeof l->data);
		ck_assert_ok(lsvd_volume_write(l->volume, l->data, block * BLOCK_BYTES,
					       sizeof l->data, 0));
		if (i % 64 == 63)
			ck_assert_ok(lsvd_volume_gc(l->volume, 110, 60000));
	}
}

/* Closed at leisure or in haste, and opened again: the copy is gone on with. */
static void first_life(void *arg)
{
	struct life *l = arg;
	struct lsvd_volume_options o = options(0);

	ck_assert_ok(lsvd_volume_create_world(sim_host_world(l->host), "v", VOLUME_BYTES, NULL,
					      NULL));
	for (uint32_t i = 0; i < OPENS; i++) {
		if (i)
			ck_assert_int_ge(lsvd_volume_close(l->volume, i % 2 ? 0 : 60000), 0);
		ck_assert_ok(lsvd_volume_open_world(&l->volume, sim_host_world(l->host), "v", &o));
		write_some(l, i * ROUNDS * 16 / OPENS, (i + 1) * ROUNDS * 16 / OPENS);
	}
	l->finished = true;
}

/* Only data can be read. */
static int only_data(void *ctx, struct sim_host *h, enum io_kind kind, const char *key,
		     const uint8_t *bytes, size_t len)
{
	(void)ctx, (void)h, (void)bytes, (void)len;
	return kind == IO_GET && (strstr(key, "/d/") || strstr(key, "/f/")) ? SIM_AS_USUAL
									     : LSVD_E_UNAVAILABLE;
}

static void offline_life(void *arg)
{
	struct life *l = arg;
	struct lsvd_volume_options o = options(LSVD_OPEN_OFFLINE | LSVD_OPEN_READONLY);
	struct lsvd_stats stats = LSVD_STATS_INIT;

	sim_store_watch(l->sim, only_data, NULL);
	ck_assert_ok(lsvd_volume_open_world(&l->volume, sim_host_world(l->host), "v", &o));
	for (uint32_t block = 0; block <= BLOCKS; block++)
		ck_assert_ok(lsvd_volume_read(l->volume, l->data, (uint64_t)block * BLOCK_BYTES,
					      BLOCK_BYTES));
	ck_assert_ok(lsvd_volume_stats(l->volume, &stats));
	ck_assert_uint_le(stats.live_bytes, (BLOCKS + 1) * BLOCK_BYTES);
	ck_assert_ok(lsvd_volume_close(l->volume, 0));
	l->finished = true;
}

/* The head of a complete mirror, or generation 0. */
static uint64_t generation_of(struct sim_host *h, unsigned which)
{
	uint8_t buf[MIRROR_HEAD_BYTES];
	struct mirror_head head;
	char name[MIRROR_NAME_CAP];

	lsvd_mirror_name(name, sizeof name, "v", which);
	if (sim_file_read(h, name, 0, buf, sizeof buf) < 0 ||
	    lsvd_mirror_head_decode(&head, buf, name) < 0 || !(head.flags & MIRROR_COMPLETE))
		return 0;
	return head.generation;
}

/* False: no mirror was complete by then. */
static bool leave_only_the_newest(struct sim_host *h)
{
	static const uint8_t nothing[MIRROR_HEAD_BYTES];
	uint64_t generation[2] = { generation_of(h, 0), generation_of(h, 1) };
	char name[MIRROR_NAME_CAP];

	lsvd_mirror_name(name, sizeof name, "v", generation[0] > generation[1]);
	(void)sim_file_poke(h, name, 0, nothing, sizeof nothing); /* if it is there */
	return generation[0] || generation[1];
}

static bool over(void *ctx)
{
	return ((struct life *)ctx)->finished;
}

static uint64_t run_until_boundary(struct life *l, uint64_t seed, uint64_t boundary)
{
	l->sim = sim_new(&(struct sim_options){ .seed = seed, .inline_files = 300 });
	l->host = sim_host_new(l->sim, "a");
	l->finished = false;
	sim_spawn(l->host, first_life, l);
	sim_stop_at(l->sim, boundary);
	(void)sim_run_until(l->sim, over, l); /* stopped, or at the end of its life */
	sim_stop_at(l->sim, 0);
	return sim_boundaries(l->sim);
}

/* One power failure at a boundary chosen by chance; true if there was a mirror. */
static bool power_fails(struct life *l, uint64_t seed, uint64_t boundary, enum sim_keep keep)
{
	bool there;

	(void)run_until_boundary(l, seed, boundary);
	sim_host_crash(l->host, keep);
	there = leave_only_the_newest(l->host);
	l->finished = false;
	if (there) {
		sim_spawn(l->host, offline_life, l);
		(void)sim_run_until(l->sim, over, l);
		ck_assert_msg(l->finished, "seed %" PRIu64 ", boundary %" PRIu64 ": hangs", seed,
			      boundary);
		sim_host_halt(l->host);
	}
	sim_free(l->sim);
	return there;
}

START_TEST(sim_mirror_that_is_newest_is_enough)
{
	static struct life l;
	uint64_t seed = 1 + (uint64_t)_i, last = run_until_boundary(&l, seed, 0);
	unsigned tried = 0;

	sim_host_halt(l.host);
	sim_free(l.sim);
	for (uint64_t at = 1 + seed; at < last; at += STRIDE)
		tried += power_fails(&l, seed, at,
				     at / STRIDE % 2 ? SIM_KEEP_NONE : SIM_KEEP_RANDOM);
	ck_assert_uint_ge(tried, TRIED_LEAST);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sim_mirror");
	TCase *c = tcase_create("power");

	tcase_set_timeout(c, 300);
	tcase_add_loop_test(c, sim_mirror_that_is_newest_is_enough, 0, 4);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
