/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_credentials.c - which source the keys come from, and putting a new set in place of an old one.
 *
 * The source is chosen once, at open. Of the sources only files and the metadata service can have
 * something new. They are read again by lsvd_s3_credentials_reload(), on the caller's thread, when
 * the store has been refused; and when the program wants it, but then the metadata service on a
 * thread of ours. The same thread fetches keys in place of those that end, which only the metadata
 * service has: it is started when it is first needed, for one of them less than AHEAD_MS before its
 * end. For these it reads at most once a second, and while nothing new comes of it less and less
 * often, once in PAUSE_MAX_MS in the end.
 *
 * Nothing is read from a timer: a volume that is idle asks nobody for anything. If its keys ended
 * meanwhile, the first request after finds that out, is told LSVD_E_UNAVAILABLE, which is tried
 * again, and has set the thread going.
 *
 * Locks: `reading` is held while a source is read, and taken before `lock`, under which sets are
 * exchanged and which nobody holds for long.
 */
#include "store/s3_credentials.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/thread.h"
#include "store/s3_metadata.h"
#include "store/s3_plain_http.h"
#include "store/s3_profile.h"

#define AHEAD_MS     INT64_C(300000)
#define PAUSE_MIN_MS INT64_C(1000)
#define PAUSE_MAX_MS INT64_C(30000)

enum source {
	SOURCE_FIXED, /* options, environment: nothing new can come */
	SOURCE_FILE,
	SOURCE_METADATA,
};

struct s3_credentials {
	/* immutable after open */
	enum source source;
	unsigned file_flags; /* S3_PROFILE_… */
	char *where;	     /* path or endpoint */
	char *profile;

	pthread_mutex_t reading;
	struct s3_file_state state; /* protected by reading */

	pthread_mutex_t lock;
	/* protected by lock */
	struct s3_set *set;
	bool wanted;	  /* the thread is to read, or is reading */
	bool again;	  /* and once more after that: what it reads may be from before */
	bool has_thread;
	pthread_t thread; /* joined in close */
	int64_t not_before_ms;
	int64_t pause_ms;
	pthread_cond_t cond; /* wanted, stop */

	atomic_uint generation; /* how often other keys came */
	atomic_bool stop;	/* also looked at while the metadata service is waited for */
};

/* ----------------------------------------------------------------------------- reading a source */

/* *ret stays as it is if there is nothing new. */
static int read_source(struct s3_credentials *c, struct s3_set **ret)
{
	switch (c->source) {
	case SOURCE_FILE:
		return lsvd_s3_profile_read(ret, c->where, c->profile, c->file_flags, &c->state);
	case SOURCE_METADATA:
		return lsvd_s3_metadata_read(ret, c->where, &c->stop);
	default:
		return 0;
	}
}

/* Takes over `set`; returns whether its keys are others than before. */
static int exchange(struct s3_credentials *c, struct s3_set *set)
{
	struct s3_set *old;
	bool same;

	pthread_mutex_lock(&c->lock);
	old = c->set;
	c->set = set;
	same = old && lsvd_s3_set_equal(old, set);
	if (!same)
		atomic_fetch_add(&c->generation, 1);
	pthread_mutex_unlock(&c->lock);
	if (old && !same)
		lsvd_report(LSVD_LOG_INFO, "S3: new access keys from %.200s", c->where);
	lsvd_s3_set_unref(old);
	return !same;
}

unsigned lsvd_s3_credentials_generation(struct s3_credentials *c)
{
	return atomic_load(&c->generation);
}

int lsvd_s3_credentials_reload(struct s3_credentials *c)
{
	struct s3_set *set = NULL;
	int err;

	pthread_mutex_lock(&c->reading);
	err = read_source(c, &set);
	if (err == 0 && set)
		err = exchange(c, set);
	pthread_mutex_unlock(&c->reading);
	return err;
}

/* ----------------------------------------------------------------------------------- the thread */

/* lock held */
static void pause_locked(struct s3_credentials *c, int result)
{
	if (result > 0 || !c->pause_ms)
		c->pause_ms = PAUSE_MIN_MS;
	else if (c->pause_ms < PAUSE_MAX_MS)
		c->pause_ms *= 2;
	c->not_before_ms = lsvd_s3_boot_ms() + c->pause_ms;
}

static void read_again(struct s3_credentials *c)
{
	int result = lsvd_s3_credentials_reload(c);

	if (result < 0 && !atomic_load(&c->stop))
		lsvd_report(LSVD_LOG_WARN, "S3: no new access keys: %s", lsvd_last_error());
	pthread_mutex_lock(&c->lock);
	pause_locked(c, result);
	c->wanted = c->again;
	c->again = false;
	pthread_mutex_unlock(&c->lock);
}

