/*
 * Steps from the look for the program to execve: the wait for `rt start`, the filter, the gate.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "stub.h"

static int executable(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	/* By the effective ids and capabilities: exec is the user already, access(2) would ask for the real ones' rights. */
	return syscall(NR_faccessat2, AT_FDCWD, path, X_OK, K_AT_EACCESS) < 0 ? errno : 0;
}

/* Chooses what is executed, in the order of the candidates; create fails here, not start. What cannot be looked at ends the
 * search, as in execvp(3): behind it may be another program of the same name. */
STEP(find_exec)
{
	int worst = ENOENT;
	made_close(c);
	c->what = "find";
	for (uint32_t i = 0; i < s->nstr; i++) {
		int err = s->str[i] ? executable(s->str[i]) : ENOENT;
		if (err == 0) {
			c->exe = s->str[i];
			return 0;
		}
		if (err == EACCES || s->nstr == 1)
			worst = err;
		else if (err != ENOENT && err != ENOTDIR && err != EISDIR)
			return -err;
	}
	return -worst;
}

/* The first process of a pid namespace ignores what it has no handler for (pid_namespaces(7)): a container that
 * is never started could only be stopped by SIGKILL. */
static void end_by_signal(int sig)
{
	quit(128 + sig);
}

static void on_end_signals(void (*handler)(int))
{
	static const int sigs[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
	for (unsigned i = 0; i < sizeof sigs / sizeof *sigs; i++)
		signal(sigs[i], handler);
}

/* From the moment that rt says a container is created, a signal ends it, also as the first process of its pid namespace. */
void heed_signals(void)
{
	on_end_signals(end_by_signal);
}

/* Waits until there is something at a socket, and serves those who ask for namespaces meanwhile: hooks do, during a start. */
static void await_input(struct ctx *c, int sock)
{
	struct pollfd p[2] = {{.fd = sock, .events = POLLIN}, {.fd = c->handout, .events = POLLIN}};
	const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
	do {
		ppoll(p, 2, NULL, NULL);
		if (p[1].revents && hand_out(c) < 0)
			ppoll(p, 1, &moment, NULL);
	} while (!p[0].revents);
}

/*
 * Accepts a connection that is there. Somebody in the container may have lowered this process's limit on open files (prlimit(2)): the
 * soft one is raised again; if that does not help, `rt start` must not wait for ever. Want of the host's lasts a moment only.
 */
static int accept_start(struct ctx *c, int listener)
{
	enum { TRIES = 100 };
	const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
	struct rlimit files;
	for (int tries = 0; tries < TRIES;) {
		await_input(c, listener);
		int conn = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (conn >= 0 || (errno != ENFILE && errno != EMFILE && errno != ENOMEM && errno != ENOBUFS))
			return conn;
		if (errno == EMFILE) {
			tries++;
			if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
				files.rlim_cur = files.rlim_max;
				setrlimit(RLIMIT_NOFILE, &files);
			}
		}
		ppoll(NULL, 0, &moment, NULL);
	}
	return -1;
}

/* Waits for `rt start` at a listening socket. From here on that is the one to talk to. */
STEP(await_start)
{
	int conn, listener = slot(c, s->await_start.listener);
	c->what = "await start";
	if (listener < 0) /* ppoll(2) would wait for ever */
		return -EBADF;
	close(c->sock);
	c->sock = -1;
	if ((conn = accept_start(c, listener)) < 0)
		quit(1);
	close(listener);
	c->sock = conn;
	await_input(c, conn);
	talk_wait(c);
	on_end_signals(SIG_DFL);
	return 0;
}

/* Loads a filter. rt gets its listener if it is to be notified. */
STEP(seccomp)
{
	struct {
		unsigned short len;
		void *insns;
	} prog = {(unsigned short)(s->seccomp.size / 8), s->str[0]};
	long fd;
	TRY(c, "seccomp", fd = syscall(SYS_seccomp, 1, s->seccomp.flags, &prog));
	return s->seccomp.notify ? talk_listener(c, (int)fd, s->seccomp.send != 0) : 0;
}

