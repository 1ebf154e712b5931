/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_sim_world.c - the simulator itself: what it keeps, what it loses,
 * and that it repeats itself.
 */
#include "sim_world.h"

#include "t_check.h"

#include "base/alloc.h"
#include "io/port.h"

#define FILE_BYTES 65536u

static struct sim *sim;
static struct sim_host *host;
static struct port port;
static struct file *file;

static struct world *world(void)
{
	return sim_host_world(host);
}

static void open_the_file(void)
{
	ck_assert_ok(world()->file->open(world(), "f", FILE_CREATE | FILE_EXCLUSIVE, &file));
}

static void setup(void)
{
	sim = sim_new(&(struct sim_options){ .seed = 7 });
	host = sim_host_new(sim, "h");
	ck_assert_ok(lsvd_port_init(&port, world()));
	open_the_file();
	ck_assert_ok(world()->file->fill(file, FILE_BYTES));
}

static void teardown(void)
{
	sim_free(sim);
}

/* ---- requests that nobody waits for */

struct request {
	struct file_io io;
	uint8_t bytes[4096];
	bool done;
	int err;
};

static void request_done(struct io *io)
{
	struct request *r = io->owner;

	r->done = true;
	r->err = io->err;
}

static void start(struct request *r, enum io_kind kind, uint64_t off, uint8_t fill)
{
	memset(r, 0, sizeof *r);
	memset(r->bytes, fill, sizeof r->bytes);
	r->io = (struct file_io){
		.io = { .kind = kind, .done = request_done, .owner = r },
		.file = file,
		.off = off,
		.buf = r->bytes,
		.len = sizeof r->bytes,
	};
	lsvd_port_enter(&port);
	lsvd_port_start(&port, &r->io.io);
	lsvd_port_leave(&port, true);
}

static void finish(struct request *r)
{
	while (!r->done)
		ck_assert_int_ne(sim_step(sim), SIM_IDLE);
}

static void run_file(enum io_kind kind, uint64_t off, uint8_t fill)
{
	struct request r;

	start(&r, kind, off, fill);
	finish(&r);
	ck_assert_ok(r.err);
}

static uint8_t byte_at(uint64_t off)
{
	uint8_t b = 0;

	ck_assert_ok(sim_file_read(host, "f", off, &b, 1));
	return b;
}

static void cut_power(enum sim_keep keep, unsigned which, enum sim_tear tear)
{
	const struct sim_loss loss = { .keep = keep, .which = which, .tear = tear, .seed = 99 };

	if (!sim_host_undecided(host))
		sim_host_halt(host);
	sim_host_settle(host, &loss);
}

/* -------------------------------------------------------------------------------------- files */

START_TEST(a_sync_makes_stable_what_was_complete_when_it_began)
{
	struct request sync, late;

	run_file(IO_FILE_WRITE, 0, 1);
	start(&sync, IO_FILE_SYNC, 0, 0);
	run_file(IO_FILE_WRITE, 4096, 2);
	start(&late, IO_FILE_WRITE, 8192, 3);
	finish(&sync);
	ck_assert_uint_ge(sim_host_unstable(host), 1);
	cut_power(SIM_KEEP_NONE, 0, SIM_TEAR_NONE);
	ck_assert_uint_eq(byte_at(0), 1);
	ck_assert_uint_eq(byte_at(8192), 0);
}
END_TEST

START_TEST(a_write_that_completed_during_the_sync_may_be_lost)
{
	struct request sync;
	bool lost = false;

	/* The order of the two is chance: in some of them the write completes first. */
	for (unsigned i = 0; i < 50 && !lost; i++) {
		start(&sync, IO_FILE_SYNC, 0, 0);
		run_file(IO_FILE_WRITE, 4096, 2);
		finish(&sync);
		lost = sim_host_unstable(host) == 1;
	}
	ck_assert(lost);
	cut_power(SIM_KEEP_NONE, 0, SIM_TEAR_NONE);
	ck_assert_uint_eq(byte_at(4096), 0);
}
END_TEST

