/*
 * The plan as bytes: a header, then nsteps records, 8-aligned. A record is a struct step whose str[]
 * are offsets from the record's start (0 = NULL), then the bytes of the strings. plan_check looks at
 * all of it before anything is executed, and turns offsets into pointers; it must be safe for any
 * input, and is fuzzed (fuzz/).
 */
#include "stub.h"

#define SLOT(name) +1
#define U32(name)
#define U64(name)
#define SHAPE(name, strings, slots, numbers) [K_##name] = {strings, 0 slots},
static const struct { uint8_t min_str, slots; } shape[K_END] = {KINDS(SHAPE)};
#undef SLOT
#undef U32
#undef U64

/* The first arguments, which are slots, are none or in the plan. */
static int slots_fit(const struct step *s, uint32_t nfds)
{
	for (unsigned i = 0; i < shape[s->kind].slots; i++)
		if (s->words[i] != NO_FD && s->words[i] >= nfds)
			return 0;
	return 1;
}

/* Whether the first string of a kind is data, not text, and how many bytes of it the step says there are. */
static int has_data(const struct step *s, uint64_t *size)
{
	switch (s->kind) {
	case K_seccomp: *size = s->seccomp.size; return 1;
	case K_credentials: *size = (uint64_t)s->credentials.count * 8; return 1; /* groups, and room for the kernel's */
	case K_call: *size = s->call.size; return 1;
	default: return 0;
	}
}

/* Data is all there, and aligned as kernel structures want it. */
static int data_fits(const struct step *s)
{
	uint64_t size;
	if (!has_data(s, &size))
		return 1;
	/* struct sock_fprog counts instructions in 16 bits: a longer filter would be cut off without a word. */
	if (s->kind == K_seccomp && (size % 8 || size > 8 * 4096))
		return 0;
	if (s->kind == K_credentials && s->credentials.count > 65536)
		return 0;
	if (s->kind == K_call && s->call.data > 6)
		return 0;
	uintptr_t at = (uintptr_t)s->str[0] - (uintptr_t)s;
	return s->str[0] && at % 8 == 0 && size <= s->size - at;
}

/* The strings that must not be NULL are there. */
static int strings_there(const struct step *s)
{
	uint32_t all = s->kind == K_move_root || s->kind == K_attach_root || s->kind == K_clone_root ? s->nstr : shape[s->kind].min_str;
	for (uint32_t i = 0; i < all; i++)
		if (!s->str[i] && s->kind != K_exec)
			return 0;
	if (s->kind != K_exec)
		return 1;
	/* argv, NULL, environment, NULL */
	const struct args_exec *a = &s->exec;
	return a->own_end <= 1 && s->str[0] && a->environment >= 2 && a->environment < s->nstr && !s->str[a->environment - 1] && !s->str[s->nstr - 1];
}

static int step_check(struct step *s, uint32_t left, uint32_t nfds)
{
	if (left < sizeof *s || s->size < sizeof *s || s->size > left || s->size % 8)
		return -EBADMSG;
	if (s->kind == 0 || s->kind >= K_END || s->nstr > (s->size - sizeof *s) / sizeof(char *))
		return -EBADMSG;
	if (s->nstr < shape[s->kind].min_str)
		return -EBADMSG;
	if (!slots_fit(s, nfds))
		return -EBADMSG;
	char *base = (char *)s;
	size_t first = sizeof *s + s->nstr * sizeof(char *);
	if (s->nstr && (s->size == first || base[s->size - 1])) /* the last NUL ends every string */
		return -EBADMSG;
	for (uint32_t i = 0; i < s->nstr; i++) {
		uintptr_t off = (uintptr_t)s->str[i];
		if (off && (off < first || off >= s->size))
			return -EBADMSG;
		s->str[i] = off ? base + off : NULL;
	}
	return strings_there(s) && data_fits(s) ? 0 : -EBADMSG;
}

/* Checks the plan of len bytes at base (writable, private, 8-aligned). */
int plan_check(void *base, size_t len)
{
	struct plan_header *h = base;
	if (len < sizeof *h || len > 64u << 20 || h->magic != PLAN_MAGIC || h->version != PLAN_VERSION)
		return -EBADMSG;
	if (h->size != len || h->nfds > MAX_FDS || h->nsteps == 0)
		return -EBADMSG;
	char *at = (char *)base + sizeof *h;
	uint32_t left = (uint32_t)(len - sizeof *h);
	for (uint32_t i = 0; i < h->nsteps; i++) {
		int r = step_check((struct step *)(void *)at, left, h->nfds);
		if (r)
			return r;
		left -= ((struct step *)(void *)at)->size;
		at += ((struct step *)(void *)at)->size;
	}
	return left == 0 ? 0 : -EBADMSG;
}

const struct step *plan_first(const void *base)
{
	return (const struct step *)(const void *)((const char *)base + sizeof(struct plan_header));
}

const struct step *plan_next(const struct step *s)
{
	return (const struct step *)(const void *)((const char *)s + s->size);
}