/* Keeps a FIFO for exec to wait at. It is open for both, and has room for one write (F_SETPIPE_SZ). */
STEP(gate)
{
	c->gate = slot(c, s->gate.fifo);
	return 0;
}

/*
 * Lets rt hand over what it has, then puts a byte into the FIFO and waits until it has been read, which makes room again.
 * A filter is in force: read, write and ppoll must do, and ppoll needs no restart_syscall after a stop.
 */
static int await_reader(struct ctx *c)
{
	struct reply r = {.type = R_SYNC, .left = c->nsteps - c->step, .value = SYNC_GATE};
	struct pollfd p = {.fd = c->gate, .events = POLLOUT};
	uint32_t word = 0;
	if (write(c->sock, &r, sizeof r) != sizeof r || read(c->sock, &word, sizeof word) != sizeof word)
		quit(1); /* rt is gone */
	TRY(c, "write to the FIFO", write(c->gate, "", 1));
	TRY(c, "ppoll", ppoll(&p, 1, NULL, NULL));
	return 0;
}

/* The errors of execve(2), in the words of runc (Go's), and what usually helps. */
static const struct { int err; const char *text, *hint; } exec_errors[] = {
	{ENOEXEC, "exec format error", "it is built for another architecture, or it is a script without #!"},
	{ENOENT, "no such file or directory", "the program's interpreter or dynamic loader is not in the rootfs"},
	{EACCES, "permission denied", NULL},
	{E2BIG, "argument list too long", NULL},
	{EAGAIN, "resource temporarily unavailable", NULL},
	{EINVAL, "invalid argument", NULL},
	{EIO, "input/output error", NULL},
	{EISDIR, "is a directory", NULL},
	{ELIBBAD, "accessing a corrupted shared library", NULL},
	{ELOOP, "too many levels of symbolic links", NULL},
	{EMFILE, "too many open files", NULL},
	{ENAMETOOLONG, "file name too long", NULL},
	{ENFILE, "too many open files in system", NULL},
	{ENOMEM, "cannot allocate memory", NULL},
	{ENOSYS, "function not implemented", NULL},
	{ENOTDIR, "not a directory", NULL},
	{EPERM, "operation not permitted", NULL},
	{ETXTBSY, "text file busy", NULL},
};

/*
 * Ends as runc does when the program cannot be executed: the reason on its stderr, exit status 255. rt hears of it first, for
 * stderr may be a pipe that is full. A filter is in force: the message goes as report's does, and stderr takes a write.
 */
static void end_without(struct ctx *c, const char *path, int err)
{
	char text[MAX_PATH + 256];
	const char *why = NULL, *hint = NULL;
	for (unsigned i = 0; i < sizeof exec_errors / sizeof *exec_errors; i++)
		if (exec_errors[i].err == err)
			why = exec_errors[i].text, hint = exec_errors[i].hint;
	int n = snprintf(text, sizeof text, "exec %.4095s: ", path);
	if (why)
		n += snprintf(text + n, sizeof text - (size_t)n, "%s\n", why);
	else
		n += snprintf(text + n, sizeof text - (size_t)n, "errno %d\n", err);
	if (hint)
		n += snprintf(text + n, sizeof text - (size_t)n, "hint: %s\n", hint);
	talk_send(c, R_NO_PROGRAM, err, NULL, -1);
	ssize_t said = write(STDERR_FILENO, text, (size_t)n); /* or not, which changes nothing */
	(void)said;
	quit(255);
}

/*
 * Becomes the program. The environment is at an index of the strings. A failure is an error of the step, or with own_end the program's
 * end (end_without), unless it is one errno.
 */
STEP(exec)
{
	const char *path = c->exe ? c->exe : s->str[0];
	int r = c->gate < 0 ? 0 : await_reader(c);
	if (r < 0)
		return r;
	c->what = "execve";
	execve(path, (char **)s->str, (char **)s->str + s->exec.environment);
	r = errno;
	if (s->exec.own_end && (uint32_t)r != s->exec.but)
		end_without(c, path, r);
	return -r;
}