static void *run(void *arg)
{
	struct s3_credentials *c = arg;

	for (;;) {
		pthread_mutex_lock(&c->lock);
		while (!c->wanted && !atomic_load(&c->stop))
			pthread_cond_wait(&c->cond, &c->lock);
		pthread_mutex_unlock(&c->lock);
		if (atomic_load(&c->stop))
			return NULL;
		read_again(c);
	}
}

/* lock held */
static bool start_locked(struct s3_credentials *c)
{
	if (!c->has_thread)
		c->has_thread = lsvd_thread_start(&c->thread, "lsvd-keys", run, c) == 0;
	return c->has_thread;
}

/* lock held. Without a thread now the next who wants it tries again. */
static void want_locked(struct s3_credentials *c)
{
	if (c->wanted || lsvd_s3_boot_ms() < c->not_before_ms || !start_locked(c))
		return;
	c->wanted = true;
	pthread_cond_signal(&c->cond);
}

int lsvd_s3_credentials_renew(struct s3_credentials *c)
{
	bool has_thread;
	int err;

	if (c->source != SOURCE_METADATA) {
		err = lsvd_s3_credentials_reload(c);
		return err < 0 ? err : 0;
	}
	pthread_mutex_lock(&c->lock);
	has_thread = start_locked(c);
	c->again = c->wanted;
	c->wanted = has_thread;
	pthread_cond_signal(&c->cond);
	pthread_mutex_unlock(&c->lock);
	return has_thread ? 0 : lsvd_fail(-EAGAIN, "%.200s: no thread to ask it", c->where);
}

/* --------------------------------------------------------------------------------- taking a set */

int lsvd_s3_credentials_get(struct s3_credentials *c, struct s3_secrets *ret)
{
	struct s3_set *set = NULL;
	int64_t left_ms = AHEAD_MS;

	pthread_mutex_lock(&c->lock);
	if (c->set->expires_ms)
		left_ms = c->set->expires_ms - lsvd_s3_boot_ms();
	if (left_ms < AHEAD_MS)
		want_locked(c);
	if (left_ms > 0)
		set = lsvd_s3_set_ref(c->set);
	pthread_mutex_unlock(&c->lock);
	if (!set)
		return lsvd_fail(LSVD_E_UNAVAILABLE,
				 "the access keys from %.200s ended %lld s ago, and no others came",
				 c->where, (long long)(-left_ms / 1000));
	*ret = (struct s3_secrets){set->access_key, set->secret_key, set->session_token};
	return 0;
}

void lsvd_s3_credentials_put(struct s3_credentials *c, struct s3_secrets *s)
{
	(void)c;
	lsvd_s3_set_unref(lsvd_s3_set_of(s));
	*s = (struct s3_secrets){NULL, NULL, NULL};
}

/* ---------------------------------------------------------------------------- choosing a source */

/* Of the environment, unless the program has more rights than its caller. Empty is not there. */
static const char *variable(const char *name)
{
	const char *value = secure_getenv(name);

	return value && *value ? value : NULL;
}

static struct s3_piece piece(const char *text)
{
	return (struct s3_piece){text, text ? strlen(text) : 0};
}

static int use_keys(struct s3_credentials *c, const char *access_key, const char *secret_key,
		    const char *session_token, const char *where)
{
	c->source = SOURCE_FIXED;
	return lsvd_s3_set_new(&c->set, piece(access_key), piece(secret_key), piece(session_token),
			       where);
}

static int copy_text(char **ret, const char *text)
{
	*ret = lsvd_strdup(text);
	return *ret ? 0 : lsvd_fail_plain(-ENOMEM);
}

/* With S3_PROFILE_OPTIONAL in `flags` there may be no set afterwards. */
static int use_file(struct s3_credentials *c, const char *path, const char *profile,
		    unsigned flags)
{
	int err;

	lsvd_free(c->where);
	lsvd_free(c->profile);
	c->where = c->profile = NULL;
	c->source = SOURCE_FILE;
	err = copy_text(&c->where, path);
	if (err == 0)
		err = copy_text(&c->profile, profile);
	if (err == 0)
		err = lsvd_s3_profile_read(&c->set, path, profile, flags, &c->state);
	c->file_flags = flags & ~S3_PROFILE_OPTIONAL;
	return err;
}

