/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_size.c - sizes as people write them: digits and at most one unit.
 *
 * K M G T P and KiB MiB … are powers of 1024, KB MB … of 1000, a bare number is bytes. Nothing is
 * guessed: a unit in the wrong case ("10g"), half a unit ("2Ti"), a fraction, a sign or a blank is
 * an error, for a volume of the wrong size is found out too late.
 */
#include <lsvd/config.h>

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/err.h"
#include "config/config_units.h"

#define PRINTABLE_MAX 64

int lsvd_text_is_plain(const char *text)
{
	size_t i = 0;

	for (; text[i]; i++)
		if (i == PRINTABLE_MAX || text[i] < ' ' || text[i] > '~' || text[i] == '"')
			return 0;
	return 1;
}

static int size_fail(const char *text, const char *why)
{
	if (!lsvd_text_is_plain(text))
		return lsvd_fail(LSVD_E_CONFIG, "size: %s", why);
	return lsvd_fail(LSVD_E_CONFIG, "size \"%s\": %s", text, why);
}

const char *lsvd_parse_digits(const char *text, uint64_t *ret)
{
	const char *p = text;
	uint64_t n = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n) || n > INT64_MAX)
			return NULL;
	if (p == text)
		return NULL;
	*ret = n;
	return p;
}

/* "" "K" "KiB" "KB" and their elder brothers; 0 if the unit is none of them. */
static uint64_t factor_of(const char *unit)
{
	static const char letters[] = "KMGTP";
	const char *at;
	uint64_t base, factor = 1;

	if (!*unit)
		return 1;
	at = strchr(letters, *unit);
	if (!at)
		return 0;
	if (!unit[1] || strcmp(unit + 1, "iB") == 0)
		base = 1024;
	else if (strcmp(unit + 1, "B") == 0)
		base = 1000;
	else
		return 0;
	for (long i = 0; i <= at - letters; i++)
		factor *= base;
	return factor;
}

int lsvd_parse_size(const char *text, uint64_t *ret_bytes)
{
	const char *unit;
	uint64_t n, factor, bytes;

	if (!text)
		return lsvd_fail(LSVD_E_CONFIG, "size: none given");
	unit = lsvd_parse_digits(text, &n);
	if (!unit)
		return size_fail(text, "expected decimal digits, at most 9223372036854775807");
	factor = factor_of(unit);
	if (!factor)
		return size_fail(text, "after the digits comes nothing or one of K M G T P "
				       "(powers of 1024), KiB MiB … (the same), KB MB … (of 1000)");
	if (__builtin_mul_overflow(n, factor, &bytes) || bytes > INT64_MAX)
		return size_fail(text, "more than 9223372036854775807 bytes");
	*ret_bytes = bytes;
	return 0;
}

void lsvd_format_size(char text[CONFIG_UNIT_TEXT], uint64_t bytes)
{
	static const char *const units[] = {"", "K", "M", "G", "T", "P"};
	size_t i = 0;

	for (; bytes && bytes % 1024 == 0 && i + 1 < LSVD_ARRAY_LEN(units); i++)
		bytes /= 1024;
	(void)snprintf(text, CONFIG_UNIT_TEXT, "%llu%s", /* 20 digits and a letter */
		       (unsigned long long)bytes, units[i]);
}
