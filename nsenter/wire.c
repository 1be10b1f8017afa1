/*
 * The plan as bytes: a header, then nsteps records, 8-aligned. A record is a struct step whose str[]
 * are offsets from the record's start (0 = NULL), then the bytes of the strings. plan_check looks at
 * all of it before anything is executed, and turns offsets into pointers; it must be safe for any
 * input, and is fuzzed (fuzz/).
 */
#include "stub.h"

#define SHAPE(name, strings, slots) [K_##name] = {strings, slots},
static const struct { uint8_t min_str, slots; } shape[K_END] = {KINDS(SHAPE)};

/* Bit i: a[i] is a slot. One of a call says so itself (STEP(call)). */
static unsigned slots(const struct step *s)
{
	return s->kind == K_call ? 1u << (s->a[7] >> 8 & 7) & ~1u : shape[s->kind].slots;
}

/* Steps whose first string is a[0] bytes of data; kernel structures want them aligned. */
static int blob_fits(const struct step *s)
{
	if (s->kind != K_seccomp && s->kind != K_credentials)
		return 1;
	uint64_t n = s->kind == K_credentials ? s->a[3] * 8 : s->a[0]; /* groups, and room for the kernel's */
	uintptr_t at = (uintptr_t)s->str[0] - (uintptr_t)s;
	/* struct sock_fprog counts instructions in 16 bits: a longer filter would be cut off without a word. */
	if (s->kind == K_seccomp && (n % 8 || n > 8 * 4096))
		return 0;
	return s->str[0] && s->a[3] <= 65536 && (uintptr_t)s->str[0] % 8 == 0 && n <= s->size - at;
}

/* The strings before str[i] that must not be NULL. */
static int strings_there(const struct step *s)
{
	uint32_t all = s->kind == K_move_root || s->kind == K_attach_root || s->kind == K_clone_root ? s->nstr : shape[s->kind].min_str;
	for (uint32_t i = 0; i < all; i++)
		if (!s->str[i] && s->kind != K_exec)
			return 0;
	if (s->kind != K_exec)
		return 1;
	/* argv, NULL, environment, NULL: a[0] is the index of the environment. */
	return s->a[1] <= 1 && s->str[0] && s->a[0] >= 2 && s->a[0] < s->nstr && !s->str[s->a[0] - 1] && !s->str[s->nstr - 1];
}

static int step_check(struct step *s, uint32_t left, uint32_t nfds)
{
	if (left < sizeof *s || s->size < sizeof *s || s->size > left || s->size % 8)
		return -EBADMSG;
	if (s->kind == 0 || s->kind >= K_END || s->nstr > (s->size - sizeof *s) / sizeof(char *))
		return -EBADMSG;
	if (s->nstr < shape[s->kind].min_str)
		return -EBADMSG;
	for (unsigned i = 0; i < 8; i++)
		if (slots(s) >> i & 1 && s->a[i] != NO_FD && s->a[i] >= nfds)
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
	return strings_there(s) && blob_fits(s) ? 0 : -EBADMSG;
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
