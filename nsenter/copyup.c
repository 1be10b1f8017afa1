/*
 * tmpcopyup: a new tmpfs starts with a copy of what it hides. The stub makes it, not rt outside: so the pages are
 * charged to the container and its limit holds, owners are those of its user namespace, and none of the host's
 * privileges are lent to an image's names. A file is opened by one name, in a directory that is open: no link is
 * followed, whatever changes in the tree meanwhile, and no device is opened, for the mount allows none (open_hidden).
 */
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "stub.h"

enum { MAX_DEPTH = 200 };

/* Owner, mode, times, and those extended attributes that change what a file may do. */
static int copy_meta(struct ctx *c, int in, int out, unsigned what)
{
	static const char *const name[] = {"security.capability", "system.posix_acl_access", "system.posix_acl_default"};
	char value[4096];
	struct stat st;
	TRY(c, "copy up: fstat", fstat(in, &st));
	if (what & COPY_OWNER)
		TRY(c, "copy up: fchown", fchown(out, st.st_uid, st.st_gid));
	for (unsigned i = 0; what & COPY_OWNER && i < 3; i++) {
		ssize_t n = fgetxattr(in, name[i], value, sizeof value);
		/* EOVERFLOW: a capability that another user namespace gives. */
		TRY(c, "copy up: fgetxattr", n < 0 && errno != ENODATA && errno != ENOTSUP && errno != EOVERFLOW ? -1 : 0);
		if (n > 0)
			TRY(c, "copy up: fsetxattr", fsetxattr(out, name[i], value, (size_t)n, 0) < 0 && errno != ENOTSUP && errno != EPERM ? -1 : 0);
	}
	if (what & COPY_MODE) /* after fchown, which takes set-id bits away */
		TRY(c, "copy up: fchmod", fchmod(out, st.st_mode & 07777));
	struct timespec times[2] = {st.st_atim, st.st_mtim};
	TRY(c, "copy up: futimens", futimens(out, times));
	return 0;
}

/* Holes stay holes. */
static int copy_data(struct ctx *c, int in, int out, off_t size)
{
	char buf[16384];
	ssize_t n;
	off_t at = 0;
	TRY(c, "copy up: ftruncate", ftruncate(out, size));
	for (; at < size && (at = lseek(in, at, SEEK_DATA)) >= 0; at += n) {
		TRY(c, "copy up: read", n = pread(in, buf, sizeof buf, at));
		if (n == 0)
			return 0;
		TRY(c, "copy up: write", n = pwrite(out, buf, (size_t)n, at));
	}
	c->what = "copy up: lseek";
	return at < 0 && errno != ENXIO ? -errno : 0;
}

/* Not in the frame of the recursion: it has a path of its own. */
static __attribute__((noinline)) int copy_link(struct ctx *c, int from, int to, const char *name, const struct stat *st)
{
	char text[MAX_PATH];
	ssize_t n;
	TRY(c, "copy up: readlink", n = readlinkat(from, name, text, sizeof text - 1));
	text[n] = 0;
	TRY(c, "copy up: symlink", symlinkat(text, to, name));
	TRY(c, "copy up: lchown", fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW));
	return 0;
}

static int copy_dir(struct ctx *c, int from, int to, unsigned depth);

/* Devices and sockets are not copied; the second name of a file becomes a file of its own. */
static int copy_entry(struct ctx *c, int from, int to, const char *name, unsigned depth)
{
	struct stat st, now;
	int in, out, r = 0;
	TRY(c, "copy up: stat", fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW));
	int dir = S_ISDIR(st.st_mode);
	if (S_ISLNK(st.st_mode))
		return copy_link(c, from, to, name, &st);
	if (!dir && !S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		return 0;
	TRY(c, "copy up: open", in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	TRY(c, "copy up: fstat", fstat(in, &now));
	c->what = "copy up: file changed meanwhile";
	if ((now.st_mode ^ st.st_mode) & S_IFMT)
		return -ESTALE;
	TRY(c, "copy up: make", dir ? mkdirat(to, name, 0700) : mknodat(to, name, (st.st_mode & S_IFMT) | 0600, 0));
	TRY(c, "copy up: open copy", out = openat(to, name, (dir ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
	if (dir)
		r = copy_dir(c, in, out, depth + 1);
	else if (S_ISREG(st.st_mode))
		r = copy_data(c, in, out, now.st_size);
	if (r == 0)
		r = copy_meta(c, in, out, COPY_OWNER | COPY_MODE);
	close(in);
	close(out);
	return r;
}

static int copy_dir(struct ctx *c, int from, int to, unsigned depth)
{
	_Alignas(struct k_dirent) char buf[1024];
	long n;
	int r = 0;
	c->what = "copy up: directories lie too deep";
	if (depth > MAX_DEPTH)
		return -ELOOP;
	while (r == 0 && (n = syscall(SYS_getdents64, from, buf, sizeof buf)) != 0) {
		TRY(c, "copy up: getdents", n);
		for (long at = 0; r == 0 && at < n; at += ((struct k_dirent *)(void *)(buf + at))->len) {
			const char *name = ((struct k_dirent *)(void *)(buf + at))->name;
			if (strcmp(name, ".") && strcmp(name, ".."))
				r = copy_entry(c, from, to, name, depth);
		}
	}
	return r;
}

/* Copies the directory from, COPY_* of it, to the directory to. */
int copy_up(struct ctx *c, int from, int to, unsigned what)
{
	int r = what & COPY_CONTENT ? copy_dir(c, from, to, 0) : 0;
	return r < 0 ? r : copy_meta(c, from, to, what);
}
