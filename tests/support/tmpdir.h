/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tmpdir.h - a directory for the length of a test.
 *
 * It is made below LSVD_TEST_DIR, else TMPDIR, else /tmp. tmpdir_free() removes it with all that is
 * in it; a test that fails before leaves it behind, to be looked at.
 */
#ifndef TMPDIR_H
#define TMPDIR_H

/* The path of a new, empty directory; ends the test if there is none to be had. */
char *tmpdir_new(void);

/* "directory/name", allocated. */
char *tmpdir_path(const char *dir, const char *name);

/* Removes `path` with everything below it; symbolic links are removed, not followed. */
void tmpdir_remove(const char *path);

/* tmpdir_remove() and free(). */
void tmpdir_free(char *dir);

#endif
