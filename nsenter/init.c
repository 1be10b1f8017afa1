/*
 * A minimal init: the container's first process stays the stub, and a child of it becomes the program.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "stub.h"

static const uint64_t none, all = ~0ull;

/* By system call: libc keeps signals 32 to 34 to itself. */
static void block(const uint64_t *mask)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, NULL, sizeof *mask);
}

/* Waits until the other end has said that the init is one, and ends if it never will be. */
static void await_init(int sock)
{
	char word;
	if (recv(sock, &word, sizeof word, 0) != sizeof word)
		quit(1);
	close(sock);
}

/*
 * A child goes on with the steps that are the program's, once this process, which
 * skips them, has taken the ones behind them, by which it loses its privileges, and stays. What is blocked is kept for it even
 * as the first process of a pid namespace, which otherwise ignores it (pid_namespaces(7)).
 */
STEP(init)
{
	const struct k_clone_args args = {.exit_signal = SIGCHLD};
	int pair[2];
	block(&all);
	prctl(PR_SET_NAME, "rt:[init]", 0, 0, 0);
	TRY(c, "prctl PR_SET_CHILD_SUBREAPER", prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)); /* without a pid namespace */
	TRY(c, "socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	TRY(c, "clone3", c->program = (pid_t)syscall(NR_clone3, &args, sizeof args));
	close(pair[c->program > 0 ? 0 : 1]);
	if (c->program > 0) {
		if (c->handout >= 0)
			TRY(c, "signalfd4", c->signals = (int)syscall(SYS_signalfd4, -1, &all, sizeof all, SFD_CLOEXEC | SFD_NONBLOCK));
		c->ready = pair[1];
		c->skip = s->init.steps;
		return 0;
	}
	prctl(PR_SET_NAME, "rt:[stub]", 0, 0, 0);
	await_init(pair[0]);
	/* Job control is the program's: keys and SIGTTOU are for its process group. */
	pid_t self = getpid();
	TRY(c, "setpgid", setpgid(0, 0));
	if (s->init.terminal)
		TRY(c, "ioctl TIOCSPGRP", ioctl(0, TIOCSPGRP, &self));
	block(&none);
	return 0;
}

/* Closes all that is not needed to hand out namespaces. */
static void close_all(struct ctx *c)
{
	int kept[NS_TYPES + 3] = {c->handout, c->signals, c->root};
	memcpy(kept + 3, c->ns, sizeof c->ns);
	close_but(0, kept, c->handout < 0 ? 0 : NS_TYPES + 3);
}

/* Waits until there is a signal, or a connection. */
static void await_any(struct ctx *c)
{
	struct pollfd p[2] = {{.fd = c->signals, .events = POLLIN}, {.fd = c->handout, .events = POLLIN}};
	const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
	ppoll(p, 2, NULL, NULL);
	if (p[1].revents && hand_out(c) < 0)
		ppoll(p, 1, &moment, NULL);
}

/*
 * Passes on every signal that can be had, reaps orphans, and ends as the program does, all the rest with it. Its filter allows
 * what is done here and nothing else (initCalls in plan/init.go).
 */
void stay(struct ctx *c)
{
	static const struct timespec now;
	int sig, status;
	pid_t pid;
	struct iovec word = {"", 1};
	const struct msghdr m = {.msg_iov = &word, .msg_iovlen = 1};
	sendmsg(c->ready, &m, MSG_NOSIGNAL);
	munmap(c->plan, c->plan_size); /* it has paths of the host */
	close_all(c);
	for (;;) {
		if (c->handout >= 0)
			await_any(c);
		sig = (int)syscall(SYS_rt_sigtimedwait, &all, NULL, c->handout < 0 ? NULL : &now, sizeof all);
		if (sig > 0 && sig != SIGCHLD)
			kill(c->program, sig);
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			if (pid == c->program && !WIFSTOPPED(status)) /* a tracee's stop, which it can have made by PTRACE_TRACEME */
				quit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
}
