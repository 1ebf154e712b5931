/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_xml.c - the documents of S3 through libxml2.
 *
 * Documents are read as a tree: they are bounded by the caller, and nothing of a page is reported
 * before all of it was understood. A document with a DOCTYPE is refused before it is parsed: S3 has
 * none, and entities have no other way in. libxml2 sets up itself when it is first used by several
 * threads at once; lsvd_s3_curl does that once at open.
 */
#include "store/s3_xml.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/bytes.h"

#define S3_KEY_MAX 1024
#define PARSE_OPTIONS \
	(XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA | \
	 XML_PARSE_NOBLANKS)

static xmlDoc *parse(const char *text, size_t len)
{
	if (len == 0 || len > INT_MAX || memmem(text, len, "<!DOCTYPE", 9))
		return NULL;
	/* The encoding is said here, so that a document in another one cannot hide what it has. */
	return xmlReadMemory(text, (int)len, NULL, "UTF-8", PARSE_OPTIONS);
}

static bool named(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static const xmlNode *child(const xmlNode *parent, const char *name)
{
	for (const xmlNode *n = parent->children; n; n = n->next)
		if (named(n, name))
			return n;
	return NULL;
}

/*
 * The text of a child that has nothing but text; "" if it is empty, NULL if it is not there or is
 * more than that.
 */
static const char *child_text(const xmlNode *parent, const char *name)
{
	const xmlNode *n = child(parent, name);

	if (!n)
		return NULL;
	if (!n->children)
		return "";
	if (n->children->type != XML_TEXT_NODE || n->children->next || !n->children->content)
		return NULL;
	return (const char *)n->children->content;
}

/* Foreign text for a person: cut, and printable. */
static void copy_printable(char *to, size_t size, const char *from)
{
	size_t n = 0;

	for (; n + 1 < size && from[n]; n++)
		to[n] = from[n] >= ' ' && from[n] <= '~' ? from[n] : '?';
	to[n] = '\0';
}

void lsvd_s3_xml_error(struct s3_request *r, const char *text, size_t len)
{
	xmlDoc *doc = parse(text, len);
	const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;

	if (root && named(root, "Error")) {
		const char *code = child_text(root, "Code");
		const char *message = child_text(root, "Message");

		if (code)
			copy_printable(r->code, sizeof r->code, code);
		if (message)
			copy_printable(r->message, sizeof r->message, message);
	}
	xmlFreeDoc(doc);
}

/* ------------------------------------------------------------------------------------- listings */

static bool read_bytes(const char *text, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	*ret = value;
	return errno == 0 && *end == '\0';
}

/* 2026-01-31T23:59:59.123Z; 0 for anything else: a listing is not refused for its dates. */
static int64_t read_date(const char *text)
{
	struct tm tm = { .tm_year = 0 };
	const char *end;
	int ms = 0;

	end = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	if (!end)
		return 0;
	if (*end == '.' && sscanf(end, ".%3d", &ms) != 1)
		ms = 0;
	return (int64_t)timegm(&tm) * 1000 + ms;
}

/*
 * A key as a listing with encoding-type=url has it: %XX, and '+' for a blank. false: it is too
 * long, or none.
 */
static bool read_key(char key[S3_KEY_MAX + 1], const char *text, bool encoded)
{
	size_t n = 0;

	if (!text || !*text)
		return false;
	for (const char *p = text; *p; p++) {
		char c = *p;

		if (n == S3_KEY_MAX)
			return false;
		if (encoded && c == '+')
			c = ' ';
		if (encoded && c == '%') {
			int high = hex_digit(p[1]), low = high < 0 ? -1 : hex_digit(p[2]);

			if (low < 0 || high + low == 0)
				return false;
			c = (char)(high << 4 | low);
			p += 2;
		}
		key[n++] = c;
	}
	key[n] = '\0';
	return true;
}

static bool read_object(const xmlNode *node, bool encoded, char key[S3_KEY_MAX + 1],
			struct s3_listed *o)
{
	o->key = key;
	o->modified_ms = read_date(child_text(node, "LastModified"));
	return read_key(key, child_text(node, "Key"), encoded) &&
	       read_bytes(child_text(node, "Size"), &o->bytes);
}

/* A page that says there is more must say where. */
static bool read_next(const xmlNode *root, struct s3_request *r)
{
	const char *truncated = child_text(root, "IsTruncated"), *token;

	r->next[0] = '\0';
	if (!truncated || strcmp(truncated, "false") == 0)
		return truncated != NULL;
	token = child_text(root, "NextContinuationToken");
	if (strcmp(truncated, "true") != 0 || !token || !*token || strlen(token) >= sizeof r->next)
		return false;
	memcpy(r->next, token, strlen(token) + 1);
	return true;
}

static bool read_page(const xmlNode *root, struct s3_request *r)
{
	const char *encoding = child_text(root, "EncodingType");
	bool encoded = encoding && strcmp(encoding, "url") == 0;
	char key[S3_KEY_MAX + 1];
	struct s3_listed object;

	if (!named(root, "ListBucketResult") || !read_next(root, r))
		return false;
	for (const xmlNode *n = root->children; n; n = n->next)
		if (named(n, "Contents") && !read_object(n, encoded, key, &object))
			return false;
	for (const xmlNode *n = root->children; n; n = n->next)
		if (named(n, "Contents") && read_object(n, encoded, key, &object))
			r->listed(r, &object);
	return true;
}

bool lsvd_s3_xml_page(struct s3_request *r, const char *text, size_t len)
{
	xmlDoc *doc = parse(text, len);
	const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
	bool ok = root && read_page(root, r);

	xmlFreeDoc(doc);
	return ok;
}

/* ------------------------------------------------------------------------------------ deletions */

bool lsvd_s3_xml_deleted(struct s3_request *r, const char *text, size_t len)
{
	xmlDoc *doc = parse(text, len);
	const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
	bool ok = root && named(root, "DeleteResult");

	for (const xmlNode *n = ok ? root->children : NULL; n; n = n->next) {
		const char *key, *code;

		if (!named(n, "Error"))
			continue;
		key = child_text(n, "Key");
		code = child_text(n, "Code");
		r->not_deleted(r, key ? key : "", code ? code : "");
	}
	xmlFreeDoc(doc);
	return ok;
}

#define DELETE_HEAD "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>"
#define DELETE_TAIL "</Delete>"
#define OBJECT_HEAD "<Object><Key>"
#define OBJECT_TAIL "</Key></Object>"

static void add(char *to, size_t *at, const char *text)
{
	size_t len = strlen(text);

	memcpy(to + *at, text, len + 1);
	*at += len;
}

/* A key as the text of an element: at most six times as long. */
static void add_escaped(char *to, size_t *at, const char *key)
{
	for (; *key; key++) {
		char one[2] = { *key, '\0' };

		add(to, at, *key == '&' ? "&amp;" : *key == '<' ? "&lt;" : *key == '>' ? "&gt;" :
			    one);
	}
}

char *lsvd_s3_xml_delete(const char *const *keys, unsigned count, size_t *ret_len)
{
	size_t size = sizeof DELETE_HEAD + sizeof DELETE_TAIL, at = 0;
	char *text;

	for (unsigned i = 0; i < count; i++)
		size += sizeof OBJECT_HEAD + sizeof OBJECT_TAIL + 5 * strlen(keys[i]);
	text = lsvd_malloc(size);
	if (!text)
		return NULL;
	add(text, &at, DELETE_HEAD);
	for (unsigned i = 0; i < count; i++) {
		add(text, &at, OBJECT_HEAD);
		add_escaped(text, &at, keys[i]);
		add(text, &at, OBJECT_TAIL);
	}
	add(text, &at, DELETE_TAIL);
	*ret_len = at;
	return text;
}
