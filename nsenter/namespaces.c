/*
 * Steps that enter and make namespaces, and what belongs to a fresh one.
 */
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "stub.h"

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

/*
 * a: CLONE_NEW* flags, slot of a cgroup v2 directory or NO_FD; if it is refused there, rt moves it. The child is
 * rt's child (CLONE_PARENT, which wants exit_signal 0 and inherits ours) and goes on with the next step; this process
 * tells rt its pid and ends, after the opener if it has one. A procfs of the host's, by which labels were
 * written, does not go with the child.
 */
STEP(clone)
{
	if (c->proc >= 0)
		close(c->proc);
	c->proc = -1;
	struct k_clone_args args = {.flags = s->a[0] | K_CLONE_PARENT};
	if (s->a[1] != NO_FD) {
		args.flags |= K_CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)slot(c, s->a[1]);
	}
	long pid = syscall(NR_clone3, &args, sizeof args);
	int outside = pid < 0 && s->a[1] != NO_FD && refused(errno);
	if (outside) {
		args.flags &= ~(uint64_t)K_CLONE_INTO_CGROUP;
		pid = syscall(NR_clone3, &args, sizeof args);
	}
	TRY(c, "clone3", pid);
	if (pid > 0) {
		int lost = talk_send(c, R_PID, (int32_t)pid, NULL, -1) < 0;
		reap_opener(c);
		_exit(lost);
	}
	if (s->a[1] != NO_FD)
		close(slot(c, s->a[1]));
	if (!outside)
		return 0;
	TRY(c, "send", talk_send(c, R_SYNC, SYNC_CGROUP, NULL, -1));
	return talk_wait(c);
}

/* a: what has been reached, 1 to go on at once, 1 if signals are to be heeded from now on, 1 to tell the ids of
 * mounts first. Without the second, rt does its part
 * (maps ids, runs hooks, writes state) first. */
STEP(sync)
{
	if (s->a[2])
		heed_signals();
	if (s->a[3])
		TRY(c, "send", talk_mounts(c));
	TRY(c, "send", talk_send(c, R_SYNC, (int32_t)s->a[0], NULL, -1));
	return s->a[1] ? 0 : talk_wait(c);
}

/* a: uid, gid: who to be in a user namespace just entered; 1 to let rt look into the process from then on. */
STEP(set_ids)
{
	TRY(c, "setresgid", set_id(SYS_setresgid, s->a[1]));
	TRY(c, "setresuid", set_id(SYS_setresuid, s->a[0]));
	if (s->a[2])
		TRY(c, "prctl PR_SET_DUMPABLE", prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	return 0;
}

/* str: name. A new session keyring, searchable by its user, so that keys of the host are out of reach. */
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

