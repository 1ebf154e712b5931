/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_text.c - the raw text of a configuration file, looked at before libConfuse reads it.
 *
 * libConfuse is lenient where we must not be, and it prints the word it stumbles over, which may be
 * a piece of a secret. So the shape of the file is checked here, without ever showing a value:
 *
 *   file  = { KEY "=" VALUE newline | KEY "{" file "}" newline }
 *   KEY   = a letter or "_", then letters, digits, "_"
 *   VALUE = a string in quotes, or a bare word of letters, digits, "_", ".", "-"
 *
 * on one line each; a block may be written on one line if there is one statement in it. Blanks,
 * tabs, CR LF and comments (#, //, C style) are free between them.
 *
 * Refused here because libConfuse would take it and change it without a word:
 *  - ${NAME}, which it replaces from the environment in double quotes and outside quotes. In single
 *    quotes nothing is replaced; "\${" is the two characters.
 *  - escapes other than \\ \" \$, which mean other things in the formats that look like this.
 *  - bytes that it skips: NUL, control characters, stray punctuation.
 * Comments are blanked because it counts a line too many at the end of one and takes none before a
 * value.
 */
#include "config/config_text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define LINE_MAX_BYTES 4096
#define DEPTH_MAX      8
#define KEY_MAX	       32

enum token {
	TOKEN_END, /* a function that returns a token returns a negative code instead on failure */
	TOKEN_NEWLINE,
	TOKEN_WORD,
	TOKEN_STRING,
	TOKEN_EQUALS,
	TOKEN_OPEN,
	TOKEN_CLOSE,
};

struct scan {
	const char *name; /* of the file */
	char *p, *end;	  /* what is left */
	const char *word; /* the last TOKEN_WORD … */
	size_t word_len;
	unsigned line;
	unsigned depth;		    /* of blocks */
	unsigned opened[DEPTH_MAX]; /* the lines of their braces */
	char key[KEY_MAX + 1];	    /* whose value is being read; else "" */
	config_value_fn fn;
	void *ctx;
};

#define scan_fail(s, ...) scan_fail_at((s), (s)->line, __VA_ARGS__)

LSVD_PRINTF(3, 4)
static int scan_fail_at(const struct scan *s, unsigned line, const char *format, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(why, sizeof why, format, ap); /* our own texts, all shorter */
	va_end(ap);
	return lsvd_fail(LSVD_E_CONFIG, "%.200s:%u: %s%s%s", s->name, line, s->key,
			 *s->key ? ": " : "", why);
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return is_letter(c) || is_digit(c) || c == '.' || c == '-';
}

static bool at(const struct scan *s, const char *what)
{
	size_t len = strlen(what);

	return (size_t)(s->end - s->p) >= len && memcmp(s->p, what, len) == 0;
}

static void blank_line_comment(struct scan *s)
{
	while (s->p < s->end && *s->p != '\n')
		*s->p++ = ' ';
}

static int blank_block_comment(struct scan *s)
{
	unsigned from = s->line;

	for (; s->p < s->end && !at(s, "*/"); s->p++) {
		if (*s->p == '\n')
			s->line++;
		else
			*s->p = ' ';
	}
	if (s->p == s->end)
		return scan_fail_at(s, from, "this comment has no end");
	memset(s->p, ' ', 2);
	s->p += 2;
	return 0;
}

/* Blanks and comments; newlines are tokens. */
static int skip_space(struct scan *s)
{
	while (s->p < s->end) {
		if (*s->p == ' ' || *s->p == '\t')
			s->p++;
		else if (*s->p == '#' || at(s, "//"))
			blank_line_comment(s);
		else if (!at(s, "/*"))
			return 0;
		else if (blank_block_comment(s) < 0)
			return LSVD_E_CONFIG;
	}
	return 0;
}

/* At the backslash in double quotes: past what it escapes. */
static int skip_escape(struct scan *s)
{
	if (at(s, "\\\\") || at(s, "\\\"") || at(s, "\\$")) {
		s->p += 2;
		return 0;
	}
	return scan_fail(s, "in double quotes \"\\\" may only stand before \\ \" and $; "
			    "in single quotes it is an ordinary character");
}

static int scan_string(struct scan *s)
{
	char quote = *s->p++;

	for (;;) {
		if (s->p == s->end || *s->p == '\n')
			return scan_fail(s, "no closing %c on this line", quote);
		if (*s->p == quote)
			break;
		if (quote == '"' && at(s, "${"))
			return scan_fail(s, "\"${\" in double quotes would be replaced from the "
					    "environment: use single quotes");
		if (quote == '"' && *s->p == '\\') {
			if (skip_escape(s) < 0)
				return LSVD_E_CONFIG;
		} else {
			s->p += at(s, "\\\\") || at(s, "\\'") ? 2 : 1;
		}
	}
	s->p++;
	return TOKEN_STRING;
}

static int scan_word(struct scan *s)
{
	s->word = s->p;
	while (s->p < s->end && is_word(*s->p))
		s->p++;
	s->word_len = (size_t)(s->p - s->word);
	return TOKEN_WORD;
}

static int next(struct scan *s)
{
	if (skip_space(s) < 0)
		return LSVD_E_CONFIG;
	if (s->p == s->end)
		return TOKEN_END;
	if (*s->p == '"' || *s->p == '\'')
		return scan_string(s);
	if (is_word(*s->p))
		return scan_word(s);
	switch (*s->p++) {
	case '\n':
		return TOKEN_NEWLINE; /* the caller counts it, after what it says of this line */
	case '=':
		return TOKEN_EQUALS;
	case '{':
		return TOKEN_OPEN;
	case '}':
		return TOKEN_CLOSE;
	default:
		return scan_fail(s, "expected KEY = VALUE or KEY { … }; "
				    "a value with other characters needs quotes");
	}
}

static bool is_key(const char *word, size_t len)
{
	if (len > KEY_MAX || !is_letter(*word))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_letter(word[i]) && !is_digit(word[i]))
			return false;
	return true;
}

