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
#include "steps.h"

#define MAX_FDS 1000	  /* slots for descriptors that came with the plan */
#define MAX_PATH 4096
#define NS_TYPES 8	   /* of namespaces */
#define MAX_UNDO 64 /* mounts of a plan that can be undone; MaxUndo in hotplug.go */

#define MEMBER(name, strings, slots, numbers) struct args_##name name;

/* One step as it lies in the plan; the string offsets behind it have become pointers (wire.c). */
struct step {
	uint32_t kind;
	uint32_t size;
	union {
		uint32_t words[ARGS_SIZE / 4];
		uint64_t longs[ARGS_SIZE / 8];
		KINDS(MEMBER)
	};
	uint32_t nstr;
	uint32_t pad;
	char *str[]; /* nstr pointers, some of them NULL */
};

struct plan_header {
	uint32_t magic, version, size, nsteps, nfds, pad;
};
#define PLAN_MAGIC 0x6e706c72u /* "rlpn" */
#define PLAN_VERSION 2u

/* What the stub says to rt. */
enum reply_type { R_PID = 1, R_SYNC, R_FD, R_ERROR, R_LISTENER, R_MOUNTS, R_NO_PROGRAM };
enum { SYNC_CGROUP = 3, SYNC_GATE = 8, SYNC_FILTERED = 10 }; /* the sync points that no step sync asks for, as in talk.go */
#define LISTENER_CLOSED "SYNC_FILTERED follows" /* in talk.go too; the stub of an older rt does not say it */
struct reply {
	uint32_t type, left; /* steps to the end of the plan, this one included */
	int32_t value; /* a pid, a sync point, an errno */
	uint32_t len;  /* of text */
	char text[240];
};

/* What is known of the mounts that the plan has made (made.c). */
enum { MAX_MADE = MAX_FDS, MADE_TEXT = MAX_MADE * MAX_PATH }; /* MaxMade in mounts.go */
struct mount_made {
	const char *want, *at; /* the target, and its path without links */
	int fd;
	int group;  /* a clone with its propagation, from made_apart to made_back; else -1 */
	int hidden; /* a mount has come above it */
};
enum { MAX_IDS = 28 }; /* of mounts in one message */
struct made {
	unsigned n;
	unsigned parts; /* at the end of mount[], backwards: mounts below the root of a clone in hand; at is from there */
	int borrowed;		/* the descriptors are those of placed[] */
	size_t used;
	char target[MAX_PATH];	/* of the mount in hand, without links */
	struct mount_made *mount; /* room for MAX_MADE, NULL until needed */
	char *text;		/* MADE_TEXT bytes behind that, for paths without links */
};

struct ctx {
	int sock;		/* the conversation with rt */
	int root;		/* O_PATH of the container's root, -1 before there is one */
	int proc;		/* a private procfs, -1 until needed */
	struct made *made;
	const char *want;	/* the target of the mount in hand, as the plan has it; NULL if it need not be known */
	int keep;		/* later steps refer to it */
	uint64_t mount_id[MAX_IDS]; /* of mounts that were made, for rt */
	unsigned nids;
	int new_target;		/* path_make made the last name */
	int base;		/* what the target in hand was opened from: the mount that it is in, or one above */
	int shared;		/* volumes may be peers of the host's mounts */
	int null, mask;		/* verified /dev/null and the shared empty tmpfs, -1 until needed */
	int opener;		/* the conversation with the opener, -1 if there is none */
	pid_t opener_pid;	/* 0 if this process has not forked it */
	int gate;		/* a FIFO that holds up execve, -1 if none */
	int undo;		/* a procfs by which mounts can be undone, -1 if they need not be */
	int placed[MAX_UNDO];
	unsigned nplaced;
	int cwd_done;		/* chdir has succeeded */
	const char *exe;	/* the candidate that find-exec chose */
	uint32_t step, nsteps;
	uint32_t skip;		/* steps that are the program's, not ours as its init */
	pid_t program;		/* the child that is the program, 0 if this process is */
	int ready;		/* where the program waits for its init */
	int signals;		/* a signalfd of the init, if it hands out its namespaces */
	int handout;		/* a listening socket: where its namespaces are handed out, -1 if nowhere */
	int ns[NS_TYPES];	/* those, -1 for what there is not */
	void *plan;
	size_t plan_size;
	const char *what;	/* the system call in hand, for the error */
	char note[96];		/* text of an error that what may point to */
	int detail_fd;		/* an fs context whose log explains the error, -1 if none */
	uint32_t nfds, have;	/* slots, and how many of them are filled */
	int fd[MAX_FDS];
};

