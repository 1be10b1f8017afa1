/*
 * Steps that set ids, groups and capabilities, and see that the process has them.
 */
#include <string.h>
#include <sys/prctl.h>

#include "stub.h"

/*
 * A change of ids, or of the user namespace to one of another owner, makes a process what fs.suid_dumpable says (proc(5)): where
 * that is 1, others may trace it. This undoes it, in the very next system call.
 */
long undumped(long result)
{
	int err = errno;
	if (result < 0)
		return result;
	result = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (result == 0)
		errno = err;
	return result;
}

/* Sets all three ids by setresgid or setresuid, and keeps other processes from looking into this one. */
int set_id(long number, uint64_t id)
{
	return (int)undumped(syscall(number, (uid_t)id, (uid_t)id, (uid_t)id));
}

/* Takes on ids of a user namespace that was just entered. */
STEP(set_ids)
{
	TRY(c, "setresgid", set_id(SYS_setresgid, s->set_ids.gid));
	TRY(c, "setresuid", set_id(SYS_setresuid, s->set_ids.uid));
	if (s->set_ids.dumpable)
		TRY(c, "prctl PR_SET_DUMPABLE", prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	return 0;
}

STEP(bounding)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		if (s->bounding.keep >> cap & 1 || prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		int has = errno == EPERM ? prctl(PR_CAPBSET_READ, cap, 0, 0, 0) : -1; /* without CAP_SETPCAP: if there is nothing to drop, it will do */
		if (has < 0 && errno == EINVAL) /* the kernel's last one is behind us */
			break;
		c->what = "prctl PR_CAPBSET_DROP";
		if (has)
			return has < 0 ? -errno : -EPERM;
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
 * TRY_GROUPS: the groups stay only if the user namespace denies setgroups(2), which is why the kernel answers EPERM to who holds
 * CAP_SETGID.
 * Between a change of ids and its undumping a process of the same user is kept off by the capabilities that are still there
 * (ptrace(2), access mode checking).
 */
STEP(credentials)
{
	const struct args_credentials *a = &s->credentials;
	gid_t *groups = (gid_t *)(void *)s->str[0];
	int leave = a->groups == LEAVE_GROUPS;
	/* Permitted capabilities outlive the change of uid, until capabilities says which stay. */
	TRY(c, "prctl PR_SET_KEEPCAPS", prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	if (!leave && syscall(SYS_setgroups, (size_t)a->count, groups) < 0) {
		int err = errno;
		leave = a->groups == TRY_GROUPS && err == EPERM && holds(CAP_SETGID);
		c->what = "setgroups";
		if (!leave)
			return -err;
	}
	TRY(c, "setresgid", set_id(SYS_setresgid, a->gid));
	TRY(c, "setresuid", set_id(SYS_setresuid, a->uid));
	int r = leave ? 0 : has_groups(c, groups, a->count, groups + a->count);
	if (r == 0)
		r = has_ids(c, a->uid, a->gid);
	return r == 0 && a->keep_capabilities ? raise_capabilities(c) : r;
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

/* Sets the sets but the bounding one. only_set leaves the ambient set, and does not look. */
STEP(capabilities)
{
	const struct args_capabilities *a = &s->capabilities;
	struct k_cap_header h = {K_CAP_VERSION_3, 0};
	struct k_cap_data d[2];
	for (int i = 0; i < 2; i++) {
		d[i].effective = (uint32_t)(a->effective >> 32 * i);
		d[i].permitted = (uint32_t)(a->permitted >> 32 * i);
		d[i].inheritable = (uint32_t)(a->inheritable >> 32 * i);
	}
	TRY(c, "capset", syscall(SYS_capset, &h, d));
	if (a->only_set)
		return 0;
	TRY(c, "prctl PR_CAP_AMBIENT_CLEAR_ALL", prctl(47, 4, 0, 0, 0));
	for (unsigned long cap = 0; cap < 64; cap++)
		if (a->ambient >> cap & 1)
			TRY(c, "prctl PR_CAP_AMBIENT_RAISE", prctl(47, 2, cap, 0, 0));
	return has_no_more(c, &h, d);
}
