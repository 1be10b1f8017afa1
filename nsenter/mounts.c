/*
 * Steps that make the container's tree of mounts. A mount is made detached and moved onto a descriptor,
 * so nothing is decided by a path that could change meanwhile.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <sys/vfs.h>

#include "stub.h"

/* mount_setattr(2), unless there is nothing to change. */
static int set_attr(struct ctx *c, int fd, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation)
{
	struct k_mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
	if (set | clear | propagation)
		TRY(c, "mount_setattr", k_mount_setattr(fd, flags, &attr));
	return 0;
}

/*
 * a: slot to fill, 1 if recursive. str: a path of the host. Where rt may not clone mounts, the stub does: in the
 * copy of the host's tree that is its own namespace, before it takes on the container's ids.
 */
STEP(open_tree)
{
	int tree;
	TRY(c, "open_tree", tree = k_open_tree(AT_FDCWD, s->str[0], K_OPEN_TREE_CLONE | (s->a[1] ? K_RECURSIVE : 0)));
	TRY(c, "dup3", dup3(tree, slot(c, s->a[0]), O_CLOEXEC));
	close(tree);
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
	struct tree t = state(c, tree, s->a[1]);
	if (t.fd < 0)
		return t.fd;
	TRY(c, "move_mount", k_move_mount(t.fd, at));
	close(at);
	c->root = t.fd;
	return 0;
}

/* Whether a target lies in the container's /proc though it is not called so: a link of the image leads there, past the
 * rules for what may be mounted over /proc (CVE-2019-16884). The host's, bound elsewhere, is another file system. */
static int smuggled(struct ctx *c, int at, const char *path)
{
	struct statfs fs;
	struct stat target, own;
	if (fstatfs(at, &fs) == 0 && fs.f_type != K_PROC_MAGIC)
		return 0;
	if (strncmp(path, "/proc", 5) == 0 && (path[5] == '/' || !path[5]))
		return 0;
	int proc = path_open(c->root, "proc", O_PATH, 0);
	int same = fstat(at, &target) < 0 || fstat(proc, &own) < 0 || own.st_dev == target.st_dev; /* also what cannot be looked at */
	close(proc);
	return same;
}

/* Opens a mount's target, making it where it is missing. The targets of proc and sysfs must not lie behind
 * a link (CVE-2023-28642): a link there would move what masks and labels count on. */
int open_target(struct ctx *c, const char *path, int dir, mode_t mode, int no_links)
{
	int fd = path_make(c, path, dir, mode);
	if (fd >= 0 && smuggled(c, fd, path)) {
		c->what = "cannot be mounted because it is inside /proc";
		return -EPERM;
	}
	if (fd < 0 || !no_links)
		return fd;
	close(fd);
	c->what = "open target without links";
	fd = path_open(c->root, path, O_PATH | O_DIRECTORY, K_NO_SYMLINKS);
	return fd < 0 ? -errno : fd;
}

static const char *const api_dir[] = {"/proc", "/sys"};

/*
 * Keeps the mounts on /proc and /sys open: what protects paths in them is put into the very mounts. By path, a neighbour
 * who shares the rootfs could lead it elsewhere: a directory can be renamed in spite of another namespace's mount on it.
 * mnt < 0: there is one that has no descriptor, on top of what was known.
 */
static int remember(struct ctx *c, int mnt, const char *path)
{
	for (int i = 0; i < 2; i++)
		if (strcmp(path, api_dir[i]) == 0) {
			close(c->api[i]);
			c->api[i] = -1;
			if (mnt >= 0)
				TRY(c, "dup", c->api[i] = fcntl(mnt, F_DUPFD_CLOEXEC, 3));
		}
	return 0;
}

static int open_protected(struct ctx *c, const char *path)
{
	c->what = "open";
	for (int i = 0; i < 2; i++) {
		size_t n = strlen(api_dir[i]);
		if (c->api[i] >= 0 && strncmp(path, api_dir[i], n) == 0 && path[n] == '/')
			return path_open(c->api[i], path + n, O_PATH, 0);
	}
	return path_open(c->root, path, O_PATH, 0);
}

