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
int set_attr(struct ctx *c, int fd, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation)
{
	struct k_mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
	if (set | clear | propagation)
		TRY(c, "mount_setattr", k_mount_setattr(fd, flags, &attr));
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
	if (strncmp(path, "/proc", 5) == 0 && (path[5] == '/' || !path[5]))
		return 0;
	if (fstatfs(at, &fs) == 0 && fs.f_type != K_PROC_MAGIC)
		return 0;
	int proc = path_find(c, "/proc", O_PATH);
	int same = fstat(at, &target) < 0 || fstat(proc, &own) < 0 || own.st_dev == target.st_dev; /* also what cannot be looked at */
	close(proc);
	return same;
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
	struct k_statx st;
	int r = not_on_root(c, fd, &st);
	return r < 0 ? r : fd;
}

/* Notes a mount's id for rt, which knows by that what it was told to unmount. All of them are told, so that rt can count. */
static int note_id(struct ctx *c, int mnt)
{
	struct k_statx st;
	TRY(c, "statx", k_statx(mnt, &st));
	c->mount_id[c->nids++] = st.mnt_id;
	return c->nids == MAX_IDS ? talk_mounts(c) : 0;
}

/* The mount of a new file system has no peers. */
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
	if (s->mount_fs.copy_up && !c->new_target) {
		if ((hidden = open_hidden(c, at, s->mount_fs.copy_up)) >= 0) {
			r = copy_up(c, hidden, root, s->mount_fs.copy_up);
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
 * no other process can reach, and which goes away again.
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
	tree = mount(s->str[2], "m", s->str[0], s->mount_fs.readonly ? MS_RDONLY : 0, s->str[3]);
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

/* Mounts a new file system: by fsopen(2) with the options that are strings of their own, or by mount(2) with those that are one. */
STEP(mount_fs)
{
	const struct args_mount_fs *a = &s->mount_fs;
	int mnt, at, r, fill = a->copy_up || *s->str[4];
	unsigned attr = a->attributes, late = 0;
	if (a->by_mount) {
		late = attr;
		mnt = mount_by_name(c, s);
	} else {
		late = fill ? attr & K_ATTR_RDONLY : 0; /* nothing can be set on a mount that is read-only */
		mnt = new_fs(c, s->str[0], s->str + 5, s->nstr - 5, attr & ~late);
	}
	if (mnt < 0)
		return mnt;
	c->want = s->str[1];
	c->keep = (int)a->keep;
	if ((at = open_target(c, s->str[1], 1, 0755, (int)a->no_links)) < 0)
		return at;
	if (fill && (r = fill_fs(c, s, mnt, at)) < 0)
		return r;
	if ((r = set_attr(c, mnt, 0, late, late & K_ATTR_ATIME ? K_ATTR_ATIME : 0, 0)) < 0 || (a->tell && (r = note_id(c, mnt)) < 0))
		return r;
	return attach(c, fresh(mnt), at, (int)a->recursive, a->propagation);
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

/* Attaches a detached tree, once its top and all of it have their attributes. */
STEP(mount_tree)
{
	const struct args_mount_tree *a = &s->mount_tree;
	struct stat st;
	int tree = slot(c, a->tree), r;
	/* Propagation: what a mount has by its place, then what was asked for: a slave may be shared again below. */
	if ((r = set_flags(c, tree, a->set, a->clear, a->implied, a->back)) < 0 || (r = set_attr(c, tree, K_RECURSIVE, a->set_all, a->clear_all, 0)) < 0)
		return r;
	struct tree t = state(c, tree, a->place);
	if (t.fd < 0)
		return t.fd;
	TRY(c, "fstat", fstat(tree, &st));
	c->want = s->str[0];
	c->keep = (int)a->keep;
	if (a->tell && (r = note_id(c, tree)) < 0)
		return r;
	int at = open_target(c, s->str[0], S_ISDIR(st.st_mode), 0755, (int)a->no_links);
	if (at < 0)
		return at;
	return a->own ? attach_own(c, t, at) : attach(c, t, at, (int)a->propagate_all, a->propagation);
}

/*
 * The mount that a step changes: with own the one that the plan has made at the target, with hidden also one that is covered by now, else
 * what is there. That must be a
 * mount, says the kernel of every change (mount_setattr(2), fspick(2)). It is none that the plan has made elsewhere, to which a link of the
 * image leads, or whose directory a neighbour has renamed.
 */
static int open_changed(struct ctx *c, const char *target, int own, int hidden)
{
	int at = made_at(c, target, hidden);
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
	at = k_dup(at);
	return at < 0 ? -errno : at;
}

/* Changes a mount that is already there, and with superblock options of its file system. if_there is for one that the plan has made, which
 * it may have covered or unmounted since. */
STEP(remount)
{
	const struct args_remount *a = &s->remount;
	int at, fs, r = 0;
	c->what = "open target";
	if (a->if_there && made_at(c, s->str[0], 1) < 0)
		return 0;
	if ((at = open_changed(c, s->str[0], (int)a->own, (int)a->if_there)) < 0)
		return at;
	if (a->superblock) {
		TRY(c, "fspick", fs = (int)syscall(NR_fspick, at, "", K_FSPICK_CLOEXEC | K_FSPICK_EMPTY_PATH));
		if ((r = configure_fs(c, fs, s->str + 1, s->nstr - 1, K_FSCONFIG_RECONFIGURE)) < 0)
			return r;
		close(fs);
	}
	r = set_attr(c, at, a->recursive ? K_RECURSIVE : 0, a->set, a->clear, a->propagation);
	close(at);
	return r;
}
