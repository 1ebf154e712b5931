/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_fiber.c - stacks to run procedures on, and how a procedure waits.
 *
 * A fiber runs until it waits, yields, sleeps or ends; then the scheduler goes on. One that is
 * dropped never runs again; what lay on its stack is simply gone, as on a machine that lost power.
 *
 * setcontext() is only how a fiber gets onto its stack. From then on the compiler's own longjmp()
 * switches: it leaves the signal mask alone, and to save and restore that was half of all the time
 * that a run took. Stacks are kept for the next run, too.
 *
 * The address sanitizer is told of every switch. What it keeps for a stack (the frames in which it
 * looks for uses after a return) stays with the stack.
 */
#include "sim_internal.h"

#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#ifdef SIM_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_BYTES (256u << 10)

struct sim_fiber {
	struct list link;            /* host->waiting or unused */
	struct sim_host *host;
	void (*fn)(void *arg);
	void *arg;
	struct port *port;           /* waited on */
	bool begun, ended;
	ucontext_t first;
	void *here[5], *back[5];     /* as __builtin_setjmp() wants them */
	uint8_t *stack;
#ifdef SIM_ASAN
	void *frames;                /* the sanitizer's */
	const void *back_stack;
	size_t back_bytes;
#endif
};

/* What main() waits for. */
struct main_wait {
	struct list link;
	struct port *port;
	bool woken;
};

static struct list unused = LIST_INIT(unused); /* fibers, with their stacks */

/* ------------------------------------------------------------------------------------ switching */

/*
 * To where another one left, or, if it never did, to where it begins. Neither the compiler nor the
 * sanitizer must think that this is a function that does not return.
 */
static __attribute__((noinline, no_sanitize_address)) void jump(void **from, void **to,
								 const ucontext_t *first)
{
	if (__builtin_setjmp(from))
		return;
	if (!first)
		__builtin_longjmp(to, 1);
	(void)setcontext(first); /* fails only for want of a stack */
}

