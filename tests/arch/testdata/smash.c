/*
 * smash N: write N bytes into a buffer of 16 on the stack. TestSmashedStack builds this with the flags of the stub image.
 * Exit status 0: no byte was too many; 42: the check of the stack has found it.
 */
#include <stdlib.h>
#include <unistd.h>

#ifdef OWN
void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
	_exit(42);
}
#endif

static __attribute__((noinline)) int fill(int n)
{
	volatile char buf[16];
	volatile char *p = buf;
	for (int i = 0; i < n; i++)
		p[i] = 'x';
	return buf[0] == 'x';
}

int main(int argc, char **argv)
{
	return argc == 2 && fill(atoi(argv[1])) ? 0 : 1;
}
