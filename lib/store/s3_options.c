/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_options.c - what may be said of a bucket, and what holds if it is not said.
 *
 * All strings that are kept lie one behind the other in one allocation.
 */
#include "store/s3_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/options.h"
#include "store/s3_endpoint.h"

#define FIRST_SIZE 184u
_Static_assert(sizeof(struct lsvd_s3_options) >= FIRST_SIZE, "the struct only grows");

#define DIRECTORY_MAX 512u
#define CONNECTIONS_MAX 256u
#define TIMEOUT_MAX_MS 3600000u

static bool made_of(const char *text, const char *others)
{
	for (; *text; text++) {
		char c = *text;

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      strchr(others, c)))
			return false;
	}
	return true;
}

/* For a message: what came from a file or a command line may hold anything. */
static const char *shown(char buf[68], const char *text)
{
	size_t n = 0;

	for (; n < 64 && text[n]; n++)
		buf[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	memcpy(buf + n, text[n] ? "..." : "", text[n] ? 4 : 1);
	return buf;
}

static int wrong(const char *what, const char *text, const char *expected)
{
	char buf[68];

	return lsvd_fail(LSVD_E_CONFIG, "S3 %s \"%s\": expected %s", what, shown(buf, text),
			 expected);
}

/* ------------------------------------------------------------------------------ one at a time */

static int check_bucket(const char *bucket)
{
	size_t len;

	if (!bucket)
		return lsvd_fail(LSVD_E_CONFIG, "S3: no bucket is named");
	len = strlen(bucket);
	if (len >= 3 && len <= 255 && made_of(bucket, "._-") && bucket[0] != '.')
		return 0;
	return wrong("bucket", bucket, "3 to 255 letters, digits, . _ -");
}

static int check_region(const char *region)
{
	size_t len = strlen(region);

	if (len >= 1 && len <= 64 && made_of(region, "-_"))
		return 0;
	return wrong("region", region, "1 to 64 letters, digits, - _");
}

/* Each part between slashes is something, and nothing that a server might take for a step. */
static int check_directory(const char *dir)
{
	const char *part = dir;

	if (strlen(dir) > DIRECTORY_MAX)
		return wrong("directory", dir, "at most 512 bytes");
	for (const char *p = dir;; p++) {
		unsigned char c = (unsigned char)*p;
		size_t len = (size_t)(p - part);

		if (c && (c < 0x20 || c == 0x7f))
			return wrong("directory", dir, "no control characters");
		if (c && c != '/')
			continue;
		if (len == 0 || (len == 1 && part[0] == '.') ||
		    (len == 2 && part[0] == '.' && part[1] == '.'))
			return wrong("directory", dir, "no part that is empty, \".\" or \"..\"");
		if (!c)
			return 0;
		part = p + 1;
	}
}

static int check_endpoint(struct s3_options *s)
{
	struct s3_endpoint endpoint;

	/* It may hold a user and a password: it is not quoted. */
	if (!lsvd_s3_endpoint(&endpoint, s->o.endpoint, s->o.region, s->o.bucket))
		return lsvd_fail(LSVD_E_CONFIG, "S3 bucket %s: the endpoint is not "
				 "http://HOST[:PORT] or https://HOST[:PORT]", s->o.bucket);
	s->https = endpoint.https;
	return 0;
}

static int check_client(const char *client)
{
	if (strcmp(client, "auto") == 0 || strcmp(client, "curl") == 0 ||
	    strcmp(client, "libs3") == 0)
		return 0;
	return wrong("client", client, "\"auto\", \"curl\" or \"libs3\"");
}

static int check_number(const char *what, uint32_t *value, uint32_t usual, uint32_t most)
{
	if (*value == 0)
		*value = usual;
	if (*value > most)
		return lsvd_fail(LSVD_E_CONFIG, "S3 %s: %u, expected at most %u", what, *value,
				 most);
	return 0;
}

static int check_plain(const struct lsvd_s3_options *o)
{
	if (o->flags || o->reserved0)
		return lsvd_fail(-EINVAL, "S3 options: flags are %#x, must be 0",
				 o->flags | o->reserved0);
	for (size_t i = 0; i < LSVD_ARRAY_LEN(o->reserved); i++)
		if (o->reserved[i])
			return lsvd_fail(-EINVAL, "S3 options: reserved[%zu] is %llu, must be 0", i,
					 (unsigned long long)o->reserved[i]);
	return 0;
}

/* A request of libs3's has a thread, with libcurl it costs next to nothing. */
static uint32_t connections_of(const char *client)
{
	return strcmp(client, "libs3") == 0 ? 16 : 64;
}

static int check_all(struct s3_options *s)
{
	struct lsvd_s3_options *o = &s->o;
	int err = check_bucket(o->bucket);

	if (err == 0)
		err = check_region(o->region);
	if (err == 0 && o->directory)
		err = check_directory(o->directory);
	if (err == 0)
		err = check_endpoint(s);
	if (err == 0)
		err = check_client(o->client);
	if (err == 0)
		err = check_number("connections", &o->connections, connections_of(o->client),
				   CONNECTIONS_MAX);
	if (err == 0)
		err = check_number("connect timeout (ms)", &o->connect_timeout_ms, 10000,
				   TIMEOUT_MAX_MS);
	if (err == 0)
		err = check_number("stall timeout (ms)", &o->stall_timeout_ms, 20000,
				   TIMEOUT_MAX_MS);
	return err;
}

/* ------------------------------------------------------------------------------------ copying */

/* The strings that are kept: all but the secrets. */
#define KEPT(o) \
	{ &(o)->bucket, &(o)->region, &(o)->directory, &(o)->endpoint, &(o)->client, \
	  &(o)->credentials_file, &(o)->profile, &(o)->metadata, &(o)->ca_file }

static int copy_strings(struct s3_options *s)
{
	const char **kept[] = KEPT(&s->o);
	size_t bytes = 0;
	char *at;

	for (size_t i = 0; i < LSVD_ARRAY_LEN(kept); i++)
		if (*kept[i])
			bytes += strlen(*kept[i]) + 1;
	s->text = at = lsvd_malloc(bytes);
	if (!at)
		return lsvd_fail_plain(-ENOMEM);
	for (size_t i = 0; i < LSVD_ARRAY_LEN(kept); i++) {
		size_t len = *kept[i] ? strlen(*kept[i]) + 1 : 0;

		if (!len)
			continue;
		memcpy(at, *kept[i], len);
		*kept[i] = at;
		at += len;
	}
	return 0;
}

static int refuse_empty(const struct lsvd_s3_options *o)
{
	const char *const all[] = {
		o->bucket, o->region, o->directory, o->endpoint, o->client, o->access_key,
		o->secret_key, o->session_token, o->credentials_file, o->profile, o->metadata,
		o->ca_file,
	};

	for (size_t i = 0; i < LSVD_ARRAY_LEN(all); i++)
		if (all[i] && !*all[i])
			return lsvd_fail(-EINVAL, "S3 options: an option is the empty text; NULL "
					 "is the default");
	return 0;
}

static const char *region_of_environment(void)
{
	const char *region = getenv("AWS_REGION");

	if (!region || !*region)
		region = getenv("AWS_DEFAULT_REGION");
	return region && *region ? region : "us-east-1";
}

/* "/a/b/" is "a/b"; "/" is none. */
static void trim_directory(struct s3_options *s)
{
	char *dir = (char *)(uintptr_t)s->o.directory; /* our copy */
	size_t len;

	while (dir && *dir == '/')
		dir++;
	len = dir ? strlen(dir) : 0;
	while (len && dir[len - 1] == '/')
		dir[--len] = '\0';
	s->o.directory = len ? dir : NULL;
}

int lsvd_s3_options_copy(struct s3_options *ret, const struct lsvd_s3_options *o)
{
	struct s3_options s = { .text = NULL };
	int err;

	if (!o)
		return lsvd_fail(-EINVAL, "S3 options: NULL, and a bucket is needed");
	err = lsvd_options_copy(&s.o, sizeof s.o, o, FIRST_SIZE, "S3 options");
	if (err == 0)
		err = check_plain(&s.o);
	if (err == 0)
		err = refuse_empty(&s.o);
	if (err < 0)
		return err;
	s.o.size = (uint32_t)sizeof s.o;
	if (!s.o.region)
		s.o.region = region_of_environment();
	if (!s.o.client)
		s.o.client = "auto";
	err = copy_strings(&s);
	if (err == 0) {
		trim_directory(&s);
		err = check_all(&s);
	}
	if (err < 0) {
		lsvd_free(s.text);
		return err;
	}
	*ret = s;
	return 0;
}

void lsvd_s3_options_fini(struct s3_options *o)
{
	lsvd_free(o->text);
	o->text = NULL;
}
