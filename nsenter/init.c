/*
 * A minimal init: the container's first process stays the stub, and a child of it becomes the program.
 */
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "stub.h"

static const uint64_t none, all = ~0ull;

/* By system call: libc keeps signals 32 to 34 to itself. */
static void block(const uint64_t *mask)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, NULL, sizeof *mask);
}

/*
 * a: how many of the next steps are the program's, 1 if it has a terminal. A child goes on with those; this process
 * skips them, takes the ones behind them, by which it loses its privileges, and ends in stay. What is blocked is kept
 * for it even as the first process of a pid namespace, which otherwise ignores it (pid_namespaces(7)).
 */
STEP(init)
{
	const struct k_clone_args args = {.exit_signal = SIGCHLD};
	block(&all);
	TRY(c, "prctl PR_SET_CHILD_SUBREAPER", prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)); /* without a pid namespace */
	TRY(c, "clone3", c->program = (pid_t)syscall(NR_clone3, &args, sizeof args));
	if (c->program > 0) {
		c->skip = (uint32_t)s->a[0];
		return 0;
	}
	/* Job control is the program's: keys and SIGTTOU are for its process group. */
	pid_t self = getpid();
	TRY(c, "setpgid", setpgid(0, 0));
	if (s->a[1])
		TRY(c, "ioctl TIOCSPGRP", ioctl(0, TIOCSPGRP, &self));
	block(&none);
	return 0;
}

/* Passes on every signal that can be had, reaps orphans, and ends as the program does, all the rest with it. */
void stay(struct ctx *c)
{
	int sig, status;
	pid_t pid;
	prctl(PR_SET_NAME, "rt:[init]", 0, 0, 0);
	munmap(c->plan, c->plan_size); /* what it says of the host is nobody's business here */
	syscall(NR_close_range, 0u, ~0u, 0);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* nothing is left to hide; a rootless rt must be able to join */
	for (;;) {
		sig = (int)syscall(SYS_rt_sigtimedwait, &all, NULL, NULL, sizeof all);
		if (sig > 0 && sig != SIGCHLD)
			kill(c->program, sig);
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			if (pid == c->program)
				_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
}
