/*
 * Steps that attach the rootfs and make it the root.
 */
#include <string.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "stub.h"

/* Mounts an empty file system over something of the host's. */
static int cover(struct ctx *c, int at)
{
	char *const opt[] = {"source", "tmpfs", "nr_inodes", "2", "mode", "0555"};
	c->want = NULL;
	c->made->target[0] = 0;
	int tree = new_fs(c, "tmpfs", opt, 6, K_ATTR_RDONLY | K_ATTR_NOSUID | K_ATTR_NODEV | K_ATTR_NOEXEC);
	return tree < 0 ? tree : attach(c, fresh(tree), at, 0, 0);
}

/*
 * Takes a procfs or sysfs of the host out of this namespace. From one that is left, be it in no path of the container, the kernel
 * lets a nested user namespace mount a new one that nothing masks (mnt_already_visible). Where it is locked, for the namespace
 * is of another user, it is covered, which is locked in turn in what is nested.
 */
static int remove_api(struct ctx *c, const char *path, int *covered)
{
	struct k_statx st;
	struct statfs fs;
	int at, r;
	TRY(c, "open a procfs or sysfs of the host", at = k_openat2(AT_FDCWD, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, K_NO_SYMLINKS));
	TRY(c, "statx", k_statx(at, &st));
	TRY(c, "fstatfs", fstatfs(at, &fs));
	c->what = "a procfs or sysfs of the host is hidden by another mount, and would stay";
	if ((fs.f_type != K_PROC_MAGIC && fs.f_type != K_SYSFS_MAGIC) || !(st.attributes & K_STATX_ATTR_MOUNT_ROOT))
		return -EBUSY;
	TRY(c, "fchdir", fchdir(at));
	r = umount2(".", MNT_DETACH);
	TRY(c, "umount a procfs or sysfs of the host", r < 0 && errno != EINVAL && errno != EPERM ? -1 : 0);
	if (r == 0) {
		close(at);
		return 0;
	}
	*covered = 1;
	return cover(c, at);
}

/* Takes all of those out whose paths a step has, from the first of its strings on: what is on top comes first. */
static int remove_apis(struct ctx *c, const struct step *s, uint32_t first)
{
	int r, covered = 0;
	for (uint32_t i = first; i < s->nstr; i++) {
		if (covered && strcmp(s->str[i], s->str[i - 1]) == 0)
			continue; /* a stack of them that are locked to each other */
		covered = 0;
		if ((r = remove_api(c, s->str[i], &covered)) < 0)
			return r;
	}
	return 0;
}

/*
 * Mounts the detached tree of the rootfs onto its own path, where hooks and pivot_root expect it, or at STAGED_ROOT. For --no-pivot
 * procfs and sysfs that the host has below that are removed: the tree will cover them, and they would stay. Later the paths lead into it.
 */
STEP(attach_root)
{
	const struct args_attach_root *a = &s->attach_root;
	struct stat want, have;
	int at, tree = slot(c, a->tree);
	TRY(c, "open rootfs", at = k_openat2(AT_FDCWD, a->staged ? STAGED_ROOT : s->str[0], O_PATH | O_DIRECTORY | O_CLOEXEC, 0, K_NO_SYMLINKS | K_NO_MAGICLINKS));
	TRY(c, "fstat", fstat(tree, &want));
	TRY(c, "fstat", fstat(at, &have));
	c->what = "rootfs changed while it was opened";
	if (!a->staged && (want.st_dev != have.st_dev || want.st_ino != have.st_ino))
		return -ESTALE;
	struct tree t = state(c, tree, a->propagation);
	if (t.fd < 0)
		return t.fd;
	int r = remove_apis(c, s, 1);
	if (r < 0)
		return r;
	TRY(c, "move_mount", k_move_mount(t.fd, at));
	close(at);
	c->root = t.fd;
	c->shared = (int)a->shared;
	return 0;
}

/* Makes a mount the root. The old one is stacked onto it and unmounted: nothing of that is left (pivot_root(2), NOTES). */
int pivot_to(struct ctx *c, int root)
{
	TRY(c, "fchdir", fchdir(root));
	TRY(c, "pivot_root", syscall(SYS_pivot_root, ".", "."));
	TRY(c, "umount old root", umount2(".", MNT_DETACH));
	TRY(c, "chdir", chdir("/"));
	return 0;
}

STEP(pivot)
{
	(void)s;
	return pivot_to(c, c->root);
}

/*
 * For --no-pivot, before the mount namespace is copied for the container's user namespace. A clone of the host's tree
 * can be pivoted away where its first root cannot. The copy locks it, and pivot_root(2) hands the lock on to the container's root: who
 * unmounted that would be in the host's tree.
 */
STEP(clone_root)
{
	int top, tree, r;
	TRY(c, "open /", top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	TRY(c, "open_tree", tree = k_open_tree(top, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE));
	if ((r = remove_apis(c, s, 0)) < 0) /* those that the clone will cover, and that would stay below it */
		return r;
	TRY(c, "move_mount", k_move_mount(tree, top));
	TRY(c, "fchdir", fchdir(tree));
	TRY(c, "chroot", chroot("."));
	close(tree);
	close(top);
	return 0;
}

/* What --no-pivot does, for a host root that cannot be pivoted away (an initramfs). */
STEP(move_root)
{
	int r = remove_apis(c, s, 0);
	if (r < 0)
		return r;
	TRY(c, "fchdir", fchdir(c->root));
	TRY(c, "move mount", mount(".", "/", NULL, MS_MOVE, NULL));
	TRY(c, "chroot", chroot("."));
	TRY(c, "chdir", chdir("/"));
	return 0;
}

/* Takes the directory of the rootfs for the root, in a container without a mount namespace of its own. */
STEP(chroot)
{
	c->root = slot(c, s->chroot.directory);
	TRY(c, "fchdir", fchdir(c->root));
	TRY(c, "chroot", chroot("."));
	TRY(c, "chdir", chdir("/"));
	return 0;
}
