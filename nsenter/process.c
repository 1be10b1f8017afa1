/*
 * Steps that set attributes of the process: its standard descriptors, its working directory, what it leaves open.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "stub.h"

static int null_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

static int is_null(int fd)
{
	struct stat st;
	return fd >= 0 && fstat(fd, &st) == 0 && null_device(&st);
}

/* Opens the null device at path below dir; -1 if anything else is there. It is opened by the descriptor that was looked at. */
static int open_null_at(struct ctx *c, int dir, const char *path)
{
	int at = path_open(dir, path, O_PATH | O_NOFOLLOW, 0), fd = -1;
	if (is_null(at))
		fd = reopen(c, at, O_RDWR | O_NOCTTY);
	close(at);
	return fd;
}

/* A file system that could not be made explains no later error. */
static void forget_detail(struct ctx *c)
{
	if (c->detail_fd >= 0)
		close(c->detail_fd);
	c->detail_fd = -1;
}

/*
 * Opens a null device that is not the host's node: the container's own, or else one in a new file system that is mounted
 * nowhere. -EPERM, -EACCES: mknod is forbidden, as in a user namespace, where the container cannot change the host's node either.
 */
static int own_null(struct ctx *c)
{
	char *const opt[] = {"source", "tmpfs", "nr_inodes", "2"};
	int fs, fd = open_null_at(c, c->root, "dev/null");
	if (fd >= 0)
		return fd;
	forget_detail(c);
	if ((fs = new_fs(c, "tmpfs", opt, 4, K_ATTR_NOSUID | K_ATTR_NOEXEC)) < 0) {
		forget_detail(c);
		return fs;
	}
	c->what = "make null device";
	if (mknodat(fs, "null", S_IFCHR | 0666, makedev(1, 3)) == 0)
		fd = k_openat2(fs, "null", O_RDWR | O_NOCTTY | O_CLOEXEC, 0, K_BENEATH | K_NO_SYMLINKS);
	if (fd < 0)
		fd = -errno;
	close(fs);
	return fd;
}

/*
 * Pipes and sockets are given to the user, so that /dev/stderr can be opened again. Files, terminals and other
 * devices belong to the host and keep their owner: the owner of a file can make it set-user-ID. The host's null device is
 * replaced, for root in the container could change its mode.
 */
STEP(chown_stdio)
{
	struct stat st;
	int null = -ENOENT; /* not there yet */
	for (int fd = 0; fd < 3; fd++) {
		if (fstat(fd, &st) < 0)
			continue;
		if (null_device(&st)) {
			if (null == -ENOENT)
				null = own_null(c);
			if (null >= 0)
				TRY(c, "dup2", dup2(null, fd));
			else if (null != -EPERM && null != -EACCES)
				return null;
		}
		if (!(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) || st.st_uid == s->chown_stdio.uid)
			continue;
		TRY(c, "fchown", fchown(fd, s->chown_stdio.uid, (gid_t)-1) < 0 && errno != EPERM && errno != EROFS && errno != EINVAL ? -1 : 0);
	}
	if (null >= 0)
		close(null);
	return 0;
}

/* The kernel's getcwd answers "(unreachable)/..." for a directory outside the root (CVE-2024-21626). */
static int inside(struct ctx *c)
{
	char buf[MAX_PATH];
	TRY(c, "getcwd", syscall(SYS_getcwd, buf, sizeof buf));
	c->what = "current working directory is outside of container mount namespace root -- possible container breakout detected";
	return buf[0] == '/' ? 0 : -EXDEV;
}

/*
 * Enters a directory. With retry the step comes again after credentials, for one that the user alone may enter. The rootfs
 * must be reached without links, and be the directory of a device and an inode: others may lay out the way to it.
 */
STEP(chdir)
{
	const struct args_chdir *a = &s->chdir;
	struct stat st;
	if (c->cwd_done)
		return 0;
	c->what = "open";
	int fd = path_open(c->root, s->str[0], O_PATH | O_DIRECTORY, a->is_rootfs ? K_NO_SYMLINKS : 0);
	if (fd < 0)
		return a->retry && errno == EACCES ? 0 : -errno;
	if (a->is_rootfs) {
		TRY(c, "fstat", fstat(fd, &st));
		c->what = "rootfs changed while it was opened";
		if (st.st_dev != a->device || st.st_ino != a->inode)
			return -ESTALE;
	}
	c->what = "chdir";
	if (fchdir(fd) < 0)
		return a->retry && errno == EACCES ? 0 : -errno;
	close(fd);
	c->cwd_done = 1;
	return inside(c);
}

static int close_from_to(unsigned from, unsigned to)
{
	return from > to ? 0 : (int)syscall(NR_close_range, from, to, 0);
}

/* The lowest descriptor from at on that stays, ~0 if there is none. */
static unsigned next_kept(unsigned at, const int *kept, unsigned n)
{
	unsigned next = ~0u;
	for (unsigned i = 0; i < n; i++)
		if (kept[i] >= 0 && (unsigned)kept[i] >= at && (unsigned)kept[i] < next)
			next = (unsigned)kept[i];
	return next;
}

/* Closes all descriptors from one on but those of kept, of which -1 is none. */
int close_but(unsigned from, const int *kept, unsigned n)
{
	for (unsigned at = from, next = 0; next != ~0u; at = next + 1) {
		next = next_kept(at, kept, n);
		if (close_from_to(at, next == ~0u ? next : next - 1) < 0)
			return -1;
	}
	return 0;
}

/*
 * Closes the descriptors that the user's program must not see, from one on. To mark them is not enough: until execve has
 * found the program, its path can lead through /proc/self/fd (CVE-2024-21626). Only the conversation, the root and a gate stay.
 */
STEP(close_fds)
{
	const int kept[] = {c->sock, c->root, c->gate};
	TRY(c, "close_range", close_but(s->close_fds.first, kept, 3));
	c->proc = c->null = c->mask = c->opener = c->handout = -1;
	c->made->n = 0;
	c->nfds = 0;
	return 0;
}