/* wire.c */
int plan_check(void *base, size_t len);
const struct step *plan_next(const struct step *s);
const struct step *plan_first(const void *base);

/* stub.c */
void stub_main(int sock);
void quit(int status) __attribute__((noreturn));

/* talk.c */
enum { MOST_FDS = 250 }; /* with one message: SCM_MAX_FD is 253 (unix(7)); mostFds in talk.go */
int send_fds(int sock, const void *data, size_t len, const int *fds, unsigned n, int flags);
int recv_fds(int sock, void *data, size_t len, int *fds, unsigned max);
int receive_fds(int sock, int *got, unsigned max);
int talk_send(struct ctx *c, uint32_t type, int32_t value, const char *text, int fd);
int talk_wait(struct ctx *c);
int talk_mounts(struct ctx *c);
int talk_listener(struct ctx *c, int fd, int send);
int slot(const struct ctx *c, fd_slot s);
int is_given(fd_slot s);

/* namespaces.c */
long clone_userns(struct k_clone_args *args);

/* credentials.c */
long undumped(long result);
int set_id(long number, uint64_t id);

/* staging.c */
#define STAGED_ROOT "/rootfs"
int cover_root(void);

/* opener.c */
void reap_opener(struct ctx *c);

/* process.c */
int close_but(unsigned from, const int *kept, unsigned n);

/* proc.c */
int reopen(struct ctx *c, int at, uint64_t flags);

/* exec.c */
void heed_signals(void);

/* handout.c */
int hand_out(struct ctx *c);

/* init.c */
void stay(struct ctx *c) __attribute__((noreturn));

/* path.c */
int path_open(int root, const char *path, uint64_t flags, uint64_t resolve);
int path_walk(struct ctx *c, const char *want, char path[MAX_PATH], uint64_t flags);
int path_find(struct ctx *c, const char *want, uint64_t flags);
int path_make(struct ctx *c, const char *want, char path[MAX_PATH], int dir, mode_t mode);
int path_parent(struct ctx *c, const char *path, const char **base);

/* made.c */
int made_rename(const struct ctx *c, char path[MAX_PATH]);
int made_as_planned(const struct ctx *c, const char *want, const char *name, int recursive);
int made_above(const struct ctx *c, const char *path, size_t *skip);
int made_apart(const struct ctx *c, const char *want, const char *at);
int made_parts(struct ctx *c, const char *at, int tree);
int made_back(const struct ctx *c);
int made_below(const struct ctx *c, unsigned i, const char *want, const char *at);
int made_at(const struct ctx *c, const char *want, int hidden);
int made_elsewhere(struct ctx *c, const char *path, int at);
int made_hidden(const struct ctx *c, unsigned i, const char *path, size_t *skip);
int made_behind_link(const struct ctx *c, const char *want, const char *dir);
int made_note(struct ctx *c, int tree);
void made_close(struct ctx *c);

/* sources.c */
int clone_source(const struct step *s, unsigned flags);
int clone_apart(struct ctx *c, const char *want, const char *name, int at);

/* mounts.c */
int set_attr(struct ctx *c, int fd, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation);
int new_fs(struct ctx *c, const char *type, char *const *opt, uint32_t n, unsigned attr);
int open_target(struct ctx *c, const char *path, int dir, mode_t mode, int no_links);
struct tree { int fd; }; /* a detached tree of stated propagation, or -errno: only fresh and state make one */
struct tree fresh(int fd);
struct tree state(struct ctx *c, int fd, uint64_t propagation);
int attach(struct ctx *c, struct tree tree, int at, int recursive, uint64_t propagation);
int attach_own(struct ctx *c, struct tree tree, int at);

/* protect.c */
int not_on_root(struct ctx *c, int at, struct k_statx *st);

/* root.c */
int pivot_to(struct ctx *c, int root);

/* hotplug.c */
void undo_mounts(struct ctx *c);

/* copyup.c: what of a hidden directory goes into the file system that hides it. */
enum { COPY_CONTENT = 1, COPY_OWNER = 2, COPY_MODE = 4 };
int copy_up(struct ctx *c, int from, int to, unsigned what);

/* The steps: each in the file of its subject. */
#define STEP(name) int step_##name(struct ctx *c, const struct step *s)
#define DECLARE(name, strings, slots, numbers) STEP(name);
KINDS(DECLARE)

/* Name the call for the error, make it, and leave with its errno if it fails. */
#define TRY(c, name, expr) \
	do { \
		(c)->what = (name); \
		if ((expr) < 0) \
			return -errno; \
	} while (0)

#endif
