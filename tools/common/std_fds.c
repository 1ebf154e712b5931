/* SPDX-License-Identifier: BSD-2-Clause */
/* std_fds.c - fills the gaps among the standard descriptors. */
#include "common/std_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int std_fds_occupy(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		int mode = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;

		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", mode) < 0) /* the lowest free number: this one */
			return -errno;
	}
	return 0;
}
