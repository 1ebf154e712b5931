/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_io_file.c - files of the cache directory: opening, locking, filling, reading, writing,
 * syncing (world_real.h).
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/port.h"
#include "io/world_real.h"
#include "t_check.h"
#include "tmpdir.h"

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

static int open_file(struct file **ret, const char *name, unsigned flags)
{
	return world->file->open(world, name, flags, ret);
}

static struct file *new_file(const char *name)
{
	struct file *f;

	ck_assert_ok(open_file(&f, name, FILE_CREATE));
	return f;
}

static int write_at(struct file *f, uint64_t off, const void *buf, size_t len)
{
	struct file_io io = { .io.kind = IO_FILE_WRITE, .file = f, .off = off,
			      .buf = (void *)(uintptr_t)buf, .len = len };

	return lsvd_port_run1(&port, &io.io);
}

static int read_at(struct file *f, uint64_t off, void *buf, size_t len, bool past_cache)
{
	struct file_io io = { .io.kind = IO_FILE_READ, .file = f, .off = off, .buf = buf,
			      .len = len, .past_cache = past_cache };

	return lsvd_port_run1(&port, &io.io);
}

static int sync_file(struct file *f)
{
	struct file_io io = { .io.kind = IO_FILE_SYNC, .file = f };

	return lsvd_port_run1(&port, &io.io);
}

static char *path_of(const char *name)
{
	return tmpdir_path(dir, name);
}

static struct stat status_of(const char *name)
{
	char *path = path_of(name);
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	free(path);
	return st;
}

/* -------------------------------------------------------------------------------------- opening */

START_TEST(io_file_that_is_missing_is_enoent_and_not_made)
{
	struct file *f;

	ck_assert_err(open_file(&f, "log", 0), -ENOENT);
	ck_assert_err(open_file(&f, "log", FILE_READONLY), -ENOENT);
	ck_assert_error_says("/log");
}
END_TEST

START_TEST(io_file_made_is_the_owners_alone)
{
	mode_t old = umask(0);
	struct file *f = new_file("log");
	uint64_t bytes = 77;

	(void)umask(old);
	ck_assert_uint_eq(status_of("log").st_mode & 07777, 0600);
	ck_assert_ok(world->file->size(f, &bytes));
	ck_assert_uint_eq(bytes, 0);
	world->file->close(f);
}
END_TEST

START_TEST(io_file_made_again_keeps_its_bytes)
{
	struct file *f = new_file("log");
	char back[5];

	ck_assert_ok(write_at(f, 0, "bytes", 5));
	world->file->close(f);
	f = new_file("log");
	ck_assert_ok(read_at(f, 0, back, 5, false));
	ck_assert_int_eq(memcmp(back, "bytes", 5), 0);
	world->file->close(f);
}
END_TEST

START_TEST(io_file_names_lead_nowhere_else)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "/etc/passwd", "../x", "a/" };
	struct file *f;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_err(open_file(&f, bad[i], FILE_CREATE), -EINVAL);
}
END_TEST

START_TEST(io_file_that_is_a_symbolic_link_is_refused)
{
	char *target = path_of("target"), *link = path_of("log");
	struct file *f = new_file("target");

	ck_assert_int_eq(symlink(target, link), 0);
	ck_assert_err(open_file(&f, "log", 0), -ELOOP);
	ck_assert_err(open_file(&f, "log", FILE_CREATE), -ELOOP);
	ck_assert_error_says("/log");
	world->file->close(f);
	free(target);
	free(link);
}
END_TEST

START_TEST(io_file_that_is_no_regular_file_is_refused)
{
	char *fifo = path_of("fifo"), *sub = path_of("sub");
	struct file *f;

	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	ck_assert_int_eq(mkdir(sub, 0700), 0);
	ck_assert_err(open_file(&f, "fifo", FILE_READONLY), -EINVAL); /* and does not wait */
	ck_assert_err(open_file(&f, "fifo", 0), -EINVAL);
	ck_assert_error_says("not a regular file");
	ck_assert_err(open_file(&f, "sub", 0), -EISDIR);
	ck_assert_err(open_file(&f, "sub", FILE_READONLY), -EINVAL);
	free(fifo);
	free(sub);
}
END_TEST

