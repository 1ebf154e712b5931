/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of a local disk that fails and of memory that runs out.
 *
 * The system calls of the local log are this program's own (the linker prefers them to the C
 * library's): they fail as told when their file's name contains `disk.target`, and go to the kernel
 * otherwise. lsvd-test: timeout=300
 */
#include <sys/syscall.h>

#include "base/alloc.h"
#include "t_volume.h"

/* ------------------------------------------------------------------------------------- the disk */

enum disk_call { DISK_WRITE, DISK_SYNC, DISK_ALLOCATE, DISK_CALLS };

static struct {
	const char *target; /* NULL: nothing fails */
	enum disk_call call;
	int64_t at;         /* the call that fails: 1 is the next; those after it, too */
	bool once;
	bool cut;           /* a write is not refused but cut short */
	int err;
	uint64_t calls[DISK_CALLS]; /* of the target */
} disk;

static bool is_target(int fd)
{
	char link[64], path[512];
	ssize_t n;

	if (!disk.target)
		return false;
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd); /* fits */
	n = readlink(link, path, sizeof path - 1);
	if (n <= 0)
		return false;
	path[n] = 0;
	return strstr(path, disk.target) != NULL;
}

static bool must_fail(int fd, enum disk_call call)
{
	int64_t at;

	if (!is_target(fd))
		return false;
	__atomic_add_fetch(&disk.calls[call], 1, __ATOMIC_RELAXED);
	if (call != disk.call || __atomic_load_n(&disk.at, __ATOMIC_RELAXED) == INT64_MAX)
		return false;
	at = __atomic_sub_fetch(&disk.at, 1, __ATOMIC_RELAXED);
	if (disk.once ? at != 0 : at > 0)
		return false;
	errno = disk.err;
	return true;
}