/* The mount of a new file system is nobody's peer. */
struct tree fresh(int fd)
{
	return (struct tree){fd};
}

/*
 * States the propagation of a whole detached clone: MS_PRIVATE, MS_SLAVE, or MS_SHARED where the configuration asks that it
 * stays what its source is. A clone is its source's peer until then: what a container mounts over it appears on the host.
 */
struct tree state(struct ctx *c, int fd, uint64_t propagation)
{
	int r = 0;
	c->what = "the tree's propagation is not stated";
	if (propagation != MS_PRIVATE && propagation != MS_SLAVE && propagation != MS_SHARED)
		return (struct tree){-EINVAL};
	if (propagation != MS_SHARED)
		r = set_attr(c, fd, K_RECURSIVE, 0, 0, propagation);
	return (struct tree){r < 0 ? r : fd};
}

/* Moves a tree onto its target, gives it the propagation that was asked for, and closes both. A directory over a file or
 * the reverse is EINVAL (do_move_mount), which says nothing; mount(2) says ENOTDIR, and by that engines explain it. */
int attach(struct ctx *c, struct tree tree, int at, int recursive, uint64_t propagation)
{
	struct stat what, where;
	if (tree.fd < 0)
		return tree.fd;
	c->what = "move_mount";
	if (k_move_mount(tree.fd, at) < 0) {
		int err = errno;
		if (err == EINVAL && fstat(tree.fd, &what) == 0 && fstat(at, &where) == 0 && !S_ISDIR(what.st_mode) != !S_ISDIR(where.st_mode))
			err = ENOTDIR;
		return -err;
	}
	int r = set_attr(c, tree.fd, recursive ? K_RECURSIVE : 0, 0, 0, propagation);
	close(at);
	if (c->undo >= 0 && c->nplaced < MAX_UNDO)
		c->placed[c->nplaced++] = tree.fd;
	else
		close(tree.fd);
	return r;
}

/* a: slot of the host's /proc. From here on a failure of the plan takes back what was mounted. */
STEP(undo)
{
	c->undo = slot(c, s->a[0]);
	return 0;
}

/* Unmounts what was mounted, by descriptor: at its place there may be something else by now. The procfs is the host's, for
 * what stands at /proc in the container may be anything. */
void undo_mounts(struct ctx *c)
{
	char fd[32];
	if (c->nplaced == 0 || fchdir(c->undo) < 0)
		return;
	while (c->nplaced > 0) {
		snprintf(fd, sizeof fd, "self/fd/%d", c->placed[--c->nplaced]);
		umount2(fd, MNT_DETACH);
	}
}

/*
 * a: 1 to look only. str: a directory, a name in it. Detaches what is mounted there. The directory is found without links, so
 * that the container cannot point elsewhere, and the name in it cannot be moved while something is mounted on it. What
 * covers parts of /proc and /sys stays, for it protects the host.
 */
STEP(unmount)
{
	struct statfs fs;
	int dir, at;
	TRY(c, "open directory without links", dir = path_open(c->root, s->str[0], O_PATH | O_DIRECTORY, K_NO_SYMLINKS));
	TRY(c, "fstatfs", fstatfs(dir, &fs));
	c->what = "it is inside /proc or /sys";
	if (fs.f_type == K_PROC_MAGIC || fs.f_type == K_SYSFS_MAGIC)
		return -EPERM;
	c->what = "it is not a mount";
	if ((at = k_openat2(dir, s->str[1], O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, K_NO_XDEV)) >= 0)
		return -EINVAL;
	TRY(c, "open", errno == EXDEV ? 0 : at);
	TRY(c, "fchdir", fchdir(dir));
	close(dir);
	if (!s->a[0])
		TRY(c, "umount", umount2(s->str[1], MNT_DETACH | UMOUNT_NOFOLLOW));
	return 0;
}

