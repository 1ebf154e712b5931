/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progress.c - the line, and how fast things go.
 *
 * The rate is that of the last few seconds: a mean in which what is older counts less.
 */
#include "admin/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FIRST_AFTER 0.5      /* seconds */
#define EVERY 0.2
#define MEMORY 5.0           /* seconds over which the rate is a mean */
#define BAR_LEAST 10u
#define BAR_MOST 40u

static struct {
	bool on, drawn;
	const char *what, *things; /* things NULL: bytes */
	uint64_t total;
	double begun, last;      /* last: when the rate was taken */
	uint64_t last_done;
	double rate;
} line;

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void format_left(char text[32], double seconds)
{
	unsigned long s = seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 999999999;

	if (s < 3600)
		(void)snprintf(text, 32, "%lu:%02lu", s / 60, s % 60);
	else
		(void)snprintf(text, 32, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
}

static void short_bytes(char text[32], double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	unsigned i = 0;

	while (bytes >= 1000 && i + 1 < sizeof units / sizeof units[0]) {
		bytes /= 1024;
		i++;
	}
	(void)snprintf(text, 32, bytes < 10 && i ? "%.1f %s" : "%.0f %s", bytes, units[i]);
}

/* "[####      ]" of `width` columns inside. */
static size_t format_bar(char *text, size_t size, unsigned width, double part)
{
	unsigned full = (unsigned)(part * width + 0.5);
	size_t n = 0;

	if (size < width + 4)
		return 0;
	text[n++] = '[';
	for (unsigned i = 0; i < width; i++)
		text[n++] = i < full ? '#' : ' ';
	text[n++] = ']';
	text[n++] = ' ';
	text[n] = '\0';
	return n;
}

/* How much there is of it, in a few characters. */
static void format_amount(char text[32], const char *things, double n)
{
	if (things)
		(void)snprintf(text, 32, "%.0f", n);
	else
		short_bytes(text, n);
}

void progress_line(char *text, size_t size, unsigned width, const char *what, const char *things,
		   uint64_t done, uint64_t total, double rate)
{
	char facts[160], left[32] = "", have[32], all[32], speed[32], bar[BAR_MOST + 8] = "";
	double part = total ? (double)done / (double)total : 0;
	int n;

	if (part > 1)
		part = 1;
	format_amount(have, things, (double)done);
	format_amount(all, things, (double)total);
	format_amount(speed, things, rate);
	if (total && rate >= 1 && done < total)
		format_left(left, (double)(total - done) / rate);
	n = snprintf(facts, sizeof facts, "%s%s%s%s%.20s  %s/s%s%s%s", have, total ? " of " : "",
		     total ? all : "", things ? " " : "", things ? things : "", speed,
		     *left ? "  " : "", left, *left ? " left" : "");
	if (total && width > (unsigned)n + strlen(what) + BAR_LEAST + 12) {
		unsigned room = width - (unsigned)n - (unsigned)strlen(what) - 12;

		(void)format_bar(bar, sizeof bar, room < BAR_MOST ? room : BAR_MOST, part);
	}
	if (total)
		(void)snprintf(text, size, "%s %3.0f %% %s %s", what, part * 100, bar, facts);
	else
		(void)snprintf(text, size, "%s  %s", what, facts);
	if (width < size)
		text[width] = '\0';
}

void progress_begin(const char *what, uint64_t total)
{
	progress_begin_count(what, NULL, total);
}

void progress_begin_count(const char *what, const char *things, uint64_t total)
{
	line.things = things;
	line.on = isatty(STDERR_FILENO);
	line.drawn = false;
	line.what = what;
	line.total = total;
	line.begun = line.last = now();
	line.last_done = 0;
	line.rate = 0;
}

static unsigned columns(void)
{
	struct winsize w;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20)
		return w.ws_col - 1u;
	return 79;
}

static void take_rate(double t, uint64_t done)
{
	double passed = t - line.last, fresh;
	double weight = passed / (passed + MEMORY);

	fresh = done > line.last_done ? (double)(done - line.last_done) / passed : 0;
	if (t - line.begun < MEMORY)
		line.rate = (double)done / (t - line.begun);
	else
		line.rate += (fresh - line.rate) * weight;
	line.last = t;
	line.last_done = done;
}

void progress_show(uint64_t done)
{
	char text[256];
	double t;

	if (!line.on)
		return;
	t = now();
	if (t - line.begun < FIRST_AFTER || t - line.last < EVERY)
		return;
	take_rate(t, done);
	progress_line(text, sizeof text, columns(), line.what, line.things, done,
		      line.total, line.rate);
	(void)fprintf(stderr, "\r%s\033[K", text);
	(void)fflush(stderr); /* only shown sooner */
	line.drawn = true;
}

void progress_clear(void)
{
	if (!line.drawn)
		return;
	(void)fputs("\r\033[K", stderr);
	line.drawn = false;
}

void progress_end(void)
{
	progress_clear();
	line.on = false;
}
