/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * writer_state.c - the state file and the stamps.
 *
 * A stamp fills a whole sector: six words that say whose it is, a hash over the sector, and filling
 * that follows from them, so that a reader can make the sector again and compare every byte. Three
 * operations in four have filling that no compressor can shrink.
 */
#include "writer.h"

#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define STATE_MAGIC UINT64_C(0x31746174736c5745)
#define STAMP_MAGIC UINT64_C(0x504d4154532d5645)
#define WORDS (SECTOR_BYTES / 8)
#define HASH_WORD 4

static size_t state_bytes(uint64_t sectors)
{
	return sizeof(struct state_head) + sectors * sizeof(uint64_t) +
	       MAX_OPS * sizeof(struct op);
}

static void state_map(struct state *st, int fd, size_t bytes, uint64_t sectors)
{
	uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		err(1, "mmap of %zu bytes", bytes);
	st->map_bytes = bytes;
	st->head = (struct state_head *)p;
	st->base = (uint64_t *)(p + sizeof(struct state_head));
	st->ops = (struct op *)(st->base + sectors);
}

void state_init(const char *path, uint64_t first_lba, uint64_t sectors, uint64_t seed)
{
	struct state st;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		err(1, "%s", path);
	if (ftruncate(fd, (off_t)state_bytes(sectors)) < 0)
		err(1, "%s: ftruncate", path);
	state_map(&st, fd, state_bytes(sectors), sectors);
	(void)close(fd); /* nothing was written through it */
	*st.head = (struct state_head){ .magic = STATE_MAGIC, .first_lba = first_lba,
					.sectors = sectors, .seed = seed, .next_id = 1,
					.clock = 1 };
	state_close(&st);
}

void state_open(struct state *st, const char *path)
{
	struct state_head head;
	struct stat sb;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &sb) < 0)
		err(1, "%s", path);
	if (read(fd, &head, sizeof(head)) != (ssize_t)sizeof(head) || head.magic != STATE_MAGIC)
		errx(1, "%s: not a state file", path);
	if ((size_t)sb.st_size != state_bytes(head.sectors))
		errx(1, "%s: %lld bytes, expected %zu", path, (long long)sb.st_size,
		     state_bytes(head.sectors));
	state_map(st, fd, (size_t)sb.st_size, head.sectors);
	(void)close(fd); /* only read */
}

void state_close(struct state *st)
{
	if (munmap(st->head, st->map_bytes) < 0)
		err(1, "munmap");
}

static uint64_t stamp_hash(uint64_t w[WORDS])
{
	uint64_t kept = w[HASH_WORD], hash;

	w[HASH_WORD] = 0;
	hash = XXH3_64bits(w, SECTOR_BYTES);
	w[HASH_WORD] = kept;
	return hash;
}

void stamp_make(uint8_t sector[SECTOR_BYTES], uint64_t seed, uint64_t id, uint64_t lba)
{
	uint64_t w[WORDS] = { STAMP_MAGIC, seed, lba, id };
	uint64_t rng = seed ^ (id * UINT64_C(0x9e3779b97f4a7c15)) ^ lba;
	size_t i;

	for (i = HASH_WORD + 1; i < WORDS; i++)
		w[i] = id % 4 ? mix64(&rng) : id;
	w[HASH_WORD] = stamp_hash(w);
	memcpy(sector, w, SECTOR_BYTES);
}

bool stamp_read(uint64_t *ret_id, const uint8_t sector[SECTOR_BYTES], uint64_t seed, uint64_t lba)
{
	uint8_t want[SECTOR_BYTES];
	uint64_t w[4];

	memcpy(w, sector, sizeof(w));
	if (w[0] == STAMP_MAGIC) {
		stamp_make(want, seed, w[3], lba);
		*ret_id = w[3];
	} else {
		memset(want, 0, sizeof(want));
		*ret_id = 0;
	}
	return memcmp(sector, want, SECTOR_BYTES) == 0;
}
