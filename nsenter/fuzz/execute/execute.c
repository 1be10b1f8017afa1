/*
 * execute SEED COUNT DIR PROGRAM [FIRST]: executes COUNT mutated plans with the stub's own code, which is built with ASan and UBSan
 * (scripts/fuzz). DIR/plans has plans, and DIR/inputs the kinds of their descriptors: `go test ./libcontainer/plan -run TestSeeds -seeds DIR`.
 * PROGRAM is what they execute. Of a failure the number of the plan is told: FIRST begins there.
 *
 * A plan is executed in a jail: new user, mount, pid, network, ipc, uts and cgroup namespaces, and a tmpfs as root, in which
 * there is nothing of the host. The jail's first process does what rt does: it makes the descriptors, answers the stub and reaps
 * its processes.
 *
 * What must hold for each plan: no report of a sanitizer; the conversation has whole messages only; each process ends, by itself, by
 * a program, or when the conversation is shut down; and a stub that fails says so.
 *
 * What a plan may ask for by design is left as it is, because rt alone makes plans: the number of a system call of step `call`,
 * flags of clone3 that make no namespace, filters, and which descriptors step close-fds closes.
 */
#include "wire.c"

#undef main /* that of the stub has another name here: -Dmain=stub_image_main */
#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

enum {
	MAX_SEEDS = 256, MAX_STEPS = 256, MAX_INPUTS = 64, MAX_BYTES = 1 << 18,
	PLANS_PER_JAIL = 20,
	REPORTED = 77, /* exit status after a sanitizer's report */
	PROGRAM = 42,  /* that of the program that plans execute */
	QUIET = 20,    /* milliseconds without a message; if all processes sleep then, the next thing is done that a stub can wait for */
	HANGS = 120,   /* seconds */
};
static const uint64_t NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME;

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0:symbolize=0:exitcode=77:use_sigaltstack=0"; }
const char *__ubsan_default_options(void) { return "symbolize=0:halt_on_error=1:print_stacktrace=1"; }

struct seed {
	char name[128];
	uint32_t size, ninputs;
	_Alignas(8) char data[MAX_BYTES];
	struct { char kind[24]; uint64_t type; char path[256]; } input[MAX_INPUTS];
};
static struct seed *seeds;
static unsigned nseeds;

static __attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("execute: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	exit(1);
}

/* Random numbers (xorshift64*): the same ones for the same seed. */
static uint64_t random_state;

static uint64_t any(void)
{
	random_state ^= random_state >> 12, random_state ^= random_state << 25, random_state ^= random_state >> 27;
	return random_state * 2685821657736338717u;
}

static uint32_t below(uint32_t n) { return n ? (uint32_t)(any() >> 33) % n : 0; }

/* Mutation: a plan as a list of records. */

static struct { unsigned n; struct step *step[MAX_STEPS]; } list;
static _Alignas(8) char room[MAX_STEPS * 2][1 << 14]; /* the records, each of which may be changed */
static unsigned rooms;

static void insert(unsigned at, const struct step *s)
{
	if (list.n == MAX_STEPS || rooms == MAX_STEPS * 2 || s->size > sizeof room[0])
		return;
	struct step *copy = (struct step *)(void *)room[rooms++];
	memcpy(copy, s, s->size);
	memmove(list.step + at + 1, list.step + at, (list.n - at) * sizeof *list.step);
	list.step[at] = copy;
	list.n++;
}

static const struct step *record(const struct seed *s, unsigned n)
{
	const struct step *r = plan_first(s->data);
	while (n-- > 0)
		r = plan_next(r);
	return r;
}

static uint32_t steps_of(const struct seed *s) { return ((const struct plan_header *)(const void *)s->data)->nsteps; }

static uint64_t number(uint64_t old)
{
	switch (below(8)) {
	case 0: return 0;
	case 1: return 1;
	case 2: return NO_FD;
	case 3: return ~0ull;
	case 4: return below(16);
	case 5: return old ^ 1ull << below(64);
	case 6: return old + below(3) - 1;
	default: return any();
	}
}

