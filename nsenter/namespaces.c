/*
 * Steps that enter and make namespaces, and what belongs to a fresh one.
 */
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "stub.h"

/* Another's user namespace makes the process dumpable, perhaps: see undumped. */
STEP(join_namespace)
{
	TRY(c, "setns", setns(slot(c, s->join_namespace.file), (int)s->join_namespace.type));
	if (s->join_namespace.type & CLONE_NEWUSER)
		TRY(c, "prctl PR_SET_DUMPABLE", undumped(0));
	return 0;
}

/*
 * Enters a cgroup v1 by its tasks file. Writing 0 moves the caller's own, only thread; the kernel then skips the global
 * cgroup_threadgroup_rwsem and with it the wait for an RCU grace period (Linux 5.6). Nothing of the container's may find the file open.
 */
STEP(join_cgroup)
{
	int tasks = slot(c, s->join_cgroup.tasks);
	TRY(c, "write", write(tasks, "0", 1));
	close(tasks);
	c->fd[s->join_cgroup.tasks.n] = -1;
	return 0;
}

/* The mount namespace has been joined, which makes its root this process's. */
STEP(take_root)
{
	(void)s;
	TRY(c, "open /", c->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	return 0;
}

/*
 * Why a cgroup may refuse a new process and not one that moves in: pids.max is only checked at birth (EAGAIN), rt has
 * other permissions (EACCES, EPERM) or finds another place (EBUSY: controllers are enabled for its children).
 */
static int refused(int err)
{
	return err == EAGAIN || err == EBUSY || err == EACCES || err == EPERM;
}

/* 4294967295 is no uid, and 65534 is that of files whose owner is not mapped. */
static long set_owner(uid_t uid)
{
	return syscall(SYS_setresuid, -1, uid == (uid_t)-1 || uid == 65534 ? uid - 1 : uid, -1);
}

/*
 * Makes a process in a new user namespace with args, and returns what clone3 does. The kernel gives all capabilities in a user namespace
 * to a process in its parent whose effective uid is that of its maker (user_namespaces(7)). If that were rt's uid 0, it would be
 * root of each container without a user namespace too, even one without capabilities: it could enter the mount namespace that
 * belongs to the new user namespace while the host's tree is in it (by file handles of nsfs, Linux 6.18). So the effective uid is
 * set to a random one that no user has; a process with CAP_SETUID would have to guess it.
 * Files are reached as before, by the fsuid and the capabilities. The child keeps that effective uid until set_ids, which follows
 * the mapping of ids. What rt could do to the child as its owner it must be able to do by its capabilities: without them, or if
 * rt's own user namespace maps no such uid, rt stays the owner.
 */
long clone_userns(struct k_clone_args *args)
{
	/* CAP_KILL, SETGID, SETUID, NET_ADMIN, SYS_PTRACE, SYS_ADMIN */
	enum { NEEDED = 1 << 5 | 1 << 6 | 1 << 7 | 1 << 12 | 1 << 19 | 1 << 21 };
	struct k_cap_header h = {K_CAP_VERSION_3, 0};
	struct k_cap_data d[2];
	uid_t owner, me = (uid_t)syscall(SYS_geteuid);
	int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1;
	if (syscall(SYS_capget, &h, d) < 0 || syscall(SYS_getrandom, &owner, sizeof owner, K_GRND_INSECURE) != sizeof owner)
		return -1;
	if ((d[0].effective & NEEDED) != NEEDED || (set_owner(owner | 1u << 31) < 0 && set_owner((owner & 0x7fff) | 1u << 15) < 0))
		return syscall(NR_clone3, args, sizeof *args);
	/* A change of uid clears the effective capabilities and sets the dumpable attribute (capabilities(7), prctl(2)). */
	syscall(SYS_setfsuid, me);
	long pid = syscall(SYS_capset, &h, d);
	prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0);
	if (pid == 0 && (pid = syscall(NR_clone3, args, sizeof *args)) == 0)
		return 0;
	int err = errno;
	if (syscall(SYS_setresuid, -1, me, -1) < 0 || syscall(SYS_capset, &h, d) < 0)
		return -1;
	prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0);
	errno = err;
	return pid;
}

static long clone_as(struct k_clone_args *args)
{
	return args->flags & CLONE_NEWUSER ? clone_userns(args) : syscall(NR_clone3, args, sizeof *args);
}

/*
 * Goes on in a new process in new namespaces, born in a cgroup v2 directory if there is one; if it is refused there, rt moves it. The child is
 * rt's child (CLONE_PARENT, which wants exit_signal 0 and inherits ours) and goes on with the next step; this process
 * tells rt its pid and ends, after the opener if it has one. A procfs of the host's, by which labels were
 * written, does not go with the child.
 */
STEP(clone)
{
	if (c->proc >= 0)
		close(c->proc);
	c->proc = -1;
	struct k_clone_args args = {.flags = s->clone.flags | K_CLONE_PARENT};
	if (is_given(s->clone.cgroup)) {
		args.flags |= K_CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)slot(c, s->clone.cgroup);
	}
	long pid = clone_as(&args);
	int outside = pid < 0 && is_given(s->clone.cgroup) && refused(errno);
	if (outside) {
		args.flags &= ~(uint64_t)K_CLONE_INTO_CGROUP;
		pid = clone_as(&args);
	}
	TRY(c, "clone3", pid);
	if (pid > 0) {
		int lost = talk_send(c, R_PID, (int32_t)pid, NULL, -1) < 0;
		reap_opener(c);
		_exit(lost);
	}
	if (is_given(s->clone.cgroup))
		close(slot(c, s->clone.cgroup));
	if (!outside)
		return 0;
	TRY(c, "send", talk_send(c, R_SYNC, SYNC_CGROUP, NULL, -1));
	return talk_wait(c);
}

/* A new session keyring, searchable by its user, so that keys of the host are out of reach. */
STEP(keyring)
{
	enum { JOIN_SESSION_KEYRING = 1, SETPERM = 5 };
	c->what = "keyctl";
	long key = syscall(SYS_keyctl, JOIN_SESSION_KEYRING, s->str[0]);
	if (key < 0)
		return errno == ENOSYS ? 0 : -errno; /* a kernel without keys has none to protect */
	/* possessor: all; user: view, read, search, link (keyctl_setperm(3)) */
	TRY(c, "keyctl", syscall(SYS_keyctl, SETPERM, key, 0x3f1b0000u));
	return 0;
}

STEP(loopback_up)
{
	(void)s;
	struct ifreq ifr;
	memset(&ifr, 0, sizeof ifr);
	memcpy(ifr.ifr_name, "lo", 3);
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	int fd;
	TRY(c, "socket", fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	TRY(c, "ioctl SIOCSIFFLAGS", ioctl(fd, SIOCSIFFLAGS, &ifr));
	close(fd);
	return 0;
}
