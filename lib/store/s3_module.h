/* SPDX-License-Identifier: BSD-2-Clause */
/* s3_module.h - S3 clients that are modules of their own, loaded when somebody asks for them. */
#ifndef STORE_S3_MODULE_H
#define STORE_S3_MODULE_H

#include "store/s3_client.h"

/*
 * The client in store_NAME.so: in $LSVD_MODULE_DIR if that is set (and the program has no more
 * rights than its caller), else in the folder lsvd/ beside liblsvd.so, else where it would be
 * installed. It stays loaded. LSVD_E_UNSUPPORTED: it is not there, does not load, or is of another
 * version.
 */
int lsvd_s3_module_load(const struct s3_client_ops **ret, const char *name);

#endif
