/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_io_port.c - entering, leaving, the loop in between, bound to the real world (world_real.h).
 */
#include <pthread.h>
#include <semaphore.h>

#include <lsvd/store.h>

#include "base/err.h"
#include "io/port.h"
#include "io/world_real.h"
#include "store_fault.h"
#include "t_check.h"
#include "tmpdir.h"

static char *dir;
static struct world *world;
static struct lsvd_store *store;
static struct store_fault *fault;
static struct port *port;
static struct file *file;

/* The store is not inline: its requests end on other threads. */
static void setup(void)
{
	struct lsvd_store *inner;

	dir = tmpdir_new();
	ck_assert_ok(lsvd_store_open(&inner, "mem:", NULL));
	ck_assert_ok(store_fault_open(&store, &fault, inner, 1));
	ck_assert_ok(lsvd_world_real_open(&world, store, dir, false));
	ck_assert_ok(world->file->open(world, "f", FILE_CREATE, &file));
	port = malloc(sizeof *port);
	ck_assert_ptr_nonnull(port);
	ck_assert_ok(lsvd_port_init(port, world));
}

static void teardown(void)
{
	lsvd_port_fini(port);
	free(port); /* whoever still uses it is found by a sanitizer */
	world->file->close(file);
	lsvd_world_real_close(world);
	lsvd_store_close(store);
	tmpdir_free(dir);
}

static void assert_locked(void)
{
	ck_assert_int_eq(pthread_mutex_trylock(&port->lock), EBUSY);
}

/* ---------------------------------------------------------------------------------- one request */

static unsigned done_count;

static void count_done(struct io *io)
{
	(void)io;
	assert_locked();
	done_count++;
}

START_TEST(io_port_request_that_ends_in_its_start_is_done_when_leave_returns)
{
	struct file_io w = { .io = { .kind = IO_FILE_WRITE, .done = count_done },
			     .file = file,
			     .buf = dir,
			     .len = 5 };

	done_count = 0;
	lsvd_port_enter(port);
	lsvd_port_start(port, &w.io);
	ck_assert_uint_eq(done_count, 0); /* nothing happens under the lock */
	lsvd_port_leave(port, false);
	ck_assert_uint_eq(done_count, 1);
	ck_assert_int_eq(w.io.err, 0);
}
END_TEST

static char trail[8];

static void add_to_trail(char c)
{
	size_t len = strlen(trail);

	ck_assert_uint_lt(len, sizeof trail - 1);
	trail[len] = c;
}

static void on_prepare(struct io *io)
{
	(void)io;
	add_to_trail('p');
}

static void on_conclude(struct io *io)
{
	add_to_trail('c');
	io->err = -EPROTO;
}

static void on_done(struct io *io)
{
	ck_assert_int_eq(io->err, -EPROTO);
	add_to_trail('d');
}

START_TEST(io_port_prepare_and_conclude_are_called_once_each_around_the_request)
{
	struct file_io w = { .io = { .kind = IO_FILE_WRITE,
				     .prepare = on_prepare,
				     .conclude = on_conclude,
				     .done = on_done },
			     .file = file,
			     .buf = dir,
			     .len = 5 };

	memset(trail, 0, sizeof trail);
	lsvd_port_enter(port);
	lsvd_port_start(port, &w.io);
	lsvd_port_leave(port, true);
	ck_assert_str_eq(trail, "pcd");
}
END_TEST

/* -------------------------------------------------------------------------- requests that go on */

struct chain {
	struct io io;
	struct file_io write;
	struct job_io job;
	unsigned left, depth, deepest;
	bool over;
};

static void nothing(struct job_io *job)
{
	(void)job;
}

static void next_of_chain(struct io *io)
{
	struct chain *c = io->owner;

	assert_locked();
	c->depth++;
	if (c->depth > c->deepest)
		c->deepest = c->depth;
	if (c->left-- == 0)
		c->over = true;
	else if (c->left % 2)
		lsvd_port_start(port, &c->write.io);
	else
		lsvd_port_start(port, &c->job.io);
	c->depth--;
}

