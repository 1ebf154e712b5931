/* SPDX-License-Identifier: BSD-2-Clause */
/* target.c - which kind of target a name means; making a file that was not there. */
#include "admin/target.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "admin/cmd.h"

int target_reserve(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0 && errno == EEXIST)
		return admin_error("%s is there already: nothing is overwritten; --resume goes on "
				   "with an export that was interrupted", path);
	if (fd < 0)
		return admin_error("%s: %s", path, strerror(errno));
	(void)close(fd); /* empty */
	return 0;
}

struct target *target_open(const char *place, bool qcow2, uint64_t bytes, bool resume)
{
	if (strcmp(place, "-") == 0)
		return target_stdout_open(bytes);
	return qcow2 ? target_nbd_open(place, bytes, resume)
		     : target_file_open(place, bytes, resume);
}
