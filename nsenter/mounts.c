/*
 * Steps that make the container's tree of mounts. A mount is made detached and moved onto a descriptor,
 * so nothing is decided by a path that could change meanwhile.
 */
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "stub.h"

/* a: MS_* propagation for the whole tree of the new mount namespace. */
STEP(propagation)
{
	TRY(c, "mount", mount(NULL, "/", NULL, (unsigned long)s->a[0], NULL));
	return 0;
}

/*
 * a: slot of the detached tree of the rootfs (NO_FD: clone it here), propagation for it. str: its path.
 * The tree is mounted onto its own path, where hooks and pivot_root expect it.
 */
STEP(attach_root)
{
	struct stat want, have;
	int at, tree = slot(c, s->a[0]);
	TRY(c, "open rootfs", at = k_openat2(AT_FDCWD, s->str[0], O_PATH | O_DIRECTORY | O_CLOEXEC, 0, K_NO_SYMLINKS | K_NO_MAGICLINKS));
	if (tree < 0)
		TRY(c, "open_tree", tree = k_open_tree(at, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE));
	TRY(c, "fstat", fstat(tree, &want));
	TRY(c, "fstat", fstat(at, &have));
	c->what = "rootfs changed while it was opened";
	if (want.st_dev != have.st_dev || want.st_ino != have.st_ino)
		return -ESTALE;
	struct k_mount_attr attr = {.propagation = s->a[1]};
	if (attr.propagation)
		TRY(c, "mount_setattr", k_mount_setattr(tree, K_RECURSIVE, &attr));
	TRY(c, "move_mount", k_move_mount(tree, at));
	close(at);
	c->root = tree;
	return 0;
}

/* Opens a mount's target, making it where it is missing. The targets of proc and sysfs must not lie behind
 * a link (CVE-2023-28642): a link there would move what masks and labels count on. */
static int open_target(struct ctx *c, const char *path, int dir, int no_links)
{
	int fd = path_make(c, path, dir, 0755);
	if (fd < 0 || !no_links)
		return fd;
	close(fd);
	c->what = "open target without links";
	fd = path_open(c->root, path, O_PATH | O_DIRECTORY, K_NO_SYMLINKS);
	return fd < 0 ? -errno : fd;
}

/* Moves a tree onto its target. A directory over a file or the reverse is EINVAL (do_move_mount), which says
 * nothing; mount(2) says ENOTDIR, and by that engines explain it. */
static int move_onto(struct ctx *c, int tree, int at)
{
	struct stat what, where;
	if (k_move_mount(tree, at) == 0)
		return 0;
	int err = errno;
	c->what = "move_mount";
	if (err == EINVAL && fstat(tree, &what) == 0 && fstat(at, &where) == 0 && !S_ISDIR(what.st_mode) != !S_ISDIR(where.st_mode))
		err = ENOTDIR;
	return -err;
}

/* Makes a detached mount of a file system: str[0] type, str[from..] options "key" or "key\0value". */
static int make_fs(struct ctx *c, const struct step *s, uint32_t from, unsigned attr)
{
	int fs, mnt;
	TRY(c, "fsopen", fs = (int)syscall(NR_fsopen, s->str[0], K_FSOPEN_CLOEXEC));
	c->detail_fd = fs;
	if (s->str[2][0])
		TRY(c, "source", k_fsconfig(fs, K_FSCONFIG_STRING, "source", s->str[2]));
	for (uint32_t i = from; i + 1 < s->nstr; i += 2) {
		const char *key = s->str[i], *value = s->str[i + 1];
		if (!key)
			return -EBADMSG;
		c->what = key;
		if (k_fsconfig(fs, value ? K_FSCONFIG_STRING : K_FSCONFIG_FLAG, key, value) < 0)
			return -errno;
	}
	TRY(c, "fsconfig create", k_fsconfig(fs, K_FSCONFIG_CREATE, NULL, NULL));
	TRY(c, "fsmount", mnt = (int)syscall(NR_fsmount, fs, K_FSMOUNT_CLOEXEC, attr));
	c->detail_fd = -1;
	close(fs);
	return mnt;
}

