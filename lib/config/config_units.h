/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_units.h - durations, and bounds printed in the units that people write.
 *
 * Sizes are public: lsvd_parse_size() of <lsvd/config.h>, in config_size.c.
 */
#ifndef CONFIG_UNITS_H
#define CONFIG_UNITS_H

#include <stddef.h>
#include <stdint.h>

#define CONFIG_UNIT_TEXT 32

/*
 * Reads decimal digits and returns what follows them; NULL if there is none, or if they pass
 * 2^63-1. No text is set: the caller knows what the number is of.
 */
const char *lsvd_parse_digits(const char *text, uint64_t *ret);

/*
 * Reads "250ms", "5s", "10m", "2h", "1d". The unit is mandatory: a bare number could mean seconds
 * to one reader and milliseconds to the next. LSVD_E_CONFIG for anything else.
 */
int lsvd_parse_duration(const char *text, uint64_t *ret_ms);

/* The largest unit that divides the number: 1048576 is "1M", 1000 is "1000"; 60000 ms is "1m". */
void lsvd_format_size(char text[CONFIG_UNIT_TEXT], uint64_t bytes);
void lsvd_format_duration(char text[CONFIG_UNIT_TEXT], uint64_t ms);

/*
 * Can the text stand in a one-line message as it is: printable, no quote, not longer than a line?
 * What comes from a command line may hold anything.
 */
int lsvd_text_is_plain(const char *text);

#endif
