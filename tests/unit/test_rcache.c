/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the read cache's index: places, victims, what is kept over a restart, several openers.
 */
#include <pthread.h>

#include "io/world_real.h"
#include "rcache/rcache.h"
#include "t_volume.h"

#define OWNER 77u

static char *dir;
static struct world *world;
static struct port port;

static void setup(void)
{
	dir = tmpdir_new();
	ck_assert_ok(lsvd_world_real_open(&world, NULL, dir, false));
	ck_assert_ok(lsvd_port_init(&port, world));
}

static void teardown(void)
{
	lsvd_port_fini(&port);
	lsvd_world_real_close(world);
	tmpdir_free(dir);
}

static struct rcache *open_lines(unsigned lines)
{
	struct rcache *c;

	ck_assert_ok(lsvd_rcache_open(&c, &port, (uint64_t)lines * RCACHE_LINE_BYTES));
	return c;
}

static uint64_t size_of(const char *name)
{
	char *path = tmpdir_path(dir, name);
	uint64_t n = tv_file_size(path);

	free(path);
	return n;
}

START_TEST(rcache_finds_what_was_placed_and_nothing_else)
{
	struct rcache *c = open_lines(1024);
	uint64_t off, placed;

	ck_assert(!lsvd_rcache_find(c, OWNER, 5, 3, &off));
	placed = lsvd_rcache_place(c, OWNER, 5, 3);
	ck_assert(lsvd_rcache_find(c, OWNER, 5, 3, &off));
	ck_assert_uint_eq(off, placed);
	ck_assert_uint_eq(lsvd_rcache_place(c, OWNER, 5, 3), placed); /* a line has one slot */
	ck_assert(!lsvd_rcache_find(c, OWNER, 5, 4, &off));
	ck_assert(!lsvd_rcache_find(c, OWNER, 6, 3, &off));
	ck_assert(!lsvd_rcache_find(c, OWNER + 1, 5, 3, &off));
	lsvd_rcache_close(c);
}
END_TEST

START_TEST(rcache_slots_do_not_overlap_and_lie_within_the_file)
{
	struct rcache *c = open_lines(64);
	uint64_t slots = lsvd_rcache_slots(c), off;
	char used[64] = { 0 };

	ck_assert_uint_eq(slots, 64);
	for (uint32_t line = 0; line < 2000; line++) {
		off = lsvd_rcache_place(c, OWNER, 1, line);
		ck_assert_uint_eq((off - 4096) % RCACHE_LINE_BYTES, 0);
		ck_assert_uint_lt((off - 4096) / RCACHE_LINE_BYTES, slots);
		used[(off - 4096) / RCACHE_LINE_BYTES] = 1;
	}
	for (unsigned i = 0; i < 64; i++)
		ck_assert_int_eq(used[i], 1); /* all of the room is used */
	ck_assert_uint_eq(size_of("rcache.0"), 4096 + 64 * RCACHE_LINE_BYTES);
	lsvd_rcache_close(c);
}
END_TEST

/* One set of 8: what is read stays, what was placed and never read again goes first. */
START_TEST(rcache_gives_up_lines_that_are_not_read)
{
	struct rcache *c = open_lines(8);
	uint64_t off;

	ck_assert_uint_eq(lsvd_rcache_slots(c), 8);
	(void)lsvd_rcache_place(c, OWNER, 1, 0);
	for (uint32_t line = 1; line < 100; line++) {
		ck_assert(lsvd_rcache_find(c, OWNER, 1, 0, &off));
		(void)lsvd_rcache_place(c, OWNER, 1, line);
	}
	ck_assert(lsvd_rcache_find(c, OWNER, 1, 0, &off));
	ck_assert(lsvd_rcache_find(c, OWNER, 1, 99, &off));
	ck_assert(!lsvd_rcache_find(c, OWNER, 1, 50, &off));
	lsvd_rcache_close(c);
}
END_TEST

/* Lines are spread over the sets, so that none overflows while others have room. */
START_TEST(rcache_keeps_nearly_all_lines_while_it_is_four_fifths_full)
{
	struct rcache *c = open_lines(16384);
	uint32_t lines = (uint32_t)(lsvd_rcache_slots(c) * 4 / 5), missing = 0;
	uint64_t off;

	for (uint32_t i = 0; i < lines; i++)
		(void)lsvd_rcache_place(c, OWNER, i / 128, i % 128);
	for (uint32_t i = 0; i < lines; i++)
		missing += !lsvd_rcache_find(c, OWNER, i / 128, i % 128, &off);
	ck_assert_uint_le(missing, lines / 1000);
	lsvd_rcache_close(c);
}
END_TEST

START_TEST(rcache_keeps_its_index_over_a_restart)
{
	struct rcache *c = open_lines(512);
	uint64_t offs[40], off;

	for (uint32_t i = 0; i < 40; i++)
		offs[i] = lsvd_rcache_place(c, OWNER, i, i);
	lsvd_rcache_close(c);
	c = open_lines(512);
	for (uint32_t i = 0; i < 40; i++) {
		ck_assert(lsvd_rcache_find(c, OWNER, i, i, &off));
		ck_assert_uint_eq(off, offs[i]);
	}
	lsvd_rcache_close(c);
	/* Of another size it is another cache. */
	c = open_lines(1024);
	ck_assert_uint_eq(size_of("rcache.0"), 4096 + 1024 * RCACHE_LINE_BYTES);
	lsvd_rcache_close(c);
}
END_TEST

