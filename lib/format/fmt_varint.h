/* SPDX-License-Identifier: BSD-2-Clause */
/* fmt_varint.h - integers of variable length: LEB128, unsigned, at most 10 bytes. */
#ifndef FORMAT_FMT_VARINT_H
#define FORMAT_FMT_VARINT_H

#include <stddef.h>
#include <stdint.h>

size_t lsvd_varint_put(uint8_t *p, uint64_t v);               /* bytes written, <= 10 */
size_t lsvd_varint_get(const uint8_t *p, size_t len, uint64_t *ret); /* 0: malformed or cut */

#endif
