/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.c - the configuration file that the tools share: loading it, and what comes of it.
 *
 * A file is read whole, its shape is checked, libConfuse takes it apart, and each value is judged
 * by one table (config_keys.h). Nothing of it changes once it is loaded.
 */
#include <lsvd/config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
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

static int read_file(const char *path, char *text, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), err;

	if (fd < 0)
		return file_fail(path, errno);
	err = read_all(fd, path, text, ret_len);
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
	err = lsvd_config_text_check(text, len, path);
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

	if (!ret || !path)
		return lsvd_fail(-EINVAL, "configuration: no path given");
	c = lsvd_calloc(1, sizeof *c);
	text = lsvd_malloc(FILE_MAX_BYTES + 2);
	if (!c || !text) {
		lsvd_fail_plain(err);
		goto out;
	}
	err = load(c, path, text);
	explicit_bzero(text, FILE_MAX_BYTES + 2);
	if (err < 0)
		goto out;
	*ret = c;
	c = NULL;
out:
	lsvd_config_free(c);
	lsvd_free(text);
	return err;
}

void lsvd_config_free(struct lsvd_config *c)
{
	if (!c)
		return;
	for (size_t k = 0; k < CONFIG_KEYS; k++) {
		if (c->text[k])
			explicit_bzero(c->text[k], strlen(c->text[k]));
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

int lsvd_config_open_store(const struct lsvd_config *c, struct lsvd_store **ret,
			   const struct lsvd_store_options *options)
{
	int err = lsvd_store_open(ret, c->url, options);

	/* The URL is ours and well formed: what is not understood is its kind. */
	if (err == LSVD_E_CONFIG && !c->line[KEY_FILE_PATH])
		return lsvd_fail(LSVD_E_UNSUPPORTED,
				 "%.200s:%u: bucket \"%.64s\": this build of "
				 "the library has no S3 store",
				 c->name, c->line[KEY_BUCKET], c->text[KEY_BUCKET]);
	return err;
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
