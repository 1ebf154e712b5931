/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fmt_key.c - the names of objects, written and read back (docs/format.md, "Names").
 *
 * There is exactly one way to write a name. The parser therefore reads leniently, writes the name
 * again from what it understood, and compares: whatever is not our own spelling is none of ours.
 */
#include "format/fmt_key.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <lsvd/volume.h>

#include "format/fmt_object.h"

static bool letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

bool lsvd_name_valid(const char *name)
{
	size_t n = 0;

	if (!letter_or_digit(name[0]))
		return false;
	while (letter_or_digit(name[n]) || name[n] == '.' || name[n] == '-')
		if (++n > LSVD_NAME_MAX)
			return false;
	return name[n] == '\0';
}

/* The longest key is far shorter than KEY_CAP: the results of snprintf need no look. */
void lsvd_key_record(char key[KEY_CAP], int kind, const char *name)
{
	(void)snprintf(key, KEY_CAP, "%s/%s", kind == OBJECT_VLOG ? "vlogs" : "volumes", name);
}

void lsvd_key_prefix(char key[KEY_CAP], const struct uuid *u, int kind)
{
	char text[UUID_TEXT_LEN + 1];

	lsvd_uuid_format(u, text);
	if (kind)
		(void)snprintf(key, KEY_CAP, "v/%s/%c/", text, kind);
	else
		(void)snprintf(key, KEY_CAP, "v/%s/", text);
}

static void numbered(char key[KEY_CAP], const struct uuid *u, int kind, uint64_t epoch,
		     uint64_t number)
{
	size_t n;

	lsvd_key_prefix(key, u, kind);
	n = strlen(key);
	(void)snprintf(key + n, KEY_CAP - n, "%08" PRIx64 ".%016" PRIx64, epoch, number);
}

void lsvd_key_claim(char key[KEY_CAP], const struct uuid *u, uint64_t epoch)
{
	size_t n;

	lsvd_key_prefix(key, u, KEY_CLAIM);
	n = strlen(key);
	(void)snprintf(key + n, KEY_CAP - n, "%08" PRIx64, epoch);
}

void lsvd_key_chain(char key[KEY_CAP], const struct uuid *u, uint64_t epoch, uint64_t seq)
{
	numbered(key, u, KEY_CHAIN, epoch, seq);
}

void lsvd_key_free(char key[KEY_CAP], const struct uuid *u, uint64_t epoch, uint64_t number)
{
	numbered(key, u, KEY_FREE, epoch, number);
}

void lsvd_key_root(char key[KEY_CAP], const struct uuid *u, uint64_t epoch, uint64_t number)
{
	numbered(key, u, KEY_ROOT, epoch, number);
}

void lsvd_key_slot(char key[KEY_CAP], const struct uuid *u, const struct uuid *snapshot, uint32_t n)
{
	char text[UUID_TEXT_LEN + 1];
	size_t len;

	lsvd_key_prefix(key, u, KEY_SLOT);
	lsvd_uuid_format(snapshot, text);
	len = strlen(key);
	(void)snprintf(key + len, KEY_CAP - len, "%s.%08" PRIx32, text, n);
}

/* Reads up to 16 lower-case hexadecimal digits; returns what follows, NULL if there are none. */
static const char *hex(const char *p, uint64_t *ret)
{
	uint64_t v = 0;
	int n = 0;

	for (; n < 16; n++, p++) {
		if (*p >= '0' && *p <= '9')
			v = v << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			v = v << 4 | (uint64_t)(*p - 'a' + 10);
		else
			break;
	}
	*ret = v;
	return n ? p : NULL;
}

static bool parse_uuid(struct uuid *ret, const char *p)
{
	char text[UUID_TEXT_LEN + 1];

	memcpy(text, p, UUID_TEXT_LEN);
	text[UUID_TEXT_LEN] = '\0';
	return lsvd_uuid_parse(ret, text);
}

static bool parse_loosely(struct key_parts *ret, const char *key)
{
	const char *p = key + 2 + UUID_TEXT_LEN;

	if (strnlen(key, KEY_CAP) < 2 + UUID_TEXT_LEN + 4 || memcmp(key, "v/", 2) != 0 ||
	    !parse_uuid(&ret->uuid, key + 2) || p[0] != '/' || p[2] != '/')
		return false;
	ret->kind = (enum key_kind)p[1];
	ret->number = 0;
	p = hex(p + 3, &ret->epoch);
	if (!p)
		return false;
	if (ret->kind == KEY_CLAIM)
		return *p == '\0';
	return *p == '.' && hex(p + 1, &ret->number) != NULL;
}

static bool spell(char key[KEY_CAP], const struct key_parts *k)
{
	switch (k->kind) {
	case KEY_CLAIM:
		lsvd_key_claim(key, &k->uuid, k->epoch);
		return true;
	case KEY_CHAIN:
	case KEY_FREE:
	case KEY_ROOT:
		numbered(key, &k->uuid, (int)k->kind, k->epoch, k->number);
		return true;
	case KEY_VOLUME:
	case KEY_SLOT:
		break;
	}
	return false;
}

bool lsvd_key_parse(struct key_parts *ret, const char *key)
{
	struct key_parts k;
	char again[KEY_CAP];

	if (!parse_loosely(&k, key) || !spell(again, &k) || strcmp(again, key) != 0)
		return false;
	*ret = k;
	return true;
}