START_TEST(io_file_opened_read_only_refuses_writes)
{
	struct file *f = new_file("log");

	ck_assert_ok(write_at(f, 0, "x", 1));
	world->file->close(f);
	ck_assert_ok(open_file(&f, "log", FILE_READONLY));
	ck_assert_err(write_at(f, 0, "y", 1), -EBADF);
	world->file->close(f);
}
END_TEST

/* -------------------------------------------------------------------------------------- locking */

START_TEST(io_file_exclusive_lock_excludes_other_handles_of_the_same_process)
{
	struct file *a, *b;

	ck_assert_ok(open_file(&a, "log", FILE_CREATE | FILE_EXCLUSIVE));
	ck_assert_err(open_file(&b, "log", FILE_EXCLUSIVE), LSVD_E_LOCKED);
	ck_assert_error_says("/log");
	ck_assert_err(open_file(&b, "log", FILE_SHARED | FILE_READONLY), LSVD_E_LOCKED);
	ck_assert_ok(open_file(&b, "log", 0)); /* who asks for no lock gets none */
	world->file->close(b);
	world->file->close(a);
	ck_assert_ok(open_file(&b, "log", FILE_EXCLUSIVE));
	world->file->close(b);
}
END_TEST

START_TEST(io_file_shared_locks_exclude_only_exclusive_ones)
{
	struct file *a, *b, *c;

	world->file->close(new_file("log"));
	ck_assert_ok(open_file(&a, "log", FILE_SHARED | FILE_READONLY));
	ck_assert_ok(open_file(&b, "log", FILE_SHARED));
	ck_assert_err(open_file(&c, "log", FILE_EXCLUSIVE), LSVD_E_LOCKED);
	world->file->close(a);
	ck_assert_err(open_file(&c, "log", FILE_EXCLUSIVE), LSVD_E_LOCKED);
	world->file->close(b);
	ck_assert_ok(open_file(&c, "log", FILE_EXCLUSIVE));
	world->file->close(c);
}
END_TEST

/* The child holds the lock until it is killed. It has no threads: it only makes system calls. */
static void hold_lock_until_killed(const char *path, int told)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char c = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 ? 'x' : '!';

	(void)!write(told, &c, 1); /* the parent notices what is missing */
	for (;;)
		(void)pause();
}

START_TEST(io_file_lock_of_another_process_goes_when_it_is_killed)
{
	char *path = path_of("log"), c;
	struct file *f;
	int told[2];
	pid_t child;

	ck_assert_int_eq(pipe(told), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0)
		hold_lock_until_killed(path, told[1]);
	ck_assert_int_eq(read(told[0], &c, 1), 1);
	ck_assert_int_eq(c, 'x');
	ck_assert_err(open_file(&f, "log", FILE_EXCLUSIVE), LSVD_E_LOCKED);
	ck_assert_int_eq(kill(child, SIGKILL), 0);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	ck_assert_ok(open_file(&f, "log", FILE_EXCLUSIVE));
	world->file->close(f);
	(void)close(told[0]);
	(void)close(told[1]);
	free(path);
}
END_TEST

/* -------------------------------------------------------------------------------------- filling */

static void assert_zeroes(struct file *f, uint64_t bytes)
{
	static const unsigned char zeroes[65536];
	unsigned char buf[65536];
	uint64_t size = 0;

	ck_assert_ok(world->file->size(f, &size));
	ck_assert_uint_eq(size, bytes);
	for (uint64_t off = 0; off < bytes; off += sizeof buf) {
		size_t len = bytes - off < sizeof buf ? (size_t)(bytes - off) : sizeof buf;

		ck_assert_ok(read_at(f, off, buf, len, false));
		ck_assert_int_eq(memcmp(buf, zeroes, len), 0);
	}
}

START_TEST(io_file_fill_writes_every_block)
{
	static const uint64_t sizes[] = { 0, 1, 4095, 4096, 12345, 1u << 20, (5u << 20) + 513 };
	struct file *f = new_file("log");

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		ck_assert_ok(world->file->fill(f, sizes[i]));
		assert_zeroes(f, sizes[i]);
		ck_assert_uint_ge((uint64_t)status_of("log").st_blocks * 512, sizes[i]);
	}
	world->file->close(f);
}
END_TEST

