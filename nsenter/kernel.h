/*
 * What the stub needs of the kernel's interface, stated here so that it builds with any C library
 * whether or not its headers know Linux 5.14.
 */
#ifndef RT_KERNEL_H
#define RT_KERNEL_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers of system calls since 5.1 are the same on every architecture. */
enum {
	NR_open_tree = 428, NR_move_mount = 429, NR_fsopen = 430, NR_fsconfig = 431, NR_fsmount = 432,
	NR_fspick = 433, NR_clone3 = 435, NR_close_range = 436, NR_openat2 = 437,
	NR_faccessat2 = 439, NR_mount_setattr = 442,
};

struct k_open_how { uint64_t flags, mode, resolve; };
enum { K_NO_XDEV = 1, K_NO_MAGICLINKS = 2, K_NO_SYMLINKS = 4, K_BENEATH = 8, K_IN_ROOT = 16 };

struct k_mount_attr { uint64_t attr_set, attr_clr, propagation, userns_fd; };
enum { K_ATTR_RDONLY = 1, K_ATTR_NOSUID = 2, K_ATTR_NODEV = 4, K_ATTR_NOEXEC = 8, K_ATTR_IDMAP = 0x100000 };

#define K_ATTR_ATIME 0x70u
enum { K_ATTR_NOATIME = 0x10, K_ATTR_STRICTATIME = 0x20, K_ATTR_NODIRATIME = 0x80 };
#define K_RELATIME 0x40u /* where relatime, whose K_ATTR_* is 0, must be told from nothing; Relatime in internal/names */
enum { K_ST_NOATIME = 1024, K_ST_NODIRATIME = 2048, K_ST_RELATIME = 4096 }; /* statfs(2) */

/* statx(2). mnt_id is never used again if K_STATX_MNT_ID_UNIQUE is set in mask (Linux 6.8). */
struct k_statx {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad;
	uint64_t ino, size, blocks, attributes_mask;
	uint64_t times[8];
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t mnt_id;
	uint64_t spare[13];
};
#define K_STATX_INO 0x100u
#define K_STATX_MNT_ID 0x1000u
#define K_STATX_MNT_ID_UNIQUE 0x4000u
#define K_STATX_ATTR_MOUNT_ROOT 0x2000u

struct k_clone_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
		set_tid_size, cgroup;
};
#define K_CLONE_PARENT 0x00008000ull
#define K_CLONE_INTO_CGROUP 0x200000000ull

#define K_OPEN_TREE_CLONE 1u
#define K_AT_EACCESS 0x200
#define K_EMPTY_PATH 0x1000u
#define K_RECURSIVE 0x8000u
#define K_MOVE_F_EMPTY 0x4u
#define K_MOVE_T_EMPTY 0x40u
#define K_MOVE_SET_GROUP 0x100u /* Linux 5.15 */
#define K_FSOPEN_CLOEXEC 1u
#define K_FSPICK_CLOEXEC 1u
#define K_FSPICK_EMPTY_PATH 8u
enum { K_FSCONFIG_FLAG = 0, K_FSCONFIG_STRING = 1, K_FSCONFIG_CREATE = 6, K_FSCONFIG_RECONFIGURE = 7 };
#define K_FSMOUNT_CLOEXEC 1u

#define K_PROC_MAGIC 0x9fa0
#define K_SYSFS_MAGIC 0x62656572
#define K_DEVPTS_MAGIC 0x1cd1
#define K_TIOCGPTPEER 0x5441

struct k_cap_header { uint32_t version; int pid; };
struct k_cap_data { uint32_t effective, permitted, inheritable; };
#define K_CAP_VERSION_3 0x20080522u
#define K_GRND_INSECURE 4u /* getrandom(2): never waits */

struct k_dirent { uint64_t ino; int64_t off; uint16_t len; uint8_t type; char name[]; }; /* getdents64(2) */

/* kernel.c */
int k_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int k_dup(int fd); /* close-on-exec, and none of the standard descriptors. musl's fcntl(2) makes two calls of it */
int k_statx(int fd, struct k_statx *st);
int k_open_tree(int dir, const char *path, unsigned flags);
int k_move_mount(int from, int to);
/* Makes the private mount to a peer, and a slave of the same master, as from is. */
int k_join_group(int to, int from);
int k_mount_setattr(int fd, unsigned flags, const struct k_mount_attr *attr);
int k_fsconfig(int fd, unsigned cmd, const char *key, const char *value);

#endif