static int open_block(struct scan *s)
{
	if (s->depth == DEPTH_MAX)
		return scan_fail(s, "more than %d blocks in one another", DEPTH_MAX);
	s->opened[s->depth++] = s->line;
	return 0;
}

static int close_block(struct scan *s)
{
	if (!s->depth)
		return scan_fail(s, "this } closes nothing");
	s->depth--;
	return 0;
}

/* After "=": the value, and nothing behind it but the end of line or block, left unread. */
static int scan_value(struct scan *s)
{
	char *value, *end, *after;
	int t;

	if (skip_space(s) < 0)
		return LSVD_E_CONFIG;
	value = s->p;
	t = next(s);
	if (t < 0)
		return t;
	if (t != TOKEN_WORD && t != TOKEN_STRING)
		return scan_fail(s, t == TOKEN_OPEN ? "expected one value, not a list or block"
						    : "no value on this line");
	end = s->p;
	if (skip_space(s) < 0)
		return LSVD_E_CONFIG;
	after = s->p;
	t = next(s);
	if (t < 0)
		return t;
	if (t != TOKEN_NEWLINE && t != TOKEN_CLOSE && t != TOKEN_END)
		return scan_fail(s, "more than one value on this line");
	s->p = after;
	t = s->fn(s->ctx, s->key, s->line, value, (size_t)(end - value));
	s->key[0] = '\0';
	return t;
}

/*
 * After the first word of a line or block. Until a "=" has shown that it is meant as a key it may
 * be anything, and is not put into a message.
 */
static int scan_statement(struct scan *s)
{
	const char *word = s->word;
	size_t len = s->word_len;
	int t;

	if (!is_key(word, len))
		return scan_fail(s, "expected a key (letters, digits and _, at most %d)", KEY_MAX);
	if (len == strlen("include") && memcmp(word, "include", len) == 0)
		return scan_fail(s, "include is not supported: a configuration is one file");
	t = next(s);
	if (t < 0)
		return t;
	if (t == TOKEN_OPEN)
		return open_block(s);
	if (t != TOKEN_EQUALS)
		return scan_fail(s, "expected KEY = VALUE or KEY { on one line");
	memcpy(s->key, word, len);
	s->key[len] = '\0';
	return scan_value(s);
}

static int scan_file(struct scan *s)
{
	bool fresh = true; /* at the start of a line or of a block: a key may stand here */
	int err = 0;

	while (err >= 0) {
		int t = next(s);

		if (t < 0)
			return t;
		if (t == TOKEN_END)
			break;
		if (t == TOKEN_NEWLINE) {
			s->line++;
			fresh = true;
		} else if (t == TOKEN_CLOSE) {
			err = close_block(s);
			fresh = false;
		} else if (t == TOKEN_WORD && fresh) {
			unsigned depth = s->depth;

			err = scan_statement(s);
			fresh = s->depth > depth;
		} else {
			err = scan_fail(s, "expected KEY = VALUE or KEY { at the start of a line");
		}
	}
	if (err >= 0 && s->depth)
		return scan_fail_at(s, s->opened[s->depth - 1], "this { has no }");
	return err;
}

/* Line by line: lengths, and bytes that no text has. CR before LF becomes a blank. */
static int check_bytes(struct scan *s)
{
	char *line = s->p;

	for (char *p = s->p; p < s->end; p++) {
		if (p - line >= LINE_MAX_BYTES && *p != '\n')
			return scan_fail(s, "this line has more than %d bytes", LINE_MAX_BYTES);
		if (*p == '\r' && p + 1 < s->end && p[1] == '\n') {
			*p = ' ';
		} else if (*p == '\n') {
			s->line++;
			line = p + 1;
		} else if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f) {
			return scan_fail(s, "byte %u of the line is 0x%02x, which no text has",
					 (unsigned)(p - line) + 1, (unsigned)(unsigned char)*p);
		}
	}
	s->line = 1;
	return 0;
}

int lsvd_config_text_check(char *text, size_t len, const char *name, config_value_fn fn, void *ctx)
{
	struct scan s = {
		.name = name, .p = text, .end = text + len, .line = 1, .fn = fn, .ctx = ctx};
	int err;

	err = check_bytes(&s);
	if (err < 0)
		return err;
	return scan_file(&s);
}
