/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_metadata.c - keys from the instance metadata service of a cloud's machine (version 2).
 *
 *   PUT /latest/api/token                                  a token for the next two questions
 *   GET /latest/meta-data/iam/security-credentials/        the name of the machine's role
 *   GET /latest/meta-data/iam/security-credentials/ROLE    its keys, as one flat JSON object
 *
 * Version 1 of the service, which needs no token, is not asked: whoever can make a program fetch a
 * URL gets the keys from it.
 *
 * When the keys end is reckoned from the answer's own Date, since the clock of this machine may be
 * wrong, and is kept as a time of CLOCK_BOOTTIME.
 */
#include "store/s3_metadata.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/secret.h"
#include "store/s3_flat_json.h"
#include "store/s3_plain_http.h"

#define METADATA_MS 5000 /* for all three */
#define TOKEN_S	    60
#define TOKEN_MAX   1024
#define ROLE_MAX    64
#define BUF_BYTES   ((size_t)64 << 10)
#define ROLES	    "/latest/meta-data/iam/security-credentials/"

/* In secret memory. */
struct asking {
	struct s3_plain_http http;
	char token[TOKEN_MAX + 1];
	char role[ROLE_MAX + 1];
	char buf[BUF_BYTES];
};

bool lsvd_s3_metadata_endpoint_valid(const char *endpoint)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-:[]";
	size_t len;

	if (strncmp(endpoint, "http://", 7) != 0)
		return false;
	endpoint += 7;
	len = strspn(endpoint, allowed);
	return len > 0 && len < 256 && (!endpoint[len] || strcmp(endpoint + len, "/") == 0);
}

static int no_answer(const struct s3_plain_http *h, const char *what)
{
	return lsvd_fail(h->status >= 500 || h->status == 429 ? LSVD_E_UNAVAILABLE : LSVD_E_CONFIG,
			 "%.200s: %s: the metadata service answers %u", h->endpoint, what,
			 h->status);
}

/* LSVD_E_CONFIG but for what may pass. */
static int ask(struct asking *a, const char *method, const char *path, const char *name,
	       const char *header, const char *value)
{
	const char *host = a->http.endpoint + 7;
	int n = snprintf(a->buf, sizeof a->buf,
			 "%s %s%s HTTP/1.0\r\nHost: %.*s\r\nUser-Agent: lsvd\r\n%s: %s\r\n%s\r\n",
			 method, path, name, (int)strcspn(host, "/"), host, header, value,
			 strcmp(method, "PUT") == 0 ? "Content-Length: 0\r\n" : "");

	return lsvd_s3_plain_http(&a->http, (size_t)n); /* all of it is bounded: it fits */
}

/* Is the body such a text? Blanks at its end are taken off. */
static bool take_word(char *to, size_t max, struct s3_plain_http *h, const char *allowed)
{
	size_t len = h->body_len;

	while (len && strchr(" \r\n\t", h->body[len - 1]))
		len--;
	h->body[len] = '\0';
	if (len == 0 || len > max || strspn(h->body, allowed) != len)
		return false;
	memcpy(to, h->body, len + 1);
	return true;
}

#define WORD "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+=,.@_-"

static int get_token(struct asking *a)
{
	char seconds[16];
	int err;

	(void)snprintf(seconds, sizeof seconds, "%d", TOKEN_S); /* fits */
	err = ask(a, "PUT", "/latest/api/token", "", "X-aws-ec2-metadata-token-ttl-seconds",
		  seconds);
	if (err < 0)
		return err;
	if (a->http.status != 200)
		return no_answer(&a->http, "asked for a token");
	if (!take_word(a->token, TOKEN_MAX, &a->http, WORD "/:~"))
		return lsvd_fail(LSVD_E_CONFIG, "%.200s: this is no token of a metadata service",
				 a->http.endpoint);
	return 0;
}

static int get_role(struct asking *a)
{
	int err = ask(a, "GET", ROLES, "", "X-aws-ec2-metadata-token", a->token);

	if (err < 0)
		return err;
	if (a->http.status == 404)
		return lsvd_fail(LSVD_E_CONFIG, "%.200s: this machine has no role",
				 a->http.endpoint);
	if (a->http.status != 200)
		return no_answer(&a->http, "asked for a role");
	a->http.body[strcspn(a->http.body, "\r\n")] = '\0'; /* the first one */
	a->http.body_len = strlen(a->http.body);
	if (!take_word(a->role, ROLE_MAX, &a->http, WORD))
		return lsvd_fail(LSVD_E_CONFIG, "%.200s: this is no name of a role",
				 a->http.endpoint);
	return 0;
}