START_TEST(io_port_done_may_start_the_next_without_recursion)
{
	struct chain c = {
		.write = { .io = { .kind = IO_FILE_WRITE, .done = next_of_chain, .owner = &c },
			   .file = file,
			   .buf = dir,
			   .len = 5 },
		.job = { .io = { .kind = IO_JOB, .done = next_of_chain, .owner = &c },
			 .run = nothing },
		.left = 5000,
	};

	lsvd_port_enter(port);
	lsvd_port_start(port, &c.write.io);
	while (!c.over)
		lsvd_port_wait(port);
	lsvd_port_leave(port, true);
	ck_assert_uint_eq(c.deepest, 1);
	ck_assert_uint_eq(port->in_world, 0);
}
END_TEST

struct again {
	struct call call;
	unsigned left, depth;
};

static void call_again(struct call *call)
{
	struct again *a = lsvd_container_of(call, struct again, call);

	ck_assert_uint_eq(a->depth, 0);
	a->depth++;
	/* No lock is held in a callback: this would not return otherwise. */
	lsvd_port_enter(port);
	if (a->left-- > 0)
		lsvd_port_call(port, &a->call);
	lsvd_port_leave(port, true);
	a->depth--;
}

START_TEST(io_port_callback_may_call_the_core_again_without_recursion)
{
	struct again a = { .call = { .fn = call_again }, .left = 5000 };

	lsvd_port_enter(port);
	lsvd_port_call(port, &a.call);
	lsvd_port_leave(port, true);
	ck_assert_uint_eq(a.left, UINT32_MAX);
}
END_TEST

/* ------------------------------------------------------------------------------ several at once */

START_TEST(io_port_slow_requests_that_start_together_run_together)
{
	struct obj_io get[3];
	struct io *ios[3];
	struct fault_rule hold = { .verbs = FAULT_GET, .times = 2, .kind = FAULT_HOLD };
	struct iovec iov = { dir, 4 };
	char buf[3][4];

	ck_assert_ok(lsvd_store_put_if_absent(store, "k", &iov, 1));
	ck_assert_ok(store_fault_add(fault, &hold));
	for (unsigned i = 0; i < 3; i++) {
		get[i] = (struct obj_io){ .io = { .kind = IO_GET, .done = count_done },
					  .key = "k",
					  .buf = buf[i],
					  .len = 4 };
		ios[i] = &get[i].io;
	}
	done_count = 0;
	lsvd_port_enter(port);
	lsvd_port_start(port, ios[0]);
	lsvd_port_start(port, ios[1]);
	lsvd_port_leave(port, false);
	store_fault_wait_held(fault, 2);
	ck_assert_ok(lsvd_port_run1(port, ios[2]));
	store_fault_release(fault);
	lsvd_port_enter(port);
	while (done_count < 2)
		lsvd_port_wait(port);
	lsvd_port_leave(port, true);
}
END_TEST

static void *release_when_two_are_held(void *arg)
{
	store_fault_wait_held(arg, 2);
	store_fault_release(arg);
	return NULL;
}

START_TEST(io_port_thread_that_may_wait_does_not_hold_up_the_others)
{
	const struct fault_rule hold = { .verbs = FAULT_GET, .times = 2, .kind = FAULT_HOLD };
	struct obj_io get[2];
	struct io *ios[2];
	struct iovec iov = { dir, 4 };
	pthread_t helper;
	char buf[2][4];

	ck_assert_ok(lsvd_store_put_if_absent(store, "k", &iov, 1));
	ck_assert_ok(store_fault_add(fault, &hold));
	for (unsigned i = 0; i < 2; i++) {
		get[i] = (struct obj_io){ .io = { .kind = IO_GET },
					  .key = "k",
					  .buf = buf[i],
					  .len = 4 };
		ios[i] = &get[i].io;
	}
	/* Were the first one done by this thread, the second would never come. */
	ck_assert_int_eq(pthread_create(&helper, NULL, release_when_two_are_held, fault), 0);
	ck_assert_ok(lsvd_port_run(port, ios, 2));
	ck_assert_int_eq(pthread_join(helper, NULL), 0);
}
END_TEST

