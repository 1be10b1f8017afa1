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
 * Clones all that is at a path, with those mounts of the plan only that it has put there. want is the plan's name for the path, name the one
 * without links.
 */
static int clone_apart(struct ctx *c, const char *want, const char *name, int at)
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
 * a: slot to fill, 1 if recursive, 1 if the path is one below the container's root, of what an earlier step has mounted there.
 * str: as clone_source. Where rt may not clone mounts, the stub does: in the copy of the host's tree that is its own namespace,
 * before it takes on the container's ids.
 */
STEP(open_tree)
{
	int tree;
	c->what = "open source";
	if (s->a[0] >= c->nfds)
		return -EBADMSG;
	if (!s->a[2])
		TRY(c, "open_tree", tree = clone_source(s, K_OPEN_TREE_CLONE | (s->a[1] ? K_RECURSIVE : 0)));
	else if ((tree = clone_found(c, s->str[0], s->a[1] != 0)) < 0)
		return tree;
	close(slot(c, s->a[0])); /* it holds the number */
	c->fd[s->a[0]] = tree;
	return 0;
}

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
 * a: slot of the detached tree of the rootfs (NO_FD: clone it here), propagation for it, 1 if that of volumes is MS_SHARED, 1 to mount it
 * at STAGED_ROOT. str: its path, and for --no-pivot where
 * the host has procfs and sysfs below that: the clone will cover them, and they would stay. Later the paths lead into the clone.
 * The tree is mounted onto its own path, where hooks and pivot_root expect it, unless there are none.
 */
STEP(attach_root)
{
	struct stat want, have;
	int at, tree = slot(c, s->a[0]);
	TRY(c, "open rootfs", at = k_openat2(AT_FDCWD, s->a[3] ? STAGED_ROOT : s->str[0], O_PATH | O_DIRECTORY | O_CLOEXEC, 0, K_NO_SYMLINKS | K_NO_MAGICLINKS));
	if (tree < 0)
		TRY(c, "open_tree", tree = k_open_tree(at, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE));
	TRY(c, "fstat", fstat(tree, &want));
	TRY(c, "fstat", fstat(at, &have));
	c->what = "rootfs changed while it was opened";
	if (!s->a[3] && (want.st_dev != have.st_dev || want.st_ino != have.st_ino))
		return -ESTALE;
	struct tree t = state(c, tree, s->a[1]);
	if (t.fd < 0)
		return t.fd;
	int r = remove_apis(c, s, 1);
	if (r < 0)
		return r;
	TRY(c, "move_mount", k_move_mount(t.fd, at));
	close(at);
	c->root = t.fd;
	c->shared = (int)s->a[2];
	return 0;
}

/* Whether a target lies in the container's /proc though it is not called so: a link of the image leads there, past the
 * rules for what may be mounted over /proc (CVE-2019-16884). The host's, bound elsewhere, is another file system. */
static int smuggled(struct ctx *c, int at, const char *path)
{
	struct statfs fs;
	struct stat target, own;
	if (made_behind_link(c, path, "/proc"))
		return 1;
	if (fstatfs(at, &fs) == 0 && fs.f_type != K_PROC_MAGIC)
		return 0;
	if (strncmp(path, "/proc", 5) == 0 && (path[5] == '/' || !path[5]))
		return 0;
	int proc = path_find(c, "/proc", O_PATH);
	int same = fstat(at, &target) < 0 || fstat(proc, &own) < 0 || own.st_dev == target.st_dev; /* also what cannot be looked at */
	close(proc);
	return same;
}

/* Whether a descriptor is of the container's root, which other mounts must not cover: init would keep the root, and each
 * process that joins the mount namespace would get what is on top of it. What cannot be looked at is taken for it. */
static int is_root(struct ctx *c, int at)
{
	struct k_statx a, root;
	if (k_statx(at, &a) < 0)
		return 1;
	if (!(a.attributes & K_STATX_ATTR_MOUNT_ROOT))
		return 0;
	return k_statx(c->root, &root) < 0 || (a.mnt_id == root.mnt_id && a.ino == root.ino && a.dev_major == root.dev_major && a.dev_minor == root.dev_minor);
}

static int not_on_root(struct ctx *c, int at)
{
	c->what = "mountpoint is on the top of rootfs";
	return is_root(c, at) ? -EINVAL : 0;
}

/* Opens a mount's target, making it where it is missing. The targets of proc and sysfs must not lie behind
 * a link (CVE-2023-28642): a link there would move what masks and labels count on. */
