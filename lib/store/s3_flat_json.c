/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_flat_json.c - what the metadata service answers: {"AccessKeyId": "…", "Expiration": "…", …}
 *
 * jansson would read it as well, but it leaves copies of every string in memory that it gives back
 * unwiped, and those would be in the next core file. One flat object with strings in it is little
 * enough to be read in place.
 */
#include "store/s3_flat_json.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

struct scan {
	char *p, *end;
};

static bool take(struct scan *s, char c)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

/* Behind "\u": four digits, of ASCII only; -1 if it is something else. */
static int take_hex(struct scan *s)
{
	int value = 0;

	if (s->end - s->p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(*s->p++);

		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value > 0 && value < 0x80 ? value : -1;
}

/* Behind a backslash. */
static int take_escape(struct scan *s)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;

	if (s->p == s->end || !*s->p)
		return -1;
	if (*s->p == 'u') {
		s->p++;
		return take_hex(s);
	}
	at = strchr(from, *s->p++);
	return at ? to[at - from] : -1;
}

/* Behind the opening quote; decoding never makes it longer. */
static int take_string(struct scan *s, struct s3_piece *ret)
{
	char *to = s->p;

	ret->at = s->p;
	while (s->p < s->end && *s->p != '"') {
		int c = (unsigned char)*s->p++;

		if (c == '\\')
			c = take_escape(s);
		if (c < 0)
			return -EINVAL;
		*to++ = (char)c;
	}
	if (s->p == s->end)
		return -EINVAL;
	s->p++;
	ret->len = (size_t)(to - ret->at);
	return 0;
}

static bool is_bare(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == 'E' || c == '.' ||
	       c == '-' || c == '+';
}

static int take_value(struct scan *s, struct s3_piece *ret)
{
	if (take(s, '"'))
		return take_string(s, ret);
	ret->at = s->p;
	while (s->p < s->end && is_bare(*s->p))
		s->p++;
	ret->len = (size_t)(s->p - ret->at);
	if (ret->len == 0)
		return -EINVAL;
	if (ret->len == 4 && memcmp(ret->at, "null", 4) == 0)
		*ret = (struct s3_piece){NULL, 0};
	return 0;
}

static int take_member(struct scan *s, const char *const *names, struct s3_piece *found,
		       unsigned count)
{
	struct s3_piece name, value;

	if (!take(s, '"') || take_string(s, &name) < 0 || !take(s, ':') ||
	    take_value(s, &value) < 0)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++) {
		if (name.len != strlen(names[i]) || memcmp(name.at, names[i], name.len) != 0)
			continue;
		if (found[i].at)
			return -EINVAL;
		found[i] = value;
	}
	return 0;
}

int lsvd_s3_flat_json(char *text, size_t len, const char *const *names, struct s3_piece *found,
		      unsigned count)
{
	struct scan s = {text, text + len};

	memset(found, 0, count * sizeof *found);
	if (!take(&s, '{'))
		return -EINVAL;
	if (!take(&s, '}')) {
		do {
			if (take_member(&s, names, found, count) < 0)
				return -EINVAL;
		} while (take(&s, ','));
		if (!take(&s, '}'))
			return -EINVAL;
	}
	(void)take(&s, '\0'); /* past the blanks at the end */
	return s.p == s.end ? 0 : -EINVAL;
}
