/*
 * libFuzzer target for the plan's decoder: it must be safe for any bytes, and what it accepts must be safe to use as
 * the steps use it. Seeds are real plans: corpus/plan_check, written by `go test ./nsenter -run Corpus -update`.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "wire.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(int what)
{
	if (!what)
		abort();
}

/* Reads what the steps read (the sanitizers watch), and checks what they rely on. */
static void use(const struct step *s, uint32_t nfds)
{
	const char *end = (const char *)s + s->size;
	for (uint32_t i = 0; i < s->nstr; i++)
		if (s->str[i]) {
			need(s->str[i] >= (const char *)(s->str + s->nstr) && s->str[i] < end);
			need(s->str[i] + strlen(s->str[i]) < end);
		}
	need(slots_fit(s, nfds));
	if (s->kind == K_exec) {
		char *const *argv = s->str, *const *envp = s->str + s->exec.environment;
		while (*argv)
			argv++;
		while (*envp)
			envp++;
		need(argv < s->str + s->exec.environment && envp < s->str + s->nstr);
	}
	if (s->kind == K_call)
		need(s->call.data <= 6); /* as step_call has room for */
	if (s->kind == K_seccomp || s->kind == K_credentials || s->kind == K_call) {
		size_t n = s->kind == K_credentials ? (size_t)s->credentials.count * 8 : s->kind == K_call ? s->call.size : s->seccomp.size;
		need(s->kind != K_seccomp || (n % 8 == 0 && n / 8 <= 4096)); /* struct sock_fprog has 16 bits for it */
		unsigned sum = 0;
		for (size_t i = 0; i < n; i++)
			sum += (unsigned char)s->str[0][i];
		need((sum & 0) == 0 && (uintptr_t)s->str[0] % 8 == 0);
	}
}

static void check(const uint8_t *data, size_t size, int repair)
{
	char *copy = malloc(size ? size : 1);
	need(copy != NULL);
	memcpy(copy, data, size);
	struct plan_header *h = (struct plan_header *)(void *)copy;
	if (repair) {
		h->magic = PLAN_MAGIC;
		h->version = PLAN_VERSION;
		h->size = (uint32_t)size;
		h->nfds %= MAX_FDS + 1;
	}
	if (plan_check(copy, size) == 0) {
		const struct step *s = plan_first(copy);
		for (uint32_t i = 0; i < h->nsteps; i++, s = plan_next(s))
			use(s, h->nfds);
		need((const char *)s == copy + size);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(data, size, 0);
	/* With a header that is right, the fuzzer's changes reach the steps. */
	if (size >= sizeof(struct plan_header))
		check(data, size, 1);
	return 0;
}
