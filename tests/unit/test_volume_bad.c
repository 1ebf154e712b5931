/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what a program may do wrong, and of places that cannot be written: each is an error with
 * a text, and nothing is lost by any of them. lsvd-test: timeout=300
 */
#include "t_volume.h"

static struct tv *fresh(void)
{
	struct tv *t = tv_new();

	tv_open(t);
	return t;
}

/* ----------------------------------------------------------------------------- names and sizes */

START_TEST(names_outside_the_grammar_are_refused)
{
	static const char *const bad[] = {
		"", ".", "..", ".hidden", "-x", "a/b", "../x", "a b", "a\n", "\xc3\xa4",
		"a:b", "a$b",
		"12345678901234567890123456789012345678901234567890123456789012345",
	};
	static const char *const good[] = {
		"a", "_", "A.b-c_9", "0",
		"1234567890123456789012345678901234567890123456789012345678901234",
	};
	struct tv *t = tv_new();
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		ck_assert_err(lsvd_volume_create(t->store, bad[i], 1u << 20, NULL, NULL), -EINVAL);
		ck_assert_err(lsvd_volume_lookup(t->store, bad[i], &info), -EINVAL);
		ck_assert_err(lsvd_volume_open(&t->v, t->store, bad[i], &t->o), -EINVAL);
		ck_assert_err(lsvd_volume_delete(t->store, bad[i]), -EINVAL);
	}
	ck_assert_err(lsvd_volume_create(t->store, NULL, 1u << 20, NULL, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_open(&t->v, t->store, NULL, &t->o), -EINVAL);
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		ck_assert_ok(lsvd_volume_create(t->store, good[i], 1u << 20, NULL, NULL));
	tv_free(t);
}
END_TEST

START_TEST(sizes_out_of_bounds_are_refused)
{
	static const uint64_t bad[] = { 0, 1, 511, 513, LSVD_VOLUME_MAX_BYTES + 512, UINT64_MAX };
	struct tv *t = tv_new();

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		ck_assert_err(lsvd_volume_create(t->store, "x", bad[i], NULL, NULL), -EINVAL);
		ck_assert_error_says("size");
	}
	ck_assert_ok(lsvd_volume_create(t->store, "x", 512, NULL, NULL));
	ck_assert_ok(lsvd_volume_create(t->store, "y", LSVD_VOLUME_MAX_BYTES, NULL, NULL));
	tv_free(t);
}
END_TEST

START_TEST(a_uuid_must_be_one)
{
	struct tv *t = tv_new();
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	const char *uuid = "12345678-9abc-4def-8123-456789abcdef";

	ck_assert_err(lsvd_volume_create(t->store, "x", 512, "no", NULL), -EINVAL);
	ck_assert_err(lsvd_volume_create(t->store, "x", 512,
					 "12345678-9abc-4def-8123-456789abcdeg", NULL), -EINVAL);
	ck_assert_ok(lsvd_volume_create(t->store, "x", 512, uuid, &info));
	ck_assert_str_eq(info.uuid, uuid);
	ck_assert_uint_eq(info.bytes, 512);
	tv_free(t);
}
END_TEST

