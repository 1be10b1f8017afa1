//go:build ignore

/*
 * The floor: the system calls that `run` of the default spec and `exec` need, with no runtime around them. Nothing
 * is read, checked or recorded; what a runtime takes longer than this is its own.
 *
 *   floor run ROOTFS PROGRAM GROUP...     GROUP: CONTROLLERS:DIRECTORY of a cgroup to be made, `v2` for version 2
 *   floor exec PID PROGRAM GROUP...       GROUP: as above, of the cgroups to be joined
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define OK_AT(path, call)                                                              \
	do {                                                                           \
		if ((call) < 0) {                                                      \
			fprintf(stderr, "floor: %s %s: %s\n", #call, path, strerror(errno)); \
			_exit(125);                                                    \
		}                                                                      \
	} while (0)
#define OK(call) OK_AT("", call)

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

struct cgroup {
	const char *controllers, *dir;
};
static struct cgroup groups[32];
static int ngroups;

static int is_v2(const struct cgroup *g)
{
	return strcmp(g->controllers, "v2") == 0;
}

static void put(const char *dir, const char *file, const char *value)
{
	char path[4096];
	int fd;
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	OK_AT(path, fd = open(path, O_WRONLY | O_CLOEXEC));
	OK(write(fd, value, strlen(value)));
	close(fd);
}

/* A cpuset takes no process before it has CPUs and memory nodes. */
static void inherit(const char *dir, const char *file)
{
	char path[4096], value[4096];
	ssize_t n;
	int fd;
	snprintf(path, sizeof(path), "%s/../%s", dir, file);
	OK_AT(path, fd = open(path, O_RDONLY | O_CLOEXEC));
	OK(n = read(fd, value, sizeof(value) - 1));
	value[n] = 0;
	close(fd);
	put(dir, file, value);
}

static void make_group(const struct cgroup *g)
{
	static const char *const allowed[] = { "c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm",
		"c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm" };
	OK(mkdir(g->dir, 0755));
	if (strcmp(g->controllers, "cpuset") == 0) {
		inherit(g->dir, "cpuset.cpus");
		inherit(g->dir, "cpuset.mems");
	} else if (strcmp(g->controllers, "devices") == 0) {
		put(g->dir, "devices.deny", "a");
		for (size_t i = 0; i < COUNT(allowed); i++)
			put(g->dir, "devices.allow", allowed[i]);
	}
}

/* The last process is gone when waitpid returns; the kernel may need a moment to see it in every hierarchy. */
static void remove_group(const struct cgroup *g)
{
	for (int i = 0; rmdir(g->dir) < 0; i++) {
		if (errno != EBUSY || i == 1000) {
			fprintf(stderr, "floor: rmdir %s: %s\n", g->dir, strerror(errno));
			_exit(125);
		}
		usleep(100);
	}
}

/* clone3: the child is born in its v2 cgroup, and waits on the pipe until it is in the others. */
static pid_t spawn(uint64_t flags, int *go)
{
	struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD };
	int sync[2], cgroup = -1;
	pid_t pid;
	OK(pipe2(sync, O_CLOEXEC));
	for (int i = 0; i < ngroups; i++)
		if (is_v2(&groups[i])) {
			OK(cgroup = open(groups[i].dir, O_PATH | O_DIRECTORY | O_CLOEXEC));
			args.flags |= CLONE_INTO_CGROUP;
			args.cgroup = (uint64_t)cgroup;
		}
	OK(pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args)));
	if (pid == 0) {
		*go = sync[0];
		close(sync[1]);
		return 0;
	}
	*go = sync[1];
	close(sync[0]);
	if (cgroup >= 0)
		close(cgroup);
	return pid;
}

