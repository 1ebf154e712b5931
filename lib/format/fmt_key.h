/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_key.h - the names of objects (docs/format.md, "Names").
 *
 *   volumes/<name>                          the volume record: name to identity
 *   vlogs/<name>                            the same of a value log
 *   v/<uuid>/e/<epoch:08x>                  the claim of an epoch
 *   v/<uuid>/d/<epoch:08x>.<seq:016x>       a chain object
 *   v/<uuid>/f/<epoch:08x>.<number:016x>    a free object: map pages
 *   v/<uuid>/k/<epoch:08x>.<number:016x>    a root
 *   v/<uuid>/s/<snapshot>.<number:08x>      a slot: who uses a snapshot
 *
 * Names that are probed (claims, chain objects) are never freed while the volume lives.
 */
#ifndef FORMAT_FMT_KEY_H
#define FORMAT_FMT_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include <lsvd/store_driver.h>

#include "base/uuid.h"

enum key_kind {
	KEY_VOLUME = 'n',
	KEY_CLAIM = 'e',
	KEY_CHAIN = 'd',
	KEY_FREE = 'f',
	KEY_ROOT = 'k',
	KEY_SLOT = 's',        /* lsvd_key_parse() does not know it */
};

#define KEY_CAP (LSVD_KEY_MAX + 1)

/* [A-Za-z0-9_][A-Za-z0-9._-]{0,63} */
bool lsvd_name_valid(const char *name);

/* The record of a volume or of a value log (OBJECT_VOLUME, OBJECT_VLOG). */
void lsvd_key_record(char key[KEY_CAP], int kind, const char *name);
void lsvd_key_claim(char key[KEY_CAP], const struct uuid *u, uint64_t epoch);
void lsvd_key_chain(char key[KEY_CAP], const struct uuid *u, uint64_t epoch, uint64_t seq);
void lsvd_key_free(char key[KEY_CAP], const struct uuid *u, uint64_t epoch, uint64_t number);
void lsvd_key_root(char key[KEY_CAP], const struct uuid *u, uint64_t epoch, uint64_t number);
void lsvd_key_slot(char key[KEY_CAP], const struct uuid *u, const struct uuid *snapshot,
		   uint32_t n);
/* The prefix of all objects of one kind, or of all but the volume record with kind 0. */
void lsvd_key_prefix(char key[KEY_CAP], const struct uuid *u, int kind);

/* The parts of a key below "v/"; false if it is none of ours. */
struct key_parts {
	struct uuid uuid;
	enum key_kind kind;
	uint64_t epoch, number;   /* number: seq of a chain object; 0 for a claim */
};
bool lsvd_key_parse(struct key_parts *ret, const char *key);

#endif
