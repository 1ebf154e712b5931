/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base.h - what every public header needs: visibility, C linkage, must-use, version.
 *
 * Include <lsvd/lsvd.h> for everything, or one header for one subject; each stands alone,
 * as C99 and as C++11.
 */
#ifndef LSVD_BASE_H
#define LSVD_BASE_H

#include <stddef.h>
#include <stdint.h>

#define LSVD_VERSION_MAJOR 0
#define LSVD_VERSION_MINOR 1
#define LSVD_VERSION_PATCH 0

#ifdef __cplusplus
#define LSVD_BEGIN_DECLS extern "C" {
#define LSVD_END_DECLS }
#else
#define LSVD_BEGIN_DECLS
#define LSVD_END_DECLS
#endif

#if defined(__GNUC__)
#define LSVD_API __attribute__((visibility("default")))
#define LSVD_MUST_USE __attribute__((warn_unused_result))
#define LSVD_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define LSVD_API
#define LSVD_MUST_USE
#define LSVD_PRINTF(fmt, first)
#endif

/* Addresses and lengths of a volume are bytes and multiples of this. */
#define LSVD_SECTOR_BYTES 512u

LSVD_BEGIN_DECLS

/* The version of the library that runs, "MAJOR.MINOR.PATCH"; static, never NULL. */
LSVD_API const char *lsvd_version(void);

LSVD_END_DECLS

#endif