START_TEST(rcache_takes_any_index_it_finds)
{
	struct rcache *c = open_lines(512);
	char *path = tmpdir_path(dir, "rcache.0");
	uint8_t garbage[4096];
	uint64_t off;

	lsvd_rcache_close(c);
	t_fill(garbage, sizeof garbage, 1);
	tv_poke(path, garbage, sizeof garbage, 0);
	c = open_lines(512);
	for (uint32_t line = 0; line < 5000; line++) {
		uint64_t placed = lsvd_rcache_place(c, OWNER, 1, line);

		ck_assert(lsvd_rcache_find(c, OWNER, 1, line, &off));
		ck_assert_uint_eq(off, placed);
		ck_assert_uint_le(off + RCACHE_LINE_BYTES, size_of("rcache.0"));
	}
	lsvd_rcache_close(c);
	free(path);
}
END_TEST

static const struct file_ops *real_files;

/* A disk that cannot read the file's first block, until it is written anew. */
static void bad_sector(struct file_io *io, bool may_wait)
{
	if (io->io.kind != IO_FILE_READ || io->off) {
		real_files->start(io, may_wait);
		return;
	}
	io->io.err = -EIO;
	lsvd_port_finish(&io->io);
}

START_TEST(rcache_whose_index_cannot_be_read_begins_empty)
{
	struct rcache *c = open_lines(512);
	struct file_ops bad = *world->file;
	uint64_t off;

	(void)lsvd_rcache_place(c, OWNER, 1, 1);
	lsvd_rcache_close(c);
	real_files = world->file;
	bad.start = bad_sector;
	world->file = &bad;
	c = open_lines(512);
	ck_assert(!lsvd_rcache_find(c, OWNER, 1, 1, &off));
	(void)lsvd_rcache_place(c, OWNER, 1, 1);
	lsvd_rcache_close(c);
	world->file = real_files;
	c = open_lines(512);
	ck_assert(lsvd_rcache_find(c, OWNER, 1, 1, &off));
	lsvd_rcache_close(c);
}
END_TEST

START_TEST(rcache_of_another_opener_is_not_touched)
{
	struct rcache *a = open_lines(64), *b = open_lines(128), *c;

	ck_assert_uint_eq(size_of("rcache.0"), 4096 + 64 * RCACHE_LINE_BYTES);
	ck_assert_uint_eq(size_of("rcache.1"), 4096 + 128 * RCACHE_LINE_BYTES);
	lsvd_rcache_close(a);
	c = open_lines(64); /* the first one is free again */
	ck_assert_ptr_ne(lsvd_rcache_file(c), lsvd_rcache_file(b));
	ck_assert_uint_eq(size_of("rcache.0"), 4096 + 64 * RCACHE_LINE_BYTES);
	lsvd_rcache_close(b);
	lsvd_rcache_close(c);
}
END_TEST

START_TEST(rcache_smaller_than_one_set_has_one)
{
	struct rcache *c;

	ck_assert_ok(lsvd_rcache_open(&c, &port, 1));
	ck_assert_uint_eq(lsvd_rcache_slots(c), 8);
	lsvd_rcache_close(c);
	lsvd_rcache_close(NULL);
}
END_TEST

static void *use(void *ctx)
{
	uint64_t seed = (uint64_t)(uintptr_t)&seed, off;

	for (unsigned i = 0; i < 20000; i++) {
		uint32_t line = (uint32_t)t_random_below(&seed, 300);

		if (i % 7 == 0 || !lsvd_rcache_find(ctx, OWNER, 1, line, &off))
			(void)lsvd_rcache_place(ctx, OWNER, 1, line);
	}
	return NULL;
}

START_TEST(rcache_is_shared_by_threads)
{
	struct rcache *c = open_lines(128);
	pthread_t threads[3];
	uint64_t off;

	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, use, c), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	(void)lsvd_rcache_place(c, OWNER, 2, 2);
	ck_assert(lsvd_rcache_find(c, OWNER, 2, 2, &off));
	lsvd_rcache_close(c);
}
END_TEST

static Suite *rcache_suite(void)
{
	Suite *s = suite_create("rcache");
	TCase *c = tcase_create("index");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, rcache_finds_what_was_placed_and_nothing_else);
	tcase_add_test(c, rcache_keeps_nearly_all_lines_while_it_is_four_fifths_full);
	tcase_add_test(c, rcache_slots_do_not_overlap_and_lie_within_the_file);
	tcase_add_test(c, rcache_gives_up_lines_that_are_not_read);
	tcase_add_test(c, rcache_keeps_its_index_over_a_restart);
	tcase_add_test(c, rcache_takes_any_index_it_finds);
	tcase_add_test(c, rcache_whose_index_cannot_be_read_begins_empty);
	tcase_add_test(c, rcache_of_another_opener_is_not_touched);
	tcase_add_test(c, rcache_smaller_than_one_set_has_one);
	tcase_add_test(c, rcache_is_shared_by_threads);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(rcache_suite)