/* Whether the word i of the arguments may be anything. */
static int is_free(const struct step *s, unsigned i)
{
	switch (s->kind) {
	case K_call: return i >= 2 && i / 2 == (s->call.number == SYS_unshare ? 1u : s->call.number == SYS_mount ? 4u : 0u);
	case K_seccomp: return i * 4 == offsetof(struct args_seccomp, flags);
	case K_close_fds: return 0;
	default: return 1;
	}
}

static void change_argument(struct step *s)
{
	unsigned i = below(ARGS_SIZE / 4);
	if (!is_free(s, i))
		return;
	s->words[i] = s->kind < K_END && i < shape[s->kind].slots && below(4) ? below(12) : (uint32_t)number(s->words[i]);
	if (s->kind == K_clone)
		s->clone.flags &= (uint32_t)NAMESPACES;
	if (s->kind == K_call && s->call.number == SYS_unshare)
		s->call.arg1 &= NAMESPACES;
}

static void change_text(struct step *s)
{
	uint32_t begin = (uint32_t)(sizeof *s + s->nstr * sizeof(char *));
	static const char texts[] = "/../:,=\n\x01\xff%sa0";
	if (s->kind == K_call || s->kind == K_seccomp || s->size < begin + 2)
		return;
	for (unsigned n = 1 + below(4); n > 0; n--)
		((char *)s)[begin + below(s->size - begin - 1)] = below(2) ? texts[below(sizeof texts)] : (char)any();
}

static void change_string(struct step *s)
{
	if (s->nstr == 0 || s->kind == K_call || s->kind == K_seccomp)
		return;
	uintptr_t *offset = (uintptr_t *)(void *)s->str;
	unsigned i = below(s->nstr);
	offset[i] = below(3) ? offset[below(s->nstr)] : below(2) ? 0 : below(s->size);
}

/* Puts a long path in the place of a string. */
static void lengthen(struct step *s)
{
	static const char *const parts[] = {"/a", "/..", "/bin", "//.", "/proc", "x"};
	uint32_t n = 200 + below(6000), size = s->size;
	if (s->nstr == 0 || s->kind == K_call || s->kind == K_seccomp || size + n + 16 > sizeof room[0])
		return;
	((uintptr_t *)(void *)s->str)[below(s->nstr)] = size;
	char *text = (char *)s + size;
	memset(text, 0, n + 16);
	for (uint32_t at = 0; at + 8 < n;)
		at += (uint32_t)sprintf(text + at, "%s", parts[below(sizeof parts / sizeof *parts)]);
	s->size = (size + n + 8) / 8 * 8;
}

static void change_kind(struct step *s)
{
	uint32_t kind = 1 + below(K_END - 1);
	if (s->kind != K_call && s->kind != K_seccomp && kind != K_call && kind != K_seccomp && kind != K_clone && kind != K_close_fds)
		s->kind = kind;
}

static void mutate_once(void)
{
	unsigned at = below(list.n);
	struct step *s = list.step[at];
	const struct seed *other = &seeds[below(nseeds)];
	switch (below(11)) {
	case 0:
		if (list.n > 1) {
			memmove(list.step + at, list.step + at + 1, (list.n - at - 1) * sizeof *list.step);
			list.n--;
		}
		break;
	case 1: insert(below(list.n + 1), s); break;
	case 2: {
		unsigned to = below(list.n);
		list.step[at] = list.step[to];
		list.step[to] = s;
		break;
	}
	case 3: insert(at, record(other, below(steps_of(other)))); break;
	case 4: case 5: case 6: change_argument(s); break;
	case 7: change_text(s); break;
	case 8: change_string(s); break;
	case 9: lengthen(s); break;
	default: change_kind(s);
	}
}

/* Makes a plan of a seed, and returns its size. */
static uint32_t mutate(const struct seed *from, char *plan)
{
	list.n = rooms = 0;
	for (uint32_t i = 0; i < steps_of(from); i++)
		insert(list.n, record(from, i));
	for (unsigned n = below(5); n > 0; n--)
		mutate_once();
	struct plan_header *h = (struct plan_header *)(void *)plan;
	*h = *(const struct plan_header *)(const void *)from->data;
	h->nsteps = list.n;
	h->size = sizeof *h;
	for (unsigned i = 0; i < list.n; i++) {
		struct step *s = list.step[i];
		for (unsigned k = 0; s->kind < K_END && k < shape[s->kind].slots; k++) /* of a plan with more descriptors */
			if (s->words[k] != NO_FD && h->nfds > 0 && below(20))
				s->words[k] %= h->nfds;
		if (h->size + s->size > MAX_BYTES)
			break;
		memcpy(plan + h->size, s, s->size);
		h->size += s->size;
	}
	return h->size;
}

