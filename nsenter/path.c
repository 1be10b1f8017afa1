/*
 * Paths below the container's root. The root file system may change while we look (volumes shared with
 * a running container), so a path is resolved once, into a descriptor, by the kernel (CVE-2021-30465,
 * CVE-2024-45310): openat2(2) with RESOLVE_IN_ROOT keeps every symbolic link inside.
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
		if (fd >= 0 || errno != EAGAIN)
			return fd;
	}
	return -1;
}

/* Makes name in dir. Returns 1 if a dangling link stands there, whose text is in link. */
static int make_name(int dir, const char *name, int as_dir, mode_t mode, char link[MAX_PATH])
{
	if ((as_dir ? mkdirat(dir, name, mode) : mknodat(dir, name, S_IFREG | mode, 0)) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	ssize_t n = readlinkat(dir, name, link, MAX_PATH - 1);
	if (n < 0)
		return 0; /* somebody else made it: a parallel start on the same rootfs */
	link[n] = 0;
	return 1;
}

/* Puts a link's text in the place of the name at path[at..end): DIR/LINK/REST or /LINK/REST. */
static int splice_link(char *path, size_t at, size_t end, const char *link)
{
	char next[MAX_PATH];
	int len = snprintf(next, sizeof next, "%.*s%s%s", link[0] == '/' ? 0 : (int)at, path, link, path + end);
	if (len < 0 || (size_t)len >= sizeof next)
		return -ENAMETOOLONG;
	memcpy(path, next, (size_t)len + 1);
	return 0;
}

/*
 * Makes the first name of path that is missing, or puts a dangling link's text in its place. It is looked for from the
 * end, for most often only the last one is.
 */
static int make_first_missing(struct ctx *c, char *path, int dir, mode_t mode)
{
	char link[MAX_PATH], save;
	int parent = -1, last = 1, r;
	size_t at = strlen(path), end;
	for (;; last = 0) {
		for (end = at; end > 0 && path[end - 1] == '/'; end--)
			;
		for (at = end; at > 0 && path[at - 1] != '/'; at--)
			;
		if (at == end)
			return -ENOENT; /* the root itself */
		save = path[at];
		path[at] = 0;
		parent = path_open(c->root, path, O_PATH | O_DIRECTORY, 0);
		path[at] = save;
		if (parent >= 0)
			break;
		if (errno != ENOENT)
			return -errno;
	}
	save = path[end];
	path[end] = 0;
	r = make_name(parent, path + at, dir || !last, last ? mode : 0755, link);
	path[end] = save;
	close(parent);
	return r == 1 ? splice_link(path, at, end, link) : r;
}

/*
 * Opens path below the container's root with O_PATH; what is missing is made: directories on the way,
 * and a directory or an empty file at the end. Links are followed inside the root only.
 */
int path_make(struct ctx *c, const char *want, int dir, mode_t mode)
{
	char path[MAX_PATH];
	size_t len = strnlen(want, sizeof path);
	c->what = "open target";
	if (len >= sizeof path)
		return -ENAMETOOLONG;
	memcpy(path, want, len + 1);
	for (int i = 0; i < 300; i++) {
		c->what = "open target";
		int fd = path_open(c->root, path, O_PATH, 0);
		if (fd >= 0 || errno != ENOENT)
			return fd >= 0 ? fd : -errno;
		c->what = "make target";
		int r = make_first_missing(c, path, dir, mode);
		if (r < 0)
			return r;
	}
	return -ELOOP;
}

/* Opens the directory that is to hold path's last name, making it; *base is that name. */
int path_parent(struct ctx *c, const char *path, const char **base)
{
	char dir[MAX_PATH];
	const char *slash = strrchr(path, '/');
	*base = slash ? slash + 1 : path;
	size_t n = slash ? (size_t)(slash - path) : 0;
	c->what = "open target";
	if (n >= sizeof dir || !**base)
		return -ENAMETOOLONG;
	memcpy(dir, path, n);
	dir[n] = 0;
	return path_make(c, dir, 1, 0755);
}