START_TEST(a_killed_process_loses_nothing_that_completed)
{
	run_file(IO_FILE_WRITE, 0, 1);
	sim_host_crash(host, SIM_KILLED);
	ck_assert_uint_eq(byte_at(0), 1);
	/* … but the machine still may. */
	cut_power(SIM_KEEP_NONE, 0, SIM_TEAR_NONE);
	ck_assert_uint_eq(byte_at(0), 0);
}
END_TEST

START_TEST(a_lost_power_keeps_what_it_is_told_to_keep)
{
	struct sim_image *image;

	for (unsigned i = 0; i < 3; i++)
		run_file(IO_FILE_WRITE, i * 4096, (uint8_t)(i + 1));
	sim_host_halt(host);
	image = sim_image_take(sim);

	cut_power(SIM_KEEP_ALL_BUT, 1, SIM_TEAR_NONE);
	ck_assert_uint_eq(byte_at(0), 1);
	ck_assert_uint_eq(byte_at(4096), 0);
	ck_assert_uint_eq(byte_at(8192), 3);
	sim_image_restore(sim, image);
	cut_power(SIM_KEEP_ONLY, 1, SIM_TEAR_NONE);
	ck_assert_uint_eq(byte_at(0), 0);
	ck_assert_uint_eq(byte_at(4096), 2);
	ck_assert_uint_eq(byte_at(8192), 0);
	sim_image_restore(sim, image);
	cut_power(SIM_KEEP_PREFIX, 2, SIM_TEAR_NONE);
	ck_assert_uint_eq(byte_at(4096), 2);
	ck_assert_uint_eq(byte_at(8192), 0);
	sim_image_restore(sim, image);
	cut_power(SIM_KEEP_ALL, 0, SIM_TEAR_NONE);
	ck_assert_uint_eq(byte_at(8192), 3);
	sim_image_free(image);
}
END_TEST

static unsigned count_sectors(uint8_t value)
{
	unsigned n = 0;

	for (unsigned s = 0; s < 8; s++) {
		uint8_t sector[512];
		bool all = true;

		ck_assert_ok(sim_file_read(host, "f", s * 512, sector, sizeof sector));
		for (unsigned i = 0; i < sizeof sector; i++)
			all = all && sector[i] == value;
		n += all;
	}
	return n;
}

START_TEST(a_torn_write_is_there_in_part)
{
	struct sim_image *image;

	run_file(IO_FILE_WRITE, 0, 1);
	run_file(IO_FILE_SYNC, 0, 0);
	run_file(IO_FILE_WRITE, 0, 2);
	sim_host_halt(host);
	image = sim_image_take(sim);

	cut_power(SIM_KEEP_ALL, 0, SIM_TEAR_PREFIX);
	ck_assert_uint_eq(count_sectors(1) + count_sectors(2), 8);
	ck_assert_uint_lt(count_sectors(2), 8);
	sim_image_restore(sim, image);
	cut_power(SIM_KEEP_ALL, 0, SIM_TEAR_GARBAGE);
	ck_assert_uint_eq(count_sectors(2), 7);
	ck_assert_uint_eq(count_sectors(1), 0);
	sim_image_restore(sim, image);
	cut_power(SIM_KEEP_ALL, 0, SIM_TEAR_ZEROED);
	ck_assert_uint_eq(count_sectors(0), 8);
	sim_image_free(image);
}
END_TEST

START_TEST(every_loss_leaves_what_was_synced)
{
	struct sim_loss losses[64];
	struct sim_image *image;
	struct request pending;
	unsigned n;

	run_file(IO_FILE_WRITE, 0, 1);
	run_file(IO_FILE_SYNC, 0, 0);
	for (unsigned i = 1; i < 5; i++)
		run_file(IO_FILE_WRITE, i * 4096, 2);
	start(&pending, IO_FILE_WRITE, 5 * 4096, 3);
	sim_host_halt(host);
	image = sim_image_take(sim);
	n = sim_losses(host, losses, 64);
	ck_assert_uint_gt(n, 20);
	for (unsigned i = 0; i < n; i++) {
		sim_image_restore(sim, image);
		sim_host_settle(host, &losses[i]);
		ck_assert_uint_eq(count_sectors(1), 8);
	}
	sim_image_free(image);
}
END_TEST