/* The jail. */

static void need(int ok, const char *what)
{
	if (!ok)
		die("%s: %s", what, strerror(errno));
}

static void make_dirs(const char *path)
{
	char part[512];
	for (size_t i = 1; i <= strlen(path) && i < sizeof part; i++)
		if (path[i] == '/' || !path[i]) {
			memcpy(part, path, i);
			part[i] = 0;
			mkdir(part, 0755);
		}
}

static void put_file(const char *path, const char *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	need(fd >= 0 && write(fd, data, size) == (ssize_t)size, path);
	close(fd);
}

static char program[1 << 16];
static size_t program_size;

static void fill_root(const char *root)
{
	static const char *const dirs[] = {"bin", "sbin", "proc", "sys", "dev", "tmp", "etc", "run", "usr/bin"};
	static const char *const programs[] = {"bin/sh", "bin/ls", "bin/true", "bin/hook", "sbin/init", "usr/bin/env", "prog", "hook"};
	char path[512];
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		snprintf(path, sizeof path, "%s/%s", root, dirs[i]);
		make_dirs(path);
	}
	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
		snprintf(path, sizeof path, "%s/%s", root, programs[i]);
		put_file(path, program, program_size);
	}
	snprintf(path, sizeof path, "%s/etc/passwd", root);
	put_file(path, "root:x:0:0::/root:/bin/sh\n", 26);
}

/* Makes the tmpfs the root, of which the host's tree is gone then. */
static void enter_root(void)
{
	static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"};
	need(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "mount private");
	need(mount("jail", "/tmp", "tmpfs", 0, "size=32m,nr_inodes=8k,mode=755") == 0, "mount tmpfs");
	need(chdir("/tmp") == 0 && mkdir("proc", 0755) == 0 && mkdir("sys", 0755) == 0 && mkdir("old", 0755) == 0, "mkdir");
	need(mount("proc", "proc", "proc", 0, NULL) == 0, "mount proc");
	need(mount("sysfs", "sys", "sysfs", 0, NULL) == 0, "mount sysfs");
	need(mkdir("dev", 0755) == 0 && mkdir("cgroup", 0755) == 0, "mkdir");
	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) { /* all that there is of the host: nodes that belong to nobody in here */
		char path[64];
		snprintf(path, sizeof path, "/tmp%s", devices[i]);
		put_file(path, "", 0);
		need(mount(devices[i], path, NULL, MS_BIND, NULL) == 0, devices[i]);
	}
	if (mount("cgroup", "cgroup", "cgroup2", 0, NULL) < 0) /* a host without v2 */
		fprintf(stderr, "execute: mount cgroup2: %s\n", strerror(errno));
	need(syscall(SYS_pivot_root, ".", "old") == 0 && chdir("/") == 0, "pivot_root");
	need(umount2("/old", MNT_DETACH) == 0 && rmdir("/old") == 0, "unmount the host's tree");
	fill_root("");
	need(mkdir("/bundle", 0755) == 0, "mkdir");
}

/* Maps the same ids in a user namespace that the stub has made. */
static void map_ids(pid_t pid)
{
	char path[64];
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "/proc/%d/%s", pid, i ? "gid_map" : "uid_map");
		int fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd >= 0 && write(fd, "0 0 65536", 9) < 0 && write(fd, "0 0 1", 5) < 0)
			; /* it is no process that waits for it */
		close(fd);
	}
}

