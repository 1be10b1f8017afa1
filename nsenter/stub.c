/*
 * Entry, the plan's arrival, and the loop over the steps.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/auxv.h>

#include "start.h"
#include "stub.h"

_Static_assert(sizeof(char *) == 8, "the plan's encoding wants 64-bit pointers");
_Static_assert(sizeof(struct step) == 80, "keep in step with wire.go");
_Static_assert(sizeof(struct reply) == 256, "keep in step with wire.go");

#define RUN(name, strings, slots, numbers) [K_##name] = step_##name,
static int (*const run[K_END])(struct ctx *, const struct step *) = {KINDS(RUN)};

/*
 * Ends the process under any filter, which can deny each call, or pretend that it was made (SECCOMP_RET_ERRNO): a trap is none,
 * and its default action ends the first process of a pid namespace too. libc's _exit calls exit for ever.
 */
void quit(int status)
{
	syscall(SYS_exit_group, status);
	syscall(SYS_exit, status);
	__builtin_trap();
}

/*
 * The plan is mapped privately, and a private mapping shows what is written to the file later, page by page, until the
 * stub itself writes to that page. A file with all of these seals can no longer change: what is checked is what is executed.
 */
enum { PLAN_SEALS = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL };

/* Receives the plan (a sealed memfd, the very first descriptor) and those descriptors that come with it. */
static const struct step *receive_plan(struct ctx *c)
{
	int first[MOST_FDS];
	int n = receive_fds(c->sock, first, MOST_FDS);
	if (n < 1)
		quit(1); /* rt is gone */
	struct stat st;
	int seals = fcntl(first[0], F_GET_SEALS); /* EINVAL: no memfd */
	if (seals < 0 || (seals & PLAN_SEALS) != PLAN_SEALS)
		return NULL;
	if (fstat(first[0], &st) < 0 || st.st_size <= 0 || st.st_size > 64 << 20)
		return NULL;
	size_t len = (size_t)st.st_size;
	void *near = (void *)0x500000; /* if free: the tables of the image's pages do, and the container's limit has 12 KiB more room */
	void *base = mmap(near, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, first[0], 0);
	if (base == MAP_FAILED)
		return NULL;
	close(first[0]);
	if (plan_check(base, len))
		return NULL;
	const struct plan_header *h = base;
	c->have = (uint32_t)n - 1;
	if (c->have > h->nfds)
		return NULL;
	c->nfds = h->nfds;
	c->nsteps = h->nsteps;
	c->plan = base;
	c->plan_size = len;
	memset(c->fd, 0xff, sizeof c->fd); /* -1: not there yet */
	memcpy(c->fd, first + 1, c->have * sizeof(int));
	return plan_first(base);
}

/* Says what failed and, on a line of its own, a file system's words about what it did not like (fsopen(2)). */
static void report(struct ctx *c, int err)
{
	char text[240];
	/* A mount option's name may be long; leave room for the detail. */
	int n = snprintf(text, sizeof text, "%.160s", c->what ? c->what : "");
	if (c->detail_fd >= 0) {
		text[n++] = '\n';
		ssize_t got = read(c->detail_fd, text + n, sizeof text - 1 - (size_t)n);
		text[n + (got > 0 ? got : 0)] = 0;
	}
	talk_send(c, R_ERROR, -err, text, -1);
}

/* Runs the plan that arrives on sock. Does not return. */
void stub_main(int sock)
{
	struct made made; /* made.target is not cleared: it would cost a page */
	struct ctx c = {.sock = sock, .root = -1, .made = &made, .proc = -1, .null = -1, .mask = -1, .opener = -1, .gate = -1, .undo = -1, .handout = -1, .detail_fd = -1};
	made.n = 0, made.parts = 0, made.used = 0, made.borrowed = 0, made.mount = NULL;
	prctl(PR_SET_NAME, "rt:[stub]", 0, 0, 0);
	static const uint64_t none;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none); /* all were blocked until here: start.c */
	umask(0); /* modes in the plan are meant as they are */
	fcntl(sock, F_SETFD, FD_CLOEXEC);
	syscall(NR_close_range, (unsigned)sock + 1, ~0u, 0);
	const struct step *s = receive_plan(&c);
	if (!s) {
		c.what = "receive plan";
		report(&c, -EBADMSG);
		quit(1);
	}
	/* Nothing in the container may look at or into this process (ptrace, /proc/PID/fd), from the first step on. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	for (; c.step < c.nsteps; c.step++, s = plan_next(s)) {
		if (c.skip > 0) {
			c.skip--;
			continue;
		}
		c.what = NULL;
		c.detail_fd = -1;
		int r = run[s->kind](&c, s);
		if (r < 0) {
			undo_mounts(&c);
			report(&c, r);
			quit(1);
		}
	}
	if (c.program > 0)
		stay(&c);
	quit(0);
}

/*
 * "_RT_STUB=N" in the environment says that this process is the stub and N is its socket. Any caller can set it: a program that has more
 * rights than its caller does not believe it.
 */
static int stub_socket(void)
{
	if (getauxval(AT_SECURE))
		return -1;
	const char *v = getenv("_RT_STUB");
	char *end = NULL;
	long n = v && *v ? strtol(v, &end, 10) : -1;
	return n < 0 || n > 999999 || *end ? -1 : (int)n;
}

#ifdef RT_STUB_IMAGE
int main(void)
{
	int sock = stub_socket();
	if (sock < 0)
		return 1;
	stub_main(sock);
}

#else
/* rt executes a sealed memfd: in an rt that runs from its file the variable is its caller's. */
static int is_sealed(void)
{
	int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), seals = exe < 0 ? -1 : fcntl(exe, F_GET_SEALS);
	if (exe >= 0)
		close(exe);
	return seals >= 0 && (seals & PLAN_SEALS) == PLAN_SEALS;
}

/* Before the Go runtime starts; musl passes constructors no arguments, the environment is there. */
__attribute__((constructor)) static void take_over(void)
{
	int sock = stub_socket();
	if (sock >= 0 && is_sealed())
		stub_main(sock);
	rt_note_start();
}

#endif