START_TEST(a_failed_sync_loses_what_the_page_cache_still_shows)
{
	struct request r;

	run_file(IO_FILE_WRITE, 0, 1);
	sim_host_fail_sync(host, 1);
	start(&r, IO_FILE_SYNC, 0, 0);
	finish(&r);
	ck_assert_int_eq(r.err, -EIO);
	run_file(IO_FILE_SYNC, 0, 0); /* the next one succeeds, and means nothing */
	start(&r, IO_FILE_READ, 0, 0);
	finish(&r);
	ck_assert_uint_eq(r.bytes[0], 1);
	start(&r, IO_FILE_READ, 0, 9);
	finish(&r);
	lsvd_port_enter(&port);
	r.done = false;
	r.io.past_cache = true;
	lsvd_port_start(&port, &r.io.io);
	lsvd_port_leave(&port, true);
	finish(&r);
	ck_assert_uint_eq(r.bytes[0], 0);
	sim_host_crash(host, SIM_KEEP_ALL);
	ck_assert_uint_eq(byte_at(0), 0);
}
END_TEST

START_TEST(a_file_is_locked_until_its_host_stops)
{
	struct file *second;

	ck_assert_int_eq(world()->file->open(world(), "f", FILE_EXCLUSIVE, &second), LSVD_E_LOCKED);
	ck_assert_int_eq(world()->file->open(world(), "g", 0, &second), -ENOENT);
	sim_host_crash(host, SIM_KILLED);
	open_the_file();
}
END_TEST

/* ------------------------------------------------------------------------------------ the store */

struct message {
	struct obj_io io;
	struct iovec iov;
	char bytes[8];
	bool done;
};

static void call_done(struct io *io)
{
	struct message *c = io->owner;

	c->done = true;
}

static void send(struct message *c, enum io_kind kind, const char *key, const char *bytes)
{
	memset(c, 0, sizeof *c);
	c->io.io = (struct io){ .kind = kind, .done = call_done, .owner = c };
	(void)snprintf(c->io.key, sizeof c->io.key, "%s", key);
	(void)snprintf(c->bytes, sizeof c->bytes, "%s", bytes);
	c->iov = (struct iovec){ c->bytes, strlen(c->bytes) };
	c->io.iov = &c->iov;
	c->io.iovcnt = 1;
	c->io.buf = c->bytes;
	c->io.len = sizeof c->bytes;
	lsvd_port_enter(&port);
	lsvd_port_start(&port, &c->io.io);
	lsvd_port_leave(&port, true);
}

static int call(enum io_kind kind, const char *key, const char *bytes)
{
	struct message c;

	send(&c, kind, key, bytes);
	(void)sim_run(sim);
	ck_assert(c.done);
	return c.io.io.err;
}

START_TEST(one_of_racing_puts_wins)
{
	struct message c[8];
	unsigned won = 0;

	for (unsigned i = 0; i < 8; i++)
		send(&c[i], IO_PUT, "k", i % 2 ? "odd" : "even");
	(void)sim_run(sim);
	for (unsigned i = 0; i < 8; i++) {
		ck_assert(c[i].io.io.err == 0 || c[i].io.io.err == -EEXIST);
		won += c[i].io.io.err == 0;
	}
	ck_assert_uint_eq(won, 1);
	ck_assert_err(call(IO_HEAD, "q", ""), -ENOENT);
	ck_assert_ok(call(IO_REMOVE, "k", ""));
	ck_assert_ok(call(IO_REMOVE, "k", ""));
	ck_assert_err(call(IO_GET, "k", ""), -ENOENT);
}
END_TEST

