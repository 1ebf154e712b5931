/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * map_page.c - one page of the store map: extents packed into as few bits as their values need.
 *
 * A page is a header and a row of entries of one width. The header says how many bits each field
 * has in every entry of this page and what the smallest length and object number are, which are not
 * repeated. An entry is, from the lowest bit up,
 *
 *     lba (13 bits) | len - len_min | off / 16      part A, at most 49 bits
 *     sub | kind | object code                      part B, at most 49 bits
 *
 * The object code is 1 for MAP_ZERO (whose other place fields are 0), else object - base + 2. Each
 * part fits one 64-bit load wherever it begins in a byte, and so do both together in most pages.
 *
 * Two forms:
 *   sorted  entries in order of lba, each a whole number of bytes wide (the bits left over widen
 *           the object code), with room for a few more: about 6 bytes for a 4 KiB write.
 *   dense   every extent is exactly one 4 KiB block: 1024 entries without lba and len, at their
 *           place, packed to the bit; object code 0 is a block that is not mapped. About 5 bytes.
 *
 * A change is made in place if the entries it leaves fit the widths; a sorted page may have to get
 * more room first. Else the page is made anew from what it will hold: widths and form are chosen
 * then, and only then. The old page is untouched until the new one is complete, so -ENOMEM changes
 * nothing.
 *
 * The page that is one MAP_ZERO extent exists once, for all: zeroing a large range costs little
 * more than the directory.
 *
 * Invariants (lsvd_map_page_check() asserts them):
 *  (1) Extents are in order, do not overlap and lie within the page; n is their number, > 0.
 *  (2) A dense page holds nothing but whole 4 KiB blocks.
 *
 * Deliberately absent: narrowing a page's fields in place; that comes with the next rebuild.
 */
#include "map/map_page.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/compiler.h"

#define PAGE_BLOCKS (STORE_MAP_PAGE_SECTORS / BLOCK_SECTORS)
#define LBA_BITS 13u
#define OFF_SHIFT 4
#define OFF_BITS_MIN 19u          /* offsets in an 8 MiB object: pages seldom need widening */
#define WORD_BITS 57u             /* what one load gives wherever it begins in a byte */
#define PAD_BYTES 8u              /* loads and stores of the last entry reach so far beyond it */
#define SPARE_SHIFT 4             /* room for 1/16 more entries */
#define DENSE_MIN (PAGE_BLOCKS / 2) /* a dense page with fewer blocks becomes sorted */

enum object_code {
	CODE_NONE = 0,
	CODE_ZERO = 1,
	CODE_FIRST = 2,           /* stands for map_page.base */
};

struct map_page {
	uint64_t base;            /* smallest object number the code can say */
	uint16_t n;               /* extents */
	uint16_t chunks;          /* footprint of the page / 16 */
	uint16_t len_min;
	uint8_t stride;           /* bits from entry to entry */
	uint8_t w_lba;            /* bits of each field; w_lba 0: dense */
	uint8_t w_len, w_off, w_sub, w_kind, w_code;
	uint8_t kind_min;
	bool plain;               /* w_len, w_sub and w_kind are 0 and an entry is one load */
	uint8_t data[];
};

/* The shared page of zeroes: code 1 in the bit after lba 0. */
static struct map_page zero_page = {
	.n = 1,
	.len_min = STORE_MAP_PAGE_SECTORS,
	.stride = 16,
	.w_lba = LBA_BITS,
	.w_code = 1,
	.plain = true,
	.data = { 0, 1u << (LBA_BITS - 8), 0, 0, 0, 0, 0, 0, 0, 0 },
};

struct map_extent lsvd_map_extent_advance(const struct map_extent *e, uint32_t sectors)
{
	struct map_extent r = *e;
	uint32_t at = e->sub + sectors;

	assert(sectors < e->len);
	r.lba += sectors;
	r.len -= sectors;
	if (e->kind == MAP_UNIT) {
		r.sub = (uint16_t)at;
	} else if (e->kind == MAP_RAW) {
		r.off += at / BLOCK_SECTORS * STORE_MAP_RAW_SPACE;
		r.sub = (uint16_t)(at % BLOCK_SECTORS);
	}
	return r;
}

