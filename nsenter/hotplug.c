/*
 * Steps that only a plan for a running container has: mounts that are taken back if one fails, and unmounting.
 */
#include <stdio.h>
#include <sys/mount.h>

#include "stub.h"

/* Takes the host's /proc. From here on a failure of the plan takes back what was mounted. */
STEP(undo)
{
	c->undo = slot(c, s->undo.proc);
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
 * Detaches the mount that has an id, or only sees whether it is there. The container, and a neighbour, may
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
	if (s->unmount.id != st.mnt_id)
		return -ESTALE;
	if (!s->unmount.check) {
		snprintf(name, sizeof name, "self/fd/%d", at);
		TRY(c, "fchdir", fchdir(c->undo));
		TRY(c, "umount", umount2(name, MNT_DETACH));
	}
	close(at);
	return 0;
}
