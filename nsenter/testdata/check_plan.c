/* check_plan FILE ...: fails if the stub would refuse one of these plans, and says which. */
#define _GNU_SOURCE
#include <stdio.h>

#include "wire.c"

int main(int argc, char **argv)
{
	static _Alignas(8) char data[1 << 20];
	int refused = argc < 2;
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "r");
		size_t n = f ? fread(data, 1, sizeof data, f) : 0;
		if (f)
			fclose(f);
		if (plan_check(data, n) == 0)
			continue;
		refused = 1;
		printf("%s\n", argv[i]);
	}
	return refused;
}
