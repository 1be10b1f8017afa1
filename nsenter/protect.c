/*
 * Steps that make paths read-only and hide them.
 */
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "stub.h"

/* Whether a descriptor is of the container's root, which other mounts must not cover: init would keep the root, and each
 * process that joins the mount namespace would get what is on top of it. What cannot be looked at is taken for it. */
static int is_root(struct ctx *c, int at, struct k_statx *a)
{
	struct k_statx root;
	if (k_statx(at, a) < 0)
		return 1;
	if (!(a->attributes & K_STATX_ATTR_MOUNT_ROOT))
		return 0;
	return k_statx(c->root, &root) < 0 || (a->mnt_id == root.mnt_id && a->ino == root.ino && a->dev_major == root.dev_major && a->dev_minor == root.dev_minor);
}

/* An error if it is. *st is what is known of the descriptor. */
int not_on_root(struct ctx *c, int at, struct k_statx *st)
{
	c->what = "mountpoint is on the top of rootfs";
	return is_root(c, at, st) ? -EINVAL : 0;
}

/*
 * Does f with what a path leads to, at a descriptor or -errno: where it is now, and in mounts that a later one hides, which a neighbour
 * brings to light by renaming their directory. With below, each mount below the path is in hand, too: f hides it, and the neighbour could
 * rename its directory to where it is not hidden.
 */
static int protect(struct ctx *c, const struct step *s, int (*f)(struct ctx *, const struct step *, int), int below)
{
	char path[MAX_PATH];
	size_t skip;
	c->what = "open";
	int base, at = path_walk(c, s->str[0], c->made->target, O_PATH);
	memcpy(path, c->made->target, MAX_PATH);
	int r = f(c, s, at);
	for (int hidden = !below; hidden < 2; hidden++)
		for (unsigned i = 0; i < c->made->n && r >= 0; i++) {
			if ((base = hidden ? made_hidden(c, i, path, &skip) : made_below(c, i, s->str[0], path)) < 0)
				continue;
			c->base = base;
			c->made->target[0] = 0;
			at = hidden ? path_open(base, path + skip, O_PATH, 0) : k_dup(base);
			r = f(c, s, at < 0 ? -errno : at);
		}
	return r;
}

static int make_readonly(struct ctx *c, const struct step *s, int at)
{
	struct k_statx st;
	int tree, r;
	if (at < 0)
		return at == -ENOENT || at == -ENOTDIR ? 0 : at;
	if (is_root(c, at, &st)) {
		r = set_attr(c, at, 0, K_ATTR_RDONLY, 0, 0);
		close(at);
		return r;
	}
	const char *path = c->made->target;
	if (!*path || strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/sys/", 5) == 0) /* where nothing can be renamed */
		TRY(c, "open_tree", tree = k_open_tree(at, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE));
	else if ((tree = clone_apart(c, s->str[0], path, at)) < 0)
		return tree;
	r = set_attr(c, tree, 0, K_ATTR_RDONLY, 0, 0);
	c->want = *c->made->target ? s->str[0] : NULL;
	c->keep = (int)s->readonly_path.keep;
	/* What is mounted later where its source gets it appears below it; nothing goes the other way. */
	return r < 0 ? r : attach_own(c, state(c, tree, MS_SLAVE), at);
}

/* The path becomes read-only by a bind mount of itself, the root by a change of its
 * own mount; what is not there needs no protection. */
STEP(readonly_path)
{
	return protect(c, s, make_readonly, 0);
}

/* The container's /dev/null, if it is one: a forged one would unmask what it is mounted over (CVE-2025-31133). */
static int open_null(struct ctx *c)
{
	struct stat st;
	if (c->null >= 0)
		return 0;
	c->what = "open /dev/null";
	if ((c->null = path_find(c, "/dev/null", O_PATH)) < 0)
		return c->null;
	TRY(c, "fstat", fstat(c->null, &st));
	c->what = "/dev/null is not the null device";
	return S_ISCHR(st.st_mode) && st.st_rdev == ((1 << 8) | 3) ? 0 : -EINVAL;
}

/* The empty, read-only tmpfs that all masked directories share, or a detached clone of it. The first one is attached,
 * for Linux before 6.15 clones no mount that is not. */
static int clone_mask(struct ctx *c, char *label)
{
	char *const opt[] = {"source", "tmpfs", "ro", NULL, "nr_blocks", "1", "nr_inodes", "2", "mode", "0755", "context", label};
	int tree;
	if (c->mask >= 0) {
		TRY(c, "open_tree", tree = k_open_tree(c->mask, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE));
		return tree;
	}
	tree = new_fs(c, "tmpfs", opt, *label ? 12 : 10, K_ATTR_RDONLY | K_ATTR_NOSUID | K_ATTR_NODEV | K_ATTR_NOEXEC);
	if (tree >= 0)
		TRY(c, "dup", c->mask = k_dup(tree));
	return tree;
}

static int mask(struct ctx *c, const struct step *s, int at)
{
	struct k_statx st;
	int tree, r;
	if (at < 0)
		return at == -ENOENT || at == -ENOTDIR ? 0 : at;
	if ((r = not_on_root(c, at, &st)) < 0)
		return r;
	c->want = NULL;
	if (S_ISDIR(st.mode)) {
		tree = clone_mask(c, s->str[1]);
	} else {
		if ((r = open_null(c)) < 0)
			return r;
		TRY(c, "open_tree", tree = k_open_tree(c->null, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE));
	}
	return tree < 0 ? tree : attach_own(c, state(c, tree, MS_PRIVATE), at);
}

/* The path is covered: a directory by an empty one, anything else by the null device. */
STEP(mask_path)
{
	return protect(c, s, mask, 1);
}
