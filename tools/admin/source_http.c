/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * source_http.c - a transfer by libcurl, driven from the main thread as its bytes are asked for.
 *
 * Only a reply with status 200 is an image. At most five redirects are followed, from https never
 * to http, and credentials of the URL are for its own host alone. A transfer is whole when as many
 * bytes have come as the reply announced, or when its last chunk has; a reply that announces
 * nothing and ends with the connection may have been cut off, and is refused unless the caller
 * knows the sum.
 *
 * States:  HEAD -> BODY -> ENDED, transitions in pump(); the buffer holds what libcurl has
 * delivered and nobody has asked for yet. While it is full the transfer is paused.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "admin/long.h"
#include "admin/source.h"

#define REDIRECTS_MAX 5L
#define BUFFER_BYTES  (2u << 20)
#define CONNECT_SECONDS 30L
#define SILENCE_SECONDS 60L
#define POLL_MS 200

struct http_source {
	struct source source;
	CURLM *multi;
	CURL *easy;
	char *shown;         /* the URL without its credentials */
	char error[CURL_ERROR_SIZE];
	bool begun;          /* the first byte of a body, or the end, has come */
	bool ended, paused;
	CURLcode result;
	size_t have;         /* in buffer */
	char buffer[BUFFER_BYTES];
};

static struct http_source *of(struct source *s)
{
	return (struct http_source *)(void *)s;
}

