/* SPDX-License-Identifier: BSD-2-Clause */
/* control_addr.c - the name and the address of a control socket. */
#include "common/control_addr.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

_Static_assert(sizeof((struct sockaddr_un *)0)->sun_path >=
		       sizeof "/proc/self/fd/2147483647/" + CONTROL_NAME_CAP,
	       "every volume's control socket has an address");

void control_name(char ret[static CONTROL_NAME_CAP], const char *volume)
{
	(void)snprintf(ret, CONTROL_NAME_CAP, "%s.ctl", volume); /* names are checked: fits */
}

void control_address(struct sockaddr_un *ret, int dir_fd, const char *volume)
{
	char name[CONTROL_NAME_CAP];

	control_name(name, volume);
	memset(ret, 0, sizeof *ret);
	ret->sun_family = AF_UNIX;
	(void)snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
}
