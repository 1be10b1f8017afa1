/*
 * Steps that write files of a procfs: sysctls and security labels.
 */
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "stub.h"

/* The procfs of the host, which this process has not left yet. */
static int host_proc(struct ctx *c)
{
	struct statfs fs;
	int fd;
	TRY(c, "open /proc", fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
	TRY(c, "statfs /proc", fstatfs(fd, &fs));
	return fs.f_type == K_PROC_MAGIC ? fd : -EINVAL;
}

/* A procfs of our own, which is mounted nowhere. */
static int own_proc(struct ctx *c)
{
	return new_fs(c, "proc", NULL, 0, K_ATTR_NOSUID | K_ATTR_NODEV | K_ATTR_NOEXEC);
}

/* Opens what a descriptor with O_PATH refers to, whatever has its name by now. Returns -1 if that cannot be. */
int reopen(struct ctx *c, int at, uint64_t flags)
{
	char name[32];
	int proc = c->proc >= 0 ? c->proc : own_proc(c), fd = -1;
	snprintf(name, sizeof name, "self/fd/%d", at);
	if (proc >= 0)
		fd = k_openat2(proc, name, flags | O_CLOEXEC, 0, 0);
	if (proc >= 0 && proc != c->proc) /* it shows more than the container's */
		close(proc);
	return fd;
}

/*
 * Writes a file of a procfs: the host's, for a process that is still outside, or
 * one of our own that is mounted nowhere. It cannot be redirected by anything in the container's tree (CVE-2019-16884,
 * CVE-2019-19921, CVE-2025-52881). self is a link of the kernel's.
 */
STEP(proc_write)
{
	int dir, fd;
	if (c->proc < 0 && s->proc_write.outside)
		c->proc = host_proc(c);
	else if (c->proc < 0)
		c->proc = own_proc(c);
	if (c->proc < 0)
		return c->proc;
	TRY(c, "open proc", dir = k_openat2(c->proc, s->str[0], O_PATH | O_DIRECTORY | O_CLOEXEC, 0, K_BENEATH | K_NO_MAGICLINKS | K_NO_XDEV));
	TRY(c, "open", fd = k_openat2(dir, s->str[1], O_WRONLY | O_CLOEXEC, 0, K_BENEATH | K_NO_SYMLINKS | K_NO_XDEV));
	close(dir);
	TRY(c, "write", write(fd, s->str[2], strlen(s->str[2])));
	close(fd);
	return 0;
}
