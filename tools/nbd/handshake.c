/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handshake.c - newstyle option haggling, as a table of options.
 *
 * Each option comes whole (nbd_options_next() waits for its data), is run by its row, and leaves
 * the stream at the next option whatever it held: lengths inside it are checked against its own
 * length, a mistake is answered with an error reply and its reason in words. Rows that need to know
 * an export fill in c->lookup and hand the question to the host; answer_…() goes on from there.
 *
 * Limits: an option has at most OPTION_MAX bytes (the largest sensible one, a GO with 65535 info
 * requests, has 132 KiB), a handshake at most limits->options options.
 *
 * Absent on purpose: TLS (answered as unknown) and the unfixed newstyle beyond EXPORT_NAME.
 */
#include "nbd/nbd_inner.h"

#include <stdio.h>

#define OPTION_MAX (NBD_CHUNK_ROOM - NBD_OPTION_BYTES)

/* What the handshake may ask for beyond what is in nbd_proto.h */
#define BLOCK_MIN	512u
#define BLOCK_PREFERRED 4096u
#define BLOCK_MAX	(32u << 20)

struct option_row {
	uint32_t option;
	bool empty; /* has no data; data is an error */
	enum nbd_event (*run)(struct nbd_conn *c, const uint8_t *data, uint32_t len);
};

/* A reader of an option's data that remembers having run out. */
struct cursor {
	const uint8_t *at;
	uint32_t left;
	bool bad;
};

static const uint8_t *take(struct cursor *in, uint32_t n)
{
	const uint8_t *at = in->at;

	if (in->bad || n > in->left) {
		in->bad = true;
		return NULL;
	}
	in->at += n;
	in->left -= n;
	return at;
}

static uint32_t take32(struct cursor *in)
{
	const uint8_t *at = take(in, 4);

	return at ? be32_get(at) : 0;
}

static uint16_t take16(struct cursor *in)
{
	const uint8_t *at = take(in, 2);

	return at ? be16_get(at) : 0;
}

/* ---------------------------------------------------------------------------------- replies */

static void reply(struct nbd_conn *c, uint32_t option, uint32_t type, const void *data, size_t len)
{
	uint8_t head[NBD_OPTION_REPLY_BYTES];
	uint8_t *p = head;

	p = be64_put(p, NBD_REPLY_MAGIC);
	p = be32_put(p, option);
	p = be32_put(p, type);
	(void)be32_put(p, (uint32_t)len);
	nbd_text(c, head, sizeof head);
	nbd_text(c, data, len);
}

static void ack(struct nbd_conn *c, uint32_t option)
{
	reply(c, option, NBD_REP_ACK, "", 0);
}

static enum nbd_event refuse(struct nbd_conn *c, uint32_t option, uint32_t error, const char *text)
{
	reply(c, option, error, text, strlen(text));
	return NBD_EVENT_AGAIN;
}