START_TEST(an_effect_may_be_seen_before_its_answer)
{
	struct message c;
	size_t len;

	send(&c, IO_PUT, "k", "v");
	ck_assert_ptr_null(sim_store_find(sim, "k", &len));
	(void)sim_step(sim);
	ck_assert_ptr_nonnull(sim_store_find(sim, "k", &len));
	ck_assert(!c.done);
	(void)sim_step(sim);
	ck_assert(c.done);
}
END_TEST

START_TEST(a_put_of_a_stopped_host_lands_or_not_or_much_later)
{
	static const enum sim_objects how[3] = { SIM_OBJECTS_LOST, SIM_OBJECTS_LANDED,
						 SIM_OBJECTS_GHOSTS };
	struct sim_image *image;
	struct message c;
	size_t len;

	send(&c, IO_PUT, "k", "v");
	sim_host_halt(host);
	image = sim_image_take(sim);
	for (unsigned i = 0; i < 3; i++) {
		const struct sim_loss loss = { .objects = how[i], .seed = 1 };

		sim_image_restore(sim, image);
		sim_host_settle(host, &loss);
		ck_assert((sim_store_find(sim, "k", &len) != NULL) ==
			  (how[i] == SIM_OBJECTS_LANDED));
	}
	ck_assert_int_eq(sim_run(sim), SIM_IDLE);
	ck_assert_ptr_null(sim_store_find(sim, "k", &len));
	ck_assert(sim_ghost_land(sim));
	ck_assert_ptr_nonnull(sim_store_find(sim, "k", &len));
	ck_assert(!sim_ghost_land(sim));
	sim_image_free(image);
}
END_TEST

START_TEST(failures_have_their_effect_or_not_as_they_say)
{
	size_t len;

	sim_set_rates(sim, &(struct sim_options){ .fail_before = 1000 });
	ck_assert_err(call(IO_PUT, "a", "v"), LSVD_E_UNAVAILABLE);
	sim_set_rates(sim, &(struct sim_options){ .fail_after = 1000 });
	ck_assert_err(call(IO_PUT, "b", "v"), LSVD_E_UNAVAILABLE);
	sim_set_rates(sim, &(struct sim_options){ .fail_late = 1000 });
	ck_assert_err(call(IO_PUT, "c", "v"), LSVD_E_UNAVAILABLE);
	ck_assert_ptr_null(sim_store_find(sim, "a", &len));
	ck_assert_ptr_nonnull(sim_store_find(sim, "b", &len));
	ck_assert_ptr_null(sim_store_find(sim, "c", &len));
	sim_ghosts_land(sim);
	ck_assert_ptr_nonnull(sim_store_find(sim, "c", &len));
}
END_TEST

/* ------------------------------------------------------------------------------- fibers, clock */

static unsigned woken;

static void sleeper(void *arg)
{
	void *mine = lsvd_malloc(1000);

	(void)mine;
	sim_sleep(host, *(const unsigned *)arg);
	woken++;
}

START_TEST(the_clock_goes_on_when_nothing_else_happens)
{
	static const unsigned ms[2] = { 500, 90000 };
	uint64_t began = sim_now_ms(sim);

	woken = 0;
	sim_spawn(host, sleeper, (void *)(uintptr_t)&ms[0]);
	sim_spawn(host, sleeper, (void *)(uintptr_t)&ms[1]);
	ck_assert_int_eq(sim_run(sim), SIM_IDLE);
	ck_assert_uint_eq(woken, 2);
	ck_assert_uint_eq(sim_now_ms(sim), began + 90000);
}
END_TEST

START_TEST(a_stopped_host_has_no_fibers_and_no_memory)
{
	static const unsigned ms = 1000;

	woken = 0;
	sim_spawn(host, sleeper, (void *)(uintptr_t)&ms);
	(void)sim_run_steps(sim, 1);
	ck_assert_uint_eq(sim_host_memory(host, NULL), 1000);
	sim_host_crash(host, SIM_KEEP_NONE);
	ck_assert_uint_eq(sim_host_memory(host, NULL), 0);
	ck_assert_int_eq(sim_run(sim), SIM_IDLE);
	ck_assert_uint_eq(woken, 0);
}
END_TEST