/* a: MOUNT_ATTR_* set, 1 if no link may lead to the target, propagation. str: type, target, source, key, value ... */
STEP(mount_fs)
{
	int mnt = make_fs(c, s, 3, (unsigned)s->a[0]);
	if (mnt < 0)
		return mnt;
	int at = open_target(c, s->str[1], 1, (int)s->a[1]);
	if (at < 0)
		return at;
	int r = move_onto(c, mnt, at);
	if (r < 0)
		return r;
	close(at);
	struct k_mount_attr attr = {.propagation = s->a[2]};
	if (attr.propagation)
		TRY(c, "mount_setattr", k_mount_setattr(mnt, s->a[3] ? K_RECURSIVE : 0, &attr));
	close(mnt);
	return 0;
}

/*
 * a: slot of a detached tree (NO_FD: clone the path str[1] here), attributes to set and to clear on its top,
 * the same for the whole tree, propagation (upper half: by its place), 1 if the tree and 2 if the propagation is
 * recursive, 1 if no link may lead to the target.
 * str: target, source.
 */
STEP(mount_tree)
{
	struct stat st;
	int tree = slot(c, s->a[0]);
	unsigned rec = s->a[6] & 1 ? K_RECURSIVE : 0;
	if (tree < 0)
		TRY(c, "open_tree", tree = k_open_tree(AT_FDCWD, s->str[1], K_OPEN_TREE_CLONE | rec));
	struct k_mount_attr top = {.attr_set = s->a[1], .attr_clr = s->a[2]};
	struct k_mount_attr all = {.attr_set = s->a[3], .attr_clr = s->a[4]};
	/* What a mount has by its place in the tree, then what was asked for: a slave may be shared again below. */
	struct k_mount_attr place = {.propagation = s->a[5] >> 32}, prop = {.propagation = s->a[5] & 0xffffffff};
	if (top.attr_set | top.attr_clr)
		TRY(c, "mount_setattr", k_mount_setattr(tree, 0, &top));
	if (all.attr_set | all.attr_clr)
		TRY(c, "mount_setattr", k_mount_setattr(tree, K_RECURSIVE, &all));
	if (place.propagation)
		TRY(c, "mount_setattr", k_mount_setattr(tree, K_RECURSIVE, &place));
	if (prop.propagation)
		TRY(c, "mount_setattr", k_mount_setattr(tree, s->a[6] & 2 ? K_RECURSIVE : 0, &prop));
	TRY(c, "fstat", fstat(tree, &st));
	int at = open_target(c, s->str[0], S_ISDIR(st.st_mode), (int)s->a[7]);
	if (at < 0)
		return at;
	int r = move_onto(c, tree, at);
	if (r < 0)
		return r;
	close(at);
	close(tree);
	return 0;
}

/* a: attributes to set and to clear, propagation, 1 if recursive, 1 if there are options for the file system.
 * str: target, key, value ... Changes a mount that is already there. */
STEP(remount)
{
	int at, fs;
	TRY(c, "open target", at = path_open(c->root, s->str[0], O_PATH, 0));
	if (s->a[4]) {
		TRY(c, "fspick", fs = (int)syscall(NR_fspick, at, "", K_FSPICK_CLOEXEC | K_FSPICK_EMPTY_PATH));
		c->detail_fd = fs;
		for (uint32_t i = 1; i + 1 < s->nstr; i += 2) {
			c->what = s->str[i];
			if (!s->str[i] || k_fsconfig(fs, s->str[i + 1] ? K_FSCONFIG_STRING : K_FSCONFIG_FLAG, s->str[i], s->str[i + 1]) < 0)
				return s->str[i] ? -errno : -EBADMSG;
		}
		TRY(c, "fsconfig reconfigure", k_fsconfig(fs, K_FSCONFIG_RECONFIGURE, NULL, NULL));
		c->detail_fd = -1;
		close(fs);
	}
	struct k_mount_attr attr = {.attr_set = s->a[0], .attr_clr = s->a[1], .propagation = s->a[2]};
	if (attr.attr_set | attr.attr_clr | attr.propagation)
		TRY(c, "mount_setattr", k_mount_setattr(at, s->a[3] ? K_RECURSIVE : 0, &attr));
	close(at);
	return 0;
}

/* The old root is stacked onto the new one and unmounted: nothing of the host's tree is left (pivot_root(2), NOTES). */
STEP(pivot)
{
	(void)s;
	TRY(c, "fchdir", fchdir(c->root));
	TRY(c, "pivot_root", syscall(SYS_pivot_root, ".", "."));
	TRY(c, "umount old root", umount2(".", MNT_DETACH));
	TRY(c, "chdir", chdir("/"));
	return 0;
}