int open_target(struct ctx *c, const char *path, int dir, mode_t mode, int no_links)
{
	int fd = path_make(c, path, c->made->target, dir, mode);
	if (fd < 0)
		return fd;
	if (smuggled(c, fd, path)) {
		c->what = "cannot be mounted because it is inside /proc";
		return -EPERM;
	}
	if (c->undo >= 0 && made_behind_link(c, path, "/sys")) { /* there are masks by now */
		c->what = "cannot be mounted because it is inside /sys";
		return -EPERM;
	}
	if (no_links && strcmp(path, c->made->target) != 0) {
		c->what = "open target without links";
		return -ELOOP;
	}
	int r = not_on_root(c, fd);
	return r < 0 ? r : fd;
}

/* Opens what is to be protected, from the mount that it is in. */
static int open_protected(struct ctx *c, const char *path)
{
	c->what = "open";
	return path_walk(c, path, c->made->target, O_PATH);
}

/* Notes a mount's id for rt, which knows by that what it was told to unmount. All of them are told, so that rt can count. */
static int note_id(struct ctx *c, int mnt)
{
	struct k_statx st;
	TRY(c, "statx", k_statx(mnt, &st));
	c->mount_id[c->nids++] = st.mnt_id;
	return c->nids == MAX_IDS ? talk_mounts(c) : 0;
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
	int kept, r = set_attr(c, tree.fd, recursive ? K_RECURSIVE : 0, 0, 0, propagation);
	close(at);
	if (c->undo >= 0 && c->nplaced < MAX_UNDO)
		c->placed[c->nplaced++] = tree.fd;
	if (r < 0)
		return r;
	kept = made_note(c, tree.fd);
	if (kept == 0 && c->undo < 0)
		close(tree.fd);
	return kept < 0 ? kept : 0;
}

/*
 * attach for what is rt's own and no mount of the configuration: devices, the terminal, masks, read-only paths, the directory of
 * NOTIFY_SOCKET. The volume that it goes into, with all below, receives from its peers on the host from then on, but gives them
 * nothing: else it would be mounted there, too.
 */
int attach_own(struct ctx *c, struct tree tree, int at)
{
	int r = c->shared && c->base != c->root ? set_attr(c, c->base, K_RECURSIVE, 0, 0, MS_SLAVE) : 0;
	return r < 0 ? r : attach(c, tree, at, 0, 0);
}

