/*
 * Steps that make this process the user's: limits, identity, capabilities, filter, execve.
 */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "stub.h"

/*
 * A change of ids, or of the user namespace to one that is somebody else's, makes a process what fs.suid_dumpable says (proc(5)): where
 * that is 1, others may trace it. This undoes it, in the very next system call.
 */
static long undumped(long result)
{
	int err = errno;
	if (result < 0)
		return result;
	result = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (result == 0)
		errno = err;
	return result;
}

/* Sets all three ids by setresgid or setresuid, and lets nobody look into the process. */
int set_id(long number, uint64_t id)
{
	return (int)undumped(syscall(number, (uid_t)id, (uid_t)id, (uid_t)id));
}

/*
 * a: number of a system call, its arguments, which of them (from 1; 0: none) is a pointer to str[0], and in the second
 * byte which is a slot. str: data, the call's name. For what is one call and nothing more.
 */
STEP(call)
{
	uint64_t a[8]; /* a[0], the number, is of no more use: where what is not asked for goes */
	memcpy(a, s->a, sizeof a);
	a[s->a[7] >> 8 & 7] = (uint64_t)slot(c, s->a[s->a[7] >> 8 & 7]);
	a[s->a[7] & 7] = (uint64_t)(uintptr_t)s->str[0];
	TRY(c, s->str[1], syscall((long)s->a[0], a[1], a[2], a[3], a[4], a[5], a[6]));
	if (s->a[0] == SYS_write && (s->a[7] >> 8 & 7) == 1) { /* a slot, a cgroup's tasks: nothing of the container's may find it open */
		close((int)a[1]);
		c->fd[s->a[1]] = -1;
	}
	if (s->a[0] == SYS_setns && s->a[2] & CLONE_NEWUSER)
		TRY(c, "prctl PR_SET_DUMPABLE", undumped(0));
	return 0;
}

static int null_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

static int is_null(int fd)
{
	struct stat st;
	return fd >= 0 && fstat(fd, &st) == 0 && null_device(&st);
}

/* Opens the null device at path below dir; -1 if anything else is there. It is opened by the descriptor that was looked at. */
static int open_null_at(struct ctx *c, int dir, const char *path)
{
	int at = path_open(dir, path, O_PATH | O_NOFOLLOW, 0), fd = -1;
	if (is_null(at))
		fd = reopen(c, at, O_RDWR | O_NOCTTY);
	close(at);
	return fd;
}

/* A file system that could not be made explains no later error. */
static void forget_detail(struct ctx *c)
{
	if (c->detail_fd >= 0)
		close(c->detail_fd);
	c->detail_fd = -1;
}

/*
 * Opens a null device that is not the host's node: the container's own, or else one in a new file system that is mounted
 * nowhere. -EPERM, -EACCES: mknod is forbidden, as in a user namespace, where the container cannot change the host's node either.
 */
static int own_null(struct ctx *c)
{
	char *const opt[] = {"source", "tmpfs", "nr_inodes", "2"};
	int fs, fd = open_null_at(c, c->root, "dev/null");
	if (fd >= 0)
		return fd;
	forget_detail(c);
	if ((fs = new_fs(c, "tmpfs", opt, 4, K_ATTR_NOSUID | K_ATTR_NOEXEC)) < 0) {
		forget_detail(c);
		return fs;
	}
	c->what = "make null device";
	if (mknodat(fs, "null", S_IFCHR | 0666, makedev(1, 3)) == 0)
		fd = k_openat2(fs, "null", O_RDWR | O_NOCTTY | O_CLOEXEC, 0, K_BENEATH | K_NO_SYMLINKS);
	if (fd < 0)
		fd = -errno;
	close(fs);
	return fd;
}

/*
 * a: uid, gid. Pipes and sockets are given to the user, so that /dev/stderr can be opened again. Files, terminals and other
 * devices belong to the host and keep their owner: the owner of a file can make it set-user-ID. The host's null device is
 * replaced, for root in the container could change its mode.
 */