/* --no-pivot: for a host root that cannot be pivoted away (an initramfs). The host's /proc and /sys are
 * unmounted first, for they would stay reachable below the moved root. */
STEP(move_root)
{
	(void)s;
	TRY(c, "fchdir", fchdir(c->root));
	c->what = "umount";
	for (int i = 0; i < 2; i++)
		if (umount2(i ? "/sys" : "/proc", MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
			return -errno;
	TRY(c, "move mount", mount(".", "/", NULL, MS_MOVE, NULL));
	TRY(c, "chroot", chroot("."));
	TRY(c, "chdir", chdir("/"));
	return 0;
}

/* a: slot of the rootfs directory, for a container without a mount namespace of its own. */
STEP(chroot)
{
	c->root = slot(c, s->a[0]);
	TRY(c, "fchdir", fchdir(c->root));
	TRY(c, "chroot", chroot("."));
	TRY(c, "chdir", chdir("/"));
	return 0;
}

/* a: attributes to set on the root mount, propagation, 1 if recursive. */
STEP(root_attr)
{
	struct k_mount_attr attr = {.attr_set = s->a[0], .propagation = s->a[1]};
	TRY(c, "mount_setattr", k_mount_setattr(c->root, s->a[2] ? K_RECURSIVE : 0, &attr));
	return 0;
}

/* str: path. It becomes read-only by a bind mount of itself; what is not there needs no protection. */
STEP(readonly_path)
{
	int at, tree;
	struct k_mount_attr attr = {.attr_set = K_ATTR_RDONLY};
	c->what = "open";
	at = path_open(c->root, s->str[0], O_PATH, 0);
	if (at < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	TRY(c, "open_tree", tree = k_open_tree(at, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE));
	TRY(c, "mount_setattr", k_mount_setattr(tree, 0, &attr));
	TRY(c, "move_mount", k_move_mount(tree, at));
	close(tree);
	close(at);
	return 0;
}

/* The container's /dev/null, if it is one: a forged one would unmask what it is mounted over (CVE-2025-31133). */
static int open_null(struct ctx *c)
{
	struct stat st;
	if (c->null >= 0)
		return 0;
	TRY(c, "open /dev/null", c->null = path_open(c->root, "dev/null", O_PATH | O_NOFOLLOW, 0));
	TRY(c, "fstat", fstat(c->null, &st));
	c->what = "/dev/null is not the null device";
	return S_ISCHR(st.st_mode) && st.st_rdev == ((1 << 8) | 3) ? 0 : -EINVAL;
}

/* A detached clone of the empty, read-only tmpfs that all masked directories share. */
static int clone_mask(struct ctx *c)
{
	int fs, tree;
	if (c->mask < 0) {
		TRY(c, "fsopen", fs = (int)syscall(NR_fsopen, "tmpfs", K_FSOPEN_CLOEXEC));
		TRY(c, "fsconfig", k_fsconfig(fs, K_FSCONFIG_STRING, "source", "tmpfs"));
		TRY(c, "fsconfig", k_fsconfig(fs, K_FSCONFIG_STRING, "nr_inodes", "2"));
		TRY(c, "fsconfig", k_fsconfig(fs, K_FSCONFIG_STRING, "mode", "0755"));
		TRY(c, "fsconfig create", k_fsconfig(fs, K_FSCONFIG_CREATE, NULL, NULL));
		TRY(c, "fsmount", c->mask = (int)syscall(NR_fsmount, fs, K_FSMOUNT_CLOEXEC, K_ATTR_RDONLY | K_ATTR_NOSUID | K_ATTR_NODEV | K_ATTR_NOEXEC));
		close(fs);
		return c->mask;
	}
	TRY(c, "open_tree", tree = k_open_tree(c->mask, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE));
	return tree;
}

/* str: path, which is covered: a directory by an empty one, anything else by the null device. */
STEP(mask_path)
{
	struct stat st;
	c->what = "open";
	int at = path_open(c->root, s->str[0], O_PATH, 0), tree;
	if (at < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	TRY(c, "fstat", fstat(at, &st));
	if (S_ISDIR(st.st_mode)) {
		tree = clone_mask(c);
	} else {
		int r = open_null(c);
		if (r < 0)
			return r;
		TRY(c, "open_tree", tree = k_open_tree(c->null, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE));
	}
	if (tree < 0)
		return tree;
	TRY(c, "move_mount", k_move_mount(tree, at));
	if (tree != c->mask)
		close(tree);
	close(at);
	return 0;
}