START_TEST(creating_an_existing_volume_changes_nothing)
{
	struct tv *t = fresh();
	struct lsvd_volume_info a = LSVD_VOLUME_INFO_INIT, b = LSVD_VOLUME_INFO_INIT;

	tv_write(t, 0, 4096, 1);
	ck_assert_ok(lsvd_volume_lookup(t->store, TV_NAME, &a));
	ck_assert_err(lsvd_volume_create(t->store, TV_NAME, 512, NULL, NULL), -EEXIST);
	ck_assert_error_says(TV_NAME);
	ck_assert_ok(lsvd_volume_lookup(t->store, TV_NAME, &b));
	ck_assert_mem_eq(&a, &b, sizeof a);
	tv_reopen(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_volume_that_is_not_there_is_an_error_everywhere)
{
	struct tv *t = tv_new();
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	struct lsvd_volume_usage u = { .size = sizeof u };

	ck_assert_err(lsvd_volume_lookup(t->store, "none", &info), -ENOENT);
	ck_assert_err(lsvd_volume_usage(t->store, "none", &u), -ENOENT);
	ck_assert_err(lsvd_volume_delete(t->store, "none"), -ENOENT);
	ck_assert_err(lsvd_volume_open(&t->v, t->store, "none", &t->o), -ENOENT);
	ck_assert_error_says("none");
	ck_assert_ptr_null(t->v);
	ck_assert_int_eq(lsvd_volume_close(NULL, 0), 0);
	tv_free(t);
}
END_TEST

static int note_volume(void *ctx, const struct lsvd_volume_info *info)
{
	strcat(strcat(ctx, info->name), " "); /* few and short */
	return strcmp(info->name, "c") == 0;
}

START_TEST(volumes_are_listed_in_order_and_the_walk_can_be_ended)
{
	struct tv *t = tv_new();
	char names[100] = "";

	ck_assert_ok(lsvd_volume_create(t->store, "c", 512, NULL, NULL));
	ck_assert_ok(lsvd_volume_create(t->store, "a", 512, NULL, NULL));
	ck_assert_ok(lsvd_volume_create(t->store, "z", 512, NULL, NULL));
	ck_assert_ok(lsvd_volume_list(t->store, note_volume, names));
	ck_assert_str_eq(names, "a c ");
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------------- options */

static void check_option(struct tv *t, const char *name)
{
	ck_assert_err(tv_try_open(t), -EINVAL);
	ck_assert_error_says(name);
	t->o = tv_options(t);
}

START_TEST(options_out_of_bounds_are_refused_by_name)
{
	struct tv *t = tv_new();

	t->o.log_bytes = (1u << 20) - 1;
	check_option(t, "log_bytes");
	t->o.log_bytes = (UINT64_C(1) << 40) + 1;
	check_option(t, "log_bytes");
	t->o.segment_bytes = (64u << 10) - 1;
	check_option(t, "segment_bytes");
	t->o.segment_bytes = (64u << 20) + 1;
	check_option(t, "segment_bytes");
	t->o.unit_bytes = 2048;
	check_option(t, "unit_bytes");
	t->o.unit_bytes = 131072;
	check_option(t, "unit_bytes");
	t->o.unit_bytes = 12288;
	check_option(t, "unit_bytes");
	t->o.denied_retry_ms = 99;
	check_option(t, "denied_retry_ms");
	t->o.put_window = 65;
	check_option(t, "put_window");
	t->o.memory_bytes = 1;
	check_option(t, "memory_bytes");
	t->o.memory_bytes = (UINT64_C(4) << 30) + 1;
	check_option(t, "memory_bytes");
	t->o.compression = 4;
	check_option(t, "compression");
	t->o.flush = 2;
	check_option(t, "flush");
	t->o.flags = 64;
	check_option(t, "flags");
	t->o.flags = LSVD_OPEN_RCACHE;
	check_option(t, "LSVD_OPEN_RCACHE");
	t->o.read_ahead_bytes = 65535;
	check_option(t, "read_ahead_bytes");
	t->o.read_ahead_bytes = (64u << 20) + 1;
	check_option(t, "read_ahead_bytes");
	t->o.cache_dir = NULL;
	check_option(t, "cache_dir");
	t->o.seal_after_ms = UINT32_MAX - 1;
	check_option(t, "seal_after_ms");
	tv_open(t);
	tv_free(t);
}
END_TEST

START_TEST(option_structs_of_other_sizes_are_understood_or_refused)
{
	struct tv *t = tv_new();
	struct {
		struct lsvd_volume_options o;
		uint64_t later;
	} large;

	large.o = t->o;
	large.o.size = sizeof large;
	large.later = 0;
	ck_assert_ok(lsvd_volume_open(&t->v, t->store, TV_NAME, &large.o));
	tv_close(t);
	large.later = 1; /* something this library does not know */
	ck_assert_err(lsvd_volume_open(&t->v, t->store, TV_NAME, &large.o), -E2BIG);
	large.o.size = 4;
	ck_assert_err(lsvd_volume_open(&t->v, t->store, TV_NAME, &large.o), -EINVAL);
	large.o = t->o;
	large.o.reserved[0] = 1;
	ck_assert_err(lsvd_volume_open(&t->v, t->store, TV_NAME, &large.o), -E2BIG);
	ck_assert_ptr_null(t->v);
	tv_free(t);
}
END_TEST

START_TEST(a_store_without_create_if_absent_is_refused)
{
	static struct lsvd_store_ops ops;
	struct tv *t = tv_new();
	struct lsvd_store *store;

	/* Never called: it is asked for its capabilities first. */
	ops = (struct lsvd_store_ops){
		.size = sizeof ops,
		.put_if_absent = (int (*)(void *, const char *, const struct iovec *, int))1,
		.get = (int (*)(void *, const char *, uint64_t, void *, size_t, size_t *))1,
		.head = (int (*)(void *, const char *, uint64_t *))1,
		.list = (int (*)(void *, const char *, lsvd_object_fn, void *))1,
		.remove = (int (*)(void *, const char *))1,
	};
	ck_assert_ok(lsvd_store_new(&store, "plain", &ops, NULL));
	ck_assert_err(lsvd_volume_create(store, "x", 512, NULL, NULL), LSVD_E_UNSUPPORTED);
	ck_assert_err(lsvd_volume_open(&t->v, store, TV_NAME, &t->o), LSVD_E_UNSUPPORTED);
	ck_assert_error_says("plain");
	lsvd_store_close(store);
	tv_free(t);
}
END_TEST

/* ----------------------------------------------------------------------------------- operations */

START_TEST(unaligned_operations_are_refused)
{
	struct tv *t = fresh();
	uint8_t buf[2048] = { 0 };

	ck_assert_err(lsvd_volume_read(t->v, buf, 1, 512), -EINVAL);
	ck_assert_err(lsvd_volume_read(t->v, buf, 0, 511), -EINVAL);
	ck_assert_err(lsvd_volume_write(t->v, buf, 256, 512, 0), -EINVAL);
	ck_assert_err(lsvd_volume_write(t->v, buf, 512, 513, 0), -EINVAL);
	ck_assert_err(lsvd_volume_trim(t->v, 5, 512, 0), -EINVAL);
	ck_assert_err(lsvd_volume_trim(t->v, 512, 5, 0), -EINVAL);
	ck_assert_err(lsvd_volume_write_zeroes(t->v, 511, 512, 0), -EINVAL);
	ck_assert_error_says("511");
	ck_assert_err(lsvd_volume_write(t->v, buf, 0, 512, 0x80), -EINVAL);
	tv_check_all(t);
	ck_assert_uint_eq(tv_stats(t).last_op, 0);
	tv_free(t);
}
END_TEST

START_TEST(operations_beyond_the_end_are_refused)
{
	struct tv *t = fresh();
	uint8_t buf[1024] = { 1 };

	ck_assert_err(lsvd_volume_read(t->v, buf, TV_BYTES, 512), -EINVAL);
	ck_assert_err(lsvd_volume_read(t->v, buf, TV_BYTES - 512, 1024), -EINVAL);
	ck_assert_err(lsvd_volume_write(t->v, buf, TV_BYTES - 512, 1024, 0), -ENOSPC);
	ck_assert_err(lsvd_volume_write(t->v, buf, UINT64_MAX - 511, 1024, 0), -ENOSPC);
	ck_assert_err(lsvd_volume_trim(t->v, 0, TV_BYTES + 512, 0), -ENOSPC);
	ck_assert_err(lsvd_volume_trim(t->v, UINT64_MAX - 511, 1024, 0), -ENOSPC);
	ck_assert_err(lsvd_volume_write_zeroes(t->v, TV_BYTES, 512, 0), -ENOSPC);
	tv_write(t, TV_BYTES - 512, 512, 4);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(oversized_and_odd_vectors_are_refused)
{
	struct tv *t = tv_new_of(UINT64_C(256) << 20);
	static uint8_t byte[4096];
	struct iovec iov[2] = { { byte, 4096 }, { byte, SIZE_MAX } };

	tv_open(t);
	ck_assert_err(lsvd_volume_readv(t->v, iov, 2, 0), -EINVAL);
	ck_assert_err(lsvd_volume_writev(t->v, iov, 2, 0, 0), -EINVAL);
	iov[1].iov_len = (size_t)LSVD_IO_MAX_BYTES;
	ck_assert_err(lsvd_volume_readv(t->v, iov, 2, 0), -EINVAL);
	iov[1].iov_len = 100;
	ck_assert_err(lsvd_volume_readv(t->v, iov, 2, 0), -EINVAL);
	ck_assert_err(lsvd_volume_readv(t->v, iov, -1, 0), -EINVAL);
	ck_assert_err(lsvd_volume_readv(t->v, NULL, 2, 0), -EINVAL);
	ck_assert_err(lsvd_volume_writev(t->v, NULL, 2, 0, 0), -EINVAL);
	ck_assert_ok(lsvd_volume_writev(t->v, NULL, 0, 0, 0));
	ck_assert_err(lsvd_volume_read(t->v, NULL, 0, 512), -EINVAL);
	ck_assert_err(lsvd_volume_write(t->v, NULL, 0, 512, 0), -EINVAL);
	ck_assert_error_says("NULL");
	ck_assert_ok(lsvd_volume_write(t->v, NULL, 0, 0, 0));
	ck_assert_err(lsvd_volume_block_status(t->v, 0, 4096, NULL, 0), -EINVAL);
	tv_free(t);
}
END_TEST

/* ------------------------------------------------------------------------------------- results */

/* What cannot be told is not done either. */
START_TEST(a_result_whose_size_is_none_is_refused_before_anything_is_done)
{
	struct tv *t = fresh();
	struct lsvd_volume_info info = { .size = 4 }, good = LSVD_VOLUME_INFO_INIT;
	struct lsvd_snapshot_info s = { .size = 0 };
	struct lsvd_gc_status gc = { .size = 0 };
	struct lsvd_check_report report = { .size = 0 };
	struct lsvd_lower lower = { TV_NAME, "there", 0 };

	ck_assert_ok(lsvd_snapshot_create(t->v, "there", UINT32_MAX, NULL));
	ck_assert_err(lsvd_volume_lookup(t->store, TV_NAME, &info), -EINVAL);
	ck_assert_error_says("size field is 4");
	ck_assert_err(lsvd_volume_lookup(t->store, TV_NAME, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_stats(t->v, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_create(t->store, "new", 512, NULL, &info), -EINVAL);
	ck_assert_err(lsvd_volume_clone(t->store, TV_NAME, "there", "new", NULL, &info), -EINVAL);
	ck_assert_err(lsvd_volume_create_over(t->store, "new", 0, &lower, 1, 0, &info), -EINVAL);
	ck_assert_err(lsvd_volume_lookup(t->store, "new", &good), -ENOENT);
	ck_assert_err(lsvd_snapshot_create(t->v, "new", UINT32_MAX, &s), -EINVAL);
	ck_assert_err(lsvd_snapshot_delete(t->v, "new", UINT32_MAX), -ENOENT);
	ck_assert_err(lsvd_volume_collect(t->v, NULL, &gc), -EINVAL);
	ck_assert_err(lsvd_volume_check(t->store, TV_NAME, NULL, &report), -EINVAL);
	tv_free(t);
}
END_TEST

START_TEST(what_was_made_is_told_as_it_is_looked_up)
{
	struct tv *t = fresh();
	struct lsvd_volume_info made = LSVD_VOLUME_INFO_INIT, there = LSVD_VOLUME_INFO_INIT;
	struct lsvd_lower lower = { TV_NAME, "there", 0 };

	ck_assert_ok(lsvd_snapshot_create(t->v, "there", UINT32_MAX, NULL));
	ck_assert_ok(lsvd_volume_clone(t->store, TV_NAME, "there", "clone", NULL, &made));
	ck_assert_ok(lsvd_volume_lookup(t->store, "clone", &there));
	ck_assert_mem_eq(&made, &there, sizeof made);
	ck_assert_uint_eq(made.bytes, TV_BYTES);
	ck_assert_ok(lsvd_volume_create_over(t->store, "over", 0, &lower, 1, 0, &made));
	ck_assert_ok(lsvd_volume_lookup(t->store, "over", &there));
	ck_assert_mem_eq(&made, &there, sizeof made);
	ck_assert_uint_eq(made.bytes, TV_BYTES);
	tv_free(t);
}
END_TEST

static int take_volume(void *ctx, const struct lsvd_volume_info *info)
{
	(void)ctx;
	(void)info;
	return 0;
}

START_TEST(a_call_without_a_store_is_refused)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	struct lsvd_volume_usage usage = { .size = sizeof usage };
	struct lsvd_store_probe probe = LSVD_STORE_PROBE_INIT;
	struct lsvd_lower lower = { "a", "s", 0 };
	struct lsvd_vlog *log;

	ck_assert_err(lsvd_volume_create(NULL, "a", 512, NULL, NULL), -EINVAL);
	ck_assert_error_says("no store");
	ck_assert_err(lsvd_volume_lookup(NULL, "a", &info), -EINVAL);
	ck_assert_err(lsvd_volume_usage(NULL, "a", &usage), -EINVAL);
	ck_assert_err(lsvd_volume_list(NULL, take_volume, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_delete(NULL, "a"), -EINVAL);
	ck_assert_err(lsvd_volume_purge(NULL, "12345678-9abc-4def-8123-456789abcdef"), -EINVAL);
	ck_assert_err(lsvd_volume_clone(NULL, "a", "s", "b", NULL, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_create_over(NULL, "b", 0, &lower, 1, 0, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_lowers(NULL, "a", NULL, NULL), -EINVAL);
	ck_assert_err(lsvd_snapshot_list_store(NULL, "a", NULL, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_check(NULL, "a", NULL, NULL), -EINVAL);
	ck_assert_err(lsvd_volume_repair(NULL, "a", NULL, NULL), -EINVAL);
	ck_assert_err(lsvd_store_usage(NULL, NULL, NULL), -EINVAL);
	ck_assert_err(lsvd_store_probe(NULL, &probe), -EINVAL);
	ck_assert_err(lsvd_vlog_create(NULL, "a"), -EINVAL);
	ck_assert_err(lsvd_vlog_open(&log, NULL, "a", NULL), -EINVAL);
	ck_assert_err(lsvd_vlog_delete(NULL, "a"), -EINVAL);
}
END_TEST

static void io_done(struct lsvd_io *io)
{
	__atomic_store_n((int *)io->user, 1, __ATOMIC_RELEASE);
}

static int submit_one(struct tv *t, struct lsvd_io io)
{
	int over = 0;

	io.done = io_done;
	io.user = &over;
	lsvd_volume_submit(t->v, &io);
	tv_wait_for(__atomic_load_n(&over, __ATOMIC_ACQUIRE));
	return io.err;
}

START_TEST(submitted_operations_are_checked_like_blocking_ones)
{
	struct tv *t = fresh();
	uint8_t buf[8192] = { 0 };
	struct iovec iov[2] = { { buf, 4096 }, { buf + 4096, 4096 } };
	struct lsvd_io io = { .kind = LSVD_IO_WRITE, .len = 8192, .iov = iov, .iovcnt = 2 };

	ck_assert_err(submit_one(t, io), 0);
	io.iovcnt = 1; /* less in the vector than the length says */
	ck_assert_err(submit_one(t, io), -EINVAL);
	io.len = 512; /* more */
	ck_assert_err(submit_one(t, io), -EINVAL);
	io.iovcnt = -1;
	ck_assert_err(submit_one(t, io), -EINVAL);
	io = (struct lsvd_io){ .kind = 0 };
	ck_assert_err(submit_one(t, io), -EINVAL);
	io = (struct lsvd_io){ .kind = LSVD_IO_PREFETCH, .off = TV_BYTES, .len = 512 };
	ck_assert_err(submit_one(t, io), -EINVAL);
	io = (struct lsvd_io){ .kind = LSVD_IO_TRIM, .flags = 4, .len = 512 };
	ck_assert_err(submit_one(t, io), -EINVAL);
	tv_free(t);
	t = tv_new_of(UINT64_C(1) << 40); /* a prefetch would be as many fetches as it has MiB */
	tv_open(t);
	io = (struct lsvd_io){ .kind = LSVD_IO_PREFETCH, .len = LSVD_IO_MAX_BYTES };
	ck_assert_err(submit_one(t, io), 0);
	io.len += 512;
	ck_assert_err(submit_one(t, io), -EINVAL);
	tv_free(t);
}
END_TEST

/* ---------------------------------------------------------------- places that cannot be written */

/* As somebody without rights over `dir`, whose mode allows reading alone. */
static void become_nobody(struct tv *t)
{
	ck_assert_int_eq(chmod(t->dir, 0755), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(65534), 0);
}

static void become_root_again(void)
{
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
}

START_TEST(a_cache_directory_that_cannot_be_written_is_an_error)
{
	struct tv *t = tv_new();
	char *file = tmpdir_path(t->dir, "file");

	ck_assert_int_eq(mkdir(t->cache, 0555), 0);
	tv_run("chmod -R a+rwX '%s'%s", t->store_dir, "");
	become_nobody(t);
	ck_assert_err(tv_try_open(t), -EACCES);
	ck_assert_error_says("cache");
	become_root_again();
	tv_run("echo >'%s'%s", file, "");
	t->o.cache_dir = file;
	ck_assert_err(tv_try_open(t), -ENOTDIR);
	ck_assert_error_says("file");
	t->o.cache_dir = t->cache;
	tv_open(t);
	tv_check_all(t);
	free(file);
	tv_free(t);
}
END_TEST

/* Nobody else's volume is taken away by an open that cannot come to its end. */
START_TEST(a_read_cache_that_cannot_be_used_is_found_before_the_volume_is_taken)
{
	struct lsvd_volume_usage u = { .size = sizeof u };
	struct tv *t = tv_new();
	char *rcache = tmpdir_path(t->cache, "rcache.0");

	ck_assert_int_eq(mkdir(t->cache, 0755), 0);
	ck_assert_int_eq(mkdir(rcache, 0755), 0);
	t->o.rcache_bytes = 1u << 20;
	ck_assert_err(tv_try_open(t), -EISDIR);
	ck_assert_error_says("rcache.0");
	ck_assert_ok(lsvd_volume_usage(t->store, TV_NAME, &u));
	ck_assert_uint_eq(u.epoch, 0);
	ck_assert_uint_eq(u.claims, 0);
	ck_assert_int_eq(rmdir(rcache), 0);
	tv_open(t);
	tv_check_all(t);
	free(rcache);
	tv_free(t);
}
END_TEST

START_TEST(a_store_directory_that_cannot_be_written_is_an_error_and_nothing_is_lost)
{
	struct lsvd_store_options o = LSVD_STORE_OPTIONS_INIT;
	struct tv *t = fresh();
	struct lsvd_store *store;
	char url[512];
	int err;

	tv_write(t, 0, 65536, 1);
	tv_close(t);
	(void)snprintf(url, sizeof url, "dir:%s", t->store_dir); /* fits */
	become_nobody(t);
	err = lsvd_store_open(&store, url, NULL);
	ck_assert_msg(err == -EACCES || err == -EROFS, "%s", lsvd_error_name(err));
	ck_assert_error_says("store");
	become_root_again();
	o.flags = LSVD_STORE_READONLY;
	ck_assert_ok(lsvd_store_open(&store, url, &o));
	ck_assert_err(lsvd_volume_open(&t->v, store, TV_NAME, &t->o), -EROFS);
	t->o.flags = LSVD_OPEN_READONLY;
	ck_assert_ok(lsvd_volume_open(&t->v, store, TV_NAME, &t->o));
	tv_check_all(t);
	tv_close(t);
	lsvd_store_close(store);
	t->o.flags = 0;
	tv_open(t);
	tv_check_all(t);
	tv_free(t);
}
END_TEST

START_TEST(a_log_that_is_no_regular_file_is_refused)
{
	struct tv *t = tv_new();
	char *log = tv_log_path(t);
	int err;

	ck_assert_int_eq(mkdir(t->cache, 0700), 0);
	if (_i == 0)
		ck_assert_int_eq(mkfifo(log, 0600), 0);
	else if (_i == 1)
		ck_assert_int_eq(mkdir(log, 0700), 0);
	else
		ck_assert_int_eq(symlink("/dev/null", log), 0);
	err = tv_try_open(t);
	ck_assert_msg(err < 0, "it was taken");
	ck_assert_error_says(TV_NAME ".log");
	free(log);
	tv_free(t);
}
END_TEST

/* -------------------------------------------------------------------------------------- suite */

static Suite *volume_bad_suite(void)
{
	Suite *s = suite_create("volume_bad");
	TCase *c = tcase_create("bad");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, names_outside_the_grammar_are_refused);
	tcase_add_test(c, sizes_out_of_bounds_are_refused);
	tcase_add_test(c, a_uuid_must_be_one);
	tcase_add_test(c, creating_an_existing_volume_changes_nothing);
	tcase_add_test(c, a_volume_that_is_not_there_is_an_error_everywhere);
	tcase_add_test(c, volumes_are_listed_in_order_and_the_walk_can_be_ended);
	tcase_add_test(c, options_out_of_bounds_are_refused_by_name);
	tcase_add_test(c, option_structs_of_other_sizes_are_understood_or_refused);
	tcase_add_test(c, a_store_without_create_if_absent_is_refused);
	tcase_add_test(c, unaligned_operations_are_refused);
	tcase_add_test(c, operations_beyond_the_end_are_refused);
	tcase_add_test(c, oversized_and_odd_vectors_are_refused);
	tcase_add_test(c, submitted_operations_are_checked_like_blocking_ones);
	tcase_add_test(c, a_result_whose_size_is_none_is_refused_before_anything_is_done);
	tcase_add_test(c, what_was_made_is_told_as_it_is_looked_up);
	tcase_add_test(c, a_call_without_a_store_is_refused);
	tcase_add_test(c, a_cache_directory_that_cannot_be_written_is_an_error);
	tcase_add_test(c, a_read_cache_that_cannot_be_used_is_found_before_the_volume_is_taken);
	tcase_add_test(c, a_store_directory_that_cannot_be_written_is_an_error_and_nothing_is_lost);
	tcase_add_loop_test(c, a_log_that_is_no_regular_file_is_refused, 0, 3);
	suite_add_tcase(s, c);
	return s;
}

T_MAIN(volume_bad_suite)
