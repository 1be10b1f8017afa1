/*
 * Opening the sources of bind mounts.
 */
#include <stdio.h>
#include <string.h>

#include "stub.h"

/*
 * Clones all that is at a path, with those mounts of the plan only that it has put there. want is the plan's name for the path, name the one
 * without links.
 */
int clone_apart(struct ctx *c, const char *want, const char *name, int at)
{
	int tree, r = made_apart(c, want, name);
	c->what = "keep other mounts out of the source";
	if (r < 0)
		return r;
	TRY(c, "open_tree", tree = k_open_tree(at, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE));
	c->what = "restore propagation";
	if ((r = made_back(c)) < 0 || (r = made_parts(c, name, tree)) < 0)
		return r;
	return tree;
}

/*
 * Clones a source below the container's root. A link of an image or a volume must not lead to it: it would show elsewhere what is
 * masked (/proc), or the root itself. One that led an earlier mount to its place is no such link: the source is walked to from that.
 */
static int clone_found(struct ctx *c, const char *want, int recursive)
{
	char path[MAX_PATH], name[MAX_PATH];
	c->what = "open source";
	if (snprintf(name, sizeof name, "%s", want) >= (int)sizeof name)
		return -ENAMETOOLONG;
	int tree, r = 1, base = c->base;
	for (int i = 0; i < 300 && r > 0; i++)
		r = made_rename(c, name);
	if (r == 0 && !made_as_planned(c, want, name, recursive)) {
		c->what = "open source: a link has led another mount there";
		return -ELOOP;
	}
	int at = r < 0 ? r : path_walk(c, name, path, O_PATH);
	c->base = base;
	if (at < 0)
		return at;
	if (strcmp(path, name) != 0 || made_elsewhere(c, want, at)) {
		close(at);
		c->what = strcmp(path, name) ? "open source without links" : "open source: another mount of the configuration is there";
		return -ELOOP;
	}
	if (recursive)
		tree = clone_apart(c, want, name, at);
	else
		TRY(c, "open_tree", tree = k_open_tree(at, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE));
	close(at);
	return tree;
}

/*
 * Clones the mount at a source: a path of the host, a directory that it lies below or "", the rest of the path there. No link leads
 * out of that directory, which is the image's.
 */
int clone_source(const struct step *s, unsigned flags)
{
	if (!*s->str[1])
		return k_open_tree(AT_FDCWD, s->str[0], flags);
	int tree = -1, at = -1, dir = k_openat2(AT_FDCWD, s->str[1], O_PATH | O_DIRECTORY | O_CLOEXEC, 0, K_NO_SYMLINKS);
	if (dir >= 0)
		at = path_open(dir, s->str[2], O_PATH, 0);
	if (at >= 0)
		tree = k_open_tree(at, "", K_EMPTY_PATH | flags);
	int err = errno;
	close(at);
	close(dir);
	errno = err;
	return tree;
}

/*
 * Fills a slot with a tree. Where rt may not clone mounts, the stub does: in the copy of the host's tree that is its own namespace,
 * before it takes on the container's ids. With below the path is one below the container's root, of what an earlier step has mounted there.
 */
STEP(open_tree)
{
	const struct args_open_tree *a = &s->open_tree;
	int tree;
	c->what = "open source";
	if (a->tree.n >= c->nfds)
		return -EBADMSG;
	if (!a->below)
		TRY(c, "open_tree", tree = clone_source(s, K_OPEN_TREE_CLONE | (a->recursive ? K_RECURSIVE : 0)));
	else if ((tree = clone_found(c, s->str[0], a->recursive != 0)) < 0)
		return tree;
	close(slot(c, a->tree)); /* it holds the number */
	c->fd[a->tree.n] = tree;
	return 0;
}
