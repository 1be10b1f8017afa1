/*
 * Entry, the conversation with rt, and the loop over the steps.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/auxv.h>

#include "start.h"
#include "stub.h"

_Static_assert(sizeof(char *) == 8, "the plan's encoding wants 64-bit pointers");
_Static_assert(sizeof(struct step) == 80, "keep in step with wire.go");
_Static_assert(sizeof(struct reply) == 256, "keep in step with wire.go");

#define RUN(name, strings, slots) [K_##name] = step_##name,
static int (*const run[K_END])(struct ctx *, const struct step *) = {KINDS(RUN)};

/* No call below is ever interrupted: no signal has a handler but where the stub waits for its start. */

/* Sends a message with n descriptors. Returns 0 or -errno. */
int send_fds(int sock, const void *data, size_t len, const int *fds, unsigned n, int flags)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(MOST_FDS * sizeof(int))];
	} u;
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	if (n > 0) {
		memset(&u, 0, CMSG_SPACE(n * sizeof(int)));
		m.msg_control = &u;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		u.h.cmsg_level = SOL_SOCKET;
		u.h.cmsg_type = SCM_RIGHTS;
		u.h.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&u.h), fds, n * sizeof(int));
	}
	return sendmsg(sock, &m, MSG_NOSIGNAL | flags) == (ssize_t)len ? 0 : -errno;
}

/* Receives a message of exactly len bytes with up to max descriptors. Returns their number or -errno; -EPIPE if it has another length. */
int recv_fds(int sock, void *data, size_t len, int *fds, unsigned max)
{
	struct iovec iov = {data, len};
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(MOST_FDS * sizeof(int))];
	} u;
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof u};
	ssize_t got = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	if (got != (ssize_t)len || m.msg_flags & MSG_TRUNC)
		return -EPIPE;
	if (m.msg_flags & MSG_CTRUNC) /* no more is sent than fits into u: it is RLIMIT_NOFILE that left some out (unix(7)) */
		return -EMFILE;
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (!h)
		return 0;
	if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS || h->cmsg_len < CMSG_LEN(sizeof(int)))
		return -EBADMSG;
	unsigned n = (unsigned)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	if (n > max)
		return -EBADMSG;
	memcpy(fds, CMSG_DATA(h), n * sizeof(int));
	return (int)n;
}

/* Tells rt something, with a descriptor if fd >= 0. */
int talk_send(struct ctx *c, uint32_t type, int32_t value, const char *text, int fd)
{
	struct reply r = {.type = type, .left = c->nsteps - c->step, .value = value};
	if (text) {
		r.len = (uint32_t)strnlen(text, sizeof r.text);
		memcpy(r.text, text, r.len);
	}
	int err = send_fds(c->sock, &r, sizeof r, &fd, fd >= 0, 0);
	if (err == 0)
		return 0;
	/* A filter may deny the one and allow the other. To a closed socket write would be SIGPIPE. */
	return fd < 0 && err != -EPIPE && write(c->sock, &r, sizeof r) == sizeof r ? 0 : -EPIPE;
}

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

/* Tells rt the ids of the mounts that were made since the last time. */
int talk_mounts(struct ctx *c)
{
	struct reply r = {.type = R_MOUNTS, .left = c->nsteps - c->step, .value = (int32_t)c->nids, .len = c->nids * sizeof *c->mount_id};
	_Static_assert(sizeof r.text >= sizeof c->mount_id, "the ids fit into a message");
	memcpy(r.text, c->mount_id, r.len);
	c->nids = 0;
	return send(c->sock, &r, sizeof r, MSG_NOSIGNAL) == sizeof r ? 0 : -EPIPE;
}

/* Waits for rt's word to go on. The other end closed means that rt is gone, and with it the reason to live, and what has been
 * mounted into a container that lives on. */
int talk_wait(struct ctx *c)
{
	uint32_t word = 0;
	if (recv(c->sock, &word, sizeof word, 0) == sizeof word && word == PLAN_MAGIC)
		return 0;
	undo_mounts(c);
	quit(1);
}

/*
 * Lets rt have a filter's listener: rt is told the number and takes it (pidfd_getfd(2)), or, not being privileged, has it sent.
 * Under the filter each call may be held up for who has the listener, but for write (runc alike). So rt, which has it by
 * now, allows the calls of this process, and gives it to the agent at SYNC_FILTERED. It must not be open here then: the kernel
 * notices that the agent has closed it only if no other process has it.
 */
int talk_listener(struct ctx *c, int fd, int send)
{
	struct reply r = {.type = R_LISTENER, .left = c->nsteps - c->step, .value = fd, .len = sizeof LISTENER_CLOSED - 1, .text = LISTENER_CLOSED};
	uint32_t word = PLAN_MAGIC;
	c->what = "send listener";
	if (!send && (write(c->sock, &r, sizeof r) != sizeof r || read(c->sock, &word, sizeof word) != sizeof word))
		return -EPIPE;
	if ((send || word != PLAN_MAGIC) && talk_send(c, R_FD, 1, NULL, fd) < 0)
		return -EPIPE;
	close(fd);
	r.type = R_SYNC;
	r.value = SYNC_FILTERED;
	r.len = 0;
	return write(c->sock, &r, sizeof r) == sizeof r ? 0 : -EPIPE;
}

/* The descriptor in slot n, which plan_check has seen to be one. */
int slot(const struct ctx *c, uint64_t n)
{
	return n < c->nfds ? c->fd[n] : -1;
}

/* Takes one message of rt's: descriptors into got[0..max). Returns how many, or -errno. */
static int receive_fds(int sock, int *got, unsigned max)
{
	uint32_t word = 0;
	int n = recv_fds(sock, &word, sizeof word, got, max);
	return n == 0 || n == -EPIPE || word != PLAN_MAGIC ? -EBADMSG : n;
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

/* Receives the other descriptors: rt has made what they are of while the steps before were taken. */
STEP(inputs)
{
	(void)s;
	c->what = "receive descriptors";
	for (int n; c->have < c->nfds; c->have += (uint32_t)n)
		if ((n = receive_fds(c->sock, c->fd + c->have, c->nfds - c->have)) < 1)
			return n < 0 ? n : -EBADMSG; /* or rt is gone, and nobody hears it */
	return 0;
}

/* A process starts with what its parent ignored or blocked: not the container's. */
static void reset_signals(void)
{
	/* By system call: libc keeps signals 32 to 34 to itself. All zero is SIG_DFL, and an empty mask. */
	static const uint64_t zero[4];
	for (int i = 1; i < 65; i++)
		if (i != SIGKILL && i != SIGSTOP)
			syscall(SYS_rt_sigaction, i, zero, NULL, sizeof *zero);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, zero, NULL, sizeof *zero);
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
	reset_signals();
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
