/* SPDX-License-Identifier: BSD-2-Clause */
/* test_io_jobs.c - the pools of the real world: jobs for the processor, requests for the store. */
#include <pthread.h>
#include <signal.h>

#include <lsvd/store.h>

#include "io/jobs.h"
#include "io/port.h"
#include "io/world_real.h"
#include "store_fault.h"
#include "t_check.h"

static struct world *world;
static struct lsvd_store *store;
static struct store_fault *fault;
static struct port port;
static unsigned done;

static void setup(void)
{
	struct lsvd_store *inner;

	ck_assert_ok(lsvd_store_open(&inner, "mem:", NULL));
	ck_assert_ok(store_fault_open(&store, &fault, inner, 1));
	ck_assert_ok(lsvd_world_real_open(&world, store, NULL, false));
	ck_assert_ok(lsvd_port_init(&port, world));
	done = 0;
}

static void teardown(void)
{
	lsvd_port_fini(&port);
	lsvd_world_real_close(world);
	lsvd_store_close(store);
}

static void count_done(struct io *io)
{
	ck_assert_int_eq(io->err, 0);
	done++;
}

static void wait_for(unsigned n)
{
	lsvd_port_enter(&port);
	while (done < n)
		lsvd_port_wait(&port);
	lsvd_port_leave(&port, false);
}

/* ----------------------------------------------------------------------------------------- jobs */

struct job {
	struct job_io job;
	unsigned runs;
	char thread[16];
	sigset_t blocked;
};

static void run_job(struct job_io *io)
{
	struct job *j = lsvd_container_of(io, struct job, job);

	j->runs++;
	ck_assert_int_eq(pthread_getname_np(pthread_self(), j->thread, sizeof j->thread), 0);
	ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &j->blocked), 0);
}

static void start_jobs(struct job *jobs, unsigned n)
{
	lsvd_port_enter(&port);
	for (unsigned i = 0; i < n; i++) {
		jobs[i] = (struct job){ .job = { .io = { .kind = IO_JOB, .done = count_done },
						 .run = run_job } };
		lsvd_port_start(&port, &jobs[i].job.io);
	}
	lsvd_port_leave(&port, true);
}

START_TEST(io_jobs_are_run_once_each_on_threads_of_their_own)
{
	enum { N = 500 };
	static struct job jobs[N];

	start_jobs(jobs, N);
	wait_for(N);
	for (unsigned i = 0; i < N; i++) {
		ck_assert_uint_eq(jobs[i].runs, 1);
		ck_assert_int_eq(strncmp(jobs[i].thread, "lsvd-job-", 9), 0);
		ck_assert_int_eq(sigismember(&jobs[i].blocked, SIGTERM), 1);
	}
}
END_TEST

START_TEST(io_jobs_are_run_by_the_caller_where_no_thread_can_be_had)
{
	pthread_attr_t usual, huge;
	struct job jobs[3];

	/* No address space has room for such a stack. */
	ck_assert_int_eq(pthread_getattr_default_np(&usual), 0);
	ck_assert_int_eq(pthread_attr_init(&huge), 0);
	ck_assert_int_eq(pthread_attr_setstacksize(&huge, (size_t)1 << 48), 0);
	ck_assert_int_eq(pthread_setattr_default_np(&huge), 0);
	start_jobs(jobs, 3);
	ck_assert_uint_eq(done, 3); /* before leave has returned */
	ck_assert_int_eq(pthread_setattr_default_np(&usual), 0);
	start_jobs(jobs, 3);
	wait_for(6);
	ck_assert_int_eq(strncmp(jobs[0].thread, "lsvd-job-", 9), 0);
}
END_TEST

START_TEST(io_world_that_gets_no_thread_for_its_clock_does_not_open)
{
	pthread_attr_t usual, huge;
	struct world *w;
	int err;

	ck_assert_int_eq(pthread_getattr_default_np(&usual), 0);
	ck_assert_int_eq(pthread_attr_init(&huge), 0);
	ck_assert_int_eq(pthread_attr_setstacksize(&huge, (size_t)1 << 48), 0);
	ck_assert_int_eq(pthread_setattr_default_np(&huge), 0);
	err = lsvd_world_real_open(&w, NULL, NULL, false);
	ck_assert_int_eq(pthread_setattr_default_np(&usual), 0);
	ck_assert_err(err, -EAGAIN);
	ck_assert_error_says("lsvd-clock");
}
END_TEST

/* ---------------------------------------------------------------------------------------- store */

static void start_gets(struct obj_io *gets, unsigned n, char *buf)
{
	lsvd_port_enter(&port);
	for (unsigned i = 0; i < n; i++) {
		gets[i] = (struct obj_io){ .io = { .kind = IO_GET, .done = count_done },
					   .key = "k",
					   .buf = buf + i,
					   .len = 1 };
		lsvd_port_start(&port, &gets[i].io);
	}
	lsvd_port_leave(&port, false);
}

START_TEST(io_store_requests_run_as_many_at_once_as_there_are_threads)
{
	const struct fault_rule hold = { .verbs = FAULT_GET, .times = POOL_THREADS_MAX,
					 .kind = FAULT_HOLD };
	struct obj_io gets[POOL_THREADS_MAX + 4];
	struct iovec iov = { "x", 1 };
	char buf[POOL_THREADS_MAX + 4];

	ck_assert_ok(lsvd_store_put_if_absent(store, "k", &iov, 1));
	ck_assert_ok(store_fault_add(fault, &hold));
	start_gets(gets, POOL_THREADS_MAX + 4, buf);
	store_fault_wait_held(fault, POOL_THREADS_MAX);
	ck_assert_uint_eq(store_fault_in_flight(fault, NULL), POOL_THREADS_MAX);
	ck_assert_uint_eq(done, 0);
	store_fault_release(fault);
	wait_for(POOL_THREADS_MAX + 4);
}
END_TEST