/* Waits in namespaces of its own until the plan has ended. */
static pid_t make_holder(uint64_t namespaces)
{
	int ready[2];
	char word;
	struct k_clone_args args = {.exit_signal = SIGCHLD, .flags = namespaces & ~(uint64_t)CLONE_NEWTIME};
	need(pipe2(ready, O_CLOEXEC) == 0, "pipe");
	pid_t pid = (pid_t)syscall(NR_clone3, &args, sizeof args);
	need(pid >= 0, "clone3");
	if (pid == 0) {
		close(ready[1]);
		while (read(ready[0], &word, 1) != 0)
			;
		for (;;)
			pause();
	}
	map_ids(pid);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static pid_t holder;

/* A namespace of the holder, or else the jail's, which a plan that joins it does not change. */
static int join_namespace(uint64_t type)
{
	static const struct { uint64_t type; const char *file; } all[] = {{CLONE_NEWUSER, "user"}, {CLONE_NEWNS, "mnt"}, {CLONE_NEWPID, "pid"},
		{CLONE_NEWNET, "net"}, {CLONE_NEWIPC, "ipc"}, {CLONE_NEWUTS, "uts"}, {CLONE_NEWCGROUP, "cgroup"}, {CLONE_NEWTIME, "time"}};
	char path[64];
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i].type == type) {
			snprintf(path, sizeof path, "/proc/%d/ns/%s", holder > 0 ? holder : (int)getpid(), all[i].file);
			return open(path, O_RDONLY | O_CLOEXEC);
		}
	return -1;
}

static int listening = -1;
static unsigned sockets;

static int make_input(const char *kind, uint64_t type, const char *path)
{
	if (strcmp(kind, "namespace") == 0 || strcmp(kind, "init-namespace") == 0)
		return join_namespace(type);
	if (strcmp(kind, "id-map") == 0)
		return join_namespace(CLONE_NEWUSER);
	if (strcmp(kind, "tree") == 0) {
		make_dirs(path);
		return k_open_tree(AT_FDCWD, path, K_OPEN_TREE_CLONE | K_RECURSIVE);
	}
	if (strcmp(kind, "new-fs") == 0)
		return k_open_tree(AT_FDCWD, "/tmp", K_OPEN_TREE_CLONE);
	if (strcmp(kind, "tasks") == 0)
		return open("/tmp/tasks", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (strcmp(kind, "fifo") == 0) {
		mkfifo("/tmp/fifo", 0600);
		return open("/tmp/fifo", O_RDWR | O_CLOEXEC);
	}
	if (strcmp(kind, "listener") == 0 || strcmp(kind, "asked") == 0) {
		struct sockaddr_un a = {.sun_family = AF_UNIX};
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		snprintf(a.sun_path, sizeof a.sun_path, "/run/s%u", ++sockets);
		unlink(a.sun_path);
		need(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 8) == 0, "listen");
		if (*kind == 'l')
			listening = (int)sockets;
		return fd;
	}
	if (strcmp(kind, "cgroup") == 0)
		return open("/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return open(strcmp(kind, "init-root") == 0 ? "/" : "/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int start_socket(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (listening < 0)
		return -1;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(a.sun_path, sizeof a.sun_path, "/run/s%d", listening);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	close(fd);
	return -1;
}

static void say(int conv, const int *fds, unsigned n)
{
	uint32_t word = PLAN_MAGIC;
	struct iovec iov = {&word, sizeof word};
	static union {
		struct cmsghdr h;
		char space[CMSG_SPACE((MAX_INPUTS + 1) * sizeof(int))];
	} u;
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	if (n > 0) {
		memset(&u, 0, sizeof u);
		u.h.cmsg_level = SOL_SOCKET;
		u.h.cmsg_type = SCM_RIGHTS;
		u.h.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&u.h), fds, n * sizeof(int));
		m.msg_control = &u;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
	}
	sendmsg(conv, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int sealed_plan(const char *plan, uint32_t size)
{
	int fd = memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	need(fd >= 0 && write(fd, plan, size) == (ssize_t)size, "write plan");
	need(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0, "seal plan");
	return fd;
}

/* What has become of a plan. */
struct outcome {
	int errors, executed, waited, bad_message, silent, report;
	int signal, pids;
};

/* Reads one reply. Returns 0 at the end of the conversation, -1 if there is none yet. */
static int hear(int conv, pid_t *last, struct outcome *o)
{
	struct reply r;
	struct iovec iov = {&r, sizeof r};
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(8 * sizeof(int))];
	} u;
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof u};
	ssize_t n = recvmsg(conv, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); /* a terminal's master stays open until the plan has ended */
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -1;
	if (n <= 0)
		return 0;
	if (n != sizeof r || r.type < R_PID || r.type > R_NO_PROGRAM || r.len > sizeof r.text)
		o->bad_message = 1;
	else if ((r.type == R_ERROR || r.type == R_NO_PROGRAM) && (r.value <= 0 || r.value > 4095))
		o->bad_message = 1;
	else if (r.type == R_PID)
		*last = r.value, o->pids++;
	else if (r.type == R_ERROR || r.type == R_NO_PROGRAM)
		o->errors++;
	else if (r.type == R_SYNC || r.type == R_LISTENER) {
		if (r.type == R_SYNC && r.value == 1)
			map_ids(*last);
		say(conv, NULL, 0);
	}
	return 1;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Whether this process has a child that is not the holder. */
