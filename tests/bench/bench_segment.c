/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_segment.c - what it costs to make a data object of 2,048 records of 4 KiB.
 *
 *	bench_segment [--json] [--rounds N]
 *
 * Nanoseconds for 4 KiB, the median of N rounds (default 21): records already hashed, as they are
 * when they come to the builder. "open" is reading the object back: verifying and unpacking every
 * unit of it.
 */

#include "base/hash.h"
#include "bench.h"
#include "segment/segment.h"

#define RECORDS 2048u
#define ROUNDS_MAX 1001u
#define OWNER 0x5eed
#define OBJECT 7u

enum data { INCOMPRESSIBLE, HALF };
enum order { SEQUENTIAL, RANDOM, OVERWRITING };

static const struct bench {
	const char *name;
	enum codec codec;
	enum data data;
	enum order order;
} benches[] = {
	{ "raw, sequential", CODEC_RAW, INCOMPRESSIBLE, SEQUENTIAL },
	{ "raw, random", CODEC_RAW, INCOMPRESSIBLE, RANDOM },
	{ "raw, overwriting", CODEC_RAW, INCOMPRESSIBLE, OVERWRITING },
	{ "lz4, incompressible, sequential", CODEC_LZ4, INCOMPRESSIBLE, SEQUENTIAL },
	{ "lz4, incompressible, random", CODEC_LZ4, INCOMPRESSIBLE, RANDOM },
	{ "lz4, 2:1, sequential", CODEC_LZ4, HALF, SEQUENTIAL },
	{ "lz4, 2:1, random", CODEC_LZ4, HALF, RANDOM },
	{ "zlib, 2:1, sequential", CODEC_ZLIB, HALF, SEQUENTIAL },
};

static uint8_t *data;
static uint64_t hashes[RECORDS];
static struct seg_record records[RECORDS];
static uint64_t state = 1;

/* 2:1 is the first half of each 512 bytes by chance and the second half zeroes. */
static void make_data(enum data kind)
{
	for (size_t i = 0; i < RECORDS * (size_t)BLOCK_BYTES; i += 8) {
		uint64_t word = kind == HALF && i % 512 >= 256 ? 0 : chance(&state);

		memcpy(data + i, &word, sizeof word);
	}
	for (unsigned i = 0; i < RECORDS; i++)
		hashes[i] = lsvd_hash(data + i * (size_t)BLOCK_BYTES, BLOCK_BYTES);
}

static void make_records(enum order order)
{
	uint64_t space = order == OVERWRITING ? RECORDS / 4 : UINT64_C(1) << 28;

	for (unsigned i = 0; i < RECORDS; i++)
		records[i] = (struct seg_record){
			.lba = (order == SEQUENTIAL ? i : chance(&state) % space) * BLOCK_SECTORS,
			.sectors = BLOCK_SECTORS,
			.kind = SEG_RAW,
			.data = data + i * (size_t)BLOCK_BYTES,
			.hashes = &hashes[i],
		};
}

static struct segment *build(const struct bench *b)
{
	struct seg_options options = { .codec = b->codec, .unit_bytes = 16384 };
	struct segment *s;

	if (lsvd_segment_build(&s, records, RECORDS, OWNER, OBJECT, &options) == 0)
		return s;
	fprintf(stderr, "bench_segment: %s\n", lsvd_last_error());
	exit(EXIT_FAILURE);
}

static uint8_t *body_of(const struct segment *s)
{
	uint8_t *body = malloc(s->header_bytes + s->body_bytes), *p = body;

	if (!body)
		exit(EXIT_FAILURE);
	for (int i = 0; i < s->iovcnt; i++) {
		memcpy(p, s->iov[i].iov_base, s->iov[i].iov_len);
		p += s->iov[i].iov_len;
	}
	return body;
}

static void open_all(const struct segment *s, const uint8_t *object)
{
	static uint8_t scratch[UNIT_MAX_BYTES];
	uint64_t end = s->header_bytes + s->body_bytes;

	for (uint32_t i = 0; i < s->extent_count; i++) {
		const struct seg_extent *e = &s->extents[i];
		uint64_t off = e->off, lba = e->lba;

		while (e->off && lba < e->lba + e->sectors) {
			const uint8_t *raw;
			uint32_t bytes, need;

			if (lsvd_unit_open(object + off, end - off, OWNER, OBJECT, lba, scratch,
					   &raw, &bytes, &need, "bench") < 0) {
				fprintf(stderr, "bench_segment: %s\n", lsvd_last_error());
				exit(EXIT_FAILURE);
			}
			lba += bytes / SECTOR_BYTES;
			off += need;
		}
	}
}

static double time_build(const struct bench *b, unsigned rounds)
{
	static double took[ROUNDS_MAX];

	for (unsigned i = 0; i < rounds; i++) {
		double begun = now();
		struct segment *s = build(b);

		took[i] = now() - begun;
		lsvd_segment_free(s);
	}
	return median(took, rounds) * 1e9 / RECORDS;
}

static double time_open(const struct segment *s, unsigned rounds)
{
	static double took[ROUNDS_MAX];
	uint8_t *object = body_of(s);

	for (unsigned i = 0; i < rounds; i++) {
		double begun = now();

		open_all(s, object);
		took[i] = now() - begun;
	}
	free(object);
	return median(took, rounds) * 1e9 / RECORDS;
}

static void run(const struct bench *b, unsigned rounds, bool last)
{
	struct segment *s;
	double build_ns, open_ns;
	uint64_t bytes;

	make_data(b->data);
	make_records(b->order);
	build_ns = time_build(b, rounds);
	s = build(b);
	open_ns = time_open(s, rounds);
	bytes = s->header_bytes + s->body_bytes;
	lsvd_segment_free(s);
	if (json)
		printf("  { \"name\": \"%s\", \"build_ns\": %.1f, \"open_ns\": %.1f, "
		       "\"object_bytes\": %llu }%s\n",
		       b->name, build_ns, open_ns, (unsigned long long)bytes, last ? "" : ",");
	else
		printf("%-36s %10.1f %10.1f %12llu\n", b->name, build_ns, open_ns,
		       (unsigned long long)bytes);
}

int main(int argc, char **argv)
{
	unsigned rounds = 21, n = sizeof benches / sizeof benches[0];

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			json = true;
		} else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
			rounds = (unsigned)strtoul(argv[++i], NULL, 10);
		} else {
			fprintf(stderr, "usage: bench_segment [--json] [--rounds N]\n");
			return 2;
		}
	}
	if (rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "bench_segment: %u rounds, expected 1 to %u\n", rounds, ROUNDS_MAX);
		return 2;
	}
	data = malloc(RECORDS * (size_t)BLOCK_BYTES);
	if (!data)
		return EXIT_FAILURE;
	if (json)
		printf("[\n");
	else
		printf("%-36s %10s %10s %12s\n", "ns per 4 KiB", "build", "open", "object bytes");
	for (unsigned i = 0; i < n; i++)
		run(&benches[i], rounds, i + 1 == n);
	if (json)
		printf("]\n");
	free(data);
	return EXIT_SUCCESS;
}
