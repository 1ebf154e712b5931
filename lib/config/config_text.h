/* SPDX-License-Identifier: BSD-2-Clause */
/* config_text.h - is the text of a configuration file fit for libConfuse? */
#ifndef CONFIG_TEXT_H
#define CONFIG_TEXT_H

#include <stddef.h>

/*
 * Is shown every value as it stands, with its quotes, and may overwrite it with letters. 0 or a
 * negative code, which ends the check.
 */
typedef int (*config_value_fn)(void *ctx, const char *key, unsigned line, char *value, size_t len);

/*
 * Checks `len` bytes, and overwrites comments and carriage returns with blanks, so that what is
 * left is statements only, on their own lines. LSVD_E_CONFIG with a text that begins with `name`
 * and the line and shows no value.
 */
int lsvd_config_text_check(char *text, size_t len, const char *name, config_value_fn fn, void *ctx);

#endif
