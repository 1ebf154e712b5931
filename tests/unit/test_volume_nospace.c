/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of a volume on file systems that are really full: a small one of its own, mounted where
 * nobody else sees it. Without the right to mount (status 77) they do not run.
 * lsvd-test: timeout=120
 */
#include <sched.h>
#include <sys/mount.h>

#include "t_volume.h"

static char *mounted;

static bool mount_small(const char *size)
{
	char options[64];

	(void)snprintf(options, sizeof options, "size=%s", size); /* fits */
	mounted = tmpdir_new();
	if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("tmpfs", mounted, "tmpfs", 0, options) == 0)
		return true;
	tmpdir_free(mounted);
	return false;
}

static void unmount(void)
{
	ck_assert_int_eq(umount(mounted), 0);
	tmpdir_free(mounted);
}

static struct tv *fresh(const char *size)
{
	struct tv *t = tv_new();

	ck_assert(mount_small(size));
	return t;
}

START_TEST(volume_log_that_does_not_fit_is_no_space_and_leaves_nothing_behind)
{
	struct tv *t = fresh("1m");

	t->o.cache_dir = mounted;
	ck_assert_err(tv_try_open(t), -ENOSPC);
	ck_assert_error_says(TV_NAME ".log");
	/* With room it is made; the failed attempt has cost nothing. */
	t->o.cache_dir = t->cache;
	tv_open(t);
	tv_write(t, 0, 65536, 1);
	tv_reopen(t);
	tv_check_all(t);
	tv_close(t);
	unmount();
	tv_free(t);
}
END_TEST

START_TEST(volume_goes_on_with_a_full_cache_directory)
{
	struct tv *t = fresh("3m");

	/* The log fits; the read cache is sparse and finds no room. */
	t->o.cache_dir = mounted;
	t->o.rcache_bytes = 8u << 20;
	tv_open(t);
	for (unsigned i = 0; i < 60; i++)
		tv_write(t, i * 65536, 65536, i);
	tv_reopen(t);
	for (unsigned i = 0; i < 3; i++)
		tv_check_all(t);
	for (unsigned i = 0; i < 60; i++)
		tv_write(t, i * 65536 + 4096, 65536, 100 + i);
	tv_flush(t);
	tv_check_all(t);
	tv_reopen(t);
	tv_check_all(t);
	tv_close(t);
	unmount();
	tv_free(t);
}
END_TEST

START_TEST(volume_waits_for_a_full_store_and_drains_when_it_has_room)
{
	struct tv *t = fresh("2m");
	char *ballast = tmpdir_path(mounted, "ballast");

	lsvd_store_close(t->store);
	free(t->store_dir);
	t->store_dir = tmpdir_path(mounted, "store");
	tv_open_store(t);
	ck_assert_ok(lsvd_volume_create(t->store, TV_NAME, TV_BYTES, NULL, NULL));
	tv_run("head -c '%s' /dev/zero >'%s'", "1M", ballast);
	tv_open(t);
	for (unsigned i = 0; i < 20; i++)
		tv_write(t, i * 65536, 65536, i);
	tv_wait_for(lsvd_volume_status(t->v, NULL, 0) == -ENOSPC);
	tv_flush(t);
	tv_check_all(t);
	ck_assert_int_eq(unlink(ballast), 0);
	ck_assert_ok(lsvd_volume_sync(t->v, 60000));
	ck_assert_int_eq(lsvd_volume_status(t->v, NULL, 0), 0);
	tv_reopen(t);
	tv_check_all(t);
	tv_close(t);
	lsvd_store_close(t->store);
	t->store = NULL;
	unmount();
	free(ballast);
	tv_free(t);
}
END_TEST

/* In a child, whose mounts go with it; outside of a test nothing may be asserted. */
static bool can_mount(void)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWNS) < 0 ||
		      mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		      mount("tmpfs", "/tmp", "tmpfs", 0, "size=64k") < 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static Suite *volume_nospace_suite(void)
{
	Suite *s = suite_create("volume_nospace");
	TCase *c = tcase_create("full");

	tcase_set_timeout(c, 100);
	tcase_add_test(c, volume_log_that_does_not_fit_is_no_space_and_leaves_nothing_behind);
	tcase_add_test(c, volume_goes_on_with_a_full_cache_directory);
	tcase_add_test(c, volume_waits_for_a_full_store_and_drains_when_it_has_room);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	if (!can_mount()) {
		printf("not run: no right to mount a file system\n");
		return T_SKIP;
	}
	return t_run(volume_nospace_suite());
}
