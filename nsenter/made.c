/*
 * The mounts that the plan has made and that later steps refer to, by descriptor. A path that leads into one of them is walked
 * from there, and a change of one is made on its descriptor: by path, a neighbour who shares the rootfs could lead both elsewhere.
 */
#include <string.h>

#include "stub.h"

/* The length of top if path is the same or lies below it, else 0. */
static size_t below(const char *path, const char *top)
{
	size_t n = strlen(top);
	return strncmp(path, top, n) == 0 && (path[n] == '/' || !path[n]) ? n : 0;
}

/* Where to walk path from: the mount at it or above it, the last one made, else the root. *skip: the bytes that lead there. */
int made_above(const struct ctx *c, const char *path, size_t *skip)
{
	for (unsigned i = c->made->n; i-- > 0;) {
		const struct mount_made *m = &c->made->mount[i];
		if ((*skip = below(path, m->at)) || (*skip = below(path, m->want)))
			return m->fd;
	}
	*skip = 0;
	return c->root;
}

/* The descriptor of the mount that was made at the target want, -1 if none is known. */
int made_at(const struct ctx *c, const char *want)
{
	for (unsigned i = c->made->n; i-- > 0;)
		if (strcmp(c->made->mount[i].want, want) == 0)
			return c->made->mount[i].fd;
	return -1;
}

/* Whether the target of the mount in hand lies in dir although it is not called so: a link leads there. */
int made_behind_link(const struct ctx *c, const char *want, const char *dir)
{
	return below(c->made->target, dir) && !below(want, dir);
}

/* A mount at the target in hand hides those that are there or below it. */
static void hide(struct made *t)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < t->n; i++) {
		if (!below(t->mount[i].at, t->target))
			t->mount[kept++] = t->mount[i];
		else if (!t->borrowed)
			close(t->mount[i].fd);
	}
	t->n = kept;
}

/* Takes note of a mount that now is at the target in hand, and keeps its descriptor if the plan says so (c->keep), or if a
 * link led there, so that the plan cannot know. Returns 1 if the descriptor is kept. */
int made_note(struct ctx *c, int tree)
{
	struct made *t = c->made;
	const char *want = c->want, *at = want;
	int moved = want && strcmp(want, t->target) != 0;
	hide(t);
	if (!want || !(c->keep || moved))
		return 0;
	c->what = "too many mounts that others depend on";
	if (t->n == MAX_MADE)
		return -E2BIG;
	if (moved) {
		size_t n = strlen(t->target) + 1;
		if (n > sizeof t->text - t->used)
			return -E2BIG;
		at = memcpy(t->text + t->used, t->target, n);
		t->used += n;
	}
	t->mount[t->n++] = (struct mount_made){want, at, tree};
	return 1;
}
