/*
 * Paths below the container's root. The root file system may change while we look (volumes shared with
 * a running container), so a path is resolved once, into a descriptor, by the kernel (CVE-2021-30465,
 * CVE-2024-45310): openat2(2) with RESOLVE_IN_ROOT keeps every symbolic link inside. Where a path has links, their texts
 * are put in their places first, so that it is known which of the plan's mounts it leads into.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "stub.h"

/* Opens path below root. EAGAIN is the kernel's word for "a rename raced with me": again, but not for ever. */
int path_open(int root, const char *path, uint64_t flags, uint64_t resolve)
{
	for (int i = 0; i < 128; i++) {
		int fd = k_openat2(root, *path ? path : ".", flags | O_CLOEXEC, 0, resolve | K_IN_ROOT | K_NO_MAGICLINKS);
		if (fd < 0 && errno == ENOTDIR && !*path && (flags & (O_PATH | O_DIRECTORY)) == O_PATH)
			return k_dup(root); /* root is a file: the mount of one */
		if (fd >= 0 || errno != EAGAIN)
			return fd;
	}
	return -1;
}

/* Takes empty names and "." out of an absolute path. The root becomes "". */
static void tidy(char *path)
{
	char *out = path;
	for (const char *in = path; *in;) {
		in += strspn(in, "/");
		size_t n = strcspn(in, "/");
		if (n > 0 && !(n == 1 && *in == '.')) {
			*out++ = '/';
			memmove(out, in, n);
			out += n;
		}
		in += n;
	}
	*out = 0;
}

static int is_up(const char *name, size_t n)
{
	return n == 2 && name[0] == '.' && name[1] == '.';
}

static int leads_up(const char *path)
{
	for (size_t n; *path; path += n) {
		n = strcspn(++path, "/");
		if (is_up(path, n))
			return 1;
	}
	return 0;
}

/* Takes the ".." at path[at..end) out of a path, with the name before it, which is no link. */
static void go_up(char *path, size_t at, size_t end)
{
	while (at > 0 && path[--at] != '/')
		;
	memmove(path + at, path + end, strlen(path + end) + 1);
}

/* Puts a link's text in the place of the name at path[at..end). */
static int splice_link(char *path, size_t at, size_t end, const char *link)
{
	char next[MAX_PATH];
	int len = snprintf(next, sizeof next, "%.*s/%s%s", link[0] == '/' ? 0 : (int)at, path, link, path + end);
	if (len < 0 || (size_t)len >= sizeof next)
		return -ENAMETOOLONG;
	memcpy(path, next, (size_t)len + 1);
	tidy(path);
	return 0;
}

/*
 * The text of the link that name is in dir, its length or -1. A link that the kernel makes up (/proc/PID/root) has none: ELOOP.
 * A text that leaves dir is EXDEV, and so fine: with dir as the root, /var/run -> /run would lead back to itself.
 */
static ssize_t link_text(int dir, const char *name, char text[MAX_PATH])
{
	ssize_t n = readlinkat(dir, name, text, MAX_PATH - 1);
	if (n < 0)
		return -1;
	text[n] = 0;
	int fd = k_openat2(dir, name, O_PATH | O_CLOEXEC, 0, K_BENEATH | K_NO_MAGICLINKS);
	if (fd < 0 && errno == ELOOP)
		return -1;
	close(fd);
	return n;
}

/*
 * Puts the text of the first link of path, behind its first skip bytes, in its place, or takes the first ".." out. base is what
 * those bytes lead to. If there is nothing of that any more, the tree is being changed: the path is to be opened again.
 */
static int follow_link(int base, char *path, size_t skip)
{
	char link[MAX_PATH];
	for (size_t at = skip, end; path[at]; at = end) {
		end = at + 1 + strcspn(path + at + 1, "/");
		if (is_up(path + at + 1, end - at - 1)) {
			go_up(path, at, end);
			return 0;
		}
		path[at] = 0;
		int dir = path_open(base, path + skip, O_PATH | O_DIRECTORY, K_NO_SYMLINKS);
		path[at] = '/';
		if (dir < 0)
			return errno == ELOOP ? 0 : -errno;
		char save = path[end];
		path[end] = 0;
		ssize_t n = link_text(dir, path + at + 1, link);
		path[end] = save;
		close(dir);
		if (n >= 0)
			return splice_link(path, at, end, link);
		if (errno != EINVAL)
			return -errno;
	}
	return 0;
}

