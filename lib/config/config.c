/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.c - the configuration file that the tools share: loading it, and what comes of it.
 *
 * A file is read whole, its shape is checked, libConfuse takes it apart, and each value is judged
 * by one table (config_keys.h). Nothing of it changes once it is loaded.
 */
#include <lsvd/config.h>
#include <lsvd/store_s3.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/secret.h"
#include "config/config_keys.h"
#include "config/config_text.h"

#define FILE_MAX_BYTES (1u << 20)

static int file_fail(const char *path, int err)
{
	return lsvd_fail(-err, "%.200s: %s", path, lsvd_strerror(-err));
}

static int read_all(int fd, const char *path, char *text, size_t *ret_len)
{
	size_t len = 0;

	while (len <= FILE_MAX_BYTES) {
		ssize_t n = read(fd, text + len, FILE_MAX_BYTES + 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_fail(path, errno);
		if (n == 0) {
			*ret_len = len;
			return 0;
		}
		len += (size_t)n;
	}
	return lsvd_fail(LSVD_E_CONFIG, "%.200s: more than %u bytes", path, FILE_MAX_BYTES);
}

/* A pipe into which somebody writes is waited for, one that nobody has open for that is empty. */
static int read_file(const char *path, char *text, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), err;

	if (fd < 0)
		return file_fail(path, errno);
	err = fcntl(fd, F_SETFL, 0) < 0 ? file_fail(path, errno)
					: read_all(fd, path, text, ret_len);
	(void)close(fd); /* it was only read */
	return err;
}

/* `text` has room for the longest file and its end. */
static int load(struct lsvd_config *c, const char *path, char *text)
{
	size_t len = 0;
	int err;

	err = read_file(path, text, &len);
	if (err < 0)
		return err;
	text[len] = '\0';
	c->name = lsvd_strdup(path);
	if (!c->name)
		return lsvd_fail_plain(-ENOMEM);
	err = lsvd_config_text_check(text, len, path, lsvd_config_hide, c);
	if (err < 0)
		return err;
	err = lsvd_config_parse(c, text);
	if (err < 0)
		return err;
	return lsvd_config_take_store(c);
}

int lsvd_config_load(struct lsvd_config **ret, const char *path)
{
	struct lsvd_config *c;
	char *text;
	int err = -ENOMEM;

	if (!ret || !path || !*path)
		return lsvd_fail(-EINVAL, "configuration: no path given");
	c = lsvd_calloc(1, sizeof *c);
	text = lsvd_secret_alloc(FILE_MAX_BYTES + 2); /* keys stand in it */
	if (!c || !text) {
		lsvd_fail_plain(err);
		goto out;
	}
	err = load(c, path, text);
	lsvd_config_forget_hidden(c);
	if (err < 0)
		goto out;
	*ret = c;
	c = NULL;
out:
	lsvd_config_free(c);
	lsvd_secret_free(text);
	return err;
}

void lsvd_config_free(struct lsvd_config *c)
{
	if (!c)
		return;
	for (size_t k = 0; k < CONFIG_KEYS; k++) {
		if (lsvd_config_keys[k].kind == KIND_SECRET)
			lsvd_secret_free(c->text[k]);
		else
			lsvd_free(c->text[k]);
	}
	lsvd_free(c->url);
	lsvd_free(c->name);
	lsvd_free(c);
}

/* ------------------------------------------------------------------------- what comes of it */

const char *lsvd_config_cache_path(const struct lsvd_config *c)
{
	return c->text[KEY_CACHE_PATH];
}

const char *lsvd_config_store_url(const struct lsvd_config *c)
{
	return c->url;
}

static uint32_t number(const struct lsvd_config *c, size_t k)
{
	return c->line[k] ? (uint32_t)c->number[k] : 0; /* 0: the default; the bounds make it fit */
}

static void fill_s3(const struct lsvd_config *c, struct lsvd_s3_options *o)
{
	const struct {
		size_t key;
		const char **field;
	} texts[] = {
		{KEY_BUCKET, &o->bucket},
		{KEY_REGION, &o->region},
		{KEY_DIRECTORY, &o->directory},
		{KEY_HOST, &o->endpoint},
		{KEY_CLIENT, &o->client},
		{KEY_ACCESS_KEY, &o->access_key},
		{KEY_SECRET_KEY, &o->secret_key},
		{KEY_SESSION_TOKEN, &o->session_token},
		{KEY_CREDENTIALS_FILE, &o->credentials_file},
		{KEY_PROFILE, &o->profile},
		{KEY_METADATA, &o->metadata},
		{KEY_CA_FILE, &o->ca_file},
	};

	for (size_t i = 0; i < LSVD_ARRAY_LEN(texts); i++)
		if (c->line[texts[i].key])
			*texts[i].field = c->text[texts[i].key];
	o->connections = number(c, KEY_CONNECTIONS);
	o->connect_timeout_ms = number(c, KEY_CONNECT_TIMEOUT);
	o->stall_timeout_ms = number(c, KEY_S3_STALL_TIMEOUT);
}

int lsvd_config_open_store(const struct lsvd_config *c, struct lsvd_store **ret,
			   const struct lsvd_store_options *options)
{
	struct lsvd_s3_options s3 = LSVD_S3_OPTIONS_INIT;

	if (c->line[KEY_FILE_PATH])
		return lsvd_store_open(ret, c->url, options);
	fill_s3(c, &s3);
	return lsvd_store_open_s3(ret, &s3, options);
}

static void set_field(struct lsvd_volume_options *options, const struct config_key *key,
		      uint64_t number)
{
	char *field = (char *)options + key->at;
	uint32_t narrow = (uint32_t)number; /* the table's bounds see to it that it fits */

	if (key->at + key->width > options->size)
		return; /* a program built before there was such a field */
	if (key->width == sizeof narrow)
		memcpy(field, &narrow, sizeof narrow);
	else
		memcpy(field, &number, sizeof number);
}

void lsvd_config_volume_options(const struct lsvd_config *c, struct lsvd_volume_options *options)
{
	for (size_t k = KEY_OPTIONS; k < CONFIG_KEYS; k++)
		if (c->line[k])
			set_field(options, &lsvd_config_keys[k], c->number[k]);
	if (c->line[KEY_CACHE_PATH])
		options->cache_dir = c->text[KEY_CACHE_PATH];
}
