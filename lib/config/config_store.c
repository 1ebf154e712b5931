/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_store.c - the storage block as a whole: which store it means, and the URL of that store.
 *
 *   storage { file_path = "P" }    dir:P
 *   storage { s3 { … } }           s3://BUCKET[/DIRECTORY]?region=REGION[&endpoint=HOST]
 *
 * HOST is percent-encoded. The secrets are not part of it: a URL is printed and logged.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "config/config_keys.h"

/* Does every character of the text lie in one of the pairs of `ranges` ("az09..")? */
static bool made_of(const char *text, const char *ranges)
{
	for (; *text; text++) {
		const char *r = ranges;

		while (*r && (*text < r[0] || *text > r[1]))
			r += 2;
		if (!*r)
			return false;
	}
	return true;
}

static bool has_text(const struct lsvd_config *c, size_t k)
{
	return c->line[k] && c->text[k][0];
}

/*
 * lab47/lsvd wanted an s3 block in every file and chose by its bucket, so its files for a directory
 * carry one whose bucket is empty: to be read as if it were not there.
 */
static void drop_unused_s3(struct lsvd_config *c)
{
	if (!has_text(c, KEY_FILE_PATH) || !c->line[KEY_BUCKET] || has_text(c, KEY_BUCKET))
		return;
	for (size_t k = KEY_BUCKET; k < KEY_OPTIONS; k++)
		c->line[k] = 0;
}

static int check_bucket(const struct lsvd_config *c)
{
	const char *text = c->text[KEY_BUCKET];
	size_t len = strlen(text);

	if (len >= 3 && len <= 255 && made_of(text, "azAZ09..__--"))
		return 0;
	return lsvd_config_fail(c, KEY_BUCKET, "\"%.64s\" is not 3 to 255 letters, digits, . _ -",
				text);
}

static int check_region(const struct lsvd_config *c)
{
	const char *text = c->text[KEY_REGION];

	if (strlen(text) <= 63 && made_of(text, "azAZ09__--"))
		return 0;
	return lsvd_config_fail(c, KEY_REGION, "\"%.64s\" is not 1 to 63 letters, digits, _ -",
				text);
}

/* A component of a key: not empty, not "." and not "..". */
static bool good_component(const char *text, size_t len)
{
	return len && (len > 2 || strspn(text, ".") < len);
}

/* Components parted by single slashes; one more slash may end it. */
static bool good_directory(const char *text)
{
	if (strlen(text) > 128 || !made_of(text, "azAZ09..__--//"))
		return false;
	while (*text) {
		size_t len = strcspn(text, "/");

		if (!good_component(text, len))
			return false;
		text += len + (text[len] == '/');
	}
	return true;
}

static int check_directory(const struct lsvd_config *c)
{
	const char *text = c->text[KEY_DIRECTORY];

	if (!c->line[KEY_DIRECTORY] || good_directory(text))
		return 0;
	return lsvd_config_fail(c, KEY_DIRECTORY,
				"\"%.64s\" is not 1 to 128 letters, digits, . _ - in components "
				"parted by /, none of them . or ..",
				text);
}

