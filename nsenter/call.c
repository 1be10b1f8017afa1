/*
 * The step that is one system call and nothing more.
 */
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>

#include "stub.h"

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