/* -------------------------------------------------------------------------------- entries */

static bool is_dense(const struct map_page *p)
{
	return p->w_lba == 0;
}

static uint64_t ones(unsigned width)
{
	return (UINT64_C(1) << width) - 1;
}

static unsigned width_of(uint64_t max)
{
	return max ? 64u - (unsigned)__builtin_clzll(max) : 0;
}

static unsigned width_a(const struct map_page *p)
{
	return (unsigned)p->w_lba + p->w_len + p->w_off;
}

static unsigned width_b(const struct map_page *p)
{
	return (unsigned)p->w_sub + p->w_kind + p->w_code;
}

/* At most WORD_BITS bits that begin at bit `at`; what is above them is to be masked out. */
static uint64_t bits_get(const uint8_t *data, size_t at)
{
	return le64_get(data + at / 8) >> at % 8;
}

static void bits_put(uint8_t *data, size_t at, unsigned width, uint64_t v)
{
	uint64_t old = le64_get(data + at / 8);

	le64_put(data + at / 8, (old & ~(ones(width) << at % 8)) | v << at % 8);
}

static uint64_t field(uint64_t *word, unsigned width)
{
	uint64_t v = *word & ones(width);

	*word >>= width;
	return v;
}

/*
 * Entry i; false if it is a block of a dense page that is not mapped. What random writes of one
 * size make, a page where only lba, off and object differ, is decoded by a shorter way.
 */
static inline bool entry_get(const struct map_page *p, unsigned i, struct map_extent *e)
{
	size_t at = (size_t)i * p->stride;
	uint64_t a = bits_get(p->data, at);
	uint64_t b, code;

	e->lba = is_dense(p) ? (uint64_t)i * BLOCK_SECTORS : field(&a, LBA_BITS);
	e->len = p->len_min;
	e->sub = 0;
	e->kind = p->kind_min;
	if (lsvd_likely(p->plain)) {
		e->off = (uint32_t)field(&a, p->w_off) << OFF_SHIFT;
		code = field(&a, p->w_code);
	} else {
		e->len += (uint32_t)field(&a, p->w_len);
		e->off = (uint32_t)field(&a, p->w_off) << OFF_SHIFT;
		b = bits_get(p->data, at + width_a(p));
		e->sub = (uint16_t)field(&b, p->w_sub);
		e->kind = (uint8_t)(e->kind + field(&b, p->w_kind));
		code = field(&b, p->w_code);
	}
	e->object = p->base + code - CODE_FIRST;
	if (lsvd_unlikely(code < CODE_FIRST)) {
		e->kind = MAP_ZERO;
		e->object = 0;
	}
	return code != CODE_NONE;
}

static uint64_t code_of(const struct map_page *p, const struct map_extent *e)
{
	return e->kind == MAP_ZERO ? CODE_ZERO : e->object - p->base + CODE_FIRST;
}

static bool entry_fits(const struct map_page *p, const struct map_extent *e)
{
	if (is_dense(p) && e->lba % BLOCK_SECTORS != 0)
		return false;
	if (e->len < p->len_min || e->len - p->len_min > ones(p->w_len))
		return false;
	if (e->kind == MAP_ZERO)
		return true;
	return e->off >> OFF_SHIFT <= ones(p->w_off) && e->sub <= ones(p->w_sub) &&
	       e->object >= p->base && code_of(p, e) <= ones(p->w_code) &&
	       e->kind >= p->kind_min && e->kind - p->kind_min <= (int)ones(p->w_kind);
}

/* e fits (entry_fits()). */
static void entry_put(struct map_page *p, unsigned i, const struct map_extent *e)
{
	size_t at = (size_t)i * p->stride;
	unsigned wa = width_a(p), wb = width_b(p);
	uint64_t a = e->off >> OFF_SHIFT, b = code_of(p, e);

	a = a << p->w_len | (e->len - p->len_min);
	a = a << p->w_lba | (is_dense(p) ? 0 : e->lba);
	b = b << p->w_kind | (e->kind == MAP_ZERO ? 0u : (unsigned)(e->kind - p->kind_min));
	b = b << p->w_sub | e->sub;
	if (wa + wb <= WORD_BITS) {
		bits_put(p->data, at, wa + wb, a | b << wa);
	} else {
		bits_put(p->data, at, wa, a);
		bits_put(p->data, at + wa, wb, b);
	}
}