static int has_others(void)
{
	char text[4096], own[16];
	int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	need(n >= 0, "/proc/thread-self/children");
	close(fd);
	text[n] = 0;
	snprintf(own, sizeof own, "%d ", holder);
	return strcmp(text, own) != 0 && n > 0;
}

/* Reaps what has ended. Returns how many processes are left. */
static int reap_all(pid_t stub, struct outcome *o)
{
	int status, left = 0;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == holder)
			continue;
		if (WIFSIGNALED(status))
			o->signal = WTERMSIG(status);
		else if (WEXITSTATUS(status) == PROGRAM)
			o->executed++;
		else if (WEXITSTATUS(status) == REPORTED)
			o->report = 1;
		else if (WEXITSTATUS(status) != 0 && !(pid == stub && o->pids > 0))
			o->silent++; /* unless an error has been told */
	}
	if (pid == 0) /* who is left beside the holder? */
		left = holder == 0 || has_others();
	return left;
}

static void kill_all(void) { kill(-1, SIGKILL); } /* all of the pid namespace but this process */

/* What the processes of the jail do, for the report of one that hangs. */
static void show_processes(FILE *to)
{
	char path[64], text[256];
	for (int pid = 2; pid < 4000; pid++)
		for (int i = 0; i < 2; i++) {
			snprintf(path, sizeof path, "/proc/%d/%s", pid, i ? "syscall" : "stat");
			int fd = open(path, O_RDONLY | O_CLOEXEC);
			ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
			close(fd);
			if (n > 0)
				fprintf(to, "  %s: %.*s\n", path, (int)n, text);
		}
}

/* Whether a process of the jail does something, or would if it had a CPU. */
static int busy(void)
{
	char path[64], text[512];
	struct dirent *e;
	DIR *d = opendir("/proc");
	need(d != NULL, "/proc");
	int found = 0;
	while (!found && (e = readdir(d))) {
		int pid = atoi(e->d_name);
		if (pid < 2)
			continue;
		snprintf(path, sizeof path, "/proc/%d/stat", pid);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
		close(fd);
		text[n > 0 ? n : 0] = 0;
		const char *state = strrchr(text, ')');
		found = state && (state[2] == 'R' || state[2] == 'D');
	}
	closedir(d);
	return found;
}

/*
 * Leads a stub through its plan: answers, connects to the start socket when it is quiet, and then shuts the conversation down,
 * upon which all must end. Returns 0 if something does not.
 */
