/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * extent_map.c - a B+tree of ranges: the overlay's index from sectors to places in the local log.
 *
 * Leaves hold up to FANOUT entries sorted by lba, addresses in an array of their own so that a
 * search touches nothing else; they are linked both ways. Inner nodes hold up to FANOUT children.
 * Leaves and inner nodes are one type and one size, and come from one pool: what a split needs has
 * been put there by lsvd_extent_map_reserve(), what a merge frees goes back there.
 *
 * key[i] of an inner node is a lower bound of what lies under child[i] and an upper bound of what
 * lies under child[i - 1]; it need not be an address that is mapped. key[0] is never read: what
 * bounds child[0] from below stands in the parent. Hence the last entry of one leaf may reach over
 * the bound of the next, and a search that lands before a leaf's first entry looks at the leaf
 * before it.
 *
 * Splits halve a node, but for the right edge of the tree: there the full node is left as it is, so
 * that sequential writes fill nodes to the brim. A node less than a quarter full is merged with a
 * neighbour under the same parent if both fill at most three quarters of one node.
 *
 * Invariants (lsvd_extent_map_check() asserts them):
 *  (1) Entries are in order, do not overlap and do not end beyond 2^64 - 1.
 *  (2) Every key lies within the bounds that its ancestors' keys give it.
 *  (3) All leaves are at level 0; no node but a root leaf is empty; a root that is no leaf has at
 *      least two children.
 *
 * Deliberately absent: joining of neighbours (the caller's values seldom continue each other), and
 * any rebalancing by borrowing from siblings.
 */
#include "map/extent_map.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"

#define FANOUT 64u
#define CACHE_LINE 64u
#define LEVELS_MAX 16u            /* 16^15 nodes would not fit any memory */
#define KIND_SHIFT 62
#define VALUE_MASK ((UINT64_C(1) << KIND_SHIFT) - 1)
#define POOL_SLACK 16u            /* free nodes kept beyond what was reserved last */

/* An entry but for its address. */
struct body {
	uint64_t len;
	uint64_t val;             /* kind << KIND_SHIFT | value */
};

struct node {
	uint16_t n;
	uint16_t level;           /* 0: a leaf */
	struct node *prev, *next; /* leaves: neighbours; next: the pool's link too */
	uint64_t key[FANOUT];
	union {
		struct body body[FANOUT];
		struct node *child[FANOUT];
	};
};

struct extent_map {
	struct node *root;
	uint64_t entries;
	uint64_t nodes[LEVELS_MAX]; /* in the tree, per level */
	struct node *pool;
	uint64_t pool_nodes;
	uint64_t pool_goal;         /* nodes beyond this go back to the allocator */
	uint64_t reserved_calls;
};

/* Where a search went: node[0] is the leaf, node[level] the root; at[i] an index in node[i]. */
struct path {
	struct node *node[LEVELS_MAX];
	unsigned at[LEVELS_MAX];
};

/* ------------------------------------------------------------------------------------ entries */

static uint64_t pack_value(const struct extent *e)
{
	return (uint64_t)e->kind << KIND_SHIFT | e->value;
}

static uint64_t value_after(uint64_t val, uint64_t sectors)
{
	return val >> KIND_SHIFT == EXTENT_DATA ? val + sectors : val;
}

static void report(extent_fn gone, void *ctx, uint64_t lba, uint64_t len, uint64_t val)
{
	struct extent e = { .lba = lba, .len = len };

	if (!gone)
		return;
	e.value = val & VALUE_MASK;
	e.kind = (enum extent_kind)(val >> KIND_SHIFT);
	gone(ctx, &e);
}

static uint64_t entry_end(const struct node *leaf, unsigned i)
{
	return leaf->key[i] + leaf->body[i].len;
}

static void entry_set(struct node *leaf, unsigned i, uint64_t lba, uint64_t len, uint64_t val)
{
	leaf->key[i] = lba;
	leaf->body[i].len = len;
	leaf->body[i].val = val;
}

/* ------------------------------------------------------------------------------- nodes, pool */

static struct node *pool_take(struct extent_map *m)
{
	struct node *n = m->pool;

	if (n) {
		m->pool = n->next;
		m->pool_nodes--;
		return n;
	}
	/* Only a call that was not reserved comes here. */
	n = lsvd_malloc(sizeof(*n));
	assert(n);
	return n;
}

static void pool_put(struct extent_map *m, struct node *n)
{
	n->next = m->pool;
	m->pool = n;
	m->pool_nodes++;
}

static struct node *node_new(struct extent_map *m, unsigned level)
{
	struct node *n = pool_take(m);

	n->n = 0;
	n->level = (uint16_t)level;
	n->prev = n->next = NULL;
	m->nodes[level]++;
	return n;
}

static void node_drop(struct extent_map *m, struct node *n)
{
	m->nodes[n->level]--;
	if (m->pool_nodes >= m->pool_goal + POOL_SLACK)
		lsvd_free(n);
	else
		pool_put(m, n);
}

static void leaf_unlink(struct node *leaf)
{
	if (leaf->prev)
		leaf->prev->next = leaf->next;
	if (leaf->next)
		leaf->next->prev = leaf->prev;
}

static void leaf_link_after(struct node *leaf, struct node *new)
{
	new->prev = leaf;
	new->next = leaf->next;
	if (leaf->next)
		leaf->next->prev = new;
	leaf->next = new;
}

/* Moves or copies `count` slots; within one node they may overlap. */
static void slots_move(struct node *dst, unsigned to, const struct node *src, unsigned from,
		       unsigned count)
{
	memmove(dst->key + to, src->key + from, count * sizeof(*src->key));
	if (src->level == 0)
		memmove(dst->body + to, src->body + from, count * sizeof(*src->body));
	else
		memmove(dst->child + to, src->child + from, count * sizeof(*src->child));
}

/* Makes room for `count` slots at `at`, or takes them out if `count` is negative. */
static void node_shift(struct node *n, unsigned at, int count)
{
	unsigned from = count < 0 ? at + (unsigned)-count : at;
	unsigned to = count < 0 ? at : at + (unsigned)count;

	slots_move(n, to, n, from, n->n - from);
	n->n = (uint16_t)(n->n + count);
}

/* Copies slots [from, n) of `src` to the end of `dst` and takes them out of `src`. */
static void node_move_tail(struct node *dst, struct node *src, unsigned from)
{
	unsigned count = src->n - from;

	slots_move(dst, dst->n, src, from, count);
	dst->n = (uint16_t)(dst->n + count);
	src->n = (uint16_t)from;
}

/* ------------------------------------------------------------------------------------- search */

/*
 * How many of the sorted keys are <= lba. The mask is written out so that the compiler makes no
 * branch of it: half of them would be mispredicted.
 */
static unsigned upper_bound(const uint64_t *key, unsigned n, uint64_t lba)
{
	const uint64_t *base = key;

	if (n == 0)
		return 0;
	while (n > 1) {
		size_t half = n / 2;

		base += half & -(size_t)(base[half - 1] <= lba);
		n -= (unsigned)half;
	}
	return (unsigned)(base - key) + (*base <= lba);
}

/* The search needs the keys in an order nobody can foresee: better have all on their way. */
static inline void prefetch_keys(const struct node *n)
{
	for (unsigned at = 0; at < offsetof(struct node, body); at += CACHE_LINE)
		__builtin_prefetch((const char *)n + at);
}

/* Down to the leaf in whose bounds lba lies; at[0] is the first entry with a key > lba. */
static void descend(const struct extent_map *m, uint64_t lba, struct path *p)
{
	struct node *n = m->root;

	for (;;) {
		p->node[n->level] = n;
		if (n->level == 0)
			break;
		p->at[n->level] = upper_bound(n->key + 1, n->n - 1u, lba);
		n = n->child[p->at[n->level]];
		prefetch_keys(n);
	}
	p->at[0] = upper_bound(n->key, n->n, lba);
}

/* To the first entry that ends after lba; false if there is none. */
static bool seek(const struct extent_map *m, uint64_t lba, struct path *p)
{
	struct node *leaf;
	unsigned i;

	descend(m, lba, p);
	leaf = p->node[0];
	i = p->at[0];
	if (i > 0 && entry_end(leaf, i - 1) > lba) {
		p->at[0] = i - 1;
		return true;
	}
	if (i == 0 && leaf->prev && entry_end(leaf->prev, leaf->prev->n - 1u) > lba) {
		descend(m, leaf->prev->key[leaf->prev->n - 1u], p);
		p->at[0]--;
		return true;
	}
	if (i < leaf->n)
		return true;
	if (!leaf->next)
		return false;
	descend(m, leaf->next->key[0], p);
	p->at[0]--;
	return true;
}

/* -------------------------------------------------------------------------- growing, shrinking */

static void child_insert(struct node *n, unsigned at, uint64_t key, struct node *child)
{
	node_shift(n, at, 1);
	n->key[at] = key;
	n->child[at] = child;
}

static void root_grow(struct extent_map *m, struct path *p)
{
	struct node *old = m->root;
	unsigned level = old->level + 1u;
	struct node *root;

	assert(level < LEVELS_MAX);
	root = node_new(m, level);
	child_insert(root, 0, 0, old);
	m->root = root;
	p->node[level] = root;
	p->at[level] = 0;
}

static bool on_right_edge(const struct extent_map *m, const struct path *p, unsigned level)
{
	for (unsigned i = level + 1; i <= m->root->level; i++)
		if (p->at[i] + 1u != p->node[i]->n)
			return false;
	return true;
}

/*
 * Splits the full node at `level` of the path, its ancestors first where they are full too. `lba`
 * is what is about to be inserted at slot at[0] of the leaf; the path then leads to the half where
 * it belongs.
 */
static void split(struct extent_map *m, struct path *p, unsigned level, uint64_t lba)
{
	struct node *left = p->node[level], *right;
	unsigned at = p->at[level], cut = FANOUT / 2;
	bool goes_right;
	uint64_t bound;

	if (left == m->root)
		root_grow(m, p);
	else if (p->node[level + 1]->n == FANOUT)
		split(m, p, level + 1, lba);
	if (at + (level > 0) == FANOUT && on_right_edge(m, p, level))
		cut = at;
	bound = cut < FANOUT ? left->key[cut] : lba;
	goes_right = level > 0 ? at >= cut : at > cut || cut == FANOUT;
	right = node_new(m, level);
	node_move_tail(right, left, cut);
	if (level == 0)
		leaf_link_after(left, right);
	child_insert(p->node[level + 1], p->at[level + 1] + 1, bound, right);
	if (goes_right) {
		p->node[level] = right;
		p->at[level] = at - cut;
		p->at[level + 1]++;
	}
}

/* Puts an entry at slot at[0] of the path's leaf, where it is known to belong. */
static void entry_insert(struct extent_map *m, struct path *p, uint64_t lba, uint64_t len,
			 uint64_t val)
{
	if (p->node[0]->n == FANOUT)
		split(m, p, 0, lba);
	node_shift(p->node[0], p->at[0], 1);
	entry_set(p->node[0], p->at[0], lba, len, val);
	m->entries++;
}

/* Takes the path's node at `level`, whose content is gone or moved, out of its parent. */
static void node_remove(struct extent_map *m, struct path *p, unsigned level)
{
	struct node *n = p->node[level];

	if (level == 0)
		leaf_unlink(n);
	node_shift(p->node[level + 1], p->at[level + 1], -1);
	node_drop(m, n);
}

/* Empties the path's node at `level` into a neighbour, or a neighbour into it, if that pays. */
static bool merge(struct extent_map *m, struct path *p, unsigned level)
{
	struct node *parent = p->node[level + 1];
	unsigned at = p->at[level + 1];
	unsigned n = p->node[level]->n;
	struct node *left, *right;

	if (at > 0 && parent->child[at - 1]->n + n <= FANOUT * 3 / 4)
		at--;
	else if (at + 1 >= parent->n || parent->child[at + 1]->n + n > FANOUT * 3 / 4)
		return false;
	left = parent->child[at];
	right = parent->child[at + 1];
	if (level > 0)
		right->key[0] = parent->key[at + 1];
	node_move_tail(left, right, 0);
	p->node[level] = right;
	p->at[level + 1] = at + 1;
	node_remove(m, p, level);
	return true;
}

/* Mends the path's leaf and its ancestors after entries were taken out of it. */
static void shrink(struct extent_map *m, struct path *p)
{
	struct node *root = m->root;

	for (unsigned level = 0; level < root->level; level++) {
		if (p->node[level]->n == 0)
			node_remove(m, p, level);
		else if (p->node[level]->n >= FANOUT / 4 || !merge(m, p, level))
			break;
	}
	while (root->level > 0 && root->n <= 1) {
		assert(root->n == 1);
		m->root = root->child[0];
		node_drop(m, root);
		root = m->root;
	}
}

/* --------------------------------------------------------------------------------- ranges */

/*
 * Before entry i of the path's leaf gives way to one that begins further on: if it is the leaf's
 * last it may reach over the leaf's upper bound, which then has to rise. Nothing else is mapped
 * there.
 */
static void raise_bound(const struct extent_map *m, const struct path *p, unsigned i)
{
	const struct node *leaf = p->node[0];

	if (i + 1u < leaf->n)
		return;
	for (unsigned level = 1; level <= m->root->level; level++) {
		unsigned right = p->at[level] + 1;
		struct node *n = p->node[level];

		if (right < n->n) {
			n->key[right] = max_u64(n->key[right], entry_end(leaf, i));
			return;
		}
	}
}

/* Cuts [lo, hi) out of the middle of the path's entry. */
static void entry_divide(struct extent_map *m, struct path *p, uint64_t lo, uint64_t hi,
			 extent_fn gone, void *ctx)
{
	struct node *leaf = p->node[0];
	unsigned i = p->at[0]++;
	uint64_t lba = leaf->key[i], val = leaf->body[i].val;
	uint64_t end = entry_end(leaf, i);

	raise_bound(m, p, i);
	leaf->body[i].len = lo - lba;
	report(gone, ctx, lo, hi - lo, value_after(val, lo - lba));
	entry_insert(m, p, hi, end - hi, value_after(val, hi - lba));
}

/* Gives what lies before hi of the leaf's entry i to `gone`; the rest stays. */
static void entry_behead(struct extent_map *m, struct path *p, unsigned i, uint64_t hi,
			 extent_fn gone, void *ctx)
{
	struct node *leaf = p->node[0];
	uint64_t lba = leaf->key[i], val = leaf->body[i].val;

	raise_bound(m, p, i);
	report(gone, ctx, lba, hi - lba, val);
	entry_set(leaf, i, hi, leaf->body[i].len - (hi - lba), value_after(val, hi - lba));
}

/*
 * Takes [lo, hi) out of the path's leaf, whose entry at[0] is the first that ends after lo. True if
 * the next leaf may have more of it. The path is of no use afterwards.
 */
static bool remove_in_leaf(struct extent_map *m, struct path *p, uint64_t lo, uint64_t hi,
			   extent_fn gone, void *ctx)
{
	struct node *leaf = p->node[0];
	unsigned i = p->at[0], j;
	bool more;

	if (leaf->key[i] < lo) {
		uint64_t before = lo - leaf->key[i], len = leaf->body[i].len;

		if (entry_end(leaf, i) > hi) {
			entry_divide(m, p, lo, hi, gone, ctx);
			return false;
		}
		leaf->body[i].len = before;
		report(gone, ctx, lo, len - before, value_after(leaf->body[i].val, before));
		i++;
	}
	for (j = i; j < leaf->n && entry_end(leaf, j) <= hi; j++)
		report(gone, ctx, leaf->key[j], leaf->body[j].len, leaf->body[j].val);
	more = j == leaf->n;
	if (!more && leaf->key[j] < hi)
		entry_behead(m, p, j, hi, gone, ctx);
	if (j > i) {
		m->entries -= j - i;
		node_shift(leaf, i, -(int)(j - i));
		shrink(m, p);
	}
	return more;
}

static void remove_range(struct extent_map *m, uint64_t lo, uint64_t hi, extent_fn gone,
			 void *ctx)
{
	struct path p;

	while (seek(m, lo, &p) && p.node[0]->key[p.at[0]] < hi)
		if (!remove_in_leaf(m, &p, lo, hi, gone, ctx))
			break;
}

/* Is [lo, hi) free around slot i of the leaf in whose bounds lo lies? */
static bool range_free(const struct node *leaf, unsigned i, uint64_t lo, uint64_t hi)
{
	if (i > 0 ? entry_end(leaf, i - 1) > lo
		  : leaf->prev && entry_end(leaf->prev, leaf->prev->n - 1u) > lo)
		return false;
	if (i < leaf->n)
		return leaf->key[i] >= hi;
	return !leaf->next || leaf->next->key[0] >= hi;
}

static void call_begin(struct extent_map *m, uint64_t lba, uint64_t len)
{
	assert(len > 0 && len <= UINT64_MAX - lba);
	assert(m->reserved_calls > 0);
	(void)lba;
	(void)len;
	m->reserved_calls -= m->reserved_calls > 0;
}

void lsvd_extent_map_insert(struct extent_map *m, const struct extent *e, extent_fn gone,
			    void *ctx)
{
	struct path p;
	struct node *leaf;
	unsigned i;

	call_begin(m, e->lba, e->len);
	assert(e->value <= VALUE_MASK && e->kind <= EXTENT_HOLE);
	descend(m, e->lba, &p);
	leaf = p.node[0];
	i = p.at[0];
	if (i > 0 && leaf->key[i - 1] == e->lba && leaf->body[i - 1].len == e->len) {
		report(gone, ctx, e->lba, e->len, leaf->body[i - 1].val);
		leaf->body[i - 1].val = pack_value(e);
		return;
	}
	if (!range_free(leaf, i, e->lba, e->lba + e->len)) {
		remove_range(m, e->lba, e->lba + e->len, gone, ctx);
		descend(m, e->lba, &p);
	}
	entry_insert(m, &p, e->lba, e->len, pack_value(e));
}

void lsvd_extent_map_remove(struct extent_map *m, uint64_t lba, uint64_t len, extent_fn gone,
			    void *ctx)
{
	call_begin(m, lba, len);
	remove_range(m, lba, lba + len, gone, ctx);
}

static void entry_get(const struct node *n, unsigned i, struct extent *ret)
{
	ret->lba = n->key[i];
	ret->len = n->body[i].len;
	ret->value = n->body[i].val & VALUE_MASK;
	ret->kind = (enum extent_kind)(n->body[i].val >> KIND_SHIFT);
}

bool lsvd_extent_map_drop(struct extent_map *m, uint64_t lba, uint64_t end,
			  extent_wanted_fn wanted, void *ctx, struct extent *ret)
{
	struct path p;

	if (!seek(m, lba, &p))
		return false;
	entry_get(p.node[0], p.at[0], ret);
	if (ret->lba < end && wanted(ctx, ret)) {
		m->entries--;
		node_shift(p.node[0], p.at[0], -1);
		shrink(m, &p);
	}
	return true;
}

/* The inner nodes are few and at hand; what a search waits for is the leaf. */
void lsvd_extent_map_prefetch(const struct extent_map *m, uint64_t lba)
{
	const struct node *n = m->root;

	for (unsigned level = n->level; level > 0; level--)
		n = n->child[upper_bound(n->key + 1, n->n - 1u, lba)];
	prefetch_keys(n);
}

bool lsvd_extent_map_find(const struct extent_map *m, uint64_t lba, struct extent *ret)
{
	const struct node *n = m->root;
	unsigned i;

	while (n->level > 0) {
		n = n->child[upper_bound(n->key + 1, n->n - 1u, lba)];
		prefetch_keys(n);
	}
	i = upper_bound(n->key, n->n, lba);
	if (i > 0 && entry_end(n, i - 1) > lba) {
		i--;
	} else if (i == 0 && n->prev && entry_end(n->prev, n->prev->n - 1u) > lba) {
		n = n->prev;
		i = n->n - 1u;
	} else if (i == n->n) {
		n = n->next;
		i = 0;
	}
	if (!n || n->n == 0)
		return false;
	entry_get(n, i, ret);
	return true;
}

/* ------------------------------------------------------------------------------- life, memory */

int lsvd_extent_map_new(struct extent_map **ret)
{
	struct extent_map *m = lsvd_calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->root = lsvd_malloc(sizeof(*m->root));
	if (!m->root) {
		lsvd_free(m);
		return -ENOMEM;
	}
	m->root->n = m->root->level = 0;
	m->root->prev = m->root->next = NULL;
	m->nodes[0] = 1;
	*ret = m;
	return 0;
}

static void node_free(struct node *n)
{
	for (unsigned i = 0; n->level > 0 && i < n->n; i++)
		node_free(n->child[i]);
	lsvd_free(n);
}

void lsvd_extent_map_free(struct extent_map *m)
{
	if (!m)
		return;
	node_free(m->root);
	while (m->pool) {
		struct node *n = m->pool;

		m->pool = n->next;
		lsvd_free(n);
	}
	lsvd_free(m);
}

/*
 * The most nodes that `calls` calls can take. A call adds two entries at most: the new one, and the
 * second half of one it divides. A split needs a node that is full: it is so already, or becomes so
 * by a quarter of FANOUT insertions since it was split or merged. A cut at the right edge leaves a
 * full node behind, which may be split once more.
 */
static uint64_t nodes_needed(const struct extent_map *m, uint64_t calls)
{
	uint64_t insertions = 2 * calls, need = 0;

	for (unsigned level = 0; level < LEVELS_MAX && insertions > 0; level++) {
		uint64_t full = m->nodes[level] + insertions / (FANOUT / 4);

		if (level > m->root->level)
			need++; /* a new root */
		insertions = min_u64(insertions, 2 * full);
		need += insertions;
	}
	return need;
}

/* What a burst needed goes back little by little. */
static void pool_trim(struct extent_map *m)
{
	for (unsigned i = 0; i < 2 && m->pool_nodes > 2 * m->pool_goal + POOL_SLACK; i++)
		lsvd_free(pool_take(m));
}

int lsvd_extent_map_reserve(struct extent_map *m, unsigned n)
{
	uint64_t need;

	if (n <= m->reserved_calls)
		return 0;
	need = nodes_needed(m, n);
	while (m->pool_nodes < need) {
		struct node *new = lsvd_malloc(sizeof(*new));

		if (!new)
			return -ENOMEM;
		pool_put(m, new);
	}
	m->pool_goal = need;
	m->reserved_calls = n;
	pool_trim(m);
	return 0;
}

uint64_t lsvd_extent_map_count(const struct extent_map *m)
{
	return m->entries;
}

uint64_t lsvd_extent_map_memory(const struct extent_map *m)
{
	uint64_t nodes = m->pool_nodes;

	for (unsigned i = 0; i < LEVELS_MAX; i++)
		nodes += m->nodes[i];
	return sizeof(*m) + nodes * sizeof(struct node);
}

/* ------------------------------------------------------------------------------ check, dump */

/* What follows is for tests and is meant to assert in every build. */
#undef NDEBUG
#include <assert.h>

struct check {
	uint64_t nodes[LEVELS_MAX];
	uint64_t entries;
	uint64_t end;            /* of the entry before */
	const struct node *leaf; /* the leaf before */
};

static void check_leaf(const struct node *n, uint64_t lo, uint64_t hi, struct check *c)
{
	assert(n->prev == c->leaf && (!c->leaf || c->leaf->next == n));
	for (unsigned i = 0; i < n->n; i++) {
		assert(n->key[i] >= lo && n->key[i] < hi);
		assert(n->key[i] >= c->end);
		assert(n->body[i].len > 0 && n->body[i].len <= UINT64_MAX - n->key[i]);
		assert(n->body[i].val >> KIND_SHIFT <= EXTENT_HOLE);
		c->end = entry_end(n, i);
	}
	c->entries += n->n;
	c->leaf = n;
}

/* All addresses under n lie in [lo, hi). */
static void check_node(const struct extent_map *m, const struct node *n, uint64_t lo, uint64_t hi,
		       struct check *c)
{
	assert(n->n <= FANOUT && (n->n > 0 || (n == m->root && n->level == 0)));
	c->nodes[n->level]++;
	if (n->level == 0) {
		check_leaf(n, lo, hi, c);
		return;
	}
	for (unsigned i = 0; i < n->n; i++) {
		uint64_t from = i > 0 ? n->key[i] : lo;
		uint64_t to = i + 1u < n->n ? n->key[i + 1] : hi;

		assert(from >= lo && from < to && to <= hi);
		assert(n->child[i]->level + 1 == n->level);
		check_node(m, n->child[i], from, to, c);
	}
}

void lsvd_extent_map_check(const struct extent_map *m)
{
	struct check c = { .entries = 0 };
	uint64_t pool = 0;

	check_node(m, m->root, 0, UINT64_MAX, &c);
	assert(!c.leaf->next);
	assert(m->root->level == 0 || m->root->n >= 2);
	assert(c.entries == m->entries);
	assert(memcmp(c.nodes, m->nodes, sizeof(c.nodes)) == 0);
	for (const struct node *n = m->pool; n; n = n->next)
		pool++;
	assert(pool == m->pool_nodes);
}

void lsvd_extent_map_dump(const struct extent_map *m, FILE *out)
{
	static const char *const kinds[] = { "data", "zero", "hole", "?" };
	const struct node *n = m->root;
	char line[96];

	while (n->level > 0)
		n = n->child[0];
	for (; n; n = n->next)
		for (unsigned i = 0; i < n->n; i++) {
			int len = snprintf(line, sizeof(line),
					   "%" PRIu64 " +%" PRIu64 " %s %" PRIu64 "\n", n->key[i],
					   n->body[i].len, kinds[n->body[i].val >> KIND_SHIFT],
					   (uint64_t)(n->body[i].val & VALUE_MASK));

			(void)fwrite(line, 1, (size_t)len, out); /* a dump is for people */
		}
}
