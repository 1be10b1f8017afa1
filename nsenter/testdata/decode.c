/*
 * The stub's decoder and header as a program, for the tests of the Go side.
 *   constants         prints NAME VALUE lines: what wire.go and talk.go must say too
 *   decode            reads a plan from standard input, checks it, prints what it means
 *   damage            reads a valid plan, checks every truncation and every one-bit change of it
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.c"

static void constants(void)
{
	printf("PLAN_MAGIC %u\nPLAN_VERSION %u\nMAX_FDS %u\n", PLAN_MAGIC, PLAN_VERSION, MAX_FDS);
	printf("header %zu\nstep %zu\nreply %zu\ntext %zu\n", sizeof(struct plan_header), sizeof(struct step),
	       sizeof(struct reply), offsetof(struct reply, text));
	printf("R_PID %d\nR_SYNC %d\nR_FD %d\nR_ERROR %d\nR_LISTENER %d\n", R_PID, R_SYNC, R_FD, R_ERROR, R_LISTENER);
}

/* Every string of a plan that was accepted must end within its step. */
static unsigned long touch(const void *base)
{
	const struct plan_header *h = base;
	const struct step *s = plan_first(base);
	unsigned long sum = 0;
	for (uint32_t i = 0; i < h->nsteps; i++, s = plan_next(s))
		for (uint32_t j = 0; j < s->nstr; j++)
			if (s->str[j]) {
				const char *end = s->str[j] + strlen(s->str[j]);
				if (s->str[j] < (const char *)(s->str + s->nstr) || end >= (const char *)s + s->size)
					abort();
				sum += (unsigned long)(end - s->str[j]);
			}
	return sum;
}

static void print_text(const char *s)
{
	if (!s) {
		printf(" NULL");
		return;
	}
	putchar(' ');
	putchar('=');
	for (int i = 0; i < 1000 && s[i]; i++)
		printf("%02x", (unsigned char)s[i]);
}

/* The arguments of a step by their names: " name=value", in hexadecimal. */
#define SLOT(name) printf(" " #name "=%x", a->name.n);
#define U32(name) printf(" " #name "=%x", a->name);
#define U64(name) printf(" " #name "=%llx", (unsigned long long)a->name);
#define SHOW(name, strings, slots, numbers) \
	case K_##name: { \
		const struct args_##name *a = &s->name; \
		(void)a; \
		printf(#name); \
		slots numbers \
		break; \
	}
static void print_arguments(const struct step *s)
{
	switch (s->kind) {
	KINDS(SHOW)
	}
}

static int decode(void *base, size_t len)
{
	if (plan_check(base, len)) {
		puts("EBADMSG");
		return 0;
	}
	touch(base);
	const struct plan_header *h = base;
	const struct step *s = plan_first(base);
	printf("plan %u %u\n", h->nsteps, h->nfds);
	for (uint32_t i = 0; i < h->nsteps; i++, s = plan_next(s)) {
		print_arguments(s);
		printf(" |");
		for (uint32_t j = 0; j < s->nstr; j++)
			print_text(s->str[j]);
		putchar('\n');
	}
	return 0;
}

/* A copy of exactly n bytes, so that a sanitizer sees what is read behind it. */
static int check_copy(const char *plan, size_t n, size_t flip)
{
	char *copy = malloc(n ? n : 1);
	if (!copy)
		abort();
	memcpy(copy, plan, n);
	if (flip < n * 8)
		copy[flip / 8] ^= (char)(1 << flip % 8);
	int r = plan_check(copy, n);
	if (r == 0)
		touch(copy);
	free(copy);
	return r;
}

static int damage(const char *plan, size_t len)
{
	unsigned long accepted = 0;
	for (size_t n = 0; n < len; n++)
		if (check_copy(plan, n, ~(size_t)0) == 0) {
			printf("accepted when cut to %zu of %zu bytes\n", n, len);
			return 1;
		}
	for (size_t bit = 0; bit < len * 8; bit++)
		accepted += check_copy(plan, len, bit) == 0;
	printf("ok %lu\n", accepted);
	return check_copy(plan, len, ~(size_t)0) != 0;
}

int main(int argc, char **argv)
{
	static uint64_t space[(64 << 20) / 8 + 4096];
	if (argc != 2)
		return 2;
	if (!strcmp(argv[1], "constants")) {
		constants();
		return 0;
	}
	size_t len = fread(space, 1, sizeof space, stdin);
	return strcmp(argv[1], "damage") ? decode(space, len) : damage((const char *)space, len);
}