/* AWS's own file, where its tools have it; that there is none is no failure. */
static int use_home_file(struct s3_credentials *c, const char *profile, unsigned flags)
{
	const char *home = variable("HOME");
	char path[4096];
	int err;

	if (!home ||
	    (size_t)snprintf(path, sizeof path, "%s/.aws/credentials", home) >= sizeof path)
		return 0;
	err = use_file(c, path, profile, flags);
	return err == -ENOENT || err == -ENOTDIR ? 0 : err;
}

/* A profile that somebody named has to be there, as has a file. */
static int use_shared_file(struct s3_credentials *c, const struct lsvd_s3_options *o)
{
	const char *path = variable("AWS_SHARED_CREDENTIALS_FILE");
	const char *profile = o->profile ? o->profile : variable("AWS_PROFILE");
	unsigned flags = profile || path ? 0 : S3_PROFILE_OPTIONAL;

	if (!profile)
		profile = "default";
	return path ? use_file(c, path, profile, flags) : use_home_file(c, profile, flags);
}

static int use_environment(struct s3_credentials *c)
{
	const char *access_key = variable("AWS_ACCESS_KEY_ID");
	const char *secret_key = variable("AWS_SECRET_ACCESS_KEY");

	if (!access_key && !secret_key)
		return 0;
	return use_keys(c, access_key, secret_key, variable("AWS_SESSION_TOKEN"),
			"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment");
}

static int use_metadata(struct s3_credentials *c, const char *endpoint)
{
	int err;

	if (strcmp(endpoint, "default") == 0)
		endpoint = S3_METADATA_DEFAULT;
	if (!lsvd_s3_metadata_endpoint_valid(endpoint))
		return lsvd_fail(LSVD_E_CONFIG,
				 "instance metadata: \"%.64s\" is not \"default\" or "
				 "http://HOST[:PORT]",
				 strchr(endpoint, '@') ? "..." : endpoint);
	lsvd_free(c->where);
	c->source = SOURCE_METADATA;
	err = copy_text(&c->where, endpoint);
	return err < 0 ? err : lsvd_s3_metadata_read(&c->set, endpoint, &c->stop);
}

static int nothing_found(const struct lsvd_s3_options *o)
{
	return lsvd_fail(LSVD_E_CONFIG,
			 "bucket %.64s: no credentials: neither keys nor credentials_file are "
			 "configured, AWS_ACCESS_KEY_ID is not set, %s, and metadata is not "
			 "configured",
			 o->bucket ? o->bucket : "",
			 variable("HOME") ? "~/.aws/credentials has none" : "there is no HOME");
}

/* The order is that of <lsvd/store_s3.h>. Each step leaves c->set NULL if it is to go on. */
static int choose(struct s3_credentials *c, const struct lsvd_s3_options *o)
{
	int err = 0;

	if (o->access_key || o->secret_key)
		return use_keys(c, o->access_key, o->secret_key, o->session_token,
				"access_key and secret_key");
	if (o->credentials_file) {
		const char *profile = o->profile ? o->profile : variable("AWS_PROFILE");

		return use_file(c, o->credentials_file, profile ? profile : "default",
				S3_PROFILE_PRIVATE);
	}
	/* A profile that is asked for by name is not overruled by what happens to be set. */
	if (!o->profile)
		err = use_environment(c);
	if (err == 0 && !c->set)
		err = use_shared_file(c, o);
	if (err == 0 && !c->set && o->metadata)
		err = use_metadata(c, o->metadata);
	if (err == 0 && !c->set)
		err = nothing_found(o);
	return err;
}

int lsvd_s3_credentials_open(struct s3_credentials **ret, const struct lsvd_s3_options *o)
{
	struct s3_credentials *c = lsvd_calloc(1, sizeof *c);
	int err;

	if (!c)
		return lsvd_fail_plain(-ENOMEM);
	pthread_mutex_init(&c->reading, NULL);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->cond, NULL);
	err = choose(c, o);
	if (err < 0) {
		lsvd_s3_credentials_close(c);
		return err;
	}
	*ret = c;
	return 0;
}

void lsvd_s3_credentials_close(struct s3_credentials *c)
{
	bool has_thread;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	atomic_store(&c->stop, true);
	has_thread = c->has_thread;
	pthread_cond_signal(&c->cond);
	pthread_mutex_unlock(&c->lock);
	if (has_thread)
		(void)pthread_join(c->thread, NULL); /* it ends: stop is set */
	lsvd_s3_set_unref(c->set);
	pthread_cond_destroy(&c->cond);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->reading);
	lsvd_free(c->where);
	lsvd_free(c->profile);
	lsvd_free(c);
}
