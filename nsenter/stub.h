/*
 * The stub: the inside half of rt. It runs a plan that Go compiled (see wire.c for the encoding),
 * step by step, and ends in execve. No heap, no globals that change, no parsing of text; every path
 * below the container's root is walked by openat2 under a directory fd.
 */
#ifndef RT_STUB_H
#define RT_STUB_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel.h"

#define NO_FD 0xffffffffu /* a slot argument that names no descriptor */
#define MAX_FDS 1000	  /* slots for descriptors that came with the plan */
#define MAX_PATH 4096

/* Keep in step with wire.go. */
enum kind {
	K_JOIN_NS = 1,
	K_JOIN_PIDFD,
	K_CLONE,
	K_SYNC,
	K_DUMPABLE,
	K_OPEN_TREE,
	K_SET_IDS,
	K_CGROUP_JOIN,
	K_KEYRING,
	K_LOOPBACK_UP,
	K_ATTACH_ROOT,
	K_MOUNT_FS,
	K_MOUNT_TREE,
	K_REMOUNT,
	K_MKDIR,
	K_SYMLINK,
	K_MKNOD,
	K_CONSOLE,
	K_PIVOT,
	K_MOVE_ROOT,
	K_CHROOT,
	K_PROC_WRITE,
	K_READONLY_PATH,
	K_MASK_PATH,
	K_CHOWN_STDIO,
	K_CHDIR,
	K_FIND_EXEC,
	K_AWAIT_START,
	K_SECCOMP,
	K_BOUNDING,
	K_CREDENTIALS,
	K_CAPABILITIES,
	K_CLOSE_FDS,
	K_EXEC,
	K_INIT,
	K_CALL,
	K_END /* one past the last */
};

/* One step as it lies in the plan; the string offsets behind it have become pointers (wire.c). */
struct step {
	uint32_t kind;
	uint32_t size;
	uint64_t a[8];
	uint32_t nstr;
	uint32_t pad;
	char *str[]; /* nstr pointers, some of them NULL */
};

struct plan_header {
	uint32_t magic, version, size, nsteps, nfds, pad;
};
#define PLAN_MAGIC 0x6e706c72u /* "rlpn" */
#define PLAN_VERSION 1u

/* What the stub says to rt. */
enum reply_type { R_PID = 1, R_SYNC, R_FD, R_ERROR, R_LISTENER };
enum { SYNC_CGROUP = 3 }; /* the one sync point that no step asks for; SyncCgroup in steps.go */
struct reply {
	uint32_t type, left; /* steps to the end of the plan, this one included */
	int32_t value; /* a pid, a sync point, an errno */
	uint32_t len;  /* of text */
	char text[240];
};

struct ctx {
	int sock;		/* the conversation with rt */
	int root;		/* O_PATH of the container's root, -1 before there is one */
	int proc;		/* a private procfs, -1 until needed */
	int api[2];		/* the mounts on /proc and /sys, -1 before there are any */
	int null, mask;		/* verified /dev/null and the shared empty tmpfs, -1 until needed */
	int tty;		/* the terminal's slave, -1 if none */
	int cwd_done;		/* chdir has succeeded */
	int dumpable;		/* rt needs to look into this process (dumpable) */
	const char *exe;	/* the candidate that find-exec chose */
	uint32_t step, nsteps;
	uint32_t skip;		/* steps that are the program's, not ours as its init */
	pid_t program;		/* the child that is the program, 0 if this process is */
	void *plan;
	size_t plan_size;
	const char *what;	/* the system call in hand, for the error */
	int detail_fd;		/* an fs context whose log explains the error, -1 if none */
	uint32_t nfds;
	int fd[MAX_FDS];
};

/* wire.c */
int plan_check(void *base, size_t len);
const struct step *plan_next(const struct step *s);
const struct step *plan_first(const void *base);

/* stub.c */
void stub_main(int sock);
int talk_send(struct ctx *c, uint32_t type, int32_t value, const char *text, int fd);
int talk_wait(struct ctx *c);
int talk_listener(struct ctx *c, int fd);
int slot(const struct ctx *c, uint64_t n);

/* init.c */
void stay(struct ctx *c) __attribute__((noreturn));

/* path.c */
int path_open(int root, const char *path, uint64_t flags, uint64_t resolve);
int path_make(struct ctx *c, const char *path, int dir, mode_t mode);
int path_parent(struct ctx *c, const char *path, const char **base);

/* mounts.c */
int new_fs(struct ctx *c, const char *type, char *const *opt, uint32_t n, unsigned attr);
int open_target(struct ctx *c, const char *path, int dir, mode_t mode, int no_links);
int attach(struct ctx *c, int tree, int at);

/* copyup.c: what of a hidden directory goes into the file system that hides it. */
enum { COPY_CONTENT = 1, COPY_OWNER = 2, COPY_MODE = 4 };
int copy_up(struct ctx *c, int from, int to, unsigned what);

/* The steps, by subject: namespaces.c, mounts.c, devices.c, process.c, init.c */
#define STEP(name) int step_##name(struct ctx *c, const struct step *s)
STEP(join_ns); STEP(join_pidfd); STEP(clone); STEP(sync); STEP(dumpable); STEP(set_ids);
STEP(cgroup_join); STEP(keyring); STEP(loopback_up); STEP(open_tree); STEP(attach_root);
STEP(mount_fs); STEP(mount_tree); STEP(remount); STEP(pivot); STEP(move_root); STEP(chroot);
STEP(readonly_path); STEP(mask_path); STEP(mkdir); STEP(symlink); STEP(mknod);
STEP(console); STEP(proc_write); STEP(chown_stdio); STEP(chdir); STEP(find_exec);
STEP(await_start); STEP(seccomp); STEP(bounding); STEP(credentials); STEP(capabilities);
STEP(close_fds); STEP(exec); STEP(init); STEP(call);

/* Name the call for the error, make it, and leave with its errno if it fails. */
#define TRY(c, name, expr) \
	do { \
		(c)->what = (name); \
		if ((expr) < 0) \
			return -errno; \
	} while (0)

#endif