static int lead(int conv, pid_t stub, struct outcome *o)
{
	pid_t last = stub;
	int started = -1, stage = 0, left;
	double begin = now(), heard = begin;
	for (;;) {
		struct pollfd p[2] = {{.fd = conv, .events = POLLIN}, {.fd = started, .events = POLLIN}};
		poll(p, 2, 1);
		for (int i = 0; i < 2; i++) {
			int r, *fd = i ? &started : &conv;
			while (*fd >= 0 && (r = hear(*fd, &last, o)) >= 0) {
				heard = now();
				if (r == 0) {
					close(*fd);
					*fd = -1;
				}
			}
		}
		left = reap_all(stub, o);
		if (!left && (conv < 0 || stage > 1))
			break;
		if (!left && conv >= 0 && poll(p, 1, 0) == 0) { /* an end is held by nobody */
			close(conv);
			conv = -1;
			break;
		}
		if ((now() - heard) * 1000 < QUIET)
			continue;
		heard = now();
		if (busy() && now() - begin < HANGS)
			continue;
		switch (stage++) {
		case 0:
			if ((started = start_socket()) >= 0)
				say(started, NULL, 0);
			break;
		case 1:
			o->waited = 1;
			if (conv >= 0)
				shutdown(conv, SHUT_RDWR);
			if (started >= 0)
				shutdown(started, SHUT_RDWR);
			kill(-1, SIGTERM); /* an init and a program end by it, and what waits for its start */
			break;
		case 2: {
			int fifo = open("/tmp/fifo", O_RDWR | O_NONBLOCK | O_CLOEXEC); /* a gate waits until there is room, or for a byte */
			char bytes[4096];
			if (fifo >= 0 && read(fifo, bytes, sizeof bytes) < 0 && write(fifo, bytes, 1) < 0)
				; /* no gate waits */
			close(fifo);
			break;
		}
		default:
			kill(-1, SIGTERM);
			if (now() - begin > HANGS)
				return 0;
		}
	}
	close(started);
	return 1;
}

static int has_kind(const char *plan, uint32_t kind)
{
	const struct plan_header *h = (const struct plan_header *)(const void *)plan;
	const struct step *s = plan_first(plan);
	for (uint32_t i = 0; i < h->nsteps; i++, s = plan_next(s))
		if (s->kind == kind)
			return 1;
	return 0;
}

static int report_fd;

/* The stub's process: descriptors 0 to 2, the conversation, nothing else. */
static __attribute__((noreturn)) void become_stub(int conv, int null)
{
	unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP); /* so that the jail's are as they were for the next */
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	dup2(null, 0);
	dup2(null, 1);
	dup2(report_fd, 2);
	dup2(conv, 3);
	stub_main(3);
	__builtin_unreachable();
}

static void show_plan(FILE *to, const char *plan)
{
	static const char *const names[] = {"none",
#define NAME(name, strings, slots, numbers) #name,
		KINDS(NAME)};
	const struct plan_header *h = (const struct plan_header *)(const void *)plan;
	const struct step *s = plan_first(plan);
	for (uint32_t i = 0; i < h->nsteps; i++, s = plan_next(s)) {
		fprintf(to, "  %u %s", i, s->kind < K_END ? names[s->kind] : "?");
		for (int k = 0; k < ARGS_SIZE / 4; k++)
			fprintf(to, " %x", s->words[k]);
		fprintf(to, " (%u strings)\n", s->nstr);
	}
}