START_TEST(io_file_fill_leaves_nothing_of_what_was_there)
{
	struct file *f = new_file("log");
	unsigned char junk[10000];

	t_fill(junk, sizeof junk, 1);
	ck_assert_ok(write_at(f, 0, junk, sizeof junk));
	ck_assert_ok(world->file->fill(f, 8192));
	assert_zeroes(f, 8192);
	ck_assert_ok(write_at(f, 0, junk, sizeof junk));
	ck_assert_ok(world->file->fill(f, 20000));
	assert_zeroes(f, 20000);
	world->file->close(f);
}
END_TEST

START_TEST(io_file_fill_without_room_fails_and_says_how_much_was_wanted)
{
	struct rlimit old, small;
	struct file *f = new_file("log");
	int err;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 1u << 20;
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	err = world->file->fill(f, 3u << 20);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	ck_assert_err(err, -EFBIG);
	ck_assert_error_says("3145728");
	ck_assert_err(world->file->fill(f, UINT64_MAX), -EFBIG);
	world->file->close(f);
}
END_TEST

/* ----------------------------------------------------------------------------- reading, writing */

START_TEST(io_file_read_beyond_the_end_is_eio_and_says_where_it_ends)
{
	struct file *f = new_file("log");
	char buf[100];

	ck_assert_ok(write_at(f, 0, "0123456789", 10));
	for (int past_cache = 0; past_cache < 2; past_cache++) {
		ck_assert_ok(read_at(f, 0, buf, 10, past_cache));
		ck_assert_ok(read_at(f, 10, buf, 0, past_cache));
		ck_assert_err(read_at(f, 4, buf, 10, past_cache), -EIO);
		ck_assert_error_says("ends after 6 of them");
		ck_assert_err(read_at(f, 10, buf, 1, past_cache), -EIO);
		ck_assert_err(read_at(f, 1u << 30, buf, 1, past_cache), -EIO);
	}
	world->file->close(f);
}
END_TEST

START_TEST(io_file_read_past_the_cache_sees_what_was_written_at_any_alignment)
{
	enum { SIZE = 3 * 1024 * 1024 + 777 };
	unsigned char *data = malloc(SIZE), *back = malloc(SIZE);
	struct file *f = new_file("log");
	uint64_t seed = t_seed();

	ck_assert(data && back);
	t_fill(data, SIZE, seed);
	ck_assert_ok(write_at(f, 0, data, SIZE));
	ck_assert_ok(sync_file(f));
	ck_assert_ok(read_at(f, 0, back, SIZE, true));
	ck_assert_int_eq(memcmp(data, back, SIZE), 0);
	for (int i = 0; i < 200; i++) {
		uint64_t off = t_random_below(&seed, SIZE);
		size_t len = (size_t)t_random_below(&seed, i % 2 ? 9000 : SIZE);

		if (len > SIZE - off)
			len = SIZE - off;
		ck_assert_ok(read_at(f, off, back, len, i % 3 != 0));
		ck_assert_int_eq(memcmp(data + off, back, len), 0);
	}
	world->file->close(f);
	free(data);
	free(back);
}
END_TEST

START_TEST(io_file_read_that_the_cache_has_only_in_part_is_whole)
{
	enum { SIZE = 1 << 20 };
	unsigned char *data = malloc(SIZE), *back = malloc(SIZE);
	char *path = path_of("log");
	struct file *f = new_file("log");
	struct file_io io = { .io.kind = IO_FILE_READ, .file = f, .buf = back, .len = SIZE };
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ck_assert(data && back && fd >= 0);
	t_fill(data, SIZE, 5);
	ck_assert_ok(write_at(f, 0, data, SIZE));
	ck_assert_ok(sync_file(f));
	ck_assert_int_eq(posix_fadvise(fd, SIZE / 4, SIZE / 2, POSIX_FADV_DONTNEED), 0);
	ck_assert_ok(lsvd_port_run1(&port, &io.io));
	ck_assert_int_eq(memcmp(data, back, SIZE), 0);
	(void)close(fd);
	free(path);
	world->file->close(f);
	free(data);
	free(back);
}
END_TEST

static void count_done(struct io *io)
{
	unsigned *n = io->owner;

	(*n)++;
}

