/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_keys.h - what a configuration file may say, and what a loaded one has said.
 *
 * The parts that load a file share this: config_text.c looks at its shape, config_secret.c takes
 * the secrets out of it, config_parse.c has libConfuse walk it, config_keys.c judges each value,
 * config_store.c what the values say together, config.c is the public face.
 *
 * Invariants of a loaded configuration:
 *  (1) line[k] is the line of key k, 0 if the file does not have it; text[k] is its value then.
 *  (2) Exactly one of file_path and the s3 block is in force.
 *  (3) url holds no secret, and no message ever shows the value of a key of KIND_SECRET.
 *  (4) The text of a key of KIND_SECRET lies in memory of base/secret.h, and libConfuse never sees
 *      it.
 */
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include <lsvd/error.h>

struct lsvd_config;

enum config_block {
	BLOCK_TOP,
	BLOCK_STORAGE,
	BLOCK_S3,
};

enum config_kind {
	KIND_TEXT,
	KIND_SECRET, /* text that is never shown */
	KIND_SIZE,
	KIND_POWER, /* a size that is a power of two */
	KIND_TIME,
	KIND_COUNT,
	KIND_WORD, /* one of `words` */
};

/* A word that stands for a number, alone or beside the numbers of a key. */
struct config_word {
	const char *name;
	uint64_t value;
};

struct config_key {
	const char *name;
	enum config_block block;
	enum config_kind kind;
	uint64_t min, max;
	const struct config_word *words; /* NULL, or ended by a NULL name */
	size_t at, width;		 /* the field in struct lsvd_volume_options, or 0, 0 */
};

enum {
	KEY_CACHE_PATH,
	KEY_FILE_PATH,
	KEY_BUCKET,
	KEY_REGION,
	KEY_ACCESS_KEY,
	KEY_SECRET_KEY,
	KEY_SESSION_TOKEN,
	KEY_CREDENTIALS_FILE,
	KEY_PROFILE,
	KEY_METADATA,
	KEY_DIRECTORY,
	KEY_HOST,
	KEY_CLIENT,
	KEY_CA_FILE,
	KEY_CONNECTIONS,
	KEY_CONNECT_TIMEOUT,
	KEY_S3_STALL_TIMEOUT, /* the last one of the s3 block */
	KEY_OPTIONS, /* from here on: fields of struct lsvd_volume_options */
	CONFIG_KEYS = KEY_OPTIONS + 22,
};

extern const struct config_key lsvd_config_keys[CONFIG_KEYS];

/* A value that was taken out of the text before libConfuse reads it; in secret memory. */
struct config_hidden {
	struct config_hidden *next;
	unsigned line;
	char text[];
};

struct lsvd_config {
	char *name; /* of the file, for messages */
	struct config_hidden *hidden; /* while it is being loaded */
	char *url;
	char *text[CONFIG_KEYS];
	uint64_t number[CONFIG_KEYS]; /* of the keys that have one */
	unsigned line[CONFIG_KEYS];
};

/*
 * For lsvd_config_text_check(), with the configuration as `ctx`: if the key is of KIND_SECRET its
 * value is hidden, and letters stand where it stood.
 */
int lsvd_config_hide(void *ctx, const char *key, unsigned line, char *value, size_t len);
const char *lsvd_config_hidden(const struct lsvd_config *c, unsigned line); /* or NULL */
void lsvd_config_forget_hidden(struct lsvd_config *c);

/*
 * Notes the value of key `k`, found in `line`, if it is one; of a secret the one that was hidden.
 * LSVD_E_CONFIG, -ENOMEM.
 */
int lsvd_config_take(struct lsvd_config *c, size_t k, unsigned line, const char *value);

/* "FILE:LINE: KEY: …" for a key that the file has. */
LSVD_PRINTF(3, 4)
int lsvd_config_fail(const struct lsvd_config *c, size_t k, const char *format, ...);

/* Has libConfuse walk a text that lsvd_config_text_check() found good. LSVD_E_CONFIG, -ENOMEM. */
int lsvd_config_parse(struct lsvd_config *c, const char *text);

/* Decides which store it is, checks that all it needs is there, and sets url. */
int lsvd_config_take_store(struct lsvd_config *c);

#endif
