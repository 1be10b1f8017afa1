/*
 * System calls that the C library may not have. What takes a descriptor is told so by an empty path.
 */
#include "kernel.h"

int k_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct k_open_how how = {flags, mode, resolve};
	return (int)syscall(NR_openat2, dir, path, &how, sizeof how);
}

int k_dup(int fd)
{
	return (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
}

int k_statx(int fd, struct k_statx *st)
{
	return (int)syscall(SYS_statx, fd, "", K_EMPTY_PATH, 7 | K_STATX_INO | K_STATX_MNT_ID | K_STATX_MNT_ID_UNIQUE, st);
}

int k_open_tree(int dir, const char *path, unsigned flags)
{
	return (int)syscall(NR_open_tree, dir, path, flags | (unsigned)O_CLOEXEC);
}

int k_move_mount(int from, int to)
{
	return (int)syscall(NR_move_mount, from, "", to, "", K_MOVE_F_EMPTY | K_MOVE_T_EMPTY);
}

int k_join_group(int to, int from)
{
	return (int)syscall(NR_move_mount, from, "", to, "", K_MOVE_F_EMPTY | K_MOVE_T_EMPTY | K_MOVE_SET_GROUP);
}

int k_mount_setattr(int fd, unsigned flags, const struct k_mount_attr *attr)
{
	return (int)syscall(NR_mount_setattr, fd, "", flags | K_EMPTY_PATH, attr, sizeof *attr);
}

int k_fsconfig(int fd, unsigned cmd, const char *key, const char *value)
{
	return (int)syscall(NR_fsconfig, fd, cmd, key, value, 0);
}
