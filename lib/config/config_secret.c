/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_secret.c - takes the secrets out of a text before libConfuse reads it.
 *
 * libConfuse copies what it reads to buffers that it does not wipe: its scanner's, the C library's,
 * its own of every value. So it is given a text in which letters stand for each secret, and hands
 * over those; the value itself is found again by its line, on which no other value can stand.
 *
 * What is taken away here from a string in quotes is what libConfuse would take away: in double
 * quotes a backslash before \ " $, in single quotes one before \ and \'. Nothing else passes
 * config_text.c.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/err.h"
#include "base/secret.h"
#include "config/config_keys.h"

static bool is_secret(const char *key)
{
	for (size_t k = 0; k < CONFIG_KEYS; k++)
		if (lsvd_config_keys[k].kind == KIND_SECRET &&
		    strcmp(lsvd_config_keys[k].name, key) == 0)
			return true;
	return false;
}

/* `to` has room for `len` bytes, is zeroed, and keeps a '\0' behind the last. */
static void unquote(char *to, const char *value, size_t len)
{
	char quote = *value;

	if (quote != '"' && quote != '\'') {
		memcpy(to, value, len);
		return;
	}
	for (size_t i = 1; i + 1 < len; i++) {
		if (value[i] == '\\' &&
		    (quote == '"' || value[i + 1] == '\\' || value[i + 1] == '\''))
			i++;
		*to++ = value[i];
	}
}

/* The quotes stay, so that an empty value is still one. */
static void mask(char *value, size_t len)
{
	if (*value == '"' || *value == '\'') {
		value++;
		len -= 2;
	}
	memset(value, 'x', len);
}

int lsvd_config_hide(void *ctx, const char *key, unsigned line, char *value, size_t len)
{
	struct lsvd_config *c = ctx;
	struct config_hidden *h;

	if (!is_secret(key))
		return 0;
	h = lsvd_secret_alloc(sizeof *h + len + 1);
	if (!h)
		return lsvd_fail_plain(-ENOMEM);
	unquote(h->text, value, len);
	mask(value, len);
	h->line = line;
	h->next = c->hidden;
	c->hidden = h;
	return 0;
}

const char *lsvd_config_hidden(const struct lsvd_config *c, unsigned line)
{
	const struct config_hidden *h = c->hidden;

	while (h && h->line != line)
		h = h->next;
	return h ? h->text : NULL;
}

void lsvd_config_forget_hidden(struct lsvd_config *c)
{
	while (c->hidden) {
		struct config_hidden *h = c->hidden;

		c->hidden = h->next;
		lsvd_secret_free(h);
	}
}