STEP(chown_stdio)
{
	struct stat st;
	int null = -ENOENT; /* not there yet */
	for (int fd = 0; fd < 3; fd++) {
		if (fstat(fd, &st) < 0)
			continue;
		if (null_device(&st)) {
			if (null == -ENOENT)
				null = own_null(c);
			if (null >= 0)
				TRY(c, "dup2", dup2(null, fd));
			else if (null != -EPERM && null != -EACCES)
				return null;
		}
		if (!(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) || st.st_uid == s->a[0])
			continue;
		TRY(c, "fchown", fchown(fd, (uid_t)s->a[0], (gid_t)-1) < 0 && errno != EPERM && errno != EROFS && errno != EINVAL ? -1 : 0);
	}
	if (null >= 0)
		close(null);
	return 0;
}

/* The kernel's getcwd answers "(unreachable)/..." for a directory outside the root (CVE-2024-21626). */
static int inside(struct ctx *c)
{
	char buf[MAX_PATH];
	TRY(c, "getcwd", syscall(SYS_getcwd, buf, sizeof buf));
	c->what = "current working directory is outside of container mount namespace root -- possible container breakout detected";
	return buf[0] == '/' ? 0 : -EXDEV;
}

/*
 * a: 1 to leave it where the user alone may enter: the step comes again after credentials; 1 if it must be reached without links and be
 * the directory of this device and inode: others may lay out the way to a rootfs. str: path.
 */
STEP(chdir)
{
	struct stat st;
	if (c->cwd_done)
		return 0;
	c->what = "open";
	int fd = path_open(c->root, s->str[0], O_PATH | O_DIRECTORY, s->a[1] ? K_NO_SYMLINKS : 0);
	if (fd < 0)
		return s->a[0] && errno == EACCES ? 0 : -errno;
	if (s->a[1]) {
		TRY(c, "fstat", fstat(fd, &st));
		c->what = "rootfs changed while it was opened";
		if (st.st_dev != s->a[2] || st.st_ino != s->a[3])
			return -ESTALE;
	}
	c->what = "chdir";
	if (fchdir(fd) < 0)
		return s->a[0] && errno == EACCES ? 0 : -errno;
	close(fd);
	c->cwd_done = 1;
	return inside(c);
}

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

/* str: where to look, in order. Chooses what is executed; create fails here, not start. What cannot be looked at ends the
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
 * nobody starts could not be stopped but by SIGKILL. */
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

/* a: slot of a listening socket. From here on `rt start` is the one to talk to. */
STEP(await_start)
{
	int conn, listener = slot(c, s->a[0]);
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

/* a: bytes, SECCOMP_FILTER_FLAG_*, 1 if rt is to have the listener, 1 to send it. str: the program. */
STEP(seccomp)
{
	struct {
		unsigned short len;
		void *insns;
	} prog = {(unsigned short)(s->a[0] / 8), s->str[0]};
	long fd;
	TRY(c, "seccomp", fd = syscall(SYS_seccomp, 1, (unsigned)s->a[1], &prog));
	return s->a[2] ? talk_listener(c, (int)fd, s->a[3] != 0) : 0;
}

/* a: the capabilities that stay in the bounding set. */
STEP(bounding)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		if (s->a[0] >> cap & 1)
			continue;
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (has < 0 && errno == EINVAL) /* the kernel's last one is behind us */
			break;
		TRY(c, "prctl PR_CAPBSET_READ", has);
		if (has > 0)
			TRY(c, "prctl PR_CAPBSET_DROP", prctl(PR_CAPBSET_DROP, cap, 0, 0, 0));
	}
	return 0;
}

/* A change of uid from 0 to another clears the effective capabilities; the permitted ones are there (PR_SET_KEEPCAPS). */
static int raise_capabilities(struct ctx *c)
{
	struct k_cap_header h = {K_CAP_VERSION_3, 0};
	struct k_cap_data d[2];
	TRY(c, "capget", syscall(SYS_capget, &h, d));
	for (int i = 0; i < 2; i++)
		d[i].effective = d[i].permitted;
	TRY(c, "capset", syscall(SYS_capset, &h, d));
	return 0;
}