int fdatasync(int fd)
{
	return must_fail(fd, DISK_SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	return must_fail(fd, DISK_SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	if (must_fail(fd, DISK_WRITE)) {
		if (!disk.cut)
			return -1;
		len = len > 700 ? 700 : len;
	}
	return syscall(SYS_pwrite64, fd, buf, len, off);
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
	return must_fail(fd, DISK_ALLOCATE) ? -1 : (int)syscall(SYS_fallocate, fd, mode, off, len);
}

/* From the at-th call on. */
static void break_disk(const char *target, enum disk_call call, int64_t at, int err)
{
	memset(&disk, 0, sizeof disk);
	disk.target = target;
	disk.call = call;
	disk.err = err;
	disk.at = at;
}

static void mend_disk(void)
{
	__atomic_store_n(&disk.at, INT64_MAX, __ATOMIC_RELAXED);
}

static struct tv *fresh(void)
{
	struct tv *t = tv_new();

	t->o.segment_bytes = 512u << 10;
	tv_open(t);
	return t;
}

/* ---------------------------------------------------------------------------- a disk that fails */

static void check_failed(struct tv *t)
{
	uint8_t buf[4096] = { 1 };
	char text[200];

	ck_assert_err(lsvd_volume_write(t->v, buf, 8u << 20, 4096, 0), LSVD_E_FAILED);
	ck_assert_err(lsvd_volume_trim(t->v, 0, 4096, 0), LSVD_E_FAILED);
	ck_assert_err(lsvd_volume_flush(t->v), LSVD_E_FAILED);
	ck_assert_err(lsvd_volume_flush(t->v), LSVD_E_FAILED);
	ck_assert_err(lsvd_volume_sync(t->v, UINT32_MAX), LSVD_E_FAILED);
	ck_assert_int_eq(lsvd_volume_status(t->v, text, sizeof text), LSVD_E_FAILED);
	ck_assert_uint_gt(strlen(text), 10);
}

START_TEST(a_failed_sync_is_final_and_reads_go_on)
{
	struct tv *t = fresh();
	uint64_t syncs;

	tv_write(t, 0, 65536, 1);
	tv_flush(t);
	tv_write(t, 65536, 65536, 2);
	break_disk(TV_NAME ".log", DISK_SYNC, 1, EIO);
	disk.once = true; /* the kernel says it once and forgets */
	ck_assert_err(lsvd_volume_flush(t->v), LSVD_E_FAILED);
	syncs = disk.calls[DISK_SYNC];
	ck_assert_uint_eq(syncs, 1);
	check_failed(t);
	tv_check_all(t);
	ck_assert_uint_eq(disk.calls[DISK_SYNC], syncs); /* no second try */
	ck_assert_err(tv_close_in(t, 100), LSVD_E_FAILED);
	mend_disk();
	tv_open(t);
	tv_check_all(t); /* nothing was really lost */
	tv_write(t, 4096, 8192, 3);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(nothing_is_stored_that_was_never_durable_here)
{
	struct tv *t = fresh();
	uint64_t puts;

	tv_write(t, 0, 65536, 1);
	puts = store_fault_calls(t->fault, FAULT_PUT);
	break_disk(TV_NAME ".log", DISK_SYNC, 1, EIO);
	ck_assert_err(lsvd_volume_sync(t->v, UINT32_MAX), LSVD_E_FAILED);
	(void)tv_close_in(t, 100); /* failed, as above */
	ck_assert_uint_eq(store_fault_calls(t->fault, FAULT_PUT), puts);
	mend_disk();
	tv_free(t);
}
END_TEST

START_TEST(a_failed_write_is_final_and_reads_go_on)
{
	static const int errs[] = { EIO, ENOSPC, EROFS };
	struct tv *t = fresh();
	uint8_t buf[65536];

	tv_write(t, 0, 65536, 1);
	tv_flush(t);
	break_disk(TV_NAME ".log", DISK_WRITE, 1, errs[_i]);
	disk.once = true;
	t_fill(buf, sizeof buf, 2);
	ck_assert_err(lsvd_volume_write(t->v, buf, 1u << 20, 65536, 0), LSVD_E_FAILED);
	check_failed(t);
	tv_check(t, 0, 65536);
	ck_assert_err(tv_close_in(t, 100), LSVD_E_FAILED);
	mend_disk();
	tv_open(t);
	tv_check_all(t);
	tv_write(t, 1u << 20, 65536, 3);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(interrupted_and_short_writes_are_gone_on_with)
{
	struct tv *t = fresh();

	for (unsigned i = 0; i < 10; i++) {
		break_disk(TV_NAME ".log", DISK_WRITE, 1, EINTR);
		disk.once = true;
		disk.cut = i & 1;
		tv_write(t, i * 65536, 65536, i);
	}
	mend_disk();
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

static int close_after_failure(struct tv *t)
{
	int err = tv_close_in(t, UINT32_MAX);

	mend_disk();
	return err;
}

START_TEST(a_sync_that_fails_while_closing_is_told_and_nothing_is_lost)
{
	struct tv *t = fresh();

	for (unsigned i = 0; i < 5; i++)
		tv_write(t, i * 65536, 65536, i);
	break_disk(TV_NAME ".log", DISK_SYNC, 1 + _i, EIO);
	ck_assert_int_lt(close_after_failure(t), 0);
	tv_open(t);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_log_that_cannot_be_begun_refuses_the_open)
{
	struct tv *t = fresh();
	uint64_t opened = 0;

	tv_write(t, 0, 65536, 1);
	tv_close(t);
	for (int64_t k = 1; k < 20 && !opened; k++) {
		int err;

		break_disk(TV_NAME ".log", _i ? DISK_WRITE : DISK_SYNC, k, EIO);
		err = tv_try_open(t);
		mend_disk();
		if (err == 0)
			opened = 1;
		else
			ck_assert_err(err, -EIO);
	}
	ck_assert_uint_eq(opened, 1);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(no_room_for_the_log_refuses_the_open_and_leaves_it_to_be_made_again)
{
	struct tv *t = tv_new();

	for (int64_t at = 1; at <= 3; at++) {
		break_disk(TV_NAME ".log", _i ? DISK_WRITE : DISK_ALLOCATE, at, ENOSPC);
		if (!_i && at > 1)
			break; /* it is asked for once */
		ck_assert_err(tv_try_open(t), -ENOSPC);
		ck_assert_error_says(TV_NAME ".log");
	}
	mend_disk();
	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_read_cache_that_cannot_be_written_costs_only_speed)
{
	struct tv *t = tv_new();

	t->o.rcache_bytes = 4u << 20;
	tv_open(t);
	for (unsigned i = 0; i < 16; i++)
		tv_write(t, i * 65536, 65536, i);
	tv_reopen(t);
	break_disk("rcache", DISK_WRITE, 1, ENOSPC);
	for (unsigned i = 0; i < 3; i++)
		tv_check_all(t);
	tv_write(t, 4096, 4096, 9);
	tv_flush(t);
	ck_assert_int_eq(lsvd_volume_status(t->v, NULL, 0), 0);
	tv_close(t);
	mend_disk();
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

/*
 * Whatever write or sync of the log fails first: what was acknowledged before is there afterwards.
 */
START_TEST(any_call_of_the_log_may_be_the_one_that_fails)
{
	struct tv *t = tv_new();
	int64_t k = 1;
	int err;

	t->o.log_bytes = 1u << 20;
	t->o.segment_bytes = 64u << 10;
	do {
		uint8_t *buf = tv_buffer(32768);

		tv_open(t);
		break_disk(TV_NAME ".log", _i ? DISK_WRITE : DISK_SYNC, k, EIO);
		err = 0;
		for (unsigned i = 0; i < 40 && !err; i++) {
			uint64_t off = i % 20 * 65536;

			t_fill(buf, 32768, (uint64_t)k * 100 + i);
			err = lsvd_volume_write(t->v, buf, off, 32768, 0);
			if (!err)
				memcpy(t->model + off, buf, 32768);
			if (!err && i % 8 == 7)
				err = lsvd_volume_flush(t->v);
		}
		free(buf);
		(void)tv_close_in(t, 100); /* failed or not */
		mend_disk();
		ck_assert(err == 0 || err == LSVD_E_FAILED);
		tv_open(t);
		/* A write that failed may be there or not: make it certain before comparing. */
		for (unsigned i = 0; i < 20; i++)
			ck_assert_ok(lsvd_volume_write(t->v, t->model + i * 65536, i * 65536, 512,
						       0));
		for (unsigned i = 0; i < 20 && err; i++) {
			uint8_t have[32768];
			bool same;

			ck_assert_ok(lsvd_volume_read(t->v, have, i * 65536, 32768));
			same = memcmp(have, t->model + i * 65536, 32768) == 0;
			if (!same)
				memcpy(t->model + i * 65536, have, 32768);
			ck_assert(same || err); /* at most the one that failed */
			if (!same)
				err = 0;
		}
		tv_check_all(t);
		tv_close(t);
		k += k < 10 ? 1 : 5;
	} while (k < 45);
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------- no memory */

static struct {
	int64_t left;   /* allocations until one fails; then `every` more until the next */
	int64_t every;  /* 0: only once */
	uint64_t refused;
	int on;
} memory;

static bool refuse(void)
{
	int64_t left;

	if (!__atomic_load_n(&memory.on, __ATOMIC_RELAXED))
		return false;
	left = __atomic_sub_fetch(&memory.left, 1, __ATOMIC_RELAXED);
	if (left > 0 || (left < 0 && (!memory.every || left % memory.every)))
		return false;
	__atomic_add_fetch(&memory.refused, 1, __ATOMIC_RELAXED);
	return true;
}

static void *scarce_alloc(size_t align, size_t size)
{
	void *p = NULL;

	if (refuse())
		return NULL;
	if (align <= 16)
		return malloc(size);
	return posix_memalign(&p, align, size) == 0 ? p : NULL;
}

static void *scarce_resize(void *p, size_t size)
{
	return refuse() ? NULL : realloc(p, size);
}

static void make_memory_scarce(int64_t first, int64_t every)
{
	memory.left = first;
	memory.every = every;
	memory.refused = 0;
	__atomic_store_n(&memory.on, 1, __ATOMIC_RELAXED);
}

static void let_memory_be(int on)
{
	__atomic_store_n(&memory.on, on, __ATOMIC_RELAXED);
}

/* Something that may fail for want of memory is done again with plenty. */
#define with_memory(call) \
	do { \
		int err_ = (call); \
		if (err_ == -ENOMEM) { \
			let_memory_be(0); \
			err_ = (call); \
			let_memory_be(1); \
		} \
		ck_assert_ok(err_); \
	} while (0)

static void hundred_ops(struct tv *t)
{
	uint64_t seed = 12345; /* the same every time */
	uint8_t *buf = tv_buffer(65536), *back = tv_buffer(65536);

	for (unsigned i = 0; i < 100; i++) {
		uint32_t len = (uint32_t)(512 * (1 + t_random_below(&seed, 96)));
		uint64_t off = 512 * t_random_below(&seed, (2u << 20) / 512);

		if (i % 10 < 5) {
			t_fill(buf, len, i);
			with_memory(lsvd_volume_write(t->v, buf, off, len, 0));
			memcpy(t->model + off, buf, len);
		} else if (i % 10 == 5) {
			with_memory(lsvd_volume_trim(t->v, off, len, 0));
			memset(t->model + off, 0, len);
		} else if (i % 10 == 6) {
			with_memory(lsvd_volume_flush(t->v));
		} else if (i % 10 == 7) {
			ck_assert_ok(lsvd_volume_seal(t->v));
		} else {
			with_memory(lsvd_volume_read(t->v, back, off, len));
			ck_assert_mem_eq(back, t->model + off, len);
		}
	}
	free(buf);
	free(back);
}

static struct tv *scarce(void)
{
	static const struct alloc_ops ops = { scarce_alloc, scarce_resize, free };
	struct tv *t;

	lsvd_alloc_set(&ops);
	t = tv_new();
	t->o.log_bytes = 1u << 20;
	t->o.segment_bytes = 64u << 10;
	t->o.checkpoint_segments = 3;
	t->o.rcache_bytes = 1u << 20;
	return t;
}

static void check_after(struct tv *t)
{
	let_memory_be(0);
	tv_check_all(t);
	tv_sync(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
	lsvd_alloc_set(NULL);
}

START_TEST(every_kth_allocation_of_a_workload_may_fail)
{
	static const int64_t every[] = { 2, 3, 5, 7, 11, 61, 127, 257, 509 };
	struct tv *t = scarce();

	/*
	 * Where a segment is never built because it takes more than that, nobody may wait for it.
	 */
	if (every[_i] < 100)
		t->o.log_bytes = 8u << 20;
	tv_open(t);
	make_memory_scarce(1, every[_i]);
	hundred_ops(t);
	ck_assert_uint_gt(memory.refused, 0);
	check_after(t);
}
END_TEST

START_TEST(any_one_allocation_of_a_workload_may_fail)
{
	for (int64_t k = 1 + _i; k < 700; k += 53) {
		struct tv *t = scarce();

		tv_open(t);
		make_memory_scarce(k, 0);
		hundred_ops(t);
		let_memory_be(0);
		tv_check_all(t);
		tv_reopen(t);
		tv_check_all(t);
		tv_free(t);
		lsvd_alloc_set(NULL);
	}
}
END_TEST

START_TEST(any_allocation_of_an_open_may_fail)
{
	struct tv *t = scarce();
	int64_t k = 1;
	int err;

	tv_open(t);
	hundred_ops(t);
	tv_sync(t);
	if (_i) { /* with operations in the log, the store away */
		ck_assert_ok(store_fault_cut(t->fault, 1));
		tv_write(t, 0, 65536, 5);
		ck_assert_err(tv_close_in(t, 0), 1);
		store_fault_clear(t->fault);
	} else {
		tv_close(t);
	}
	do {
		make_memory_scarce(k, 0);
		err = tv_try_open(t);
		let_memory_be(0);
		ck_assert_msg(err == 0 || err == -ENOMEM, "allocation %d: %s: %s", (int)k,
			      lsvd_error_name(err), lsvd_last_error());
		if (err == 0 && memory.refused) {
			tv_check_all(t); /* it went on without it */
			if (_i)
				ck_assert_ok(store_fault_cut(t->fault, 1));
			(void)tv_close_in(t, 0); /* 0 or 1 */
			store_fault_clear(t->fault);
		}
		k += 1 + k / 16; /* each open that failed late makes the next one longer */
	} while (err || memory.refused);
	ck_assert_int_gt(k, 30);
	check_after(t);
}
END_TEST

START_TEST(a_close_without_memory_loses_nothing)
{
	for (int64_t every = 1; every < 6; every++) {
		struct tv *t = scarce();

		tv_open(t);
		for (unsigned i = 0; i < 10; i++)
			tv_write(t, i * 65536, 65536, i);
		make_memory_scarce(1, every);
		ck_assert_int_ge(tv_close_in(t, 200), 0);
		let_memory_be(0);
		tv_open(t);
		check_after(t);
	}
}
END_TEST

START_TEST(a_checkpoint_without_memory_ends)
{
	for (int64_t k = 1; k < 16; k++) {
		struct tv *t = scarce();
		int err;

		tv_open(t);
		tv_write(t, 0, 262144, 1);
		tv_sync(t);
		make_memory_scarce(k, 0);
		err = lsvd_volume_checkpoint(t->v, 60000);
		let_memory_be(0);
		ck_assert_msg(err != -ETIMEDOUT, "allocation %d: %s", (int)k, lsvd_last_error());
		ck_assert_ok(lsvd_volume_checkpoint(t->v, 60000));
		check_after(t);
	}
}
END_TEST

/* -------------------------------------------------------------------------------------- suite */

static Suite *volume_failures_suite(void)
{
	Suite *s = suite_create("volume_failures");
	TCase *c = tcase_create("disk"), *m = tcase_create("memory");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, a_failed_sync_is_final_and_reads_go_on);
	tcase_add_test(c, nothing_is_stored_that_was_never_durable_here);
	tcase_add_loop_test(c, a_failed_write_is_final_and_reads_go_on, 0, 3);
	tcase_add_test(c, interrupted_and_short_writes_are_gone_on_with);
	tcase_add_loop_test(c, a_sync_that_fails_while_closing_is_told_and_nothing_is_lost, 0, 3);
	tcase_add_loop_test(c, a_log_that_cannot_be_begun_refuses_the_open, 0, 2);
	tcase_add_loop_test(c, no_room_for_the_log_refuses_the_open_and_leaves_it_to_be_made_again,
			    0, 2);
	tcase_add_test(c, a_read_cache_that_cannot_be_written_costs_only_speed);
	tcase_add_loop_test(c, any_call_of_the_log_may_be_the_one_that_fails, 0, 2);
	suite_add_tcase(s, c);
	tcase_set_timeout(m, 120);
	tcase_add_loop_test(m, every_kth_allocation_of_a_workload_may_fail, 0, 9);
	tcase_add_loop_test(m, any_one_allocation_of_a_workload_may_fail, 0, 3);
	tcase_add_loop_test(m, any_allocation_of_an_open_may_fail, 0, 2);
	tcase_add_test(m, a_close_without_memory_loses_nothing);
	tcase_add_test(m, a_checkpoint_without_memory_ends);
	suite_add_tcase(s, m);
	return s;
}

T_MAIN(volume_failures_suite)
