/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_proto.h - the numbers and layouts of the NBD protocol, and big-endian load and store.
 *
 * The protocol is described in doc/proto.md of the NBD project; the section that a group of numbers
 * comes from stands above it. Everything on the wire is big-endian.
 *
 *   server greeting   u64 NBDMAGIC, u64 IHAVEOPT, u16 handshake flags
 *   client flags      u32
 *   option            u64 IHAVEOPT, u32 option, u32 length, data
 *   option reply      u64 magic, u32 option, u32 type, u32 length, data
 *   request           u32 magic, u16 flags, u16 type, u64 cookie, u64 offset, u32 length, data
 *   simple reply      u32 magic, u32 error, u64 cookie, data
 *   reply chunk       u32 magic, u16 flags, u16 type, u64 cookie, u32 length, data
 *
 * Absent on purpose: the old-style handshake, RESIZE and extended headers, which are not offered.
 */
#ifndef NBD_PROTO_H
#define NBD_PROTO_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* "Fixed newstyle negotiation" */
#define NBD_MAGIC	 UINT64_C(0x4e42444d41474943) /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define NBD_REPLY_MAGIC	 UINT64_C(0x0003e889045565a9)

#define NBD_GREETING_BYTES     18u
#define NBD_CLIENT_FLAGS_BYTES 4u
#define NBD_OPTION_BYTES       16u
#define NBD_OPTION_REPLY_BYTES 20u

/* "Handshake flags", "Client flags": the same two bits both ways */
#define NBD_FLAG_FIXED_NEWSTYLE 0x1u
#define NBD_FLAG_NO_ZEROES	0x2u

/* "Transmission flags" */
#define NBD_FLAG_HAS_FLAGS	   0x0001u
#define NBD_FLAG_READ_ONLY	   0x0002u
#define NBD_FLAG_SEND_FLUSH	   0x0004u
#define NBD_FLAG_SEND_FUA	   0x0008u
#define NBD_FLAG_ROTATIONAL	   0x0010u
#define NBD_FLAG_SEND_TRIM	   0x0020u
#define NBD_FLAG_SEND_WRITE_ZEROES 0x0040u
#define NBD_FLAG_SEND_DF	   0x0080u
#define NBD_FLAG_CAN_MULTI_CONN	   0x0100u
#define NBD_FLAG_SEND_CACHE	   0x0400u
#define NBD_FLAG_SEND_FAST_ZERO	   0x0800u

/* "Option types" */
enum nbd_option {
	NBD_OPT_EXPORT_NAME = 1,
	NBD_OPT_ABORT = 2,
	NBD_OPT_LIST = 3,
	NBD_OPT_STARTTLS = 5,
	NBD_OPT_INFO = 6,
	NBD_OPT_GO = 7,
	NBD_OPT_STRUCTURED_REPLY = 8,
	NBD_OPT_LIST_META_CONTEXT = 9,
	NBD_OPT_SET_META_CONTEXT = 10
};

/* "Option reply types" */
#define NBD_REP_ACK		    1u
#define NBD_REP_SERVER		    2u
#define NBD_REP_INFO		    3u
#define NBD_REP_META_CONTEXT	    4u
#define NBD_REP_ERR_UNSUP	    0x80000001u
#define NBD_REP_ERR_POLICY	    0x80000002u
#define NBD_REP_ERR_INVALID	    0x80000003u
#define NBD_REP_ERR_PLATFORM	    0x80000004u
#define NBD_REP_ERR_TLS_REQD	    0x80000005u
#define NBD_REP_ERR_UNKNOWN	    0x80000006u
#define NBD_REP_ERR_SHUTDOWN	    0x80000007u
#define NBD_REP_ERR_BLOCK_SIZE_REQD 0x80000008u
#define NBD_REP_ERR_TOO_BIG	    0x80000009u

/* "NBD_REP_INFO" */
#define NBD_INFO_EXPORT	     0u
#define NBD_INFO_NAME	     1u
#define NBD_INFO_DESCRIPTION 2u
#define NBD_INFO_BLOCK_SIZE  3u

/* "Values": strings on the wire have at most so many bytes */
#define NBD_STRING_MAX 4096u
/* NBD_OPT_EXPORT_NAME is answered with so many zero bytes, unless NO_ZEROES */
#define NBD_EXPORT_ZEROES 124u

/* "Request message", "Simple reply message", "Structured reply chunk message" */
#define NBD_REQUEST_MAGIC      0x25609513u
#define NBD_SIMPLE_REPLY_MAGIC 0x67446698u
#define NBD_CHUNK_MAGIC	       0x668e33efu

#define NBD_REQUEST_BYTES      28u
#define NBD_SIMPLE_REPLY_BYTES 16u
#define NBD_CHUNK_BYTES	       20u

/* "Request types" */
enum nbd_cmd {
	NBD_CMD_READ = 0,
	NBD_CMD_WRITE = 1,
	NBD_CMD_DISC = 2,
	NBD_CMD_FLUSH = 3,
	NBD_CMD_TRIM = 4,
	NBD_CMD_CACHE = 5,
	NBD_CMD_WRITE_ZEROES = 6,
	NBD_CMD_BLOCK_STATUS = 7
};

/* "Command flags" */
#define NBD_CMD_FLAG_FUA       0x01u
#define NBD_CMD_FLAG_NO_HOLE   0x02u
#define NBD_CMD_FLAG_DF	       0x04u
#define NBD_CMD_FLAG_REQ_ONE   0x08u
#define NBD_CMD_FLAG_FAST_ZERO 0x10u

/* "Structured reply flags", "Structured reply types" */
#define NBD_REPLY_FLAG_DONE	    0x1u
#define NBD_REPLY_TYPE_NONE	    0u
#define NBD_REPLY_TYPE_OFFSET_DATA  1u
#define NBD_REPLY_TYPE_OFFSET_HOLE  2u
#define NBD_REPLY_TYPE_BLOCK_STATUS 5u
#define NBD_REPLY_TYPE_ERROR	    0x8001u
#define NBD_REPLY_TYPE_ERROR_OFFSET 0x8002u

/* "Error values" */
#define NBD_EPERM     1u
#define NBD_EIO	      5u
#define NBD_ENOMEM    12u
#define NBD_EINVAL    22u
#define NBD_ENOSPC    28u
#define NBD_EOVERFLOW 75u
#define NBD_ENOTSUP   95u
#define NBD_ESHUTDOWN 108u

/* "The base: metadata namespace" */
#define NBD_BASE_ALLOCATION "base:allocation"
#define NBD_STATE_HOLE	    0x1u
#define NBD_STATE_ZERO	    0x2u

static inline uint16_t be16_get(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof v);
	return be16toh(v);
}

static inline uint32_t be32_get(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return be32toh(v);
}

static inline uint64_t be64_get(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return be64toh(v);
}

/* The stores return where the next field goes. */
static inline uint8_t *be16_put(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof v);
	return p + sizeof v;
}

static inline uint8_t *be32_put(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof v);
	return p + sizeof v;
}

static inline uint8_t *be64_put(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof v);
	return p + sizeof v;
}

#endif