static void enter_fiber(struct sim_fiber *f)
{
	const ucontext_t *first;
#ifdef SIM_ASAN
	void *fake;

	__sanitizer_start_switch_fiber(&fake, f->stack, STACK_BYTES);
#endif
	first = f->begun ? NULL : &f->first;
	f->begun = true;
	jump(f->back, f->here, first);
#ifdef SIM_ASAN
	__sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

static void leave_fiber(struct sim_fiber *f)
{
#ifdef SIM_ASAN
	__sanitizer_start_switch_fiber(&f->frames, f->back_stack, f->back_bytes);
#endif
	jump(f->here, f->back, NULL);
#ifdef SIM_ASAN
	__sanitizer_finish_switch_fiber(f->frames, &f->back_stack, &f->back_bytes);
#endif
}

static struct sim_fiber *starting;

static void fiber_main(void)
{
	struct sim_fiber *f = starting;

#ifdef SIM_ASAN
	__sanitizer_finish_switch_fiber(f->frames, &f->back_stack, &f->back_bytes);
	__asan_handle_no_return(); /* the frames of who was here before are free */
#endif
	f->fn(f->arg);
	f->ended = true;
	leave_fiber(f);
}

void sim_fiber_run(struct sim_fiber *f)
{
	struct sim *s = f->host->sim;
	struct sim_fiber *outer = s->running;

	s->running = f;
	s->stats.switches++;
	starting = f;
	enter_fiber(f);
	s->running = outer;
	if (f->ended)
		sim_fiber_drop(f);
}

static struct sim_fiber *stack_get(void)
{
	struct list *node = list_pop(&unused);
	struct sim_fiber *f;

	if (node)
		return list_entry(node, struct sim_fiber, link);
	f = sim_grow(NULL, sizeof *f);
	memset(f, 0, sizeof *f);
	f->stack = sim_grow(NULL, STACK_BYTES);
	list_init(&f->link);
	return f;
}

void sim_fiber_drop(struct sim_fiber *f)
{
#ifdef SIM_ASAN
	__asan_unpoison_memory_region(f->stack, STACK_BYTES);
#endif
	list_del(&f->link);
	list_add_tail(unused.next, &f->link); /* at the head: it is in the cache */
}

void sim_fibers_drop_waiting(struct sim_host *h)
{
	while (!list_empty(&h->waiting))
		sim_fiber_drop(list_first(&h->waiting, struct sim_fiber, link));
}

static struct sim_event *make_runnable(struct sim_fiber *f)
{
	struct sim_event *e = sim_event_new(f->host->sim, EVENT_FIBER, f->host, NULL);

	e->fiber = f;
	sim_list_add(&f->host->sim->pool, e);
	return e;
}

/* A function of its own, and not inlined: getcontext() may return twice, says its declaration. */
static __attribute__((noinline)) void init_context(struct sim_fiber *f)
{
	if (getcontext(&f->first) != 0)
		sim_die("getcontext");
	f->first.uc_stack.ss_sp = f->stack;
	f->first.uc_stack.ss_size = STACK_BYTES;
	f->first.uc_link = NULL;
	makecontext(&f->first, fiber_main, 0);
}

void sim_spawn(struct sim_host *h, void (*fn)(void *arg), void *arg)
{
	struct sim_fiber *f = stack_get();

	f->host = h;
	f->fn = fn;
	f->arg = arg;
	f->begun = f->ended = false;
	init_context(f);
	(void)make_runnable(f);
}

/* -------------------------------------------------------------------------------------- waiting */

static void main_waits(struct sim *s, struct port *port)
{
	struct main_wait wait = { .port = port };

	list_add_tail(&s->main_waits, &wait.link);
	while (!wait.woken)
		if (sim_step(s) == SIM_IDLE)
			sim_die("main() waits at a port where nothing will ever happen");
	list_del(&wait.link);
}

static void wait_at(struct world *w, struct port *port)
{
	struct sim_host *h = sim_host_of(w);
	struct sim_host *acting = sim_alloc_host();
	struct sim_fiber *f = h->sim->running;

	(void)pthread_mutex_unlock(&port->lock); /* ours */
	if (f) {
		f->port = port;
		list_add_tail(&h->waiting, &f->link);
		leave_fiber(f);
	} else {
		main_waits(h->sim, port);
		(void)sim_act_as(acting);
	}
	(void)pthread_mutex_lock(&port->lock); /* one thread: it is free */
}

static void wake_at(struct world *w, struct port *port)
{
	struct sim_host *h = sim_host_of(w);

	list_for_each_safe(node, &h->waiting) {
		struct sim_fiber *f = list_entry(node, struct sim_fiber, link);

		if (f->port != port)
			continue;
		list_del(&f->link);
		(void)make_runnable(f);
	}
	list_for_each(node, &h->sim->main_waits) {
		struct main_wait *wait = list_entry(node, struct main_wait, link);

		if (wait->port == port)
			wait->woken = true;
	}
}

/* One thread: a fiber that waits for its event is woken by anything at the port, and looks. */
static void wait_event(struct world *w, struct port *port, struct event *event)
{
	(void)pthread_mutex_lock(&port->lock); /* one thread: it is free */
	event->state = event->state == EVENT_SET ? EVENT_SET : EVENT_AWAITED;
	while (event->state != EVENT_SET)
		wait_at(w, port);
	(void)pthread_mutex_unlock(&port->lock); /* ours */
}

static void wake_event(struct world *w, struct port *port, const struct event *event)
{
	(void)event;
	wake_at(w, port);
}

const struct wait_ops sim_wait_ops = {
	.wait = wait_at,
	.wake = wake_at,
	.wait_event = wait_event,
	.wake_event = wake_event,
};

void sim_sleep(struct sim_host *h, uint64_t ms)
{
	struct sim *s = h->sim;

	if (!s->running) {
		(void)sim_step(s); /* main() has nothing to wait for */
		return;
	}
	make_runnable(s->running)->at_ms = s->now_ms + ms;
	leave_fiber(s->running);
}

void sim_yield(struct sim_host *h)
{
	sim_sleep(h, 0);
}
