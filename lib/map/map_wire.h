/* SPDX-License-Identifier: BSD-2-Clause */
/* map_wire.h - a page of the store map as bytes, for checkpoints. map_wire.c has the format. */
#ifndef MAP_MAP_WIRE_H
#define MAP_MAP_WIRE_H

#include "map/map_page.h"

/* Bytes written to buf, or -ENOBUFS. p may be NULL: a page without extents. */
int lsvd_map_wire_encode(const struct map_page *p, void *buf, size_t cap);

/*
 * The page that the bytes stand for, NULL if it has no extents. LSVD_E_CORRUPT with the text naming
 * page `number`, -ENOMEM.
 */
int lsvd_map_wire_decode(struct map_page **ret, const void *buf, size_t len, uint64_t number);

#endif