/* ------------------------------------------------------------------------------- making a page */

void lsvd_map_shape_add(struct map_shape *s, const struct map_extent *e)
{
	s->len_min = s->n && s->len_min < e->len ? s->len_min : e->len;
	s->len_max = s->len_max > e->len ? s->len_max : e->len;
	s->uneven |= e->len != BLOCK_SECTORS || e->lba % BLOCK_SECTORS != 0;
	s->n++;
	if (e->kind != MAP_ZERO) {
		bool first = (s->kinds & ~(1u << MAP_ZERO)) == 0;

		s->off_max = s->off_max > e->off ? s->off_max : e->off;
		s->sub_max = s->sub_max > e->sub ? s->sub_max : e->sub;
		s->object_min = first ? e->object : min_u64(s->object_min, e->object);
		s->object_max = max_u64(s->object_max, e->object);
	}
	s->kinds |= 1u << e->kind;
}

static unsigned clamp(unsigned v, unsigned lo, unsigned hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* The widths that s needs, as a sorted page. */
static void choose_widths(struct map_page *p, const struct map_shape *s)
{
	uint64_t range = s->object_max - s->object_min;
	unsigned spare;

	*p = (struct map_page){ .base = s->object_min };
	p->len_min = (uint16_t)s->len_min;
	p->w_lba = LBA_BITS;
	p->w_len = (uint8_t)width_of(s->len_max - s->len_min);
	p->w_off = (uint8_t)clamp(width_of(s->off_max >> OFF_SHIFT), OFF_BITS_MIN, 23);
	p->w_sub = (uint8_t)width_of(s->sub_max);
	p->w_kind = (s->kinds & 1u << MAP_RAW) && (s->kinds & 1u << MAP_UNIT);
	p->kind_min = s->kinds & 1u << MAP_RAW ? MAP_RAW : MAP_UNIT;
	/* Object numbers grow: without headroom the next one might make the page anew again. */
	p->w_code = (uint8_t)clamp(width_of(range + range / 4 + CODE_FIRST + 1), 2, 41);
	p->stride = (uint8_t)(width_a(p) + width_b(p));
	spare = clamp((8u - p->stride % 8u) % 8u, 0, 41u - p->w_code);
	p->w_code = (uint8_t)(p->w_code + spare);
	p->stride = (uint8_t)round_up(p->stride, 8);
}

static size_t data_bytes(size_t entries, unsigned stride)
{
	return (entries * stride + 7) / 8 + PAD_BYTES;
}

static bool is_plain(const struct map_page *p)
{
	return p->w_len + p->w_sub + p->w_kind == 0 && width_a(p) + width_b(p) <= WORD_BITS;
}

/* Turns the sorted page's widths into a dense page's if that is smaller. */
static void choose_form(struct map_page *p, const struct map_shape *s)
{
	struct map_page dense = *p;
	uint64_t range = s->object_max - s->object_min;

	if (s->uneven)
		return;
	dense.w_lba = 0;
	dense.w_code = (uint8_t)clamp(width_of(range + range / 4 + CODE_FIRST + 1), 2, 41);
	dense.stride = (uint8_t)(width_a(&dense) + width_b(&dense));
	if (dense.stride > WORD_BITS)
		return;
	if (data_bytes(PAGE_BLOCKS, dense.stride) <= data_bytes(s->n, p->stride))
		*p = dense;
}

/* Of a sorted page for n extents, with room for a few more. */
static size_t sorted_footprint(unsigned n, unsigned stride)
{
	return map_footprint(sizeof(struct map_page) +
			     data_bytes(n + (n >> SPARE_SHIFT) + 1, stride));
}

static bool is_zero_page(const struct map_shape *s)
{
	return s->n == 1 && s->kinds == 1u << MAP_ZERO && s->len_min == STORE_MAP_PAGE_SECTORS;
}

int lsvd_map_page_new(struct map_page **ret, const struct map_shape *s)
{
	struct map_page head, *p;
	size_t bytes;

	*ret = NULL;
	if (s->n == 0)
		return 0;
	if (is_zero_page(s)) {
		*ret = &zero_page;
		return 0;
	}
	choose_widths(&head, s);
	choose_form(&head, s);
	head.plain = is_plain(&head);
	bytes = is_dense(&head) ? map_footprint(sizeof(*p) + data_bytes(PAGE_BLOCKS, head.stride))
				: sorted_footprint(s->n, head.stride);
	p = lsvd_malloc(bytes - 8);
	if (!p)
		return -ENOMEM;
	memset(p, 0, bytes - 8);
	head.chunks = (uint16_t)(bytes / 16);
	*p = head;
	*ret = p;
	return 0;
}

void lsvd_map_page_append(struct map_page *p, const struct map_extent *e)
{
	if (p == &zero_page)
		return;
	assert(entry_fits(p, e));
	entry_put(p, is_dense(p) ? (unsigned)e->lba / BLOCK_SECTORS : p->n, e);
	p->n++;
}

void lsvd_map_page_free(struct map_page *p)
{
	if (p != &zero_page)
		lsvd_free(p);
}

unsigned lsvd_map_page_count(const struct map_page *p)
{
	return p ? p->n : 0;
}

size_t lsvd_map_page_memory(const struct map_page *p)
{
	return p ? (size_t)p->chunks * 16 : 0;
}

/* -------------------------------------------------------------------------------------- search */

/* The entries of a sorted page begin at whole bytes, with the address. */
static unsigned lba_at(const uint8_t *entry)
{
	return le16_get(entry) & (unsigned)ones(LBA_BITS);
}

/*
 * The number of entries of a sorted page with an address <= lba. The mask is written out so that
 * the compiler makes no branch of it: half of them would be mispredicted.
 */
static inline unsigned upper_bound(const struct map_page *p, uint32_t lba)
{
	unsigned width = p->stride / 8u, base = 0;

	for (unsigned n = p->n; n > 1;) {
		unsigned half = n / 2;

		base += half & -(unsigned)(lba_at(p->data + (base + half) * width) <= lba);
		n -= half;
	}
	return base + (lba_at(p->data + base * width) <= lba);
}

/* The index after the last entry. */
static unsigned entries_end(const struct map_page *p)
{
	return is_dense(p) ? PAGE_BLOCKS : p->n;
}

/* The first entry that ends after lba: its index, or entries_end(). Blocks may be unmapped. */
static unsigned first_after(const struct map_page *p, uint32_t lba)
{
	struct map_extent e;
	unsigned i;

	if (is_dense(p))
		return lba / BLOCK_SECTORS;
	i = upper_bound(p, lba);
	if (i == 0)
		return 0;
	(void)entry_get(p, i - 1, &e); /* never empty in a sorted page */
	return e.lba + e.len > lba ? i - 1 : i;
}

static bool find_dense(const struct map_page *p, uint32_t lba, struct map_extent *ret)
{
	for (unsigned i = lba / BLOCK_SECTORS; i < PAGE_BLOCKS; i++)
		if (entry_get(p, i, ret))
			return true;
	return false;
}

bool lsvd_map_page_find(const struct map_page *p, uint32_t lba, struct map_extent *ret)
{
	unsigned i;

	if (is_dense(p))
		return find_dense(p, lba, ret);
	i = upper_bound(p, lba);
	if (i > 0) {
		(void)entry_get(p, i - 1, ret); /* never empty in a sorted page */
		if (ret->lba + ret->len > lba)
			return true;
	}
	return i < p->n && entry_get(p, i, ret);
}

/* -------------------------------------------------------------------------------------- change */

/* A change to a page: entries [first, last) give way to the pieces. */
struct splice {
	unsigned first, last;
	unsigned gone;             /* extents among [first, last) */
	unsigned pieces;
	struct map_extent piece[3];
};

static void splice_init(struct splice *s, const struct map_page *p, uint32_t lo, uint32_t hi,
			const struct map_extent *put)
{
	struct map_extent e, tail = { .len = 0 };

	*s = (struct splice){ .first = p ? first_after(p, lo) : 0 };
	for (s->last = s->first; p && s->last < entries_end(p); s->last++) {
		bool mapped = entry_get(p, s->last, &e);

		if (e.lba >= hi)
			break;
		if (!mapped)
			continue;
		s->gone++;
		if (e.lba + e.len > hi)
			tail = lsvd_map_extent_advance(&e, hi - (uint32_t)e.lba);
		if (e.lba < lo) {
			s->piece[s->pieces] = e;
			s->piece[s->pieces++].len = lo - (uint32_t)e.lba;
		}
	}
	if (put)
		s->piece[s->pieces++] = *put;
	if (tail.len)
		s->piece[s->pieces++] = tail;
}

/* Gives what of entries [first, last) lies in [lo, hi) to whom it concerns. */
static void splice_report(const struct splice *s, const struct map_page *p, uint32_t lo,
			  uint32_t hi, const struct map_gone *gone)
{
	struct map_extent e;

	for (unsigned i = s->first; gone->fn && i < s->last; i++) {
		if (!entry_get(p, i, &e))
			continue;
		if (e.lba < lo)
			e = lsvd_map_extent_advance(&e, lo - (uint32_t)e.lba);
		if (e.lba + e.len > hi)
			e.len = hi - (uint32_t)e.lba;
		e.lba += gone->base;
		gone->fn(gone->ctx, &e);
	}
}

static unsigned count_after(const struct map_page *p, const struct splice *s)
{
	return (p ? p->n : 0u) - s->gone + s->pieces;
}

static size_t room(const struct map_page *p)
{
	return (p->chunks * 16u - 8 - sizeof(*p) - PAD_BYTES) * 8 / p->stride;
}

/* Are p's fields wide enough for what the splice puts there? */
static bool fits_widths(const struct map_page *p, const struct splice *s)
{
	for (unsigned i = 0; i < s->pieces; i++)
		if (!entry_fits(p, &s->piece[i]))
			return false;
	return true;
}

/* Might a sorted page with n extents be smaller as a dense one? */
static bool better_dense(const struct map_page *p, unsigned n)
{
	return p->w_len == 0 && p->len_min == BLOCK_SECTORS &&
	       n * p->stride >= PAGE_BLOCKS * (p->stride - LBA_BITS);
}

/* Gives a sorted page room for n extents and a few more. */
static int grow(struct map_page **page, unsigned n)
{
	struct map_page *p = *page;
	size_t old = p->chunks * 16u - 8, bytes = sorted_footprint(n, p->stride);

	p = lsvd_realloc(p, bytes - 8);
	if (!p)
		return -ENOMEM;
	memset((uint8_t *)p + old, 0, bytes - 8 - old);
	p->chunks = (uint16_t)(bytes / 16);
	*page = p;
	return 0;
}

/* Makes *page take the splice in place, if that can be: 1; 0: it has to be made anew. -ENOMEM. */
static int prepare(struct map_page **page, const struct splice *s)
{
	struct map_page *p = *page;
	unsigned n = count_after(p, s);
	int err;

	if (!p || p == &zero_page || n == 0 || !fits_widths(p, s))
		return 0;
	if (is_dense(p) || n <= room(p))
		return 1;
	if (better_dense(p, n))
		return 0;
	err = grow(page, n);
	return err < 0 ? err : 1;
}

/* Would a page with n extents better be made anew, smaller? */
static bool too_large(const struct map_page *p, unsigned n)
{
	if (is_dense(p))
		return n < DENSE_MIN;
	return data_bytes(n, p->stride) * 2 + 128 < p->chunks * 16u;
}

static void apply_sorted(struct map_page *p, const struct splice *s)
{
	size_t width = p->stride / 8u;

	if (s->last - s->first != s->pieces)
		memmove(p->data + (s->first + s->pieces) * width, p->data + s->last * width,
			(p->n - s->last) * width);
	for (unsigned i = 0; i < s->pieces; i++)
		entry_put(p, s->first + i, &s->piece[i]);
}

static void apply_dense(struct map_page *p, const struct splice *s)
{
	for (unsigned i = s->first; i < s->last; i++)
		bits_put(p->data, (size_t)i * p->stride, p->stride, CODE_NONE);
	for (unsigned i = 0; i < s->pieces; i++)
		entry_put(p, (unsigned)s->piece[i].lba / BLOCK_SECTORS, &s->piece[i]);
}

/* Walks over what the page holds after the splice, in order. */
struct walk {
	const struct map_page *p;  /* or NULL */
	const struct splice *s;
	unsigned i, piece;
};

static bool walk_next(struct walk *w, struct map_extent *e)
{
	unsigned end = w->p ? entries_end(w->p) : 0;

	for (;;) {
		if (w->i == w->s->first && w->piece < w->s->pieces) {
			*e = w->s->piece[w->piece++];
			return true;
		}
		if (w->i == w->s->first)
			w->i = w->s->last;
		if (w->i >= end)
			return false;
		if (entry_get(w->p, w->i++, e))
			return true;
	}
}

/* A new page with what p holds after the splice. */
static int rebuild(struct map_page **ret, const struct map_page *p, const struct splice *s)
{
	struct walk shape_walk = { .p = p, .s = s }, walk = shape_walk;
	struct map_shape shape = { .n = 0 };
	struct map_extent e;
	int err;

	while (walk_next(&shape_walk, &e))
		lsvd_map_shape_add(&shape, &e);
	err = lsvd_map_page_new(ret, &shape);
	if (err < 0)
		return err;
	while (walk_next(&walk, &e))
		lsvd_map_page_append(*ret, &e);
	return 0;
}

/*
 * The commonest change by far: an extent gives way to one of just the same range. False if this is
 * another case.
 */
static bool replace_same(struct map_page *p, uint32_t lo, uint32_t hi,
			 const struct map_extent *put, const struct map_gone *gone)
{
	struct map_extent e;
	unsigned i;

	if (!p || !put || p == &zero_page || !entry_fits(p, put))
		return false;
	i = is_dense(p) ? lo / BLOCK_SECTORS : upper_bound(p, lo) - 1;
	if (i >= entries_end(p) || !entry_get(p, i, &e) || e.lba != lo || e.len != hi - lo)
		return false;
	e.lba += gone->base;
	if (gone->fn)
		gone->fn(gone->ctx, &e);
	entry_put(p, i, put);
	return true;
}

static void apply(struct map_page *p, const struct splice *s)
{
	if (is_dense(p))
		apply_dense(p, s);
	else
		apply_sorted(p, s);
	p->n = (uint16_t)count_after(p, s);
}

int lsvd_map_page_replace(struct map_page **page, uint32_t lo, uint32_t hi,
			  const struct map_extent *put, const struct map_gone *gone)
{
	struct map_page *new;
	struct splice s;
	int err, in_place;

	if (replace_same(*page, lo, hi, put, gone))
		return 1;
	splice_init(&s, *page, lo, hi, put);
	if (s.gone == 0 && !put)
		return 0;
	in_place = prepare(page, &s);
	if (in_place < 0)
		return in_place;
	if (in_place > 0 && !too_large(*page, count_after(*page, &s))) {
		splice_report(&s, *page, lo, hi, gone);
		apply(*page, &s);
		return 1;
	}
	err = rebuild(&new, *page, &s);
	if (err < 0 && in_place == 0)
		return err;
	splice_report(&s, *page, lo, hi, gone);
	if (err < 0) {
		/* No memory for a smaller page: the large one still does. */
		apply(*page, &s);
		return 1;
	}
	lsvd_map_page_free(*page);
	*page = new;
	return 1;
}

/* --------------------------------------------------------------------------------------- check */

/* What follows is for tests and is meant to assert in every build. */
#undef NDEBUG
#include <assert.h>

void lsvd_map_page_check(const struct map_page *p)
{
	uint64_t end = 0;
	unsigned n = 0;
	struct map_extent e;

	for (unsigned i = 0; i < entries_end(p); i++) {
		if (!entry_get(p, i, &e))
			continue;
		assert(e.lba >= end && e.len > 0);
		end = e.lba + e.len;
		assert(!is_dense(p) || (e.len == BLOCK_SECTORS && e.lba % BLOCK_SECTORS == 0));
		assert(e.kind <= MAP_ZERO);
		n++;
	}
	assert(end <= STORE_MAP_PAGE_SECTORS);
	assert(n == p->n && n > 0);
	assert(is_dense(p) || p == &zero_page || n <= room(p));
}