/* Gives a new or picked file system (fsopen(2)) its options: n strings, key, value or NULL, key ... */
static int configure_fs(struct ctx *c, int fs, char *const *opt, uint32_t n, unsigned finish)
{
	c->detail_fd = fs;
	for (uint32_t i = 0; i + 1 < n; i += 2) {
		c->what = opt[i];
		if (!opt[i] || k_fsconfig(fs, opt[i + 1] ? K_FSCONFIG_STRING : K_FSCONFIG_FLAG, opt[i], opt[i + 1]) < 0)
			return opt[i] ? -errno : -EBADMSG;
	}
	TRY(c, "fsconfig", k_fsconfig(fs, finish, NULL, NULL));
	c->detail_fd = -1;
	return 0;
}

/* Makes a detached mount of a new file system. */
int new_fs(struct ctx *c, const char *type, char *const *opt, uint32_t n, unsigned attr)
{
	int fs, mnt, r;
	TRY(c, "fsopen", fs = (int)syscall(NR_fsopen, type, K_FSOPEN_CLOEXEC));
	if ((r = configure_fs(c, fs, opt, n, K_FSCONFIG_CREATE)) < 0)
		return r;
	TRY(c, "fsmount", mnt = (int)syscall(NR_fsmount, fs, K_FSMOUNT_CLOEXEC, attr));
	close(fs);
	return mnt;
}

/* The root of a new file system: attributes and content of the directory that it will hide, a label. */
static int fill_fs(struct ctx *c, const struct step *s, int mnt)
{
	int r = 0, root, hidden;
	TRY(c, "open new file system", root = k_openat2(mnt, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, K_BENEATH));
	if (*s->str[4])
		TRY(c, "set label", fsetxattr(root, "security.selinux", s->str[4], strlen(s->str[4]) + 1, 0));
	if (s->a[4]) {
		c->what = "open target";
		hidden = path_open(c->root, s->str[1], (s->a[4] & COPY_CONTENT ? O_RDONLY : O_PATH) | O_DIRECTORY, 0);
		if (hidden >= 0)
			r = copy_up(c, hidden, root, (unsigned)s->a[4]);
		else if (errno != ENOENT && errno != ENOTDIR) /* nothing to hide, or what will not be hidden */
			r = -errno;
		close(hidden);
	}
	close(root);
	return r;
}

/*
 * a: MOUNT_ATTR_* set, 1 if no link may lead to the target, propagation, 1 if that is recursive, COPY_*.
 * str: type, target, source, "" or all options as mount(2) takes them, "" or a label for the root, key, value ...
 */
STEP(mount_fs)
{
	int mnt = -1, at, r;
	if (!*s->str[3] && (mnt = new_fs(c, s->str[0], s->str + 5, s->nstr - 5, (unsigned)s->a[0])) < 0)
		return mnt;
	if (mnt >= 0 && (s->a[4] || *s->str[4]) && (r = fill_fs(c, s, mnt)) < 0)
		return r;
	if ((at = open_target(c, s->str[1], 1, 0755, (int)s->a[1])) < 0)
		return at;
	if ((r = remember(c, mnt, s->str[1])) < 0)
		return r;
	if (mnt < 0) { /* fsconfig(2) takes 255 bytes a value; mount(2) a page, but no descriptor */
		TRY(c, "fchdir", fchdir(at));
		TRY(c, "mount", mount(s->str[2], ".", s->str[0], 0, s->str[3]));
		close(at);
		return 0;
	}
	return attach(c, fresh(mnt), at, (int)s->a[3], s->a[2]);
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
	int tree = slot(c, s->a[0]), r;
	unsigned rec = s->a[6] & 1 ? K_RECURSIVE : 0;
	if (tree < 0)
		TRY(c, "open_tree", tree = k_open_tree(AT_FDCWD, s->str[1], K_OPEN_TREE_CLONE | rec));
	/* Propagation: what a mount has by its place, then what was asked for: a slave may be shared again below. */
	if ((r = set_attr(c, tree, 0, s->a[1], s->a[2], 0)) < 0 || (r = set_attr(c, tree, K_RECURSIVE, s->a[3], s->a[4], 0)) < 0)
		return r;
	struct tree t = state(c, tree, s->a[5] >> 32);
	if (t.fd < 0)
		return t.fd;
	TRY(c, "fstat", fstat(tree, &st));
	if ((r = remember(c, tree, s->str[0])) < 0)
		return r;
	int at = open_target(c, s->str[0], S_ISDIR(st.st_mode), 0755, (int)s->a[7]);
	return at < 0 ? at : attach(c, t, at, s->a[6] & 2, s->a[5] & 0xffffffff);
}

