/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * standalone.c - runs a fuzz target without libFuzzer: over a corpus, and over changes of it.
 *
 *	fuzz_x FILE-OR-FOLDER...               every file once
 *	fuzz_x --mutate N FILE-OR-FOLDER...    and N random changes
 *
 * Changes come from a seed that is printed, or from LSVD_TEST_SEED.
 *
 * With LSVD_FUZZ_SAVE set, each change is written to ./crash-input before it is run.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzz.h"

#define INPUTS_MAX 4096u
#define INPUT_BYTES_MAX (1u << 20)

static struct input {
	uint8_t *bytes;
	size_t len;
} inputs[INPUTS_MAX];
static unsigned count;

static uint64_t state;

static uint64_t chance(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % below;
}

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void take_file(const char *path)
{
	struct input *in = &inputs[count];
	FILE *f = fopen(path, "rb");

	if (!f)
		die(path);
	if (count == INPUTS_MAX) {
		fprintf(stderr, "%s: more than %u inputs\n", path, INPUTS_MAX);
		exit(EXIT_FAILURE);
	}
	in->bytes = malloc(INPUT_BYTES_MAX);
	if (!in->bytes)
		die(path);
	in->len = fread(in->bytes, 1, INPUT_BYTES_MAX, f);
	if (ferror(f) || fclose(f) != 0)
		die(path);
	in->bytes = realloc(in->bytes, in->len + 1); /* shrinks */
	count++;
}

static void take(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	if (!dir) {
		if (errno != ENOTDIR)
			die(path);
		take_file(path);
		return;
	}
	while ((e = readdir(dir))) {
		char file[4096];

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(file, sizeof file, "%s/%s", path, e->d_name); /* cut: open fails */
		take_file(file);
	}
	(void)closedir(dir); /* was only read */
}

/* In a buffer of its own length, so that a sanitizer sees who reads beyond. */
static void run(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		die("input");
	if (len)
		memcpy(copy, bytes, len);
	(void)LLVMFuzzerTestOneInput(copy, len); /* always 0 */
	free(copy);
}

static size_t change(uint8_t *bytes, size_t len, size_t cap)
{
	size_t at = len ? chance(len) : 0;

	switch (chance(6)) {
	case 0:
		if (len)
			bytes[at] ^= (uint8_t)(1u << chance(8));
		return len;
	case 1:
		if (len)
			bytes[at] = (uint8_t)chance(256);
		return len;
	case 2:
		if (len)
			bytes[at] = chance(2) ? 0xff : 0;
		return len;
	case 3:
		return at;
	case 4:
		if (len == cap)
			return len;
		memmove(bytes + at + 1, bytes + at, len - at);
		bytes[at] = (uint8_t)chance(256);
		return len + 1;
	default:
		if (!len)
			return 0;
		memmove(bytes + at, bytes + at + 1, len - at - 1);
		return len - 1;
	}
}

static void save(const uint8_t *bytes, size_t len)
{
	FILE *f = fopen("crash-input", "wb");

	if (!f || fwrite(bytes, 1, len, f) != len || fclose(f) != 0)
		die("crash-input");
}

static void mutate(unsigned long rounds)
{
	const char *seed = getenv("LSVD_TEST_SEED");
	uint8_t *bytes = malloc(INPUT_BYTES_MAX);

	if (!bytes)
		die("input");
	state = (seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL)) | 1;
	printf("seed: LSVD_TEST_SEED=%llu\n", (unsigned long long)state);
	(void)fflush(stdout); /* a crash must not keep the seed for itself */
	for (unsigned long i = 0; i < rounds; i++) {
		const struct input *in = &inputs[chance(count)];
		size_t len = in->len;

		memcpy(bytes, in->bytes, len);
		for (uint64_t n = 1 + chance(8); n; n--)
			len = change(bytes, len, INPUT_BYTES_MAX);
		if (getenv("LSVD_FUZZ_SAVE"))
			save(bytes, len);
		run(bytes, len);
	}
	free(bytes);
}

int main(int argc, char **argv)
{
	unsigned long rounds = 0;
	int i = 1;

	if (argc > 2 && strcmp(argv[1], "--mutate") == 0) {
		rounds = strtoul(argv[2], NULL, 10);
		i = 3;
	}
	for (; i < argc; i++)
		take(argv[i]);
	if (count == 0) {
		fprintf(stderr, "usage: %s [--mutate N] FILE-OR-FOLDER...\n", argv[0]);
		return 2;
	}
	run(NULL, 0);
	for (unsigned k = 0; k < count; k++)
		run(inputs[k].bytes, inputs[k].len);
	if (rounds)
		mutate(rounds);
	printf("%u inputs, %lu changes\n", count, rounds);
	for (unsigned k = 0; k < count; k++)
		free(inputs[k].bytes);
	return 0;
}
