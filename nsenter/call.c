/*
 * The step that is one system call and nothing more.
 */
#include "stub.h"

STEP(call)
{
	const struct args_call *a = &s->call;
	uint64_t arg[] = {0, a->arg1, a->arg2, a->arg3, a->arg4, a->arg5, a->arg6}; /* arg[0] is where what is not asked for goes */
	arg[a->data] = (uint64_t)(uintptr_t)s->str[0];
	TRY(c, s->str[1], syscall((long)a->number, arg[1], arg[2], arg[3], arg[4], arg[5], arg[6]));
	return 0;
}
