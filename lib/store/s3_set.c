/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_set.c - one set of access keys, in one piece of secret memory.
 *
 * Keys go into the headers of requests, so nothing but printable ASCII without blanks is one.
 */
#include "store/s3_set.h"

#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/secret.h"

static bool printable(struct s3_piece p)
{
	for (size_t i = 0; i < p.len; i++)
		if (p.at[i] <= ' ' || p.at[i] > '~')
			return false;
	return true;
}

/* The value is never shown, only how long it is. */
static int check(struct s3_piece p, size_t max, const char *what, const char *where)
{
	if (p.len == 0)
		return lsvd_fail(LSVD_E_CONFIG, "%.200s: there is no %s", where, what);
	if (p.len > max)
		return lsvd_fail(LSVD_E_CONFIG, "%.200s: the %s has %zu bytes, more than %zu",
				 where, what, p.len, max);
	if (!printable(p))
		return lsvd_fail(LSVD_E_CONFIG,
				 "%.200s: the %s has blanks, or bytes that are not ASCII", where,
				 what);
	return 0;
}

static char *place(char *to, struct s3_piece p)
{
	if (p.len)
		memcpy(to, p.at, p.len); /* its end is there: the memory is zeroed */
	return to + p.len + 1;
}

int lsvd_s3_set_new(struct s3_set **ret, struct s3_piece access_key, struct s3_piece secret_key,
		    struct s3_piece session_token, const char *where)
{
	struct s3_set *set;
	char *p;
	int err;

	err = check(access_key, S3_ACCESS_KEY_MAX, "access key", where);
	if (err == 0)
		err = check(secret_key, S3_SECRET_KEY_MAX, "secret key", where);
	if (err == 0 && session_token.len)
		err = check(session_token, S3_TOKEN_MAX, "session token", where);
	if (err < 0)
		return err;
	set = lsvd_secret_alloc(sizeof *set + access_key.len + secret_key.len + session_token.len +
				3);
	if (!set)
		return lsvd_fail_plain(-ENOMEM);
	atomic_init(&set->refs, 1);
	p = place(set->access_key, access_key);
	set->secret_key = p;
	p = place(p, secret_key);
	if (session_token.len) {
		set->session_token = p;
		(void)place(p, session_token); /* the last one */
	}
	*ret = set;
	return 0;
}

struct s3_set *lsvd_s3_set_ref(struct s3_set *set)
{
	atomic_fetch_add(&set->refs, 1);
	return set;
}

void lsvd_s3_set_unref(struct s3_set *set)
{
	if (set && atomic_fetch_sub(&set->refs, 1) == 1)
		lsvd_secret_free(set);
}

struct s3_set *lsvd_s3_set_of(const struct s3_secrets *s)
{
	union {
		const char *readable;
		char *ours; /* we made it, and may count references in front of it */
	} key = {.readable = s->access_key};

	return lsvd_container_of(key.ours, struct s3_set, access_key);
}

bool lsvd_s3_set_equal(const struct s3_set *a, const struct s3_set *b)
{
	return lsvd_secret_equal(a->access_key, b->access_key) &&
	       lsvd_secret_equal(a->secret_key, b->secret_key) &&
	       lsvd_secret_equal(a->session_token, b->session_token);
}
