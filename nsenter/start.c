/*
 * Starting the stub, outside of containers. fork and exec by Go's library keep rt waiting until the new program is
 * there, as vfork(2) does, which is as long as reading a configuration takes. Here rt goes on meanwhile.
 */
#ifndef RT_STUB_IMAGE

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "start.h"

/* What rt was started with and Go's runtime has changed since: who rt starts has it back. */
static struct rlimit nofile;

static void end_with(const char *text)
{
	ssize_t ignored = write(2, text, strlen(text));
	(void)ignored;
	_exit(1);
}

/* Threads: runtime/cgo has printed why it cannot make one, and gives up; nothing else in rt does. */
__attribute__((weak)) void abort(void) /* weak: a static glibc insists on its own */
{
	end_with("hint: a limit on processes is reached: the cgroup's pids.max, RLIMIT_NPROC or kernel.threads-max\n");
	__builtin_unreachable();
}

/*
 * Called before Go's runtime starts, which says in many lines what rt says in one: with fewer descriptors than 8 it finds no
 * place for its poller.
 */
void rt_note_start(void)
{
	enum { LEAST_FDS = 8 };
	if (getrlimit(RLIMIT_NOFILE, &nofile) == 0 && nofile.rlim_cur < LEAST_FDS)
		end_with("rt: start: too many open files: RLIMIT_NOFILE is less than 8\nhint: ulimit -n shows and raises it\n");
}

/* The limit on open files of rt's caller. */
void rt_files(uint64_t lim[2])
{
	lim[0] = nofile.rlim_cur;
	lim[1] = nofile.rlim_max;
}

/* A process between clone and execve. It shares rt's memory, and so may touch only this and make system calls. */
struct rt_child {
	uint32_t there; /* 1 until it has left rt's memory; the kernel clears it and wakes who waits (set_tid_address(2)) */
	int err;	/* why it could not become the program */
	int fd[3], extra, conv, image;
	char env[32];
	_Alignas(16) char stack[16384];
};

/* The signals that this process ignores, signal 1 as bit 0 (proc_pid_status(5)). All, if that cannot be read, or lies behind a long list of
 * supplementary groups, whole or in part. */
static uint64_t ignored_signals(void)
{
	char text[4096];
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	const char *line = strstr(text, "\nSigIgn:\t");
	return line && strchr(line + 1, '\n') ? strtoull(line + 9, NULL, 16) : ~0ull;
}

/*
 * A process starts with what its parent ignored, which is not the container's. What its parent had a handler for is reset by execve(2).
 * By system call: libc keeps signals 32 to 34 to itself. All zero is SIG_DFL.
 */
static void reset_ignored(void)
{
	static const uint64_t zero[4];
	uint64_t ignored = ignored_signals();
	for (int i = 1; i < 65; i++)
		if (ignored >> (i - 1) & 1)
			syscall(SYS_rt_sigaction, i, zero, NULL, sizeof *zero); /* EINVAL for SIGKILL and SIGSTOP */
}

/* Moves fd above the numbers that are to be filled. */
static int above(const struct rt_child *c, int fd)
{
	return (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 4 + c->extra); /* musl's fcntl(2) makes two calls of it */
}

/* Runs in the child. The signals are blocked, so that no handler of Go's runs here; the stub unblocks them. */
static int become_stub(void *arg)
{
	struct rt_child *c = arg;
	int moved[4] = {above(c, c->fd[0]), above(c, c->fd[1]), above(c, c->fd[2]), above(c, c->conv)};
	int image = above(c, c->image), ok = image >= 0;
	for (int i = 0; i < 4; i++)
		ok = ok && moved[i] >= 0 && dup2(moved[i], i < 3 ? i : 3 + c->extra) >= 0;
	for (int i = 0; i < c->extra; i++)
		ok = ok && fcntl(3 + i, F_SETFD, 0) >= 0;
	reset_ignored();
	char *argv[] = {"rt", NULL}, *envp[] = {c->env, NULL};
	if (ok)
		syscall(SYS_execveat, image, "", argv, envp, AT_EMPTY_PATH);
	c->err = errno;
	_exit(127);
}

/*
 * Starts the program in the file image with fd[0..3) as its standard descriptors, those from 3 on to 3+extra as they are, and
 * conv behind them, and returns its pid, a child's, or -errno. It need not be there yet: *child is for rt_child_wait.
 */
int rt_child_start(const int fd[3], int extra, int conv, int image, struct rt_child **child)
{
	struct rt_child *c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c == MAP_FAILED)
		return -errno;
	*c = (struct rt_child){.there = 1, .fd = {fd[0], fd[1], fd[2]}, .extra = extra, .conv = conv, .image = image};
	snprintf(c->env, sizeof c->env, "_RT_STUB=%d", 3 + extra);
	const uint64_t all = ~0ull;
	uint64_t before;
	/* By system call: libc keeps signals 32 to 34 to itself. */
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
	int pid = clone(become_stub, c->stack + sizeof c->stack, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, c, NULL, NULL, &c->there);
	int err = errno;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
	if (pid < 0) {
		munmap(c, sizeof *c);
		return -err;
	}
	*child = c;
	return pid;
}

/* Waits until the child is the program, or has ended, and returns 0 or why it could not become it, -errno. */
int rt_child_wait(struct rt_child *c)
{
	while (__atomic_load_n(&c->there, __ATOMIC_ACQUIRE))
		syscall(SYS_futex, &c->there, FUTEX_WAIT, 1, NULL, NULL, 0);
	int err = c->err;
	munmap(c, sizeof *c);
	return -err;
}

#else
typedef int not_empty;
#endif
