/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_parse.c - libConfuse walks the file and hands over each value with its line.
 *
 * libConfuse scans with global variables, hence one lock around it; and it gives its callbacks no
 * argument of ours, hence `loading`. It prints nothing: what it dislikes comes to take_error().
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <confuse.h>

#include "base/err.h"
#include "config/config_keys.h"

static pthread_mutex_t confuse_lock = PTHREAD_MUTEX_INITIALIZER;

/* protected by confuse_lock */
static struct {
	struct lsvd_config *config;
	int err; /* of the first failure, whose text is set */
} loading;

static enum config_block block_of(const cfg_t *cfg)
{
	if (strcmp(cfg->name, "s3") == 0)
		return BLOCK_S3;
	return strcmp(cfg->name, "storage") == 0 ? BLOCK_STORAGE : BLOCK_TOP;
}

/* libConfuse's callback for every value. */
static int take_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *ret)
{
	enum config_block block = block_of(cfg);
	size_t k = 0;

	while (lsvd_config_keys[k].block != block ||
	       strcmp(lsvd_config_keys[k].name, opt->name) != 0)
		k++; /* found: opt was made of the table */
	*(const char **)ret = value;
	loading.err = lsvd_config_take(loading.config, k, (unsigned)cfg->line, value);
	return loading.err < 0 ? -1 : 0;
}

/* Its callback at the end of a block. */
static int check_block(cfg_t *cfg, cfg_opt_t *opt)
{
	if (cfg_opt_size(opt) == 1)
		return 0;
	loading.err = lsvd_fail(
		LSVD_E_CONFIG, "%.200s:%d: end of a second %s block, the first ended in line %d",
		loading.config->name, cfg->line, opt->name, cfg_opt_getnsec(opt, 0)->line);
	return -1;
}

/*
 * Its callback for what it does not like: unknown keys, a block where a value belongs. The shape
 * being checked, what it shows are keys.
 */
LSVD_PRINTF(2, 0) static void take_error(cfg_t *cfg, const char *format, va_list ap)
{
	char why[200];

	if (loading.err < 0)
		return;
	(void)vsnprintf(why, sizeof why, format, ap); /* cut at the end, which is all we ask */
	loading.err = lsvd_fail(LSVD_E_CONFIG, "%.200s:%d: %s in %s", loading.config->name,
				cfg->line, why, cfg->name);
}

static void fill_opts(cfg_opt_t *opts, enum config_block block)
{
	cfg_opt_t end = CFG_END();

	for (size_t k = 0; k < CONFIG_KEYS; k++) {
		const struct config_key *key = &lsvd_config_keys[k];
		cfg_opt_t opt = CFG_STR_CB(key->name, NULL, CFGF_NODEFAULT, take_value);

		if (key->block == block)
			*opts++ = opt;
	}
	*opts = end;
}

/* Blocks are MULTI so that a second one is a second one, and not the first one overwritten. */
static cfg_t *make_parser(void)
{
	cfg_opt_t s3[CONFIG_KEYS + 1], storage[CONFIG_KEYS + 2], top[CONFIG_KEYS + 2];
	cfg_opt_t s3_block = CFG_SEC("s3", s3, CFGF_MULTI);
	cfg_opt_t storage_block = CFG_SEC("storage", storage, CFGF_MULTI);
	cfg_t *cfg;

	fill_opts(s3, BLOCK_S3);
	storage[0] = s3_block;
	fill_opts(storage + 1, BLOCK_STORAGE);
	top[0] = storage_block;
	fill_opts(top + 1, BLOCK_TOP);
	cfg = cfg_init(top, CFGF_NONE); /* copies them */
	if (!cfg)
		return NULL;
	cfg_set_error_function(cfg, take_error);
	cfg_set_validate_func(cfg, "storage", check_block);
	cfg_set_validate_func(cfg, "storage|s3", check_block);
	return cfg;
}

/* lock held */
static int parse_locked(struct lsvd_config *c, const char *text)
{
	cfg_t *cfg = make_parser();
	int result;

	if (!cfg)
		return lsvd_fail_plain(-ENOMEM);
	loading.config = c;
	loading.err = 0;
	result = cfg_parse_buf(cfg, text);
	cfg_free(cfg);
	if (loading.err < 0 || result == CFG_SUCCESS)
		return loading.err;
	return lsvd_fail(LSVD_E_CONFIG, "%.200s: cannot be understood", c->name);
}

int lsvd_config_parse(struct lsvd_config *c, const char *text)
{
	int err;

	pthread_mutex_lock(&confuse_lock);
	err = parse_locked(c, text);
	pthread_mutex_unlock(&confuse_lock);
	return err;
}
