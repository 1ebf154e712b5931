/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * s3_client.h - what store_s3.c asks of whoever speaks HTTP: one request of S3, without waiting.
 *
 * store_s3.c knows what S3 means: keys below a directory, create-if-absent, ranges, pages of a
 * listing, which answer is which error. A client knows how to send one request and take its answer:
 * s3_curl.c by libcurl (Signature V4), the module store_libs3.so by libs3. The table is also the
 * interface of that module, which is linked with nothing of ours; hence plain structs and a
 * version.
 *
 * A 200 answer to a GET of a range is the whole object: the client takes the part that was asked
 * for (range_first stays UINT64_MAX) and breaks off.
 *
 * Threads: submit may be called from any thread and does not wait; done is called once, on a thread
 * of the client's own, with nothing locked. The request and what it points to are the client's from
 * submit to done.
 */
#ifndef STORE_S3_CLIENT_H
#define STORE_S3_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define S3_CLIENT_VERSION 1u

enum s3_verb {
	S3_PUT,          /* body: iov */
	S3_GET,          /* off, buf, len: a range */
	S3_HEAD,
	S3_LIST,         /* one page: prefix is key, continues after `token` */
	S3_DELETE,
	S3_DELETE_MANY,  /* keys[count], at most S3_DELETE_MAX */
};
#define S3_DELETE_MAX 1000u

/* What a client can promise. */
#define S3_CAN_CREATE 0x1u       /* if_absent is sent, as If-None-Match: * */
#define S3_CAN_CHECK_BODY 0x2u   /* the server is given body_sha256 of every body */
#define S3_CAN_SKEW 0x4u         /* the clock offset is applied to signatures */
#define S3_CAN_TOKEN 0x8u        /* session tokens */
#define S3_CAN_CA 0x10u          /* a CA file of one's own */

/* How it ended, as far as the client can tell. */
enum s3_outcome {
	S3_ANSWERED,     /* a whole answer of the server's: `status` says which */
	S3_NOT_SENT,     /* nothing of the request can have had an effect: no connection, no TLS */
	S3_UNKNOWN,      /* it was sent, perhaps in part, and no whole answer came */
	S3_NO_MEMORY,
	S3_REFUSED,      /* by the client: it cannot do this */
};

struct s3_secrets {
	const char *access_key, *secret_key, *session_token; /* the last may be NULL */
};

/* One object of a listing; valid during the call only. `key` is whole, as in the bucket. */
struct s3_listed {
	const char *key;
	uint64_t bytes;
	int64_t modified_ms;
};

struct s3_request {
	/* set by the caller */
	enum s3_verb verb;
	const char *key;             /* whole key in the bucket, not escaped; LIST: the prefix */
	bool if_absent;              /* PUT */
	const struct iovec *iov;
	int iovcnt;
	uint8_t body_sha256[32];     /* PUT: set by store_s3.c if the client S3_CAN_CHECK_BODY */
	uint64_t off;                /* GET */
	void *buf;
	size_t len;
	const char *token;           /* LIST: of the page before; NULL: the first */
	uint32_t page;               /* LIST: at most so many keys, 1 to 1000 */
	void (*listed)(struct s3_request *r, const struct s3_listed *object);
	const char *const *keys;     /* DELETE_MANY */
	unsigned count;
	/* DELETE_MANY: called for each key that the server did not remove. */
	void (*not_deleted)(struct s3_request *r, const char *key, const char *code);
	void (*done)(struct s3_request *r);
	void *owner;

	/* set by the client before done */
	enum s3_outcome outcome;
	unsigned status;             /* HTTP; 0: none came */
	char code[64];               /* S3's own error code, "" if there is none */
	char message[160];           /* for people; never with a secret in it */
	size_t ret_len;              /* GET: bytes of a 2xx answer that came, at most len */
	uint64_t total;              /* GET, HEAD: the object's length, UINT64_MAX if not said */
	uint64_t range_first;        /* GET: as Content-Range says, UINT64_MAX if it does not */
	bool overlong;               /* GET: more came than was asked for */
	bool garbled;                /* a 2xx answer that is none of S3's:
				      * no page, no range, no ETag */
	bool from_s3;                /* 404 of a HEAD: it has a header that only S3 sends */
	int64_t date_ms;             /* the answer's Date, 0 if there was none */
	char next[1100];             /* LIST: token of the next page, "": this was the last */
	void *client_private;        /* the client's, between submit and done */
	struct s3_request *next_queued; /* the same */
};

/* As it is before anything has come. */
static inline void s3_request_begin(struct s3_request *r)
{
	r->status = 0;
	r->code[0] = r->message[0] = r->next[0] = '\0';
	r->ret_len = 0;
	r->total = r->range_first = UINT64_MAX;
	r->overlong = r->garbled = r->from_s3 = false;
	r->date_ms = 0;
}

struct s3_client_options {
	uint32_t version;            /* S3_CLIENT_VERSION */
	/* Copied by open. endpoint NULL: AWS's own, by region; ca_file NULL: the system's. */
	const char *bucket, *region, *endpoint, *ca_file;
	uint32_t connections, connect_timeout_ms, stall_timeout_ms;
	/*
	 * The credentials of now: fills `ret` with strings that stay until `release`; 0 or a
	 * negative code. Called for each request, on any thread; does not wait.
	 */
	int (*secrets)(void *ctx, struct s3_secrets *ret);
	void (*release)(void *ctx, struct s3_secrets *secrets);
	/* Milliseconds to add to this host's clock for the server's. */
	int64_t (*clock_offset_ms)(void *ctx);
	void *ctx;
};

struct s3_client;

struct s3_client_ops {
	uint32_t version;            /* S3_CLIENT_VERSION */
	uint32_t caps;               /* S3_CAN_… */
	const char *name;            /* "curl", "libs3" */
	/* `text` receives the reason of a failure, at most text_len bytes with its end. */
	int (*open)(struct s3_client **ret, const struct s3_client_options *options, char *text,
		    size_t text_len);
	void (*submit)(struct s3_client *client, struct s3_request *r);
	/* Ends what is under way as S3_UNKNOWN, and returns when all are done. */
	void (*close)(struct s3_client *client);
};

/* libcurl, always there. */
extern const struct s3_client_ops lsvd_s3_curl;

/* The one symbol of store_libs3.so: `const struct s3_client_ops *lsvd_s3_client(void)`. */
#define S3_CLIENT_SYMBOL "lsvd_s3_client"
typedef const struct s3_client_ops *(*s3_client_fn)(void);

#endif
