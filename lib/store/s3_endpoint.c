/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_endpoint.c - from region, bucket and endpoint to host and path.
 *
 * Stores of one's own are addressed with the bucket in the path: that needs no name service of
 * theirs. AWS wants it in the name of the host.
 */
#include "store/s3_endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What may stand in HOST[:PORT], [::1]:80 too. */
static bool host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr(".-_:[]", c));
}

static bool ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && strcmp(text + a - b, end) == 0;
}

static bool is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits && digits <= 5 && !text[digits] && strtoul(text, NULL, 10) - 1 < 65535;
}

/* NAME, or [ADDRESS]; with :PORT or without. */
static bool host_valid(const char *host)
{
	const char *rest = host + strcspn(host, ":[]");

	if (host[0] == '[') {
		rest = strchr(host, ']');
		if (!rest || rest == host + 1 ||
		    strcspn(host + 1, "[]") != (size_t)(rest - host - 1))
			return false;
		rest++;
	}
	return rest > host && (!*rest || (*rest == ':' && is_port(rest + 1)));
}

static bool parse_own(struct s3_endpoint *e, const char *text)
{
	const char *host = strstr(text, "://");
	const char *usual;
	size_t len;

	e->https = strncmp(text, "https://", 8) == 0;
	if (!e->https && strncmp(text, "http://", 7) != 0)
		return false;
	host += 3;
	len = strlen(host);
	if (len && host[len - 1] == '/')
		len--;
	if (len == 0 || len >= sizeof e->host)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!host_char(host[i]))
			return false;
	memcpy(e->host, host, len);
	e->host[len] = '\0';
	if (!host_valid(e->host))
		return false;
	(void)snprintf(e->base, sizeof e->base, "%s%s", e->https ? "https://" : "http://", e->host);
	usual = e->https ? ":443" : ":80";
	if (ends_with(e->host, usual) && strlen(e->host) > strlen(usual))
		e->host[strlen(e->host) - strlen(usual)] = '\0';
	return true;
}

bool lsvd_s3_endpoint(struct s3_endpoint *ret, const char *endpoint, const char *region,
		      const char *bucket)
{
	const char *domain = strncmp(region, "cn-", 3) == 0 ? "amazonaws.com.cn" : "amazonaws.com";
	bool in_host = !endpoint && !strchr(bucket, '.');
	int len;

	memset(ret, 0, sizeof *ret);
	len = snprintf(ret->bucket_path, sizeof ret->bucket_path, "%s%s", in_host ? "" : "/",
		       in_host ? "" : bucket);
	if (len < 0 || (size_t)len >= sizeof ret->bucket_path)
		return false;
	if (endpoint)
		return parse_own(ret, endpoint);
	ret->https = true;
	len = snprintf(ret->host, sizeof ret->host, "%s%ss3.%s.%s", in_host ? bucket : "",
		       in_host ? "." : "", region, domain);
	if (len < 0 || (size_t)len >= sizeof ret->host)
		return false;
	len = snprintf(ret->base, sizeof ret->base, "https://%s", ret->host);
	return len > 0 && (size_t)len < sizeof ret->base;
}