/*
 * What follows sets credentials and then asks for them, into variables that hold something else: under a filter, of rt's own
 * caller for one, a call may return 0 and do nothing. The container's filter is loaded later (nsenter/rights.go).
 */
static int pretended(struct ctx *c, const char *what)
{
	c->what = what;
	return -EPERM;
}

static int is_one_of(gid_t gid, const gid_t *sorted, uint64_t n)
{
	uint64_t from = 0;
	while (n > from) {
		uint64_t mid = from + (n - from) / 2;
		if (sorted[mid] == gid)
			return 1;
		if (sorted[mid] < gid)
			from = mid + 1;
		else
			n = mid;
	}
	return 0;
}

/* The kernel has its own order, by the ids of the host. */
static int has_groups(struct ctx *c, const gid_t *want, uint64_t n, gid_t *got)
{
	gid_t one = 0;
	long have = syscall(SYS_getgroups, n ? n : 1, n ? got : &one);
	if (have < 0 || (uint64_t)have != n)
		return pretended(c, "getgroups: the groups were not set");
	for (uint64_t i = 0; i < n; i++)
		if (!is_one_of(got[i], want, n))
			return pretended(c, "getgroups: the groups were not set");
	return 0;
}

static int has_ids(struct ctx *c, uid_t uid, gid_t gid)
{
	uid_t u[3] = {~uid, ~uid, ~uid};
	gid_t g[3] = {~gid, ~gid, ~gid};
	TRY(c, "getresuid", syscall(SYS_getresuid, &u[0], &u[1], &u[2]));
	TRY(c, "getresgid", syscall(SYS_getresgid, &g[0], &g[1], &g[2]));
	for (int i = 0; i < 3; i++)
		if (u[i] != uid || g[i] != gid)
			return pretended(c, "getresuid: the ids were not set");
	return 0;
}

enum { LEAVE_GROUPS = 1, TRY_GROUPS = 2, CAP_SETGID = 6 }; /* wire.go, linux/capability.h */

static int holds(unsigned cap)
{
	struct k_cap_header h = {K_CAP_VERSION_3, 0};
	struct k_cap_data d[2];
	return syscall(SYS_capget, &h, d) == 0 && d[cap / 32].effective >> cap % 32 & 1;
}

/*
 * a: uid, gid, whether to set the supplementary groups, number of groups, 1 to go on with all capabilities. str: the groups,
 * sorted, and as many others.
 * TRY_GROUPS: the groups stay only if the user namespace denies setgroups(2), which is why the kernel answers EPERM to who holds
 * CAP_SETGID.
 * Between a change of ids and its undumping a process of the same user is kept off by the capabilities that are still there
 * (ptrace(2), access mode checking).
 */