/* http://NAME[:PORT] or https://…, perhaps with a slash at the end. */
static bool good_host(const char *text)
{
	size_t skip = strncmp(text, "http://", 7) == 0 ? 7 : 8, len;

	if (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
		return false;
	len = strcspn(text + skip, "/");
	return len && strlen(text + skip) <= len + 1 && len <= 255 &&
	       made_of(text + skip, "azAZ09..--::[]//");
}

static int check_host(const struct lsvd_config *c)
{
	const char *text = c->text[KEY_HOST];

	if (!c->line[KEY_HOST] || good_host(text))
		return 0;
	if (strchr(text, '@')) /* what stands before it may be a password, and is not shown */
		return lsvd_config_fail(c, KEY_HOST,
					"no user or password may stand in it: use "
					"access_key and secret_key");
	return lsvd_config_fail(c, KEY_HOST,
				"\"%.64s\" is not http://HOST[:PORT] or https://HOST[:PORT]", text);
}

static int missing(const struct lsvd_config *c, size_t k, size_t beside)
{
	return lsvd_fail(LSVD_E_CONFIG, "%.200s:%u: %s is missing beside %s", c->name,
			 c->line[beside], lsvd_config_keys[k].name, lsvd_config_keys[beside].name);
}

/* One key without the other is a mistake; without both, they come from the environment. */
static int check_keys(const struct lsvd_config *c)
{
	if (!c->line[KEY_SECRET_KEY] && c->line[KEY_ACCESS_KEY])
		return missing(c, KEY_SECRET_KEY, KEY_ACCESS_KEY);
	if (!c->line[KEY_ACCESS_KEY] && c->line[KEY_SECRET_KEY])
		return missing(c, KEY_ACCESS_KEY, KEY_SECRET_KEY);
	if (!c->line[KEY_ACCESS_KEY] && c->line[KEY_SESSION_TOKEN])
		return missing(c, KEY_ACCESS_KEY, KEY_SESSION_TOKEN);
	return 0;
}

static int check_metadata(const struct lsvd_config *c)
{
	const char *text = c->text[KEY_METADATA];

	if (!c->line[KEY_METADATA] || strcmp(text, "default") == 0 ||
	    (strncmp(text, "http://", 7) == 0 && good_host(text)))
		return 0;
	return lsvd_config_fail(c, KEY_METADATA,
				"\"%.64s\" is not \"default\" or http://HOST[:PORT]",
				strchr(text, '@') ? "..." : text);
}

/* Of what libs3 can be told, a certificate authority is no part. */
static int check_client(const struct lsvd_config *c)
{
	if (!c->line[KEY_CA_FILE] || !c->line[KEY_CLIENT] ||
	    strcmp(c->text[KEY_CLIENT], "libs3") != 0)
		return 0;
	return lsvd_config_fail(c, KEY_CA_FILE,
				"client = \"libs3\" (line %u) knows the certificate authorities of "
				"the system only: use \"curl\"",
				c->line[KEY_CLIENT]);
}

/* `first` is a key of the block that the file has. */
static int check_s3(const struct lsvd_config *c, size_t first)
{
	int err;

	if (!c->line[KEY_BUCKET])
		return missing(c, KEY_BUCKET, first);
	if (!c->line[KEY_REGION])
		return missing(c, KEY_REGION, KEY_BUCKET);
	err = check_keys(c);
	if (err < 0)
		return err;
	err = check_bucket(c);
	if (err < 0)
		return err;
	err = check_region(c);
	if (err < 0)
		return err;
	err = check_directory(c);
	if (err < 0)
		return err;
	err = check_host(c);
	if (err < 0)
		return err;
	err = check_metadata(c);
	if (err < 0)
		return err;
	return check_client(c);
}

static int check_no_empty(const struct lsvd_config *c)
{
	for (size_t k = 0; k < CONFIG_KEYS; k++)
		if (c->line[k] && !c->text[k][0])
			return lsvd_config_fail(c, k, "the value is empty");
	return 0;
}

static int both_fail(const struct lsvd_config *c, size_t s3)
{
	bool secret = lsvd_config_keys[s3].kind == KIND_SECRET;

	return lsvd_config_fail(c, KEY_FILE_PATH,
				"\"%.64s\" and an s3 block (line %u: %s%s%.64s) are two stores: "
				"one must go",
				c->text[KEY_FILE_PATH], c->line[s3], lsvd_config_keys[s3].name,
				secret ? "" : " = ", secret ? "" : c->text[s3]);
}

static int check_storage(const struct lsvd_config *c)
{
	size_t s3 = KEY_BUCKET;

	while (s3 < KEY_OPTIONS && !c->line[s3])
		s3++;
	if (s3 < KEY_OPTIONS)
		return c->line[KEY_FILE_PATH] ? both_fail(c, s3) : check_s3(c, s3);
	if (c->line[KEY_FILE_PATH])
		return 0;
	return lsvd_fail(LSVD_E_CONFIG,
			 "%.200s: no store: neither storage { file_path = … } nor "
			 "storage { s3 { bucket = … } }",
			 c->name);
}

/* Percent-encodes `len` bytes; `to` has room for three times as many and the end. */
static void escape(char *to, const char *text, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len; i++) {
		unsigned char b = (unsigned char)text[i];
		char one[2] = {text[i], '\0'};

		if (made_of(one, "azAZ09..__--")) {
			*to++ = text[i];
			continue;
		}
		*to++ = '%';
		*to++ = hex[b >> 4];
		*to++ = hex[b & 15];
	}
	*to = '\0';
}

/* One slash at the end is allowed and means nothing. */
static void drop_slash(const struct lsvd_config *c, size_t k)
{
	size_t len = c->line[k] ? strlen(c->text[k]) : 0;

	if (len && c->text[k][len - 1] == '/')
		c->text[k][len - 1] = '\0';
}

static char *s3_url(const struct lsvd_config *c)
{
	const char *dir = c->line[KEY_DIRECTORY] ? c->text[KEY_DIRECTORY] : "";
	const char *host = c->line[KEY_HOST] ? c->text[KEY_HOST] : "";
	size_t size = strlen(c->text[KEY_BUCKET]) + strlen(c->text[KEY_REGION]) + strlen(dir) +
		      3 * strlen(host) + 64;
	char *url = lsvd_malloc(size);
	int n;

	if (!url)
		return NULL;
	n = snprintf(url, size, "s3://%s%s%s?region=%s%s", c->text[KEY_BUCKET], *dir ? "/" : "",
		     dir, c->text[KEY_REGION], *host ? "&endpoint=" : "");
	escape(url + n, host, strlen(host));
	return url;
}

static char *dir_url(const struct lsvd_config *c)
{
	size_t size = strlen(c->text[KEY_FILE_PATH]) + sizeof "dir:";
	char *url = lsvd_malloc(size);

	if (url)
		(void)snprintf(url, size, "dir:%s", c->text[KEY_FILE_PATH]); /* sized for it */
	return url;
}

int lsvd_config_take_store(struct lsvd_config *c)
{
	int err;

	drop_unused_s3(c);
	err = check_no_empty(c);
	if (err < 0)
		return err;
	err = check_storage(c);
	if (err < 0)
		return err;
	drop_slash(c, KEY_DIRECTORY);
	drop_slash(c, KEY_HOST);
	c->url = c->line[KEY_FILE_PATH] ? dir_url(c) : s3_url(c);
	return c->url ? 0 : lsvd_fail_plain(-ENOMEM);
}
