/* SPDX-License-Identifier: BSD-2-Clause */
/* doctor_advice.c - from what was found to what to change, in sentences. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/doctor.h"
#include "admin/output.h"
#include "common/facts.h"

#define SKEW_MS	       (5 * 60 * 1000) /* what S3 lets pass is 15 minutes */
#define SLOW_SYNC_MS   20.0
#define GAIN	       1.3

struct advice {
	struct facts_rows rows;
};

static void say(struct advice *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct advice *a, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap); /* long enough for ours */
	va_end(ap);
	(void)facts_rows_add(&a->rows, facts_text(text)); /* the end says it */
}

/* -------------------------------------------------------------------------------- the store */

static void on_failure(struct advice *a, const struct doctor *d)
{
	const struct lsvd_store_counters *c = &d->counters;

	if (c->redirects)
		say(a, "the bucket is in another region or behind another host: set "
		       "region and host");
	else if (c->no_bucket)
		say(a, "there is no such bucket: make it, or mend bucket or host");
	else if (d->err == -EACCES)
		say(a, "access is denied: the keys need s3:GetObject, s3:PutObject, "
		       "s3:DeleteObject and s3:ListBucket on the bucket (lsvd.conf(5) says where "
		       "keys come from)");
	else if (c->no_connection)
		say(a, "no connection: look at host and port, at the network, and with https at "
		       "the server's certificate (ca_file)");
	else if (d->err == -EROFS)
		say(a, "the store is read-only: volumes can be read there, not written");
	else if (d->err == -ENOSPC)
		say(a, "the store is full");
	if (d->probe.removed == LSVD_PROBE_BAD && (!d->err || d->err == LSVD_E_UNSUPPORTED))
		say(a, "what the probe put could not be removed: delete what is below probe/");
}

static void on_promises(struct advice *a, const struct doctor *d)
{
	const struct lsvd_store_probe *p = &d->probe;

	if (!d->promises_create)
		say(a, "the client or driver cannot create an object only if it is absent: nothing "
		       "keeps a second writer out. Use client = \"curl\", or another store; "
		       "--unsafe-store goes on without");
	else if (p->create == LSVD_PROBE_BAD || p->refuse == LSVD_PROBE_BAD)
		say(a, "the store does not keep its promise to create an object only if it is "
		       "absent (If-None-Match): nothing keeps a second writer out. Use another "
		       "store or a newer version of it; --unsafe-store goes on without");
	if (p->read_back == LSVD_PROBE_BAD || p->ranges == LSVD_PROBE_BAD ||
	    p->length == LSVD_PROBE_BAD)
		say(a, "the store does not answer with what was put (%s): no volume is safe there",
		    p->text);
	if (p->list == LSVD_PROBE_BAD)
		say(a, "listings lag behind: volumes do not need them, but lsvd-admin list and "
		       "delete may miss what is new");
	if (d->remove_many == LSVD_PROBE_BAD)
		say(a, "deleting many objects at once does not work: look at s3:DeleteObject, and "
		       "delete what is below probe/");
}

static bool has_plain_endpoint(const char *url)
{
	const char *at = strstr(url, "endpoint=http");

	if (!at)
		return false;
	at += strlen("endpoint=http");
	return *at == ':' || *at == '%';
}

static bool is_loopback(const char *url)
{
	return strstr(url, "127.0.0.1") || strstr(url, "localhost") || strstr(url, "[::1]");
}

static void on_connection(struct advice *a, const struct doctor *d)
{
	const char *url = lsvd_store_url(d->store);
	int64_t off = d->counters.clock_offset_ms;

	if (llabs(off) > SKEW_MS)
		say(a, "this host's clock is %lld s %s the store's: set it. (Requests are signed "
		       "by the store's clock, so that this alone breaks nothing here.)",
		    (long long)llabs(off) / 1000, off > 0 ? "behind" : "ahead of");
	if (has_plain_endpoint(url) && !is_loopback(url))
		say(a, "requests go over plain http: whoever is on the way reads all data, and the "
		       "session token. Use https");
	if (d->counters.server_errors)
		say(a, "the store answered %llu requests with errors that pass (5xx, SlowDown): it "
		       "is short of something, or limits this client",
		    (unsigned long long)d->counters.server_errors);
}

/* --------------------------------------------------------------------------------- the times */

static void on_times(struct advice *a, const struct doctor *d)
{
	const struct doctor_latency *put = &d->latency[0], *head = &d->latency[2];
	uint32_t lease = d->options.lease_check_ms ? d->options.lease_check_ms : 10000;

	if (head->samples && lease != UINT32_MAX && head->p99_ms * 5 > lease)
		say(a, "a look for another writer takes up to %.0f ms, and lease_check is %u ms: a "
		       "writer hardly does anything else. Set lease_check to %.0f s or more",
		    head->p99_ms, lease, head->p99_ms / 100);
	if (put->samples && d->options.flush == LSVD_FLUSH_REMOTE)
		say(a, "with flush = \"remote\" each flush takes about %.0f ms, one "
		       "PUT and one look",
		    put->median_ms + head->median_ms);
	if (d->throughput[2].up > d->throughput[1].up * GAIN && d->throughput[1].up > 0 &&
	    d->options.put_window && d->options.put_window < 16)
		say(a, "uploads gain from more of them at once: set put_window to 16 (it is %u)",
		    d->options.put_window);
	if (d->sync.samples && d->sync.p99_ms > SLOW_SYNC_MS)
		say(a, "a flush waits up to %.0f ms for the disk of cache_path: use an SSD, better "
		       "one that keeps its cache when the power fails", d->sync.p99_ms);
}

/*
 * Two small pieces, the second sent when the first is confirmed, which a receiver
 * puts off for 40 ms.
 */
static void on_delay(struct advice *a, const struct doctor *d)
{
	const struct doctor_latency *get = &d->latency[1], *head = &d->latency[2];

	if (get->samples && head->samples && get->median_ms > head->median_ms + 30 &&
	    get->median_ms < head->median_ms + 60)
		say(a, "reading a small object takes %.0f ms, and asking for its length %.0f ms: "
		       "the server seems to hold back small pieces (Nagle's algorithm). Of "
		       "radosgw, set tcp_nodelay=1 in rgw_frontends", get->median_ms,
		    head->median_ms);
}

static void on_cache(struct advice *a, const struct doctor *d)
{
	uint64_t log = d->options.log_bytes ? d->options.log_bytes : UINT64_C(512) << 20;
	char is[32], wanted[32];

	if (!d->options.cache_dir)
		return;
	if (d->cache_error[0]) {
		say(a, "cache_path cannot be used: %s", d->cache_error);
		return;
	}
	output_bytes(is, d->cache_free);
	output_bytes(wanted, log);
	if (d->sync.samples && d->cache_free < log)
		say(a, "cache_path has %s free, and the log of a new volume takes %s", is, wanted);
}

json_t *doctor_advice(const struct doctor *d)
{
	struct advice a;

	facts_rows_begin(&a.rows);
	on_failure(&a, d);
	on_promises(&a, d);
	on_connection(&a, d);
	on_times(&a, d);
	on_delay(&a, d);
	on_cache(&a, d);
	return facts_rows_end(&a.rows);
}