START_TEST(a_frozen_host_hears_nothing_until_it_is_thawed)
{
	struct message c;
	size_t len;

	send(&c, IO_PUT, "k", "v");
	sim_host_freeze(host, true);
	ck_assert_int_eq(sim_run(sim), SIM_IDLE);
	ck_assert_ptr_nonnull(sim_store_find(sim, "k", &len));
	ck_assert(!c.done);
	sim_host_freeze(host, false);
	ck_assert_int_eq(sim_run(sim), SIM_IDLE);
	ck_assert(c.done);
}
END_TEST

START_TEST(a_run_stops_at_its_boundary)
{
	struct request r[4];
	uint64_t now = sim_boundaries(sim);

	for (unsigned i = 0; i < 4; i++)
		start(&r[i], IO_FILE_WRITE, i * 4096, 1);
	ck_assert_uint_eq(sim_boundaries(sim), now + 4);
	sim_stop_at(sim, now + 6);
	ck_assert_int_eq(sim_run(sim), SIM_STOPPED);
	ck_assert_uint_eq((unsigned)r[0].done + r[1].done + r[2].done + r[3].done, 2);
	sim_stop_at(sim, 0);
	ck_assert_int_eq(sim_run(sim), SIM_IDLE);
	ck_assert(r[0].done && r[1].done && r[2].done && r[3].done);
}
END_TEST

static uint64_t digest_of(uint64_t seed)
{
	struct sim *s;
	uint64_t digest;

	sim_free(sim);
	sim = s = sim_new(&(struct sim_options){ .seed = seed, .fail_after = 100 });
	host = sim_host_new(sim, "h");
	ck_assert_ok(lsvd_port_init(&port, world()));
	open_the_file();
	ck_assert_ok(world()->file->fill(file, FILE_BYTES));
	for (unsigned i = 0; i < 8; i++) {
		struct request r[2];
		struct message c;

		start(&r[0], IO_FILE_WRITE, i * 4096, 1);
		start(&r[1], IO_FILE_SYNC, 0, 0);
		send(&c, IO_PUT, i % 2 ? "a" : "b", "v");
		(void)sim_run(sim);
	}
	digest = sim_digest(sim);
	return digest;
}

START_TEST(the_same_seed_happens_twice)
{
	uint64_t first = digest_of(3);

	ck_assert_uint_eq(digest_of(3), first);
	ck_assert_uint_ne(digest_of(4), first);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("sim_world");
	TCase *c = tcase_create("files");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, a_sync_makes_stable_what_was_complete_when_it_began);
	tcase_add_test(c, a_write_that_completed_during_the_sync_may_be_lost);
	tcase_add_test(c, a_killed_process_loses_nothing_that_completed);
	tcase_add_test(c, a_lost_power_keeps_what_it_is_told_to_keep);
	tcase_add_test(c, a_torn_write_is_there_in_part);
	tcase_add_test(c, every_loss_leaves_what_was_synced);
	tcase_add_test(c, a_failed_sync_loses_what_the_page_cache_still_shows);
	tcase_add_test(c, a_file_is_locked_until_its_host_stops);
	suite_add_tcase(s, c);

	c = tcase_create("store");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, one_of_racing_puts_wins);
	tcase_add_test(c, an_effect_may_be_seen_before_its_answer);
	tcase_add_test(c, a_put_of_a_stopped_host_lands_or_not_or_much_later);
	tcase_add_test(c, failures_have_their_effect_or_not_as_they_say);
	suite_add_tcase(s, c);

	c = tcase_create("running");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, the_clock_goes_on_when_nothing_else_happens);
	tcase_add_test(c, a_stopped_host_has_no_fibers_and_no_memory);
	tcase_add_test(c, a_frozen_host_hears_nothing_until_it_is_thawed);
	tcase_add_test(c, a_run_stops_at_its_boundary);
	tcase_add_test(c, the_same_seed_happens_twice);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(suite)
