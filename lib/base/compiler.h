/* SPDX-License-Identifier: BSD-2-Clause */
/* compiler.h - attributes and the few macros that the whole library uses. */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#include <stddef.h>

#define lsvd_container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define LSVD_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define lsvd_likely(x) __builtin_expect(!!(x), 1)
#define lsvd_unlikely(x) __builtin_expect(!!(x), 0)

#if defined(__clang__)
#define LSVD_REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#else
#define LSVD_REQUIRES(...)
#endif

#endif
