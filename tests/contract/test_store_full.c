/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_store_full.c - a file system without room, under the directory store and under the cache
 * directory: a small tmpfs in a mount name space of this process's own. Not run (77) where the
 * system does not give us one.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lsvd/store.h>
#include <lsvd/store_driver.h>

#include "io/world_real.h"
#include "store/store.h"
#include "t_check.h"
#include "tmpdir.h"

#define ROOM (4u << 20)

static char dir[] = "/tmp/lsvd-full-XXXXXX";

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		(void)close(fd); /* the write has said how it went */
	return ok;
}

/* Who is not the superuser becomes it in a name space of users. */
static bool become_root(void)
{
	char users[64], groups[64];

	if (geteuid() == 0)
		return true;
	(void)snprintf(users, sizeof users, "0 %u 1\n", geteuid()); /* fits */
	(void)snprintf(groups, sizeof groups, "0 %u 1\n", getegid());
	return unshare(CLONE_NEWUSER) == 0 && write_text("/proc/self/setgroups", "deny") &&
	       write_text("/proc/self/uid_map", users) && write_text("/proc/self/gid_map", groups);
}

static bool mount_small_file_system(void)
{
	return become_root() && unshare(CLONE_NEWNS) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=0700") == 0;
}

static unsigned entries_of(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	if (!d)
		return 0;
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n - 2; /* "." and ".." */
}

/* All but about `left` bytes are taken. */
static void fill_up(const char *path, size_t left)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(posix_fallocate(fd, 0, (off_t)(ROOM - left)), 0);
	ck_assert_int_eq(close(fd), 0);
}

static int put(struct lsvd_store *s, const char *key, size_t len)
{
	unsigned char *data = calloc(1, len);
	struct iovec iov = { data, len };
	int err;

	ck_assert_ptr_nonnull(data);
	err = lsvd_store_put_if_absent(s, key, &iov, 1);
	free(data);
	return err;
}

START_TEST(store_dir_without_room_is_enospc_and_leaves_nothing_behind)
{
	static const unsigned ways[] = { 0, STORE_DIR_NO_OPENAT2 | STORE_DIR_NO_TMPFILE |
						STORE_DIR_NO_DIRECT };
	char *root = tmpdir_path(dir, "store"), *objects = tmpdir_path(dir, "store/v/d");
	char *temps = tmpdir_path(dir, "store/~tmp"), *ballast = tmpdir_path(dir, "ballast");
	struct lsvd_store *s;
	uint64_t bytes;

	ck_assert_int_eq(mkdir(root, 0700), 0);
	ck_assert_ok(lsvd_store_dir_open(&s, "dir:full", root, ways[_i]));
	ck_assert_ok(put(s, "v/d/small", 1000));
	fill_up(ballast, 1u << 20);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_err(put(s, "v/d/big", 2u << 20), -ENOSPC);
		ck_assert_error_says("v/d/big");
		ck_assert_err(lsvd_store_head(s, "v/d/big", &bytes), -ENOENT);
		ck_assert_uint_eq(entries_of(objects), 1);
		ck_assert_uint_eq(entries_of(temps), 0);
	}
	ck_assert_ok(put(s, "v/d/fits", 500000)); /* what failed gave its blocks back */
	ck_assert_int_eq(unlink(ballast), 0);
	ck_assert_ok(put(s, "v/d/big", 2u << 20));
	lsvd_store_close(s);
	tmpdir_remove(root);
	free(root);
	free(objects);
	free(temps);
	free(ballast);
}
END_TEST

START_TEST(io_file_fill_without_room_is_enospc_before_much_is_written)
{
	struct world *w;
	struct file *f;
	char *path = tmpdir_path(dir, "log");

	ck_assert_ok(lsvd_world_real_open(&w, NULL, dir, false));
	ck_assert_ok(w->file->open(w, "log", FILE_CREATE, &f));
	ck_assert_err(w->file->fill(f, 2 * ROOM), -ENOSPC);
	ck_assert_error_says("8388608");
	ck_assert_ok(w->file->fill(f, ROOM / 2));
	w->file->close(f);
	lsvd_world_real_close(w);
	ck_assert_int_eq(unlink(path), 0);
	free(path);
}
END_TEST

static Suite *store_full_suite(void)
{
	Suite *s = suite_create("store full");
	TCase *t = tcase_create("no room");

	tcase_add_loop_test(t,
			    store_dir_without_room_is_enospc_and_leaves_nothing_behind,
			    0, 2);
	tcase_add_test(t, io_file_fill_without_room_is_enospc_before_much_is_written);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	int result = T_SKIP;

	if (!mkdtemp(dir)) {
		printf("%s: %s\n", dir, strerror(errno));
		return EXIT_FAILURE;
	}
	if (mount_small_file_system()) {
		result = t_run(store_full_suite());
		(void)umount(dir); /* else it goes with the name space */
	} else {
		printf("not run: no mount name space, or no tmpfs in it: %s\n", strerror(errno));
	}
	(void)rmdir(dir); /* after a failed unmount it stays, empty */
	return result;
}
