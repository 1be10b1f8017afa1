/*
 * What a process finds that gets into a mount namespace which rt makes for a user namespace, before the container's root is there. The
 * kernel lets in each process with CAP_SYS_ADMIN in that user namespace: its members, and who has its owner's uid (clone_userns). It
 * gets there by setns(2), which takes it to what is on top of the namespace's root.
 */
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "stub.h"

/*
 * Covers the root of this process's own mount namespace with an empty file system. This process goes on below that, under its own
 * root. A copy of the namespace that belongs to another user namespace has the cover locked (mount_namespaces(7)). In a chroot, whose
 * root may be no mount (EINVAL), there is no new user namespace before this, and so no copy either.
 */
int cover_root(void)
{
	if (mount(NULL, "/", NULL, MS_SLAVE, NULL) < 0) /* so that the cover does not come to the host */
		return -1;
	return mount("none", "/", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0,nr_inodes=1");
}

/* Mounts a new file system on a directory of one. */
static int place(struct ctx *c, int fs, const char *type, const char *dir, char *const *opt, uint32_t n)
{
	int at, new = new_fs(c, type, opt, n, K_ATTR_NOSUID | K_ATTR_NODEV | K_ATTR_NOEXEC);
	if (new < 0)
		return new;
	TRY(c, "open", at = openat(fs, dir, O_PATH | O_DIRECTORY | O_CLOEXEC));
	TRY(c, "move_mount", k_move_mount(new, at));
	close(at);
	close(new);
	return 0;
}

/*
 * Makes a mount namespace without the host's tree, of which the container's is to be a copy: a
 * tmpfs with a directory for the rootfs, a procfs and, if the container mounts one, a sysfs, for the kernel allows new ones in a user namespace only where there are
 * some that nothing covers. The procfs shows no process of others. All that goes with pivot_root.
 */
STEP(staging_root)
{
	char *const mode[] = {"mode", "0755"}, *const hide[] = {"hidepid", "4"};
	static const char *const dirs[] = {STAGED_ROOT + 1, "proc", "sys"};
	int r, at, fs;
	TRY(c, "unshare", unshare(CLONE_NEWNS));
	TRY(c, "mount / as slave", mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL)); /* so that nothing is unmounted on the host */
	if ((fs = new_fs(c, "tmpfs", mode, 2, K_ATTR_NOSUID | K_ATTR_NODEV | K_ATTR_NOEXEC)) < 0)
		return fs;
	mode_t mask = umask(0); /* the container's root has to reach them */
	for (unsigned i = 0; i < sizeof dirs / sizeof *dirs; i++)
		TRY(c, "mkdir", mkdirat(fs, dirs[i], 0755));
	umask(mask);
	TRY(c, "open /", at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	TRY(c, "move_mount", k_move_mount(fs, at));
	close(at);
	if ((r = pivot_to(c, fs)) == 0)
		r = place(c, fs, "proc", "proc", hide, 2);
	if (r == 0 && s->staging_root.sysfs)
		r = place(c, fs, "sysfs", "sys", NULL, 0);
	close(fs);
	return r;
}
