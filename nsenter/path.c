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

/*
 * path[0..end) does not exist and its parent, in which it is to be made, is dir; its last name is a
 * dangling link. Rewrites path so that the link's text stands for the name: DIR/LINK/REST or /LINK/REST.
 */
static int splice_link(int dir, char *path, size_t name_at, size_t end)
{
	char link[MAX_PATH], next[MAX_PATH], name[256];
	if (end - name_at >= sizeof name)
		return -ENAMETOOLONG;
	memcpy(name, path + name_at, end - name_at);
	name[end - name_at] = 0;
	ssize_t n = readlinkat(dir, name, link, sizeof link - 1);
	if (n < 0)
		return -errno;
	link[n] = 0;
	int keep = link[0] == '/' ? 0 : (int)name_at;
	int len = snprintf(next, sizeof next, "%.*s%s%s", keep, path, link, path + end);
	if (len < 0 || (size_t)len >= sizeof next)
		return -ENAMETOOLONG;
	memcpy(path, next, (size_t)len + 1);
	return 0;
}

/* Makes the name at path[name_at..end) in dir. Returns 1 if a dangling link stands there. */
static int make_name(int dir, const char *path, size_t name_at, size_t end, int as_dir, mode_t mode)
{
	char name[256];
	if (end - name_at >= sizeof name)
		return -ENAMETOOLONG;
	memcpy(name, path + name_at, end - name_at);
	name[end - name_at] = 0;
	int r = as_dir ? mkdirat(dir, name, mode) : mknodat(dir, name, S_IFREG | mode, 0);
	if (r == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
		return 1;
	return 0; /* somebody else made it: a parallel start on the same rootfs */
}

/* Makes the first name of path that is missing, or puts a dangling link's text in its place. */
static int make_first_missing(struct ctx *c, char *path, int dir, mode_t mode)
{
	size_t at = 0, end = 0;
	int parent = path_open(c->root, ".", O_PATH | O_DIRECTORY, 0), r = 0;
	if (parent < 0)
		return -errno;
	for (;;) {
		for (at = end; path[at] == '/'; at++)
			;
		for (end = at; path[end] && path[end] != '/'; end++)
			;
		if (at == end) /* nothing is missing any more */
			break;
		char save = path[end];
		path[end] = 0;
		int next = path_open(c->root, path, O_PATH, 0), err = errno;
		path[end] = save;
		if (next < 0 && err != ENOENT)
			r = -err;
		if (next < 0)
			break;
		close(parent);
		parent = next;
	}
	if (r == 0 && at != end) {
		size_t rest = end;
		while (path[rest] == '/')
			rest++;
		r = make_name(parent, path, at, end, dir || path[rest], path[rest] ? 0755 : mode);
		if (r == 1)
			r = splice_link(parent, path, at, end);
	}
	close(parent);
	return r;
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