static size_t take_body(char *data, size_t size, size_t n, void *user)
{
	struct http_source *h = user;

	n *= size;
	h->begun = true;
	if (n > BUFFER_BYTES - h->have) {
		h->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	memcpy(h->buffer + h->have, data, n);
	h->have += n;
	return n;
}

static int transfer_fail(struct http_source *h)
{
	long status = 0;

	if (h->result == CURLE_HTTP_RETURNED_ERROR) {
		(void)curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
		return admin_error("%s: the server answered with status %ld", h->shown, status);
	}
	if (h->result == CURLE_PARTIAL_FILE)
		return admin_error("%s: the transfer ended early: %s", h->shown, h->error);
	return admin_error("%s: %s", h->shown,
			   *h->error ? h->error : curl_easy_strerror(h->result));
}

/* Lets the transfer go on for a moment, or waits for it. */
static int pump(struct http_source *h)
{
	int running, left;
	CURLMsg *msg;
	CURLMcode err;

	if (h->paused && h->have < BUFFER_BYTES / 2) {
		h->paused = false;
		(void)curl_easy_pause(h->easy, CURLPAUSE_CONT); /* its failure ends the transfer */
	}
	err = curl_multi_perform(h->multi, &running);
	while (!err && (msg = curl_multi_info_read(h->multi, &left)))
		if (msg->msg == CURLMSG_DONE) {
			h->ended = h->begun = true;
			h->result = msg->data.result;
		}
	if (!err && !h->ended && !h->have)
		err = curl_multi_poll(h->multi, NULL, 0, POLL_MS, NULL);
	if (err)
		return admin_error("%s: %s", h->shown, curl_multi_strerror(err));
	return admin_stopped() ? -1 : 0;
}

static int http_read(struct source *s, uint64_t off, void *buf, size_t len, size_t *ret_len)
{
	struct http_source *h = of(s);
	size_t n;

	(void)off; /* there is only one place */
	for (*ret_len = 0; *ret_len < len; *ret_len += n) {
		while (!h->have && !h->ended)
			if (pump(h) < 0)
				return -1;
		if (!h->have)
			return h->result ? transfer_fail(h) : 0;
		n = h->have < len - *ret_len ? h->have : len - *ret_len;
		memcpy((char *)buf + *ret_len, h->buffer, n);
		h->have -= n;
		memmove(h->buffer, h->buffer + n, h->have);
	}
	return 0;
}

static void http_close(struct source *s)
{
	struct http_source *h = of(s);

	if (h->multi && h->easy)
		(void)curl_multi_remove_handle(h->multi, h->easy); /* ends the transfer */
	curl_easy_cleanup(h->easy);
	(void)curl_multi_cleanup(h->multi);
	free(h->shown);
	free(h);
}

static const struct source_ops http_ops = {NULL, http_read, http_close};

/* "https://user:word@host/x" as "https://host/x". */
static char *without_credentials(const char *url)
{
	const char *host = strstr(url, "://") + 3, *at;
	size_t end = strcspn(host, "/?#");
	char *shown = NULL;

	for (at = host + end; at > host && at[-1] != '@'; at--)
		;
	if (asprintf(&shown, "%.*s%s", (int)(host - url), url, at) < 0)
		return NULL;
	return shown;
}

static CURLcode set_up(struct http_source *h, const char *url, const char *ca_file)
{
	bool tls = strncasecmp(url, "https", 5) == 0;
	CURLcode err = CURLE_OK;

#define SET(option, value) (err ? err : (err = curl_easy_setopt(h->easy, option, value)))
	(void)SET(CURLOPT_URL, url);
	(void)SET(CURLOPT_PROTOCOLS_STR, "http,https");
	(void)SET(CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
	(void)SET(CURLOPT_FOLLOWLOCATION, 1L);
	(void)SET(CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	(void)SET(CURLOPT_FAILONERROR, 1L);
	(void)SET(CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	(void)SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	(void)SET(CURLOPT_LOW_SPEED_TIME, SILENCE_SECONDS);
	(void)SET(CURLOPT_NOSIGNAL, 1L);
	(void)SET(CURLOPT_USERAGENT, "lsvd-admin");
	(void)SET(CURLOPT_ERRORBUFFER, h->error);
	(void)SET(CURLOPT_WRITEFUNCTION, take_body);
	(void)SET(CURLOPT_WRITEDATA, h);
	if (ca_file)
		(void)SET(CURLOPT_CAINFO, ca_file);
#undef SET
	return err;
}

/* Chunks, and HTTP/2 and later, say where the body ends. */
static bool says_its_end(const struct http_source *h)
{
	struct curl_header *header;
	long version = 0;

	(void)curl_easy_getinfo(h->easy, CURLINFO_HTTP_VERSION, &version);
	if (version >= CURL_HTTP_VERSION_2_0)
		return true;
	return curl_easy_header(h->easy, "Transfer-Encoding", 0, CURLH_HEADER, -1, &header) ==
		       CURLHE_OK &&
	       strcasecmp(header->value, "chunked") == 0;
}

/* Once the reply's head is here. */
static int check_reply(struct http_source *h, bool verified)
{
	curl_off_t bytes = -1;
	long status = 0;

	if (h->ended && h->result && h->result != CURLE_PARTIAL_FILE)
		return transfer_fail(h);
	(void)curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return admin_error("%s: the server answered with status %ld, expected 200",
				   h->shown, status);
	(void)curl_easy_getinfo(h->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &bytes);
	if (bytes >= 0)
		h->source.bytes = (uint64_t)bytes;
	else if (!verified && !says_its_end(h))
		return admin_error("%s: the reply does not say how long it is, so that it could be "
				   "cut off unnoticed: give its sum, --verify", h->shown);
	if (h->have >= 4 && source_is_qcow2(h->buffer))
		return admin_error("%s is a qcow2 image: fetch it to a file and import that with "
				   "--format qcow2", h->shown);
	return 0;
}

static int start(struct http_source *h, const char *url, const struct source_web *web)
{
	CURLcode err = set_up(h, url, web->ca_file);

	if (err || curl_multi_add_handle(h->multi, h->easy))
		return admin_error("%s: %s", h->shown, curl_easy_strerror(err));
	while (!h->begun)
		if (pump(h) < 0)
			return -1;
	return check_reply(h, web->verified);
}

struct source *source_http_open(const char *url, const struct source_web *web)
{
	struct http_source *h = calloc(1, sizeof *h);

	if (!h || curl_global_init(CURL_GLOBAL_DEFAULT)) {
		(void)admin_error("out of memory");
		free(h);
		return NULL;
	}
	h->shown = without_credentials(url);
	h->source = (struct source){&http_ops, SOURCE_UNKNOWN, h->shown};
	h->multi = curl_multi_init();
	h->easy = curl_easy_init();
	if (!h->shown || !h->multi || !h->easy) {
		(void)admin_error("out of memory");
		http_close(&h->source);
		return NULL;
	}
	if (start(h, url, web) < 0) {
		http_close(&h->source);
		return NULL;
	}
	return &h->source;
}