/* a: attributes to set and to clear, propagation, 1 if recursive, 1 if there are options for the file system, 1 if it is
 * what a plan that can be undone has mounted last. str: target, key, value ... Changes a mount that is already there. */
STEP(remount)
{
	int at, fs, r = 0, last = s->a[5] && c->nplaced ? c->placed[c->nplaced - 1] : -1;
	TRY(c, "open target", at = s->a[5] ? fcntl(last, F_DUPFD_CLOEXEC, 3) : path_open(c->root, s->str[0], O_PATH, 0));
	if (s->a[4]) {
		TRY(c, "fspick", fs = (int)syscall(NR_fspick, at, "", K_FSPICK_CLOEXEC | K_FSPICK_EMPTY_PATH));
		if ((r = configure_fs(c, fs, s->str + 1, s->nstr - 1, K_FSCONFIG_RECONFIGURE)) < 0)
			return r;
		close(fs);
	}
	r = set_attr(c, at, s->a[3] ? K_RECURSIVE : 0, s->a[0], s->a[1], s->a[2]);
	close(at);
	return r;
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

/* str: path. It becomes read-only by a bind mount of itself; what is not there needs no protection. */
STEP(readonly_path)
{
	int at = open_protected(c, s->str[0]), tree;
	if (at < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	TRY(c, "open_tree", tree = k_open_tree(at, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE));
	int r = set_attr(c, tree, 0, K_ATTR_RDONLY, 0, 0);
	/* What is mounted later where its source gets it appears below it; nothing goes the other way. */
	return r < 0 ? r : attach(c, state(c, tree, MS_SLAVE), at, 0, 0);
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

/* The empty, read-only tmpfs that all masked directories share, or a detached clone of it. The first one is attached,
 * for Linux before 6.15 clones no mount that is not. */
static int clone_mask(struct ctx *c, char *label)
{
	char *const opt[] = {"source", "tmpfs", "nr_inodes", "2", "mode", "0755", "context", label};
	int tree;
	if (c->mask >= 0) {
		TRY(c, "open_tree", tree = k_open_tree(c->mask, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE));
		return tree;
	}
	tree = new_fs(c, "tmpfs", opt, *label ? 8 : 6, K_ATTR_RDONLY | K_ATTR_NOSUID | K_ATTR_NODEV | K_ATTR_NOEXEC);
	if (tree >= 0)
		TRY(c, "dup", c->mask = fcntl(tree, F_DUPFD_CLOEXEC, 3));
	return tree;
}

/* str: path, label ("": none). It is covered: a directory by an empty one, anything else by the null device. */
STEP(mask_path)
{
	struct stat st;
	int at = open_protected(c, s->str[0]), tree;
	if (at < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	TRY(c, "fstat", fstat(at, &st));
	if (S_ISDIR(st.st_mode)) {
		tree = clone_mask(c, s->str[1]);
	} else {
		int r = open_null(c);
		if (r < 0)
			return r;
		TRY(c, "open_tree", tree = k_open_tree(c->null, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE));
	}
	return tree < 0 ? tree : attach(c, state(c, tree, MS_PRIVATE), at, 0, 0);
}