/* Executes one plan. Returns 0 if something is wrong, which it has told then. */
static int execute_one(uint64_t number, const struct seed *from, const char *plan, uint32_t size, struct outcome *o)
{
	int pair[2], fds[MAX_INPUTS + 1], null = open("/tmp/null", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	listening = -1;
	sockets = 0;
	need(null >= 0 && ftruncate(report_fd, 0) == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	need(mount("bundle", "/bundle", "tmpfs", 0, "size=8m,nr_inodes=2k,mode=755") == 0, "mount tmpfs");
	fill_root("/bundle/rootfs");
	fds[0] = sealed_plan(plan, size);
	uint32_t n = from->ninputs;
	uint64_t joined = 0;
	for (uint32_t i = 0; i < n; i++)
		joined |= strcmp(from->input[i].kind, "id-map") == 0 ? (uint64_t)CLONE_NEWUSER : from->input[i].type;
	holder = joined ? make_holder(joined & CLONE_NEWUSER ? NAMESPACES : joined | CLONE_NEWNS) : 0;
	for (uint32_t i = 0; i < n; i++)
		if ((fds[i + 1] = make_input(from->input[i].kind, from->input[i].type, from->input[i].path)) < 0)
			fds[i + 1] = dup(null);
	memset(o, 0, sizeof *o);
	fflush(stdout);
	pid_t stub = fork();
	need(stub >= 0, "fork");
	if (stub == 0)
		become_stub(pair[1], null);
	close(pair[1]);
	say(pair[0], fds, n + 1);
	for (uint32_t i = 0; i <= n; i++)
		close(fds[i]);
	close(null);
	const char *wrong = lead(pair[0], stub, o) ? NULL : "a process does not end";
	struct stat st;
	static char text[8192];
	ssize_t len = 0;
	if (fstat(report_fd, &st) == 0 && st.st_size > 0)
		len = pread(report_fd, text, sizeof text - 1, 0);
	text[len > 0 ? len : 0] = 0;
	/* Under a filter the sanitizer cannot do what it must at the end of a process, nor say so. */
	if ((o->report && (*text || !has_kind(plan, K_seccomp))) || strstr(text, "Sanitizer") || strstr(text, "runtime error"))
		wrong = "a report of a sanitizer";
	else if (o->bad_message && !has_kind(plan, K_hand_out)) /* which may have been given the start socket: its answer is another one */
		wrong = "a message that is none";
	else if (o->signal && !o->waited && !has_kind(plan, K_seccomp))
		wrong = "a process was ended by a signal";
	else if (o->silent > 0 && o->errors == 0 && !o->waited && !has_kind(plan, K_init) && !has_kind(plan, K_seccomp) && !has_kind(plan, K_await_start))
		wrong = "the stub failed without an error";
	if (wrong) {
		printf("plan %llu, of %s: %s (signal %d)\n%s\n", (unsigned long long)number, from->name, wrong, o->signal, text);
		if (strstr(wrong, "end"))
			show_processes(stdout);
		show_plan(stdout, plan);
	}
	kill_all();
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	need(umount2("/bundle", MNT_DETACH) == 0, "unmount the bundle");
	syscall(NR_close_range, 3u, (unsigned)report_fd - 1, 0); /* terminals that the stub has sent */
	return wrong == NULL;
}

struct total { unsigned long plans, refused, errors, executed, waited; };

/* The first process of a jail. Returns the exit status. */
static int jail(uint64_t seed, uint64_t first, uint64_t count, struct total *t)
{
	static _Alignas(8) char plan[MAX_BYTES];
	static _Alignas(8) char checked[MAX_BYTES];
	enter_root();
	int fd = open("/report", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	need(fd >= 0 && (report_fd = fcntl(fd, F_DUPFD_CLOEXEC, 200)) >= 0, "open report");
	close(fd);
	for (uint64_t i = first; i < first + count; i++) {
		struct outcome o;
		random_state = (seed + 1) * 0x9e3779b97f4a7c15u ^ (i + 1) * 0xbf58476d1ce4e5b9u;
		any();
		const struct seed *from = &seeds[below(nseeds)];
		uint32_t size = mutate(from, plan);
		memcpy(checked, plan, size);
		int refused = plan_check(checked, size) != 0;
		if (!execute_one(i, from, plan, size, &o))
			return 1;
		if (refused && (o.errors != 1 || o.executed)) {
			printf("plan %llu: plan_check refuses it, and it was executed\n", (unsigned long long)i);
			return 1;
		}
		t->plans++;
		t->refused += (unsigned long)refused;
		t->errors += o.errors > 0;
		t->executed += o.executed > 0;
		t->waited += (unsigned long)o.waited;
	}
	return 0;
}

static void write_map(pid_t pid, const char *file, const char *text)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	need(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
	close(fd);
}

/* Makes a jail and waits for its end. */
static int run_jail(uint64_t seed, uint64_t first, uint64_t count, struct total *t)
{
	int ready[2];
	char word;
	struct k_clone_args args = {.exit_signal = SIGCHLD,
		.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP};
	need(pipe2(ready, O_CLOEXEC) == 0, "pipe");
	fflush(stdout);
	long pid = syscall(NR_clone3, &args, sizeof args);
	need(pid >= 0, "clone3");
	if (pid == 0) {
		close(ready[1]);
		need(read(ready[0], &word, 1) == 1, "wait for the mapping of ids");
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		need(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0, "setresuid");
		prctl(PR_SET_DUMPABLE, 1);
		struct rlimit core = {0, 0};
		setrlimit(RLIMIT_CORE, &core);
		int status = jail(seed, first, count, t);
		fflush(stdout);
		_exit(status);
	}
	close(ready[0]);
	int root = geteuid() == 0;
	char map[64];
	if (!root)
		write_map((pid_t)pid, "setgroups", "deny");
	snprintf(map, sizeof map, root ? "0 100000 65536" : "0 %u 1", geteuid());
	write_map((pid_t)pid, "uid_map", map);
	snprintf(map, sizeof map, root ? "0 100000 65536" : "0 %u 1", getegid());
	write_map((pid_t)pid, "gid_map", map);
	need(write(ready[1], "", 1) == 1, "write");
	close(ready[1]);
	int status;
	need(waitpid((pid_t)pid, &status, 0) == pid, "wait for the jail");
	if (!WIFEXITED(status))
		die("the jail was ended by signal %d in one of the plans from %llu on", WTERMSIG(status), (unsigned long long)first);
	return WEXITSTATUS(status);
}

static size_t read_file(const char *path, char *to, size_t size)
{
	FILE *f = fopen(path, "re");
	if (!f)
		die("%s: %s", path, strerror(errno));
	size_t n = fread(to, 1, size, f);
	fclose(f);
	return n;
}

static void read_seed(const char *dir, const char *name)
{
	static char checked[MAX_BYTES] __attribute__((aligned(8)));
	char path[512], line[512];
	struct seed *s = &seeds[nseeds];
	snprintf(s->name, sizeof s->name, "%s", name);
	snprintf(path, sizeof path, "%s/plans/%s", dir, name);
	s->size = (uint32_t)read_file(path, s->data, sizeof s->data);
	memcpy(checked, s->data, s->size);
	if (s->size == sizeof s->data || plan_check(checked, s->size) != 0)
		die("%s is no plan of this version", path);
	snprintf(path, sizeof path, "%s/inputs/%s", dir, name);
	FILE *f = fopen(path, "re");
	need(f != NULL, path);
	while (fgets(line, sizeof line, f) && s->ninputs < MAX_INPUTS) {
		unsigned long long type = 0;
		if (sscanf(line, "%23s %llu %255s", s->input[s->ninputs].kind, &type, s->input[s->ninputs].path) < 2)
			die("%s: %s", path, line);
		s->input[s->ninputs++].type = type;
	}
	fclose(f);
	if (s->ninputs == ((struct plan_header *)(void *)s->data)->nfds)
		nseeds++;
}

static int by_name(const void *a, const void *b) { return strcmp(((const struct seed *)a)->name, ((const struct seed *)b)->name); }

int main(int argc, char **argv)
{
	if (argc < 5)
		die("usage: execute SEED COUNT DIR PROGRAM [FIRST]");
	uint64_t seed = strtoull(argv[1], NULL, 10), count = strtoull(argv[2], NULL, 10), first = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
	seeds = mmap(NULL, MAX_SEEDS * sizeof *seeds, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct total *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	need(seeds != MAP_FAILED && t != MAP_FAILED, "mmap");
	program_size = read_file(argv[4], program, sizeof program);
	if (program_size == 0 || program_size == sizeof program)
		die("%s: no small program", argv[4]);
	char plans[512];
	snprintf(plans, sizeof plans, "%s/plans", argv[3]);
	DIR *d = opendir(plans);
	need(d != NULL, plans);
	for (struct dirent *e; (e = readdir(d)) && nseeds < MAX_SEEDS;)
		if (e->d_name[0] != '.')
			read_seed(argv[3], e->d_name);
	closedir(d);
	if (nseeds < 50)
		die("%s: %u plans, want 50 and more", argv[3], nseeds);
	qsort(seeds, nseeds, sizeof *seeds, by_name);
	for (uint64_t at = first; at < first + count; at += PLANS_PER_JAIL) {
		uint64_t n = first + count - at < PLANS_PER_JAIL ? first + count - at : PLANS_PER_JAIL;
		if (run_jail(seed, at, n, t) != 0)
			die("seed %llu", (unsigned long long)seed);
	}
	printf("%lu plans: %lu refused by plan_check, %lu told an error, %lu executed a program, %lu waited until the end of the conversation\n",
	       t->plans, t->refused, t->errors, t->executed, t->waited);
	return 0;
}
