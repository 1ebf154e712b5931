/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_module.c - finding and loading store_NAME.so.
 *
 * libs3 is under the GPL, and exports names that host programs have as well; so it is in no library
 * of ours but in a module, which a program gets only when its user asks for it. A module is looked
 * for in one place only, with an absolute path: never in the search path of the dynamic linker.
 */
#include "store/s3_module.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

#ifndef LSVD_LIBDIR
#define LSVD_LIBDIR "/usr/lib"
#endif

/* False if the text does not fit, which is as good as not there. */
static bool join(char path[PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(path, PATH_MAX, "%s/store_%s.so", dir, name);

	return n > 0 && n < PATH_MAX;
}

/* Beside the library, or beside the program that it is linked into. */
static bool join_beside(char path[PATH_MAX], const char *name)
{
	static const char here;
	char dir[PATH_MAX], *slash;
	Dl_info info;

	if (!dladdr(&here, &info) || !info.dli_fname || !realpath(info.dli_fname, dir))
		return false;
	slash = strrchr(dir, '/');
	if (!slash || (size_t)(slash - dir) + sizeof "/lsvd" > sizeof dir)
		return false;
	memcpy(slash, "/lsvd", sizeof "/lsvd");
	return join(path, dir, name);
}

static int find(char path[PATH_MAX], const char *name)
{
	const char *dir = secure_getenv("LSVD_MODULE_DIR");

	if (dir && *dir) {
		if (*dir == '/' && join(path, dir, name))
			return 0;
		return lsvd_fail(LSVD_E_UNSUPPORTED,
				 "S3 client \"%s\": LSVD_MODULE_DIR \"%.200s\" is no absolute path",
				 name, dir);
	}
	if (join_beside(path, name) && access(path, R_OK) == 0)
		return 0;
	if (join(path, LSVD_LIBDIR "/lsvd", name))
		return 0;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "S3 client \"%s\": the path of the module is too long",
			 name);
}

static int check_version(const struct s3_client_ops *ops, const char *name, const char *path)
{
	if (ops && ops->version == S3_CLIENT_VERSION)
		return 0;
	return lsvd_fail(LSVD_E_UNSUPPORTED,
			 "S3 client \"%s\": %.200s has interface %u, this library %u", name, path,
			 ops ? ops->version : 0, S3_CLIENT_VERSION);
}

static int load(const struct s3_client_ops **ret, const char *name, const char *path)
{
	/* NODELETE: libraries under it have state of their own that outlives any handle */
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	const struct s3_client_ops *ops;
	union {
		void *symbol;
		s3_client_fn fn;
	} entry;
	int err;

	if (!module)
		return lsvd_fail(LSVD_E_UNSUPPORTED,
				 "S3 client \"%s\": the module is not there or does "
				 "not load: %.300s", name, dlerror());
	entry.symbol = dlsym(module, S3_CLIENT_SYMBOL);
	if (!entry.symbol) {
		err = lsvd_fail(LSVD_E_UNSUPPORTED, "S3 client \"%s\": %.200s has no %s", name,
				path, S3_CLIENT_SYMBOL);
		(void)dlclose(module); /* it stays anyway */
		return err;
	}
	ops = entry.fn();
	err = check_version(ops, name, path);
	if (err == 0)
		*ret = ops;
	return err;
}

int lsvd_s3_module_load(const struct s3_client_ops **ret, const char *name)
{
	char path[PATH_MAX];
	int err = find(path, name);

	return err < 0 ? err : load(ret, name, path);
}