/* None of them is done by this thread: it says that it may not wait. */
START_TEST(io_file_cold_reads_and_syncs_are_done_by_other_threads)
{
	enum { READS = 40, LEN = 16384 };
	static unsigned char back[READS][LEN];
	unsigned char *data = malloc(READS * LEN);
	struct file_io io[READS + 2];
	struct file *f = new_file("log");
	unsigned done = 0;

	ck_assert_ptr_nonnull(data);
	t_fill(data, READS * LEN, 6);
	ck_assert_ok(write_at(f, 0, data, READS * LEN));
	lsvd_port_enter(&port);
	for (unsigned i = 0; i < READS + 2; i++) {
		io[i] = (struct file_io){ .io = { .kind = IO_FILE_SYNC, .done = count_done,
						  .owner = &done },
					  .file = f };
		if (i < READS) {
			io[i].io.kind = IO_FILE_READ;
			io[i].off = (uint64_t)i * LEN;
			io[i].buf = back[i];
			io[i].len = LEN;
			io[i].past_cache = i % 2;
		}
		lsvd_port_start(&port, &io[i].io);
	}
	lsvd_port_leave(&port, false);
	lsvd_port_enter(&port);
	while (done < READS + 2)
		lsvd_port_wait(&port);
	lsvd_port_leave(&port, false);
	for (unsigned i = 0; i < READS + 2; i++)
		ck_assert_int_eq(io[i].io.err, 0);
	ck_assert_int_eq(memcmp(data, back, READS * LEN), 0);
	world->file->close(f);
	free(data);
}
END_TEST

/*
 * Long and aligned ones go to the device, the others to the page cache;
 * each sees the other's bytes.
 */
START_TEST(io_file_writes_past_the_cache_are_seen_by_all_reads)
{
	enum { N = 24, LEN = 512 << 10, SIZE = N * LEN };
	unsigned char *data = aligned_alloc(4096, SIZE), *back = malloc(SIZE);
	struct file *f = new_file("log");
	struct file_io io[N];
	unsigned done = 0;

	ck_assert(data && back);
	ck_assert_ok(world->file->fill(f, SIZE));
	for (unsigned round = 0; round < 3; round++) {
		t_fill(data, SIZE, 7 + round);
		lsvd_port_enter(&port);
		for (unsigned i = 0; i < N; i++) {
			/* Every third is too short by a sector, and the rest of it follows. */
			io[i] = (struct file_io){ .io = { .kind = IO_FILE_WRITE, .done = count_done,
							  .owner = &done },
						  .file = f, .off = (uint64_t)i * LEN,
						  .buf = data + (size_t)i * LEN,
						  .len = i % 3 ? LEN : LEN - 512,
						  .past_cache = true };
			lsvd_port_start(&port, &io[i].io);
		}
		lsvd_port_leave(&port, false);
		lsvd_port_enter(&port);
		while (done < N * (round + 1))
			lsvd_port_wait(&port);
		lsvd_port_leave(&port, false);
		for (unsigned i = 0; i < N; i++) {
			ck_assert_int_eq(io[i].io.err, 0);
			if (i % 3 == 0)
				ck_assert_ok(write_at(f, (uint64_t)i * LEN + LEN - 512,
						      data + (size_t)i * LEN + LEN - 512, 512));
		}
		ck_assert_ok(read_at(f, 0, back, SIZE, false));
		ck_assert_int_eq(memcmp(data, back, SIZE), 0);
		ck_assert_ok(sync_file(f));
		memset(back, 0, SIZE);
		ck_assert_ok(read_at(f, 0, back, SIZE, true));
		ck_assert_int_eq(memcmp(data, back, SIZE), 0);
	}
	world->file->close(f);
	free(data);
	free(back);
}
END_TEST

START_TEST(io_file_long_write_that_fails_is_an_error_with_place_and_length)
{
	unsigned char *data = aligned_alloc(4096, 512 << 10);
	struct rlimit old, small;
	struct file *f = new_file("log");
	struct file_io io = { .io = { .kind = IO_FILE_WRITE }, .file = f, .off = 1 << 20,
			      .buf = data, .len = 512 << 10, .past_cache = true };
	int err;

	ck_assert_ptr_nonnull(data);
	t_fill(data, 512 << 10, 8);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 1 << 20;
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	err = lsvd_port_run1(&port, &io.io);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	ck_assert_err(err, -EFBIG);
	ck_assert_error_says("write of 524288 bytes at 1048576");
	world->file->close(f);
	free(data);
}
END_TEST

