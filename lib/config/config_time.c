/* SPDX-License-Identifier: BSD-2-Clause */
/* config_time.c - durations as people write them: digits and one unit, always. */
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/err.h"
#include "config/config_units.h"

static const struct {
	const char *name;
	uint64_t ms;
} units[] = {
	{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};

static int duration_fail(const char *text, const char *why)
{
	if (!lsvd_text_is_plain(text))
		return lsvd_fail(LSVD_E_CONFIG, "duration: %s", why);
	return lsvd_fail(LSVD_E_CONFIG, "duration \"%s\": %s", text, why);
}

int lsvd_parse_duration(const char *text, uint64_t *ret_ms)
{
	const char *unit;
	uint64_t n, ms;

	unit = lsvd_parse_digits(text, &n);
	if (!unit)
		return duration_fail(text, "expected digits and one of ms s m h d");
	for (size_t i = 0; i < LSVD_ARRAY_LEN(units); i++) {
		if (strcmp(unit, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(n, units[i].ms, &ms))
			return duration_fail(text, "too long");
		*ret_ms = ms;
		return 0;
	}
	return duration_fail(text, "after the digits comes one of ms s m h d");
}

void lsvd_format_duration(char text[CONFIG_UNIT_TEXT], uint64_t ms)
{
	size_t i = 0;

	while (i + 1 < LSVD_ARRAY_LEN(units) && ms % units[i].ms != 0)
		i++;
	(void)snprintf(text, CONFIG_UNIT_TEXT, "%llu%s", /* 20 digits and two letters */
		       (unsigned long long)(ms / units[i].ms), units[i].name);
}