/* Copies a path, which becomes an absolute one. */
static int start_walk(char path[MAX_PATH], const char *want)
{
	int len = snprintf(path, MAX_PATH, "%s%s", *want == '/' ? "" : "/", want);
	if (len < 0 || len >= MAX_PATH)
		return -ENAMETOOLONG;
	tidy(path);
	return 0;
}

/*
 * Opens path, which becomes free of links: from the mount that the plan has made at it or above it, wherever that is by
 * now. A neighbour who shares the rootfs can rename a directory in spite of another namespace's mount on it.
 * Returns a descriptor or -errno; *base and *skip say from where it was opened.
 */
static int walk(struct ctx *c, char path[MAX_PATH], uint64_t flags, int *base, size_t *skip)
{
	for (int i = 0; i < 300; i++) {
		int r = made_rename(c, path);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		c->base = *base = made_above(c, path, skip);
		if (!leads_up(path)) {
			int fd = path_open(*base, path + *skip, flags, K_NO_SYMLINKS);
			if (fd >= 0 || errno != ELOOP)
				return fd < 0 ? -errno : fd;
		}
		r = follow_link(*base, path, *skip);
		if (r < 0)
			return r;
	}
	return -ELOOP;
}

/* Opens what is there at a path below the container's root, and says its path without links. Returns a descriptor or -errno. */
int path_walk(struct ctx *c, const char *want, char path[MAX_PATH], uint64_t flags)
{
	size_t skip;
	int base, r = start_walk(path, want);
	return r < 0 ? r : walk(c, path, flags, &base, &skip);
}

/* Opens what is not the target in hand. */
int path_find(struct ctx *c, const char *want, uint64_t flags)
{
	char path[MAX_PATH];
	int base = c->base, fd = path_walk(c, want, path, flags);
	c->base = base;
	return fd;
}

/* Makes the first name of path that is missing. It is looked for from the end, for most often only the last one is. */
static int make_first_missing(struct ctx *c, int base, char *path, size_t skip, int as_dir, mode_t mode)
{
	int dir, last = 1, made;
	size_t end = strlen(path), at;
	for (;; last = 0, end = at) {
		if (end <= skip)
			return -ENOENT; /* the mount itself */
		for (at = end - 1; at > skip && path[at] != '/'; at--)
			;
		path[at] = 0;
		dir = path_open(base, path + skip, O_PATH | O_DIRECTORY, K_NO_SYMLINKS);
		path[at] = '/';
		if (dir >= 0)
			break;
		if (errno != ENOENT)
			return errno == ELOOP ? 0 : -errno;
	}
	char save = path[end];
	path[end] = 0;
	made = as_dir || !last ? mkdirat(dir, path + at + 1, last ? mode : 0755) : mknodat(dir, path + at + 1, S_IFREG | mode, 0);
	int err = made < 0 ? errno : 0;
	path[end] = save;
	close(dir);
	c->new_target = made == 0 && last;
	return err == EEXIST ? 0 : -err; /* another process made it: a parallel start on the same rootfs */
}

/*
 * Opens a path below the container's root with O_PATH; what is missing is made: directories on the way, and a directory or
 * an empty file at the end. Links are followed inside the root only; path is then without them. c->new_target says whether
 * the last name is new.
 */
int path_make(struct ctx *c, const char *want, char path[MAX_PATH], int dir, mode_t mode)
{
	size_t skip;
	int base, r;
	c->what = "open target";
	c->new_target = 0;
	r = start_walk(path, want);
	for (int i = 0; i < 300 && r == 0; i++) {
		c->what = "open target";
		if ((r = walk(c, path, O_PATH, &base, &skip)) != -ENOENT)
			return r;
		c->what = "make target";
		r = make_first_missing(c, base, path, skip, dir, mode);
	}
	return r < 0 ? r : -ELOOP;
}

/* Opens the directory that is to hold path's last name, making it; *base is that name. */
int path_parent(struct ctx *c, const char *path, const char **base)
{
	char dir[MAX_PATH], at[MAX_PATH];
	const char *slash = strrchr(path, '/');
	*base = slash ? slash + 1 : path;
	size_t n = slash ? (size_t)(slash - path) : 0;
	c->what = "open target";
	if (n >= sizeof dir || !**base)
		return -ENAMETOOLONG;
	memcpy(dir, path, n);
	dir[n] = 0;
	return path_make(c, dir, at, 1, 0755);
}