START_TEST(io_file_failing_write_is_an_error_with_place_and_length)
{
	struct rlimit old, small;
	struct file *f = new_file("log");
	int err;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 4096;
	(void)signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	err = write_at(f, 4000, dir, 10); /* fits */
	ck_assert_ok(err);
	err = write_at(f, 8192, dir, 10);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	ck_assert_err(err, -EFBIG);
	ck_assert_error_says("write of 10 bytes at 8192");
	world->file->close(f);
}
END_TEST

/* -------------------------------------------------------------------------- the cache directory */

START_TEST(io_cache_directory_is_made_with_its_parents_when_asked)
{
	char *deep = path_of("a/b//c/"), *plain = path_of("plain"), *below = path_of("plain/x");
	struct world *w;
	struct file *f;

	ck_assert_err(lsvd_world_real_open(&w, NULL, deep, false), -ENOENT);
	ck_assert_error_says(deep);
	ck_assert_ok(lsvd_world_real_open(&w, NULL, deep, true));
	ck_assert_uint_eq(status_of("a").st_mode & 07777, 0700);
	ck_assert_uint_eq(status_of("a/b/c").st_mode & 07777, 0700);
	ck_assert_ok(w->file->open(w, "log", FILE_CREATE, &f));
	ck_assert_uint_eq(status_of("a/b/c/log").st_size, 0);
	w->file->close(f);
	lsvd_world_real_close(w);
	world->file->close(new_file("plain"));
	ck_assert_err(lsvd_world_real_open(&w, NULL, plain, true), -ENOTDIR);
	ck_assert_err(lsvd_world_real_open(&w, NULL, below, true), -ENOTDIR);
	free(deep);
	free(plain);
	free(below);
}
END_TEST

START_TEST(io_world_without_a_directory_opens_no_file)
{
	struct world *w;
	struct file *f;

	ck_assert_ok(lsvd_world_real_open(&w, NULL, NULL, true));
	ck_assert_err(w->file->open(w, "log", FILE_CREATE, &f), -EINVAL);
	lsvd_world_real_close(w);
}
END_TEST

static TCase *with_fixture(Suite *s, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	suite_add_tcase(s, t);
	return t;
}

static Suite *io_file_suite(void)
{
	Suite *s = suite_create("io file");
	TCase *t = with_fixture(s, "open");

	tcase_add_test(t, io_file_that_is_missing_is_enoent_and_not_made);
	tcase_add_test(t, io_file_made_is_the_owners_alone);
	tcase_add_test(t, io_file_made_again_keeps_its_bytes);
	tcase_add_test(t, io_file_names_lead_nowhere_else);
	tcase_add_test(t, io_file_that_is_a_symbolic_link_is_refused);
	tcase_add_test(t, io_file_that_is_no_regular_file_is_refused);
	tcase_add_test(t, io_file_opened_read_only_refuses_writes);

	t = with_fixture(s, "lock");
	tcase_add_test(t, io_file_exclusive_lock_excludes_other_handles_of_the_same_process);
	tcase_add_test(t, io_file_shared_locks_exclude_only_exclusive_ones);
	tcase_add_test(t, io_file_lock_of_another_process_goes_when_it_is_killed);

	t = with_fixture(s, "fill");
	tcase_add_test(t, io_file_fill_writes_every_block);
	tcase_add_test(t, io_file_fill_leaves_nothing_of_what_was_there);
	tcase_add_test(t, io_file_fill_without_room_fails_and_says_how_much_was_wanted);

	t = with_fixture(s, "read, write, sync");
	tcase_add_test(t, io_file_read_beyond_the_end_is_eio_and_says_where_it_ends);
	tcase_add_test(t, io_file_read_past_the_cache_sees_what_was_written_at_any_alignment);
	tcase_add_test(t, io_file_read_that_the_cache_has_only_in_part_is_whole);
	tcase_add_test(t, io_file_cold_reads_and_syncs_are_done_by_other_threads);
	tcase_add_test(t, io_file_writes_past_the_cache_are_seen_by_all_reads);
	tcase_add_test(t, io_file_long_write_that_fails_is_an_error_with_place_and_length);
	tcase_add_test(t, io_file_failing_write_is_an_error_with_place_and_length);

	t = with_fixture(s, "directory");
	tcase_add_test(t, io_cache_directory_is_made_with_its_parents_when_asked);
	tcase_add_test(t, io_world_without_a_directory_opens_no_file);
	return s;
}

T_MAIN(io_file_suite)
