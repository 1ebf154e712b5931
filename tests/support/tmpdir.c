/* SPDX-License-Identifier: BSD-2-Clause */
/* tmpdir.c - a directory for the length of a test. */
#include "tmpdir.h"

#include <ftw.h>
#include <sys/stat.h>

#include "t_check.h"

static const char *parent(void)
{
	const char *dir = getenv("LSVD_TEST_DIR");

	if (!dir || !*dir)
		dir = getenv("TMPDIR");
	return dir && *dir ? dir : "/tmp";
}

char *tmpdir_path(const char *dir, const char *name)
{
	size_t size = strlen(dir) + strlen(name) + 2;
	char *path = malloc(size);

	ck_assert_ptr_nonnull(path);
	ck_assert_int_lt(snprintf(path, size, "%s/%s", dir, name), (int)size);
	return path;
}

char *tmpdir_new(void)
{
	char *path = tmpdir_path(parent(), "lsvd-test-XXXXXX");

	ck_assert_msg(mkdtemp(path) != NULL, "%s: %s", path, strerror(errno));
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* A test may have taken away the right to look into a directory. */
static int open_up(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_D || type == FTW_DNR)
		(void)chmod(path, 0700); /* if it does not help, remove will say so */
	return 0;
}

void tmpdir_remove(const char *path)
{
	(void)nftw(path, open_up, 16, FTW_PHYS); /* as above */
	ck_assert_msg(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, "%s: %s", path,
		      strerror(errno));
}

void tmpdir_free(char *dir)
{
	tmpdir_remove(dir);
	free(dir);
}