/* "2026-01-31T23:59:59Z" in milliseconds since 1970, or -1. */
static int64_t parse_time(struct s3_piece text)
{
	char copy[24] = "";
	struct tm tm = {.tm_isdst = 0};
	const char *end;

	if (text.len >= sizeof copy)
		return -1;
	memcpy(copy, text.at, text.len);
	end = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
	return end && strcmp(end, "Z") == 0 ? (int64_t)timegm(&tm) * 1000 : -1;
}

static int64_t wall_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* How long from now the keys are good; negative code if they are not, or it cannot be told. */
static int time_left(const struct asking *a, struct s3_piece expiration, int64_t *ret_ms)
{
	int64_t end_ms = expiration.at ? parse_time(expiration) : -1;
	int64_t now_ms = a->http.date_ms ? a->http.date_ms : wall_ms();

	if (end_ms < 0)
		return lsvd_fail(LSVD_E_CONFIG, "%.200s: role %s: when its keys end is not said",
				 a->http.endpoint, a->role);
	if (end_ms <= now_ms)
		return lsvd_fail(LSVD_E_UNAVAILABLE, "%.200s: role %s: its keys ended %lld s ago",
				 a->http.endpoint, a->role, (long long)(now_ms - end_ms) / 1000);
	*ret_ms = end_ms - now_ms;
	return 0;
}

enum { CODE, ACCESS_KEY, SECRET_KEY, TOKEN, EXPIRATION, MEMBERS };

static const char *const members[MEMBERS] = {
	[CODE] = "Code",   [ACCESS_KEY] = "AccessKeyId",   [SECRET_KEY] = "SecretAccessKey",
	[TOKEN] = "Token", [EXPIRATION] = "Expiration",
};

static int make_set(struct s3_set **ret, const struct asking *a, const struct s3_piece *found)
{
	char where[400];
	int64_t left_ms = 0;
	int err = time_left(a, found[EXPIRATION], &left_ms);

	if (err < 0)
		return err;
	(void)snprintf(where, sizeof where, "%.200s: role %s", a->http.endpoint, a->role);
	err = lsvd_s3_set_new(ret, found[ACCESS_KEY], found[SECRET_KEY], found[TOKEN], where);
	if (err == 0)
		(*ret)->expires_ms = lsvd_s3_boot_ms() + left_ms;
	return err;
}

static int get_keys(struct s3_set **ret, struct asking *a)
{
	struct s3_piece found[MEMBERS];
	int err = ask(a, "GET", ROLES, a->role, "X-aws-ec2-metadata-token", a->token);

	if (err < 0)
		return err;
	if (a->http.status != 200)
		return no_answer(&a->http, "asked for the keys of the role");
	if (lsvd_s3_flat_json(a->http.body, a->http.body_len, members, found, MEMBERS) < 0)
		return lsvd_fail(LSVD_E_CONFIG,
				 "%.200s: role %s: the answer is no flat JSON object",
				 a->http.endpoint, a->role);
	if (found[CODE].at && (found[CODE].len != 7 || memcmp(found[CODE].at, "Success", 7) != 0))
		return lsvd_fail(LSVD_E_CONFIG, "%.200s: role %s: the service says it has no keys",
				 a->http.endpoint, a->role);
	return make_set(ret, a, found);
}

int lsvd_s3_metadata_read(struct s3_set **ret, const char *endpoint, const atomic_bool *stop)
{
	struct asking *a = lsvd_secret_alloc(sizeof *a);
	int err;

	if (!a)
		return lsvd_fail_plain(-ENOMEM);
	a->http.endpoint = endpoint;
	a->http.deadline_ms = lsvd_s3_boot_ms() + METADATA_MS;
	a->http.stop = stop;
	a->http.buf = a->buf;
	a->http.size = sizeof a->buf;
	err = get_token(a);
	if (err == 0)
		err = get_role(a);
	if (err == 0)
		err = get_keys(ret, a);
	lsvd_secret_free(a);
	return err;
}
