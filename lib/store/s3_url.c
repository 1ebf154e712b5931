/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_url.c - "s3://BUCKET[/DIRECTORY][?NAME=VALUE&…]" to options, and back.
 *
 * A URL is shown in messages, lists of processes and histories of shells: a secret in one is
 * refused, and no value of one is quoted in a message.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/compiler.h"
#include "base/err.h"
#include "store/s3_options.h"

#define OPTION(name) { #name, offsetof(struct lsvd_s3_options, name) }

static const struct {
	const char *name;
	size_t place;
} texts[] = {
	OPTION(region),		  OPTION(endpoint), OPTION(client),   OPTION(ca_file),
	OPTION(credentials_file), OPTION(profile),  OPTION(metadata),
}, numbers[] = {
	OPTION(connections),
	OPTION(connect_timeout_ms),
	OPTION(stall_timeout_ms),
};

static const char *const secrets[] = { "access_key", "secret_key", "session_token", "password" };

static const char **text_at(struct lsvd_s3_options *o, size_t place)
{
	return (const char **)(void *)((char *)o + place);
}

/* ------------------------------------------------------------------------------------ reading */

/* %XX in place. false: a '%' without two digits, or a NUL. */
static bool unescape(char *text)
{
	char *to = text;

	for (const char *p = text; *p; p++) {
		int high, low;

		if (*p != '%') {
			*to++ = *p;
			continue;
		}
		high = hex_digit(p[1]);
		low = high < 0 ? -1 : hex_digit(p[2]);
		if (low < 0 || high + low == 0)
			return false;
		*to++ = (char)(high << 4 | low);
		p += 2;
	}
	*to = '\0';
	return true;
}

static int bad_url(const char *why)
{
	return lsvd_fail(LSVD_E_CONFIG, "store s3://...: %s", why);
}

static int read_number(const char *name, const char *value, uint32_t *ret)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || errno || n == 0 || n > UINT32_MAX)
		return lsvd_fail(LSVD_E_CONFIG, "store s3://...: %s is not a number from 1", name);
	*ret = (uint32_t)n;
	return 0;
}

static int unknown_name(const char *name)
{
	for (size_t i = 0; i < LSVD_ARRAY_LEN(secrets); i++)
		if (strcmp(name, secrets[i]) == 0)
			return lsvd_fail(LSVD_E_CONFIG, "store s3://...: %s does not belong into a "
					 "URL; lsvd.conf(5) says where it may stand", name);
	for (const char *p = name; *p; p++)
		if (*p < ' ' || *p > '~')
			return bad_url("an option's name has control characters");
	return lsvd_fail(LSVD_E_CONFIG, "store s3://...: there is no option \"%.40s\"", name);
}

static int read_option(struct lsvd_s3_options *o, const char *name, char *value)
{
	for (size_t i = 0; i < LSVD_ARRAY_LEN(texts); i++) {
		const char **place = text_at(o, texts[i].place);

		if (strcmp(name, texts[i].name) != 0)
			continue;
		if (*place)
			return lsvd_fail(LSVD_E_CONFIG, "store s3://...: %s is said twice", name);
		if (!*value || !unescape(value))
			return lsvd_fail(LSVD_E_CONFIG, "store s3://...: %s is empty, or has a "
					 "'%%' without two hexadecimal digits", name);
		*place = value;
		return 0;
	}
	for (size_t i = 0; i < LSVD_ARRAY_LEN(numbers); i++)
		if (strcmp(name, numbers[i].name) == 0)
			return read_number(name, value,
					   (uint32_t *)(void *)((char *)o + numbers[i].place));
	return unknown_name(name);
}

static int read_query(struct lsvd_s3_options *o, char *query)
{
	while (query && *query) {
		char *next = strchr(query, '&'), *value;
		int err;

		if (next)
			*next++ = '\0';
		value = strchr(query, '=');
		if (value)
			*value++ = '\0';
		err = value ? read_option(o, query, value) : unknown_name(query);
		if (err < 0)
			return err;
		query = next;
	}
	return 0;
}

/* `text` is our copy of what stands after "s3://". */
static int read_url(struct lsvd_s3_options *o, char *text)
{
	char *query = strchr(text, '?'), *dir;

	if (query)
		*query++ = '\0';
	if (strchr(text, '@'))
		return bad_url("a user or a password does not belong into a URL");
	if (strchr(text, '#'))
		return bad_url("'#' is to be written as %23");
	dir = strchr(text, '/');
	if (dir)
		*dir++ = '\0';
	if (!*text)
		return bad_url("no bucket is named");
	if (!unescape(text) || (dir && !unescape(dir)))
		return bad_url("a '%' is followed by two hexadecimal digits");
	o->bucket = text;
	o->directory = dir && *dir ? dir : NULL;
	return read_query(o, query);
}

int lsvd_s3_options_parse(struct s3_options *ret, const char *url)
{
	struct s3_options s = { .o = LSVD_S3_OPTIONS_INIT };
	int err;

	if (strncmp(url, "s3://", 5) != 0)
		return bad_url("expected s3://BUCKET[/DIRECTORY][?NAME=VALUE&...]");
	s.text = lsvd_strdup(url + 5);
	if (!s.text)
		return lsvd_fail_plain(-ENOMEM);
	err = read_url(&s.o, s.text);
	if (err < 0) {
		lsvd_free(s.text);
		return err;
	}
	*ret = s;
	return 0;
}

/* ------------------------------------------------------------------------------------ writing */

struct writer {
	char *text;
	size_t size, at;
	unsigned options;
};

/* There is room: see lsvd_s3_options_url(). */
static void put_plain(struct writer *w, const char *text)
{
	size_t len = strlen(text);

	memcpy(w->text + w->at, text, len + 1);
	w->at += len;
}

/* All that could end a part of a URL, and what does not print. */
static void put_escaped(struct writer *w, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = c > ' ' && c < 0x7f && !strchr("%?&=#@+\"<>\\^`{|}", c);
		char escaped[4] = { (char)c };

		if (!plain)
			(void)snprintf(escaped, sizeof escaped, "%%%02X", (unsigned)c); /* fits */
		put_plain(w, escaped);
	}
}

static void put_option(struct writer *w, const char *name, const char *value)
{
	put_plain(w, w->options++ ? "&" : "?");
	put_plain(w, name);
	put_plain(w, "=");
	put_escaped(w, value);
}

char *lsvd_s3_options_url(const struct lsvd_s3_options *o)
{
	struct lsvd_s3_options copy = *o;
	struct writer w = { .size = 8 + 3 * strlen(o->bucket) };

	w.size += o->directory ? 1 + 3 * strlen(o->directory) : 0;
	for (size_t i = 0; i < LSVD_ARRAY_LEN(texts); i++) {
		const char *value = *text_at(&copy, texts[i].place);

		w.size += value ? 2 + strlen(texts[i].name) + 3 * strlen(value) : 0;
	}
	w.text = lsvd_malloc(w.size);
	if (!w.text)
		return NULL;
	put_plain(&w, "s3://");
	put_escaped(&w, o->bucket);
	if (o->directory) {
		put_plain(&w, "/");
		put_escaped(&w, o->directory);
	}
	for (size_t i = 0; i < LSVD_ARRAY_LEN(texts); i++) {
		const char *value = *text_at(&copy, texts[i].place);

		if (value && !(value == o->client && strcmp(value, "auto") == 0))
			put_option(&w, texts[i].name, value);
	}
	return w.text;
}