/* A blocking call that is over, and a read of the store that others have begun meanwhile. */
struct ending {
	struct call call;
	struct event ended;
	struct obj_io get;
};

static void end_and_start_a_get(struct call *call)
{
	struct ending *e = lsvd_container_of(call, struct ending, call);

	lsvd_port_set_event(port, &e->ended);
	lsvd_port_enter(port);
	lsvd_port_start(port, &e->get.io);
	lsvd_port_leave(port, false);
}

START_TEST(io_port_call_that_has_ended_does_no_slow_work_of_others)
{
	const struct fault_rule hold = { .verbs = FAULT_GET, .times = 1, .kind = FAULT_HOLD };
	struct iovec iov = { dir, 4 };
	char buf[4];
	struct ending e = {
		.call = { .fn = end_and_start_a_get },
		.get = { .io = { .kind = IO_GET, .done = count_done }, .key = "k", .buf = buf,
			 .len = 4 },
	};

	ck_assert_ok(lsvd_store_put_if_absent(store, "k", &iov, 1));
	ck_assert_ok(store_fault_add(fault, &hold));
	done_count = 0;
	lsvd_port_enter(port);
	lsvd_port_call(port, &e.call);
	lsvd_port_leave_until(port, &e.ended); /* would not return if it did the GET itself */
	store_fault_wait_held(fault, 1);
	store_fault_release(fault);
	lsvd_port_enter(port);
	while (done_count < 1)
		lsvd_port_wait(port);
	lsvd_port_leave(port, true);
}
END_TEST

static void *set_event(void *arg)
{
	lsvd_port_set_event(port, arg);
	return NULL;
}

START_TEST(io_port_event_set_before_or_after_the_wait_begins_ends_it)
{
	for (unsigned i = 0; i < 200; i++) {
		struct event e = { EVENT_UNSET };
		pthread_t helper;

		ck_assert_int_eq(pthread_create(&helper, NULL, set_event, &e), 0);
		lsvd_port_enter(port);
		lsvd_port_leave_until(port, &e);
		ck_assert_uint_eq(e.state, EVENT_SET);
		ck_assert_int_eq(pthread_join(helper, NULL), 0);
	}
}
END_TEST

START_TEST(io_port_run_returns_the_first_error_in_order_with_its_text)
{
	struct obj_io head[3] = {
		{ .io = { .kind = IO_HEAD }, .key = "there" },
		{ .io = { .kind = IO_HEAD }, .key = "missing-1" },
		{ .io = { .kind = IO_HEAD }, .key = "refused-2" },
	};
	struct io *ios[3] = { &head[0].io, &head[1].io, &head[2].io };
	struct fault_rule refuse = { .key = "refused", .kind = FAULT_FAIL, .err = -EACCES };

	ck_assert_ok(lsvd_store_put_if_absent(store, "there", NULL, 0));
	ck_assert_ok(store_fault_add(fault, &refuse));
	(void)lsvd_fail(-1, "an older text");
	ck_assert_err(lsvd_port_run(port, ios, 3), -ENOENT);
	ck_assert_error_says("missing-1");
	ck_assert_ok(lsvd_port_run(port, ios, 1));
}
END_TEST

/* --------------------------------------------------------------------------------- many threads */

enum { THREADS = 6, ROUNDS = 300, SLOT = 512 };

struct user {
	pthread_t thread;
	unsigned id;
};