STEP(credentials)
{
	gid_t *groups = (gid_t *)(void *)s->str[0];
	uint64_t leave = s->a[2] == LEAVE_GROUPS;
	/* Permitted capabilities outlive the change of uid, until capabilities says which stay. */
	TRY(c, "prctl PR_SET_KEEPCAPS", prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	if (!leave && syscall(SYS_setgroups, (size_t)s->a[3], groups) < 0) {
		int err = errno;
		leave = s->a[2] == TRY_GROUPS && err == EPERM && holds(CAP_SETGID);
		c->what = "setgroups";
		if (!leave)
			return -err;
	}
	TRY(c, "setresgid", set_id(SYS_setresgid, s->a[1]));
	TRY(c, "setresuid", set_id(SYS_setresuid, s->a[0]));
	int r = leave ? 0 : has_groups(c, groups, s->a[3], groups + s->a[3]);
	if (r == 0)
		r = has_ids(c, (uid_t)s->a[0], (gid_t)s->a[1]);
	return r == 0 && s->a[4] ? raise_capabilities(c) : r;
}

STEP(no_new_privs)
{
	(void)s;
	TRY(c, "prctl PR_SET_NO_NEW_PRIVS", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return pretended(c, "prctl PR_GET_NO_NEW_PRIVS: it was not set");
	return 0;
}

/* The process has no capability that it was not given. The kernel leaves out those that it does not know. */
static int has_no_more(struct ctx *c, struct k_cap_header *h, const struct k_cap_data *want)
{
	struct k_cap_data got[2];
	unsigned more = 0;
	for (int i = 0; i < 2; i++)
		got[i] = (struct k_cap_data){~want[i].effective, ~want[i].permitted, ~want[i].inheritable};
	TRY(c, "capget", syscall(SYS_capget, h, got));
	for (int i = 0; i < 2; i++)
		more |= (got[i].effective & ~want[i].effective) | (got[i].permitted & ~want[i].permitted) |
			(got[i].inheritable & ~want[i].inheritable);
	return more ? pretended(c, "capget: the capabilities were not set") : 0;
}

/* a: effective, permitted, inheritable, ambient, 1 to leave the ambient set and not to look. */
STEP(capabilities)
{
	struct k_cap_header h = {K_CAP_VERSION_3, 0};
	struct k_cap_data d[2];
	for (int i = 0; i < 2; i++) {
		d[i].effective = (uint32_t)(s->a[0] >> 32 * i);
		d[i].permitted = (uint32_t)(s->a[1] >> 32 * i);
		d[i].inheritable = (uint32_t)(s->a[2] >> 32 * i);
	}
	TRY(c, "capset", syscall(SYS_capset, &h, d));
	if (s->a[4])
		return 0;
	TRY(c, "prctl PR_CAP_AMBIENT_CLEAR_ALL", prctl(47, 4, 0, 0, 0));
	for (unsigned long cap = 0; cap < 64; cap++)
		if (s->a[3] >> cap & 1)
			TRY(c, "prctl PR_CAP_AMBIENT_RAISE", prctl(47, 2, cap, 0, 0));
	return has_no_more(c, &h, d);
}

static int close_from_to(unsigned from, unsigned to)
{
	return from > to ? 0 : (int)syscall(NR_close_range, from, to, 0);
}

/* The lowest descriptor from at on that stays, ~0 if there is none. */
static unsigned next_kept(unsigned at, const int *kept, unsigned n)
{
	unsigned next = ~0u;
	for (unsigned i = 0; i < n; i++)
		if (kept[i] >= 0 && (unsigned)kept[i] >= at && (unsigned)kept[i] < next)
			next = (unsigned)kept[i];
	return next;
}

/* Closes all descriptors from one on but those of kept, of which -1 is none. */
int close_but(unsigned from, const int *kept, unsigned n)
{
	for (unsigned at = from, next = 0; next != ~0u; at = next + 1) {
		next = next_kept(at, kept, n);
		if (close_from_to(at, next == ~0u ? next : next - 1) < 0)
			return -1;
	}
	return 0;
}

/*
 * a: number of the first descriptor that the user's program must not see. To mark them is not enough: until execve has
 * found the program, its path can lead through /proc/self/fd (CVE-2024-21626). Only the conversation, the root and a gate stay.
 */
STEP(close_fds)
{
	const int kept[] = {c->sock, c->root, c->gate};
	TRY(c, "close_range", close_but((unsigned)s->a[0], kept, 3));
	c->proc = c->null = c->mask = c->opener = c->handout = -1;
	c->made->n = 0;
	c->nfds = 0;
	return 0;
}

/* a: slot of a FIFO, open for both, that has room for one write (F_SETPIPE_SZ). It is for exec to wait at. */
STEP(gate)
{
	c->gate = slot(c, s->a[0]);
	return 0;
}

/*
 * Lets rt hand over what it has, then puts a byte into the FIFO and waits until somebody has read it, which makes room again.
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
 * a: index of the environment in str; 1 if the program's end is what a failure is (end_without), else the step fails; an errno
 * by which it fails all the same, or 0. str: argv, NULL, environment, NULL.
 */
STEP(exec)
{
	const char *path = c->exe ? c->exe : s->str[0];
	int r = c->gate < 0 ? 0 : await_reader(c);
	if (r < 0)
		return r;
	c->what = "execve";
	execve(path, (char **)s->str, (char **)s->str + s->a[0]);
	r = errno;
	if (s->a[1] && (uint64_t)r != s->a[2])
		end_without(c, path, r);
	return -r;
}