static int supervise(pid_t pid, int go)
{
	char text[16];
	int status;
	snprintf(text, sizeof(text), "%d", pid);
	for (int i = 0; i < ngroups; i++)
		if (!is_v2(&groups[i]))
			put(groups[i].dir, "cgroup.procs", text);
	OK(write(go, "", 1));
	OK(waitpid(pid, &status, 0));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void await(int go)
{
	char byte;
	OK(read(go, &byte, 1));
}

static void loopback_up(void)
{
	struct ifreq req = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;
	OK(fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	OK(ioctl(fd, SIOCSIFFLAGS, &req));
	close(fd);
}

static void mount_cgroups(void)
{
	const unsigned long flags = MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RELATIME;
	char at[256];
	OK(mount("cgroup", "sys/fs/cgroup", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=755"));
	for (int i = 0; i < ngroups; i++) {
		snprintf(at, sizeof(at), "sys/fs/cgroup/%s", is_v2(&groups[i]) ? "unified" : groups[i].controllers);
		OK(mkdir(at, 0755));
		OK(mount(groups[i].dir, at, NULL, MS_BIND, NULL));
		OK(mount(NULL, at, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL));
	}
	OK(mount(NULL, "sys/fs/cgroup", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL));
}

static void make_devices(void)
{
	static const struct { const char *path; unsigned major, minor; } devices[] = { { "dev/null", 1, 3 }, { "dev/zero", 1, 5 },
		{ "dev/full", 1, 7 }, { "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 } };
	static const char *const links[][2] = { { "/proc/self/fd", "dev/fd" }, { "/proc/self/fd/0", "dev/stdin" },
		{ "/proc/self/fd/1", "dev/stdout" }, { "/proc/self/fd/2", "dev/stderr" }, { "/proc/kcore", "dev/core" },
		{ "pts/ptmx", "dev/ptmx" } };
	mode_t mask = umask(0);
	for (size_t i = 0; i < COUNT(devices); i++)
		OK(mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)));
	for (size_t i = 0; i < COUNT(links); i++)
		OK(symlink(links[i][0], links[i][1]));
	umask(mask);
}

static void mount_all(void)
{
	const unsigned long safe = MS_NOSUID | MS_NOEXEC | MS_NODEV;
	OK(mount("proc", "proc", "proc", 0, NULL));
	OK(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
	OK(mkdir("dev/pts", 0755));
	OK(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
	OK(mkdir("dev/shm", 0755));
	OK(mount("shm", "dev/shm", "tmpfs", safe, "mode=1777,size=65536k"));
	OK(mkdir("dev/mqueue", 0755));
	OK(mount("mqueue", "dev/mqueue", "mqueue", safe, NULL));
	OK(mount("sysfs", "sys", "sysfs", safe | MS_RDONLY, NULL));
	mount_cgroups();
	make_devices();
}

static void hide_paths(void)
{
	static const char *const masked[] = { "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi" };
	static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };
	for (size_t i = 0; i < COUNT(readonly); i++) {
		if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) < 0 && errno == ENOENT)
			continue;
		OK(mount(NULL, readonly[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	}
	for (size_t i = 0; i < COUNT(masked); i++) {
		if (mount("/dev/null", masked[i], NULL, MS_BIND, NULL) == 0 || errno == ENOENT)
			continue;
		OK(errno == ENOTDIR ? 0 : -1);
		OK(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, NULL));
	}
}

static void drop_and_exec(char *program)
{
	const uint32_t keep = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = keep, .permitted = keep } };
	struct rlimit files = { 1024, 1024 };
	char *argv[] = { program, NULL };
	char *env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", "HOME=/root", NULL };
	OK(setrlimit(RLIMIT_NOFILE, &files));
	OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	for (unsigned long cap = 0; cap < 32 || prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (cap >= 32 || !(keep & 1u << cap))
			OK(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0));
	OK(setgroups(0, NULL));
	OK(setresgid(0, 0, 0));
	OK(setresuid(0, 0, 0));
	OK((int)syscall(SYS_capset, &header, data));
	OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
	OK((int)syscall(SYS_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */));
	OK(execve(program, argv, env));
}

static void container(const char *rootfs, char *program)
{
	OK(setsid());
	OK((int)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
	OK(sethostname("floor", 5));
	loopback_up();
	OK(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
	OK(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL));
	OK(chdir(rootfs));
	mount_all();
	OK((int)syscall(SYS_pivot_root, ".", "."));
	OK(umount2(".", MNT_DETACH));
	OK(chdir("/"));
	hide_paths();
	OK(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	drop_and_exec(program);
}

static int run(const char *rootfs, char *program)
{
	pid_t pid;
	int go, status;
	for (int i = 0; i < ngroups; i++)
		make_group(&groups[i]);
	pid = spawn(NAMESPACES, &go);
	if (pid == 0) {
		await(go);
		container(rootfs, program);
	}
	status = supervise(pid, go);
	for (int i = 0; i < ngroups; i++)
		remove_group(&groups[i]);
	return status;
}

/* The host's cgroup directories cannot be reached after setns, so a child joins, and its child is the program. */
static int enter(pid_t target, char *program)
{
	int go, fd;
	pid_t pid = spawn(0, &go);
	if (pid == 0) {
		int status;
		await(go);
		OK(fd = (int)syscall(SYS_pidfd_open, target, 0));
		OK(setns(fd, NAMESPACES));
		OK(pid = fork());
		if (pid == 0) {
			OK(setsid());
			drop_and_exec(program);
		}
		OK(waitpid(pid, &status, 0));
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 125);
	}
	return supervise(pid, go);
}

int main(int argc, char **argv)
{
	if (argc < 4 || argc - 4 > (int)COUNT(groups))
		return 125;
	for (int i = 4; i < argc; i++) {
		char *colon = strchr(argv[i], ':');
		if (!colon)
			return 125;
		*colon = 0;
		groups[ngroups++] = (struct cgroup){ argv[i], colon + 1 };
	}
	if (strcmp(argv[1], "run") == 0)
		return run(argv[2], argv[3]);
	return enter(atoi(argv[2]), argv[3]);
}
