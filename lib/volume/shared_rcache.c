/* SPDX-License-Identifier: BSD-2-Clause */
/* shared_rcache.c - the open read caches of this process, by directory. */
#include "volume/shared_rcache.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "io/world_real.h"

struct shared {
	struct list link;
	char *dir;
	unsigned users;
	struct world *world;
	struct port port;
	struct rcache *cache;
};

/* Process-wide, like the directory it guards; taken only while volumes open and close. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list open_caches = LIST_INIT(open_caches);

static struct shared *find_dir(const char *dir)
{
	list_for_each(n, &open_caches)
		if (strcmp(list_entry(n, struct shared, link)->dir, dir) == 0)
			return list_entry(n, struct shared, link);
	return NULL;
}

static void destroy(struct shared *s)
{
	if (!s)
		return;
	lsvd_rcache_close(s->cache);
	if (s->world) {
		lsvd_port_fini(&s->port);
		lsvd_world_real_close(s->world);
	}
	lsvd_free(s->dir);
	lsvd_free(s);
}

static int make(struct shared **ret, const char *dir, uint64_t bytes)
{
	struct shared *s = lsvd_calloc(1, sizeof *s);
	int err;

	if (!s)
		return lsvd_fail_plain(-ENOMEM);
	s->dir = lsvd_strdup(dir);
	err = s->dir ? lsvd_world_real_open(&s->world, NULL, dir, true) : lsvd_fail_plain(-ENOMEM);
	if (!err) {
		err = lsvd_port_init(&s->port, s->world);
		if (err) {
			lsvd_world_real_close(s->world);
			s->world = NULL;
		}
	}
	if (!err)
		err = lsvd_rcache_open(&s->cache, &s->port, bytes);
	if (err) {
		destroy(s);
		return err;
	}
	*ret = s;
	return 0;
}

int lsvd_shared_rcache_get(struct rcache **ret, const char *dir, uint64_t bytes)
{
	struct shared *s;
	int err = 0;

	pthread_mutex_lock(&lock);
	s = find_dir(dir);
	if (!s) {
		err = make(&s, dir, bytes);
		if (!err)
			list_add_tail(&open_caches, &s->link);
	}
	if (!err) {
		s->users++;
		*ret = s->cache;
	}
	pthread_mutex_unlock(&lock);
	return err;
}

void lsvd_shared_rcache_put(struct rcache *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&lock);
	list_for_each_safe(n, &open_caches) {
		struct shared *s = list_entry(n, struct shared, link);

		if (s->cache != c || --s->users)
			continue;
		list_del(&s->link);
		destroy(s);
	}
	pthread_mutex_unlock(&lock);
}
