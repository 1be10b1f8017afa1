/*
 * Steps that make nodes and links below the root, and the terminal.
 */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "stub.h"

STEP(mkdir)
{
	char at[MAX_PATH];
	int fd = path_make(c, s->str[0], at, 1, (mode_t)s->mkdir.mode);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* Whether name is a link that says text. */
static int links_to(int dir, const char *name, const char *text)
{
	char have[MAX_PATH];
	ssize_t n = readlinkat(dir, name, have, sizeof have);
	return n >= 0 && (size_t)n == strlen(text) && memcmp(have, text, (size_t)n) == 0;
}

/* What is there already stays; if the link must be there, anything else is an error. */
STEP(symlink)
{
	const char *base;
	int dir = path_parent(c, s->str[0], &base);
	if (dir < 0)
		return dir;
	c->what = "symlinkat";
	int err = symlinkat(s->str[1], dir, base) < 0 ? errno : 0;
	if (err == EEXIST && (!s->symlink.must || links_to(dir, base, s->str[1])))
		err = 0;
	close(dir);
	return -err;
}

/* Whether a node is the very device that was asked for. st is of the open node: the name may lead elsewhere now. */
static int same_node(const struct stat *st, const struct step *s)
{
	return (st->st_mode & S_IFMT) == (s->mknod.mode & S_IFMT) && (S_ISFIFO(st->st_mode) || st->st_rdev == makedev(s->mknod.major, s->mknod.minor));
}

/* Says which device the host has, and which one was asked for. */
static int wrong_node(struct ctx *c, const struct stat *st, const struct step *s)
{
	const char *want = S_ISBLK(s->mknod.mode) ? "b" : "c";
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		snprintf(c->note, sizeof c->note, "the host's node is %s %u:%u, not %s %u:%u", S_ISBLK(st->st_mode) ? "b" : "c",
			 major(st->st_rdev), minor(st->st_rdev), want, s->mknod.major, s->mknod.minor);
	else
		snprintf(c->note, sizeof c->note, "what the host has there is not device %s %u:%u", want, s->mknod.major, s->mknod.minor);
	c->what = c->note;
	return -ENODEV;
}

/* Binds the host's node, where the kernel lets no process make one (a user namespace). It must be the device that was asked for. */
static int bind_node(struct ctx *c, const struct step *s)
{
	struct stat st;
	int tree = slot(c, s->mknod.host_node);
	c->want = NULL;
	int at = open_target(c, s->str[0], 0, 0644, 0);
	if (at < 0)
		return at;
	if (tree < 0)
		TRY(c, "open_tree", tree = k_open_tree(AT_FDCWD, s->str[1], K_OPEN_TREE_CLONE));
	TRY(c, "fstat", fstat(tree, &st));
	if (!same_node(&st, s))
		return wrong_node(c, &st, s);
	return attach_own(c, state(c, tree, MS_PRIVATE), at);
}

/*
 * Makes a node, or binds the host's: at once, or if the kernel does not let this process make one (EPERM, the only reason).
 * Without a path of the host it never binds.
 */
STEP(mknod)
{
	struct stat st;
	const char *base;
	if (s->mknod.bind)
		return bind_node(c, s);
	int dir = path_parent(c, s->str[0], &base);
	if (dir < 0)
		return dir;
	c->what = "mknodat";
	int fd, made = mknodat(dir, base, (mode_t)s->mknod.mode, makedev(s->mknod.major, s->mknod.minor)) == 0, err = errno;
	if (!made && err == EPERM && s->str[1][0]) {
		close(dir);
		return bind_node(c, s);
	}
	if (!made && err != EEXIST)
		return -err;
	TRY(c, "open node", fd = k_openat2(dir, base, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, K_IN_ROOT | K_NO_MAGICLINKS));
	TRY(c, "fstat", fstat(fd, &st));
	c->what = "another file is there";
	if (!same_node(&st, s))
		return -EEXIST;
	/* One that was there may be a bind mount of the host's. chown(2) also clears S_ISUID and S_ISGID. */
	if (made && (st.st_uid != s->mknod.uid || st.st_gid != s->mknod.gid || st.st_mode & (S_ISUID | S_ISGID)))
		TRY(c, "fchownat", fchownat(fd, "", s->mknod.uid, s->mknod.gid, AT_EMPTY_PATH));
	close(fd);
	close(dir);
	return 0;
}

/*
 * Opens a new terminal of the container's own devpts (CVE-2025-52565). What else there is at /dev/pts is not opened: a device of the
 * image has a driver. On a devpts the kernel alone makes nodes, and ptmx is the multiplexer.
 */
static int open_terminal(struct ctx *c, int *slave, unsigned *number)
{
	struct statfs fs;
	struct stat st;
	int master, dir, unlock = 0;
	size_t skip;
	int base = made_above(c, "/dev/pts", &skip);
	TRY(c, "open /dev/pts/ptmx", dir = path_open(base, "/dev/pts" + skip, O_PATH | O_DIRECTORY, K_NO_SYMLINKS));
	TRY(c, "fstatfs", fstatfs(dir, &fs));
	c->what = "/dev/pts/ptmx is not a terminal multiplexer";
	if (fs.f_type != K_DEVPTS_MAGIC)
		return -ENOTTY;
	TRY(c, "open /dev/pts/ptmx", master = k_openat2(dir, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0, K_BENEATH | K_NO_SYMLINKS | K_NO_XDEV));
	close(dir);
	TRY(c, "fstat", fstat(master, &st));
	c->what = "/dev/pts/ptmx is not a terminal multiplexer";
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
		return -ENOTTY;
	TRY(c, "unlock terminal", ioctl(master, TIOCSPTLCK, &unlock));
	TRY(c, "ioctl TIOCGPTN", ioctl(master, TIOCGPTN, number));
	TRY(c, "ioctl TIOCGPTPEER", *slave = ioctl(master, K_TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
	return master;
}

/* Makes a new terminal, of which rt gets the master, the standard descriptors and the controlling one. Its size is left if it is 0. */
STEP(console)
{
	const struct args_console *a = &s->console;
	unsigned number = 0;
	int slave = -1, master = open_terminal(c, &slave, &number);
	if (master < 0)
		return master;
	TRY(c, "fchown", fchown(slave, a->uid, (gid_t)-1));
	if (a->rows && a->columns) {
		struct winsize size = {.ws_row = (unsigned short)a->rows, .ws_col = (unsigned short)a->columns};
		TRY(c, "ioctl TIOCSWINSZ", ioctl(master, TIOCSWINSZ, &size));
	}
	if (a->dev_console) {
		c->want = NULL;
		int tree, at = open_target(c, "/dev/console", 0, 0620, 0);
		if (at < 0)
			return at;
		TRY(c, "open_tree", tree = k_open_tree(slave, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE));
		int r = attach_own(c, state(c, tree, MS_PRIVATE), at);
		if (r < 0)
			return r;
	}
	char name[32];
	snprintf(name, sizeof name, "/dev/pts/%u", number);
	TRY(c, "send terminal", talk_send(c, R_FD, 0, name, master));
	close(master);
	TRY(c, "ioctl TIOCSCTTY", ioctl(slave, TIOCSCTTY, 0));
	for (int i = 0; i < 3; i++)
		TRY(c, "dup2", dup2(slave, i));
	close(slave);
	return 0;
}