START_TEST(io_store_reads_do_not_wait_for_uploads_that_hang)
{
	enum { PUTS = 40 };
	const struct fault_rule hold = { .verbs = FAULT_PUT, .kind = FAULT_HOLD };
	struct obj_io puts[PUTS], get;
	struct iovec iov = { "x", 1 };
	char c = 0;

	ck_assert_ok(lsvd_store_put_if_absent(store, "k", &iov, 1));
	ck_assert_ok(store_fault_add(fault, &hold));
	lsvd_port_enter(&port);
	for (unsigned i = 0; i < PUTS; i++) {
		puts[i] = (struct obj_io){ .io = { .kind = IO_PUT, .done = count_done },
					   .iov = &iov,
					   .iovcnt = 1 };
		(void)snprintf(puts[i].key, sizeof puts[i].key, "p/%u", i);
		lsvd_port_start(&port, &puts[i].io);
	}
	lsvd_port_leave(&port, false);
	store_fault_wait_held(fault, POOL_THREADS_MAX);
	start_gets(&get, 1, &c);
	wait_for(1);
	ck_assert_int_eq(c, 'x');
	store_fault_clear(fault);
	wait_for(PUTS + 1);
}
END_TEST

static int count_object(void *ctx, const struct lsvd_object_info *info)
{
	unsigned *n = ctx;

	(void)info;
	(*n)++;
	return 0;
}

START_TEST(io_store_verbs_reach_the_store_and_bring_back_its_answers)
{
	struct iovec iov = { "hello", 5 };
	char buf[10];
	unsigned listed = 0;
	struct obj_io put = { .io.kind = IO_PUT, .key = "a/b", .iov = &iov, .iovcnt = 1 };
	struct obj_io get = { .io.kind = IO_GET, .key = "a/b", .off = 1, .buf = buf, .len = 10 };
	struct obj_io head = { .io.kind = IO_HEAD, .key = "a/b" };
	struct obj_io list = { .io.kind = IO_LIST, .key = "a/", .list_fn = count_object,
			       .list_ctx = &listed };
	struct obj_io remove = { .io.kind = IO_REMOVE, .key = "a/b" };

	ck_assert_ok(lsvd_port_run1(&port, &put.io));
	ck_assert_err(lsvd_port_run1(&port, &put.io), -EEXIST);
	ck_assert_error_says("a/b");
	ck_assert_ok(lsvd_port_run1(&port, &get.io));
	ck_assert_uint_eq(get.ret_len, 4);
	ck_assert_int_eq(memcmp(buf, "ello", 4), 0);
	ck_assert_ok(lsvd_port_run1(&port, &head.io));
	ck_assert_uint_eq(head.ret_bytes, 5);
	ck_assert_ok(lsvd_port_run1(&port, &list.io));
	ck_assert_uint_eq(listed, 1);
	ck_assert_ok(lsvd_port_run1(&port, &remove.io));
	ck_assert_err(lsvd_port_run1(&port, &head.io), -ENOENT);
	ck_assert_uint_eq(world->obj->caps(world), LSVD_STORE_CAP_CREATE);
	ck_assert_str_eq(world->obj->name(world), "mem:");
}
END_TEST

START_TEST(io_store_that_never_waits_is_called_by_the_caller)
{
	struct lsvd_store *mem;
	struct world *w;
	struct port p;
	struct obj_io put = { .io = { .kind = IO_PUT, .done = count_done }, .key = "a" };

	ck_assert_ok(lsvd_store_open(&mem, "mem:", NULL));
	ck_assert_ok(lsvd_world_real_open(&w, mem, NULL, false));
	ck_assert_ok(lsvd_port_init(&p, w));
	lsvd_port_enter(&p);
	lsvd_port_start(&p, &put.io);
	lsvd_port_leave(&p, false);
	ck_assert_uint_eq(done, 1);
	lsvd_port_fini(&p);
	lsvd_world_real_close(w);
	lsvd_store_close(mem);
}
END_TEST

START_TEST(io_world_without_a_store_answers_unavailable)
{
	struct world *w;
	struct port p;
	struct obj_io head = { .io.kind = IO_HEAD, .key = "a" };

	ck_assert_ok(lsvd_world_real_open(&w, NULL, NULL, false));
	ck_assert_ok(lsvd_port_init(&p, w));
	ck_assert_err(lsvd_port_run1(&p, &head.io), LSVD_E_UNAVAILABLE);
	ck_assert_uint_eq(w->obj->caps(w), 0);
	ck_assert_str_ne(w->obj->name(w), "");
	lsvd_port_fini(&p);
	lsvd_world_real_close(w);
}
END_TEST

static Suite *io_jobs_suite(void)
{
	Suite *s = suite_create("io jobs");
	TCase *t = tcase_create("pools");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, io_jobs_are_run_once_each_on_threads_of_their_own);
	tcase_add_test(t, io_jobs_are_run_by_the_caller_where_no_thread_can_be_had);
	tcase_add_test(t, io_world_that_gets_no_thread_for_its_clock_does_not_open);
	tcase_add_test(t, io_store_requests_run_as_many_at_once_as_there_are_threads);
	tcase_add_test(t, io_store_reads_do_not_wait_for_uploads_that_hang);
	tcase_add_test(t, io_store_verbs_reach_the_store_and_bring_back_its_answers);
	tcase_add_test(t, io_store_that_never_waits_is_called_by_the_caller);
	tcase_add_test(t, io_world_without_a_store_answers_unavailable);
	suite_add_tcase(s, t);
	return s;
}

T_MAIN(io_jobs_suite)