/* a: slot of the host's /proc. From here on a failure of the plan takes back what was mounted. */
STEP(undo)
{
	c->undo = slot(c, s->a[0]);
	c->made->borrowed = 1;
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
 * a: 1 to look only, id of the mount that it must be. str: where it is. Detaches that mount. The container, and a neighbour, may
 * have led the path elsewhere: what is unmounted is the very mount whose id was compared, by its descriptor.
 */
STEP(unmount)
{
	struct k_statx st;
	char name[32];
	int at;
	TRY(c, "open", at = path_open(c->root, s->str[0], O_PATH, 0));
	TRY(c, "statx", k_statx(at, &st));
	c->what = "it is not a mount";
	if (!(st.attributes & K_STATX_ATTR_MOUNT_ROOT))
		return -EINVAL;
	c->what = "another mount is there than the one that was made there";
	if (s->a[1] != st.mnt_id)
		return -ESTALE;
	if (!s->a[0]) {
		snprintf(name, sizeof name, "self/fd/%d", at);
		TRY(c, "fchdir", fchdir(c->undo));
		TRY(c, "umount", umount2(name, MNT_DETACH));
	}
	close(at);
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

/* Clones what is mounted at and below a target. An unbindable mount, which is one that the plan has made, is not cloned as it is. */
static int clone_target(struct ctx *c, int at)
{
	int r, tree = k_open_tree(at, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE);
	if (tree >= 0 || errno != EINVAL || c->base == c->root)
		return tree < 0 ? -errno : tree;
	if ((r = set_attr(c, c->base, 0, 0, 0, MS_PRIVATE)) < 0)
		return r;
	TRY(c, "open_tree", tree = k_open_tree(at, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE));
	r = set_attr(c, c->base, 0, 0, 0, MS_UNBINDABLE);
	return r < 0 ? r : tree;
}

/*
 * Opens the very directory at that will be hidden, what of it COPY_* says. It is read through a clone of its mounts without devices: a
 * neighbour can put a device in the place of a file after the stub has looked at it, and on such a mount the kernel opens none.
 */
static int open_hidden(struct ctx *c, int at, unsigned what)
{
	int tree, hidden, r;
	c->what = "open target";
	if (!(what & COPY_CONTENT)) {
		hidden = k_openat2(at, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, K_BENEATH | K_NO_XDEV);
		return hidden < 0 ? -errno : hidden;
	}
	c->what = "open_tree";
	if ((tree = clone_target(c, at)) < 0)
		return tree;
	if ((r = set_attr(c, tree, K_RECURSIVE, K_ATTR_NODEV, 0, MS_PRIVATE)) < 0)
		return r;
	c->what = "open target";
	hidden = k_openat2(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, K_BENEATH | K_NO_XDEV);
	r = hidden < 0 ? -errno : hidden;
	close(tree);
	return r;
}

/* The root of a new file system: attributes and content of the directory that it will hide, if that was there, and a label. */
static int fill_fs(struct ctx *c, const struct step *s, int mnt, int at)
{
	int r = 0, root, hidden;
	TRY(c, "open new file system", root = k_openat2(mnt, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, K_BENEATH));
	if (*s->str[4])
		TRY(c, "set label", fsetxattr(root, "security.selinux", s->str[4], strlen(s->str[4]) + 1, 0));
	if (s->a[4] && !c->new_target) {
		if ((hidden = open_hidden(c, at, (unsigned)s->a[4])) >= 0) {
			r = copy_up(c, hidden, root, (unsigned)s->a[4]);
			close(hidden);
		} else if (hidden != -ENOTDIR) { /* what will not be hidden */
			r = hidden;
		}
	}
	close(root);
	return r;
}

/*
 * Makes a detached mount of a new file system by mount(2), which takes a page of options and a source of any length, where
 * fsconfig(2) takes 255 bytes. It mounts by name and gives no descriptor, so the name is one in a tmpfs of our own, which
 * nobody else can reach, and which goes away again.
 */
static int mount_by_name(struct ctx *c, const struct step *s)
{
	char *const opt[] = {"source", "rt", "mode", "0700"};
	int own, top, tree;
	if ((own = new_fs(c, "tmpfs", opt, 4, 0)) < 0)
		return own;
	TRY(c, "mkdirat", mkdirat(own, "m", 0700));
	TRY(c, "open /", top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	TRY(c, "move_mount", k_move_mount(own, top)); /* mount(2) wants a place in the namespace; what is on top of / is in no path */
	TRY(c, "fchdir", fchdir(own));
	c->what = "mount";
	tree = mount(s->str[2], "m", s->str[0], s->a[5] & 2 ? MS_RDONLY : 0, s->str[3]);
	if (tree == 0) {
		c->what = "open_tree";
		tree = k_open_tree(own, "m", K_OPEN_TREE_CLONE);
	}
	int err = errno;
	if (umount2(".", MNT_DETACH) < 0 || tree < 0) /* on failure too: a namespace that was joined lives on, and so does its root */
		return tree < 0 ? -err : -errno;
	TRY(c, "fchdir", fchdir(top));
	close(own);
	close(top);
	return tree;
}

/*
 * a: MOUNT_ATTR_*, 1 if no link may lead to the target, propagation, 1 if that is recursive, COPY_*, 1 if by mount(2) and 2 if the
 * file system is read-only, 1 if later steps refer to the mount.
 * str: type, target, source, all options as mount(2) takes them, "" or a label for the root, key, value ...
 */
STEP(mount_fs)
{
	int mnt, at, r, fill = s->a[4] || *s->str[4];
	unsigned attr = (unsigned)s->a[0], late = 0;
	if (s->a[5] & 1) {
		late = attr;
		mnt = mount_by_name(c, s);
	} else {
		late = fill ? attr & K_ATTR_RDONLY : 0; /* nothing can be set on a mount that is read-only */
		mnt = new_fs(c, s->str[0], s->str + 5, s->nstr - 5, attr & ~late);
	}
	if (mnt < 0)
		return mnt;
	c->want = s->str[1];
	c->keep = (int)s->a[6];
	if ((at = open_target(c, s->str[1], 1, 0755, (int)s->a[1])) < 0)
		return at;
	if (fill && (r = fill_fs(c, s, mnt, at)) < 0)
		return r;
	if ((r = set_attr(c, mnt, 0, late, late & K_ATTR_ATIME ? K_ATTR_ATIME : 0, 0)) < 0 || (s->a[7] && (r = note_id(c, mnt)) < 0))
		return r;
	return attach(c, fresh(mnt), at, (int)s->a[3], s->a[2]);
}

/* The attributes of a mount that the kernel may have locked: MOUNT_ATTR_*, which are those of statfs(2) but for access times. */
static int lockable(struct ctx *c, int mnt, uint64_t *attr)
{
	struct statfs fs;
	TRY(c, "fstatfs", fstatfs(mnt, &fs));
	*attr = (uint64_t)fs.f_flags & (K_ATTR_RDONLY | K_ATTR_NOSUID | K_ATTR_NODEV | K_ATTR_NOEXEC);
	if (fs.f_flags & K_ST_NOATIME)
		*attr |= K_ATTR_NOATIME;
	else if (!(fs.f_flags & K_ST_RELATIME))
		*attr |= K_ATTR_STRICTATIME;
	if (fs.f_flags & K_ST_NODIRATIME)
		*attr |= K_ATTR_NODIRATIME;
	return 0;
}

/* Says which flags are locked. */
static int locked(struct ctx *c, const char *text, uint64_t attr)
{
	snprintf(c->note, sizeof c->note, "%s%s%s%s%s%s%s%s%s", text, attr & K_ATTR_RDONLY ? " ro" : "", attr & K_ATTR_NOSUID ? " nosuid" : "",
		 attr & K_ATTR_NODEV ? " nodev" : "", attr & K_ATTR_NOEXEC ? " noexec" : "", attr & K_ATTR_NOATIME ? " noatime" : "",
		 attr & K_ATTR_STRICTATIME ? " strictatime" : "", attr & K_RELATIME ? " relatime" : "", attr & K_ATTR_NODIRATIME ? " nodiratime" : "");
	c->what = c->note;
	return -EPERM;
}

/*
 * Sets and clears attributes on top of a tree. In a user namespace the kernel has locked what the host's mount has (mount_namespaces(7)):
 * of that, implied stays, which nothing asks to be cleared. What is to be cleared, and an access time that is to change or be taken
 * back, is an error.
 */
static int set_flags(struct ctx *c, int tree, uint64_t set, uint64_t clear, uint64_t implied, uint64_t back)
{
	uint64_t have = 0, times = K_ATTR_ATIME | K_ATTR_NODIRATIME, flags = ~times;
	int r = set_attr(c, tree, 0, set, clear | implied, 0);
	if (r != -EPERM)
		return r;
	if ((r = lockable(c, tree, &have)) < 0)
		return r;
	back &= have & (K_ATTR_NOATIME | K_ATTR_STRICTATIME) ? have : have | K_RELATIME;
	if ((have & clear & flags) | back)
		return locked(c, "cannot clear locked flags", (have & clear & flags) | back);
	if (clear & times && (have & times) != (set & times))
		return locked(c, "cannot change locked atime flags", have & times);
	return set_attr(c, tree, 0, set, clear | (implied & ~have), 0);
}

/*
 * a: slot of a detached tree (NO_FD: clone the path str[1] here), attributes to set and (lower half) to clear on its top, (upper half)
 * what else to clear but for what is locked,
 * the same for the whole tree, propagation (upper half: by its place), 1 if the tree and 2 if the propagation is
 * recursive and 4 if later steps refer to the mount, 1 if no link may lead to the target, 2 if rt is to know the mount's id and 4 if
 * the mount is rt's own (upper half: access times that an option takes back). str: target, source.
 */
STEP(mount_tree)
{
	struct stat st;
	int tree = slot(c, s->a[0]), r;
	unsigned rec = s->a[6] & 1 ? K_RECURSIVE : 0;
	if (tree < 0)
		TRY(c, "open_tree", tree = k_open_tree(AT_FDCWD, s->str[1], K_OPEN_TREE_CLONE | rec));
	/* Propagation: what a mount has by its place, then what was asked for: a slave may be shared again below. */
	if ((r = set_flags(c, tree, s->a[1], s->a[2] & 0xffffffff, s->a[2] >> 32, s->a[7] >> 32)) < 0 || (r = set_attr(c, tree, K_RECURSIVE, s->a[3], s->a[4], 0)) < 0)
		return r;
	struct tree t = state(c, tree, s->a[5] >> 32);
	if (t.fd < 0)
		return t.fd;
	TRY(c, "fstat", fstat(tree, &st));
	c->want = s->str[0];
	c->keep = s->a[6] & 4;
	if (s->a[7] & 2 && (r = note_id(c, tree)) < 0)
		return r;
	int at = open_target(c, s->str[0], S_ISDIR(st.st_mode), 0755, (int)s->a[7] & 1);
	if (at < 0)
		return at;
	return s->a[7] & 4 ? attach_own(c, t, at) : attach(c, t, at, s->a[6] & 2, s->a[5] & 0xffffffff);
}

/*
 * The mount that a step changes: with own the one that the plan has made at the target, else what is there. That must be a
 * mount, says the kernel of every change (mount_setattr(2), fspick(2)). It is none that the plan has made elsewhere, to which a link of the
 * image leads, or whose directory a neighbour has renamed.
 */
static int open_changed(struct ctx *c, const char *target, int own)
{
	int at = made_at(c, target, own == 2);
	if (at < 0) {
		if (own)
			return -ESTALE;
		at = path_find(c, target, O_PATH);
		if (at < 0 || !made_elsewhere(c, target, at))
			return at;
		c->what = "open target: another mount of the configuration is there";
		close(at);
		return -EBUSY;
	}
	at = fcntl(at, F_DUPFD_CLOEXEC, 3);
	return at < 0 ? -errno : at;
}

/* a: attributes to set and to clear, propagation, 1 if recursive, 1 if there are options for the file system, 1 if the plan
 * has made the mount, 2 if it may also have covered it since. str: target, key, value ... Changes a mount that is already there. */
STEP(remount)
{
	int at, fs, r = 0;
	c->what = "open target";
	if (s->a[5] == 2 && made_at(c, s->str[0], 1) < 0)
		return 0;
	if ((at = open_changed(c, s->str[0], (int)s->a[5])) < 0)
		return at;
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
 * str: as move_root. For --no-pivot, before the mount namespace is copied for the container's user namespace. A clone of the host's tree
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

/* str: where the host has procfs and sysfs, what is on top first. --no-pivot: for a host root that cannot be pivoted away (an
 * initramfs). */
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

/* a: slot of the rootfs directory, for a container without a mount namespace of its own. */
STEP(chroot)
{
	c->root = slot(c, s->a[0]);
	TRY(c, "fchdir", fchdir(c->root));
	TRY(c, "chroot", chroot("."));
	TRY(c, "chdir", chdir("/"));
	return 0;
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
	int base, at = open_protected(c, s->str[0]);
	memcpy(path, c->made->target, MAX_PATH);
	int r = f(c, s, at);
	for (unsigned i = 0; i < c->made->n && r >= 0 && below; i++) {
		if ((base = made_below(c, i, s->str[0], path)) < 0)
			continue;
		c->base = base;
		c->made->target[0] = 0;
		at = fcntl(base, F_DUPFD_CLOEXEC, 3);
		r = f(c, s, at < 0 ? -errno : at);
	}
	for (unsigned i = 0; i < c->made->n && r >= 0; i++) {
		if ((base = made_hidden(c, i, path, &skip)) < 0)
			continue;
		c->base = base;
		c->made->target[0] = 0;
		at = path_open(base, path + skip, O_PATH, 0);
		r = f(c, s, at < 0 ? -errno : at);
	}
	return r;
}

static int make_readonly(struct ctx *c, const struct step *s, int at)
{
	int tree, r;
	if (at < 0)
		return at == -ENOENT || at == -ENOTDIR ? 0 : at;
	if (is_root(c, at)) {
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
	c->keep = (int)s->a[0];
	/* What is mounted later where its source gets it appears below it; nothing goes the other way. */
	return r < 0 ? r : attach_own(c, state(c, tree, MS_SLAVE), at);
}

/* a: 1 if later steps refer to the mount. str: path. It becomes read-only by a bind mount of itself, the root by a change of its
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
		TRY(c, "dup", c->mask = fcntl(tree, F_DUPFD_CLOEXEC, 3));
	return tree;
}

static int mask(struct ctx *c, const struct step *s, int at)
{
	struct stat st;
	int tree, r;
	if (at < 0)
		return at == -ENOENT || at == -ENOTDIR ? 0 : at;
	if ((r = not_on_root(c, at)) < 0)
		return r;
	c->want = NULL;
	TRY(c, "fstat", fstat(at, &st));
	if (S_ISDIR(st.st_mode)) {
		tree = clone_mask(c, s->str[1]);
	} else {
		if ((r = open_null(c)) < 0)
			return r;
		TRY(c, "open_tree", tree = k_open_tree(c->null, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE));
	}
	return tree < 0 ? tree : attach_own(c, state(c, tree, MS_PRIVATE), at);
}

/* str: path, label ("": none). It is covered: a directory by an empty one, anything else by the null device. */
STEP(mask_path)
{
	return protect(c, s, mask, 1);
}
