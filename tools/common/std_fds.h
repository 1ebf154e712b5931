/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * std_fds.h - descriptors 0, 1 and 2 belong to nobody else.
 *
 * A program may be started with some of them closed. The next file opened then gets the number, and
 * what is meant for a terminal goes into a log or a socket.
 */
#ifndef COMMON_STD_FDS_H
#define COMMON_STD_FDS_H

/*
 * Call first of all in main(). Opens /dev/null for each that is closed, the wrong way round, so
 * that its use still fails with EBADF. 0 or -errno.
 */
int std_fds_occupy(void);

#endif