void nbd_greet(struct nbd_conn *c)
{
	uint8_t greeting[NBD_GREETING_BYTES];
	uint8_t *p = greeting;

	p = be64_put(p, NBD_MAGIC);
	p = be64_put(p, NBD_OPTION_MAGIC);
	(void)be16_put(p, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	nbd_text(c, greeting, sizeof greeting);
}

enum nbd_event nbd_greeting_next(struct nbd_conn *c)
{
	if (nbd_avail(c) < NBD_CLIENT_FLAGS_BYTES)
		return nbd_want(c, NBD_CLIENT_FLAGS_BYTES);
	c->client_flags = be32_get(nbd_bytes(c));
	c->head += NBD_CLIENT_FLAGS_BYTES;
	if (c->client_flags & ~(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES))
		return nbd_die(c, "client flags 0x%x are not known", c->client_flags);
	c->phase = NBD_PHASE_OPTIONS;
	return NBD_EVENT_AGAIN;
}

/* ---------------------------------------------------------------------------- export names */

static bool name_char(uint8_t ch, bool first)
{
	return (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') ||
	       ch == '_' || (!first && (ch == '.' || ch == '-'));
}

/* True if a volume or a snapshot could have that name. */
static bool word_possible(const uint8_t *name, uint32_t len)
{
	if (!len || len > LSVD_NAME_MAX)
		return false;
	for (uint32_t i = 0; i < len; i++)
		if (!name_char(name[i], i == 0))
			return false;
	return true;
}

/* VOLUME, VOLUME@SNAPSHOT, or the empty name. */
static bool name_possible(const uint8_t *name, uint32_t len)
{
	const uint8_t *at = len ? memchr(name, '@', len) : NULL;
	uint32_t volume = at ? (uint32_t)(at - name) : len;

	return !len || (word_possible(name, volume) &&
			(!at || word_possible(at + 1, len - volume - 1)));
}

static enum nbd_event ask(struct nbd_conn *c, uint32_t option, const uint8_t *name, uint32_t len)
{
	c->lookup.option = option;
	c->lookup.open = option == NBD_OPT_GO || option == NBD_OPT_EXPORT_NAME;
	memcpy(c->lookup.name, name, len);
	c->lookup.name[len] = '\0';
	c->phase = NBD_PHASE_LOOKUP;
	return NBD_EVENT_LOOKUP;
}

/* Transmission flags; the same before and after GO, but for what has been negotiated. */
static uint16_t flags_of(const struct nbd_conn *c, const struct nbd_export *export)
{
	uint32_t flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |
			 NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_CAN_MULTI_CONN |
			 NBD_FLAG_SEND_CACHE | NBD_FLAG_SEND_FAST_ZERO;

	if (export->readonly)
		flags |= NBD_FLAG_READ_ONLY;
	if (c->structured)
		flags |= NBD_FLAG_SEND_DF;
	return (uint16_t)flags;
}

static void begin(struct nbd_conn *c, const struct nbd_export *export)
{
	c->export = *export;
	c->allocation = c->allocation && strcmp(c->allocation_of, export->name) == 0;
	c->phase = NBD_PHASE_TRANSMISSION;
}

/* -------------------------------------------------------------------------------- the options */

static enum nbd_event run_export_name(struct nbd_conn *c, const uint8_t *data, uint32_t len)
{
	/* This option has no error reply: all that is left is to hang up. */
	if (!name_possible(data, len))
		return nbd_end(c, "EXPORT_NAME with a name that no volume has");
	return ask(c, NBD_OPT_EXPORT_NAME, data, len);
}

static void answer_export_name(struct nbd_conn *c, const struct nbd_export *export)
{
	static const uint8_t zeroes[NBD_EXPORT_ZEROES];
	uint8_t head[10];

	(void)be16_put(be64_put(head, export->bytes), flags_of(c, export));
	nbd_text(c, head, sizeof head);
	if (!(c->client_flags & NBD_FLAG_NO_ZEROES))
		nbd_text(c, zeroes, sizeof zeroes);
	begin(c, export);
}

static enum nbd_event run_abort(struct nbd_conn *c, const uint8_t *data, uint32_t len)
{
	(void)data; /* to be ignored, says the protocol */
	(void)len;
	ack(c, NBD_OPT_ABORT);
	return nbd_end(c, "%s", "");
}

static enum nbd_event run_list(struct nbd_conn *c, const uint8_t *data, uint32_t len)
{
	(void)data;
	(void)len;
	c->lookup.option = NBD_OPT_LIST;
	c->phase = NBD_PHASE_LOOKUP;
	return NBD_EVENT_LIST;
}

static enum nbd_event run_structured(struct nbd_conn *c, const uint8_t *data, uint32_t len)
{
	(void)data;
	(void)len;
	if (c->structured)
		return refuse(c, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_INVALID,
			      "structured replies are negotiated already");
	c->structured = true;
	ack(c, NBD_OPT_STRUCTURED_REPLY);
	return NBD_EVENT_AGAIN;
}

static enum nbd_event info_or_go(struct nbd_conn *c, uint32_t option, const uint8_t *data,
				 uint32_t len)
{
	struct cursor in = {data, len, false};
	uint32_t name_len = take32(&in);
	const uint8_t *name = take(&in, name_len);
	uint32_t infos = take16(&in);

	if (in.bad || in.left != 2 * infos)
		return refuse(c, option, NBD_REP_ERR_INVALID,
			      "the lengths inside the option do not add up");
	if (name_len > NBD_STRING_MAX || memchr(name, 0, name_len))
		return refuse(c, option, NBD_REP_ERR_INVALID, "this cannot be an export's name");
	c->lookup.want_name = c->lookup.want_description = false;
	while (infos--) {
		uint32_t info = take16(&in);

		if (info == NBD_INFO_NAME)
			c->lookup.want_name = true;
		else if (info == NBD_INFO_DESCRIPTION)
			c->lookup.want_description = true;
	}
	if (!name_possible(name, name_len))
		return refuse(c, option, NBD_REP_ERR_UNKNOWN, "there is no such volume");
	return ask(c, option, name, name_len);
}

static enum nbd_event run_info(struct nbd_conn *c, const uint8_t *data, uint32_t len)
{
	return info_or_go(c, NBD_OPT_INFO, data, len);
}

static enum nbd_event run_go(struct nbd_conn *c, const uint8_t *data, uint32_t len)
{
	return info_or_go(c, NBD_OPT_GO, data, len);
}

static void info_string(struct nbd_conn *c, uint16_t type, const char *text)
{
	uint8_t data[2 + sizeof c->export.description];
	size_t len = strnlen(text, sizeof data - 2);

	(void)be16_put(data, type);
	memcpy(data + 2, text, len);
	reply(c, c->lookup.option, NBD_REP_INFO, data, 2 + len);
}

static void answer_info(struct nbd_conn *c, const struct nbd_export *export)
{
	uint8_t data[14];
	uint8_t *p = data;

	p = be16_put(p, NBD_INFO_EXPORT);
	p = be64_put(p, export->bytes);
	p = be16_put(p, flags_of(c, export));
	reply(c, c->lookup.option, NBD_REP_INFO, data, (size_t)(p - data));
	if (c->lookup.want_name)
		info_string(c, NBD_INFO_NAME, export->name);
	if (c->lookup.want_description)
		info_string(c, NBD_INFO_DESCRIPTION, export->description);
	/* Told unasked too: a client that does not listen sees EINVAL for less than a sector. */
	p = be16_put(data, NBD_INFO_BLOCK_SIZE);
	p = be32_put(p, BLOCK_MIN);
	p = be32_put(p, BLOCK_PREFERRED);
	p = be32_put(p, BLOCK_MAX);
	reply(c, c->lookup.option, NBD_REP_INFO, data, (size_t)(p - data));
	ack(c, c->lookup.option);
	if (c->lookup.option == NBD_OPT_GO)
		begin(c, export);
}

/* Understands one query of a meta context option. */
static void query(struct nbd_conn *c, uint32_t option, const uint8_t *text, uint32_t len)
{
	static const char whole[] = NBD_BASE_ALLOCATION;

	if (len == sizeof whole - 1 && memcmp(text, whole, len) == 0)
		c->lookup.want_allocation = true;
	/* The bare name space asks what there is, and selects nothing. */
	else if (option == NBD_OPT_LIST_META_CONTEXT && len == 5 && memcmp(text, whole, 5) == 0)
		c->lookup.want_allocation = true;
}

static enum nbd_event meta_context(struct nbd_conn *c, uint32_t option, const uint8_t *data,
				   uint32_t len)
{
	struct cursor in = {data, len, false};
	uint32_t name_len, queries;
	const uint8_t *name;

	if (!c->structured)
		return refuse(c, option, NBD_REP_ERR_INVALID,
			      "meta contexts need structured replies");
	name_len = take32(&in);
	name = take(&in, name_len);
	queries = take32(&in);
	c->lookup.want_allocation = option == NBD_OPT_LIST_META_CONTEXT && queries == 0;
	while (queries-- && !in.bad) {
		uint32_t text_len = take32(&in);
		const uint8_t *text = take(&in, text_len);

		if (text_len > NBD_STRING_MAX)
			in.bad = true;
		else if (!in.bad)
			query(c, option, text, text_len);
	}
	if (in.bad || in.left || name_len > NBD_STRING_MAX)
		return refuse(c, option, NBD_REP_ERR_INVALID,
			      "the lengths inside the option do not add up");
	if (!name_possible(name, name_len))
		return refuse(c, option, NBD_REP_ERR_UNKNOWN, "there is no such volume");
	return ask(c, option, name, name_len);
}

static enum nbd_event run_list_meta(struct nbd_conn *c, const uint8_t *data, uint32_t len)
{
	return meta_context(c, NBD_OPT_LIST_META_CONTEXT, data, len);
}

static enum nbd_event run_set_meta(struct nbd_conn *c, const uint8_t *data, uint32_t len)
{
	c->allocation = false; /* even if this one fails */
	return meta_context(c, NBD_OPT_SET_META_CONTEXT, data, len);
}

static void answer_meta(struct nbd_conn *c, const struct nbd_export *export)
{
	bool set = c->lookup.option == NBD_OPT_SET_META_CONTEXT;
	uint8_t data[4 + sizeof NBD_BASE_ALLOCATION - 1];

	if (c->lookup.want_allocation) {
		(void)be32_put(data, set ? NBD_ALLOCATION_ID : 0);
		memcpy(data + 4, NBD_BASE_ALLOCATION, sizeof data - 4);
		reply(c, c->lookup.option, NBD_REP_META_CONTEXT, data, sizeof data);
	}
	if (set) {
		c->allocation = c->lookup.want_allocation;
		memcpy(c->allocation_of, export->name, sizeof c->allocation_of);
	}
	ack(c, c->lookup.option);
}

static const struct option_row rows[] = {
	{NBD_OPT_EXPORT_NAME, false, run_export_name},
	{NBD_OPT_ABORT, false, run_abort},
	{NBD_OPT_LIST, true, run_list},
	{NBD_OPT_INFO, false, run_info},
	{NBD_OPT_GO, false, run_go},
	{NBD_OPT_STRUCTURED_REPLY, true, run_structured},
	{NBD_OPT_LIST_META_CONTEXT, false, run_list_meta},
	{NBD_OPT_SET_META_CONTEXT, false, run_set_meta},
};

static const struct option_row *find(uint32_t option)
{
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (rows[i].option == option)
			return &rows[i];
	return NULL;
}

static enum nbd_event run(struct nbd_conn *c, uint32_t option, const uint8_t *data, uint32_t len)
{
	const struct option_row *row = find(option);

	if (!(c->client_flags & NBD_FLAG_FIXED_NEWSTYLE) && option != NBD_OPT_EXPORT_NAME)
		return nbd_die(c, "option %u of a client without fixed newstyle", option);
	if (++c->options > c->limits->options)
		return nbd_die(c, "more than %u options", c->limits->options);
	if (c->stopping && option == NBD_OPT_EXPORT_NAME)
		return nbd_end(c, "%s", "");
	if (c->stopping && option != NBD_OPT_ABORT)
		return refuse(c, option, NBD_REP_ERR_SHUTDOWN, "the server is stopping");
	if (!row)
		return refuse(c, option, NBD_REP_ERR_UNSUP, "this option is not supported");
	if (row->empty && len)
		return refuse(c, option, NBD_REP_ERR_INVALID, "this option takes no data");
	return row->run(c, data, len);
}

enum nbd_event nbd_options_next(struct nbd_conn *c)
{
	const uint8_t *p;
	uint32_t option, len;

	if (nbd_avail(c) < NBD_OPTION_BYTES)
		return nbd_want(c, NBD_OPTION_BYTES);
	p = nbd_bytes(c);
	if (be64_get(p) != NBD_OPTION_MAGIC)
		return nbd_die(c, "no option where one was expected");
	option = be32_get(p + 8);
	len = be32_get(p + 12);
	if (len > OPTION_MAX)
		return nbd_die(c, "option %u has %u bytes, at most %u are taken", option, len,
			       OPTION_MAX);
	if (nbd_avail(c) < NBD_OPTION_BYTES + len)
		return nbd_want(c, NBD_OPTION_BYTES + len);
	c->head += NBD_OPTION_BYTES + len;
	return run(c, option, p + NBD_OPTION_BYTES, len);
}

/* ------------------------------------------------------------------------ the host's answers */

/* Back from LOOKUP; false if the connection has ended meanwhile. */
static bool resume(struct nbd_conn *c)
{
	c->asking = false;
	if (c->phase != NBD_PHASE_LOOKUP)
		return false;
	c->phase = NBD_PHASE_OPTIONS;
	return true;
}

void nbd_conn_answer(struct nbd_conn *c, const struct nbd_export *export, uint32_t error,
		     const char *text)
{
	if (!resume(c))
		return;
	if (!export && c->lookup.option == NBD_OPT_EXPORT_NAME)
		(void)nbd_end(c, "%s", text);
	else if (!export)
		(void)refuse(c, c->lookup.option, error, text);
	else if (c->lookup.option == NBD_OPT_EXPORT_NAME)
		answer_export_name(c, export);
	else if (c->lookup.option == NBD_OPT_INFO || c->lookup.option == NBD_OPT_GO)
		answer_info(c, export);
	else
		answer_meta(c, export);
}

void nbd_conn_list(struct nbd_conn *c, const char *name)
{
	uint8_t data[4 + NBD_NAME_MAX];
	size_t len = strnlen(name, NBD_NAME_MAX);

	if (c->phase != NBD_PHASE_LOOKUP)
		return;
	(void)be32_put(data, (uint32_t)len);
	memcpy(data + 4, name, len);
	reply(c, NBD_OPT_LIST, NBD_REP_SERVER, data, 4 + len);
}

void nbd_conn_list_end(struct nbd_conn *c, uint32_t error, const char *text)
{
	if (!resume(c))
		return;
	if (error)
		(void)refuse(c, NBD_OPT_LIST, error, text);
	else
		ack(c, NBD_OPT_LIST);
}