/* Each thread writes its own part of the file, syncs now and then, and reads back. */
static void *use_port(void *arg)
{
	struct user *u = arg;
	unsigned char out[SLOT], in[SLOT];

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t off = ((uint64_t)u->id * 16 + i % 16) * SLOT;
		struct file_io w = { .io.kind = IO_FILE_WRITE, .file = file, .off = off, .buf = out,
				     .len = SLOT };
		struct file_io r = { .io.kind = IO_FILE_READ, .file = file, .off = off, .buf = in,
				     .len = SLOT };
		struct file_io s = { .io.kind = IO_FILE_SYNC, .file = file };

		t_fill(out, SLOT, (uint64_t)u->id << 32 | i);
		ck_assert_ok(lsvd_port_run1(port, &w.io));
		if (i % 50 == 0)
			ck_assert_ok(lsvd_port_run1(port, &s.io));
		ck_assert_ok(lsvd_port_run1(port, &r.io));
		ck_assert_int_eq(memcmp(in, out, SLOT), 0);
	}
	return NULL;
}

START_TEST(io_port_many_threads_use_one_core)
{
	struct user users[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		users[i].id = i;
		ck_assert_int_eq(pthread_create(&users[i].thread, NULL, use_port, &users[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(users[i].thread, NULL), 0);
	lsvd_port_enter(port);
	ck_assert_uint_eq(port->in_world, 0);
	ck_assert_uint_eq(port->waiters, 0);
	lsvd_port_leave(port, true);
}
END_TEST

/* --------------------------------------------------------------------------------------- ending */

struct slow_call {
	struct call call;
	struct job_io job;
	sem_t inside, go;
};

static void be_slow(struct call *call)
{
	struct slow_call *s = lsvd_container_of(call, struct slow_call, call);

	ck_assert_int_eq(sem_post(&s->inside), 0);
	ck_assert_int_eq(sem_wait(&s->go), 0);
}

static void queue_slow_call(struct io *io)
{
	struct slow_call *s = io->owner;

	lsvd_port_call(port, &s->call);
}

static void *let_go(void *arg)
{
	struct slow_call *s = arg;

	ck_assert_int_eq(sem_post(&s->go), 0);
	return NULL;
}

/* teardown() ends the port while the job's thread is still in the callback, or just behind it. */
START_TEST(io_port_ending_waits_for_threads_on_their_way_out)
{
	static struct slow_call s;
	pthread_t helper;

	s = (struct slow_call){
		.call = { .fn = be_slow },
		.job = { .io = { .kind = IO_JOB, .done = queue_slow_call, .owner = &s },
			 .run = nothing },
	};
	ck_assert_int_eq(sem_init(&s.inside, 0, 0), 0);
	ck_assert_int_eq(sem_init(&s.go, 0, 0), 0);
	lsvd_port_enter(port);
	lsvd_port_start(port, &s.job.io);
	lsvd_port_leave(port, true);
	ck_assert_int_eq(sem_wait(&s.inside), 0);
	ck_assert_int_eq(pthread_create(&helper, NULL, let_go, &s), 0);
	ck_assert_int_eq(pthread_detach(helper), 0);
}
END_TEST

static Suite *io_port_suite(void)
{
	Suite *s = suite_create("io port");
	TCase *t = tcase_create("loop");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, io_port_request_that_ends_in_its_start_is_done_when_leave_returns);
	tcase_add_test(t, io_port_prepare_and_conclude_are_called_once_each_around_the_request);
	tcase_add_test(t, io_port_done_may_start_the_next_without_recursion);
	tcase_add_test(t, io_port_callback_may_call_the_core_again_without_recursion);
	tcase_add_test(t, io_port_slow_requests_that_start_together_run_together);
	tcase_add_test(t, io_port_thread_that_may_wait_does_not_hold_up_the_others);
	tcase_add_test(t, io_port_call_that_has_ended_does_no_slow_work_of_others);
	tcase_add_test(t, io_port_event_set_before_or_after_the_wait_begins_ends_it);
	tcase_add_test(t, io_port_run_returns_the_first_error_in_order_with_its_text);
	tcase_add_test(t, io_port_many_threads_use_one_core);
	tcase_add_test(t, io_port_ending_waits_for_threads_on_their_way_out);
	suite_add_tcase(s, t);
	return s;
}

T_MAIN(io_port_suite)
