/*
 * The opener: the process that opens trees of mounts for a container with a user namespace. It clones them in the container's
 * mount namespace, where the kernel has locked the flags and covers of the host's mounts (mount_namespaces(7)), and with the
 * credentials of rt, so that sources in directories that the container's root may not enter can be opened. It is forked
 * before any namespace is joined, so it is never in the container's pid namespace. It has the plan and one end of a socket,
 * opens what the plan names, in its order, and ends with the last tree or when the socket is closed.
 */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "stub.h"

enum { MOST_FDS = 2 };

/* What the opener answers: 0 or -errno, and which of its calls failed. */
struct answer {
	int32_t err;
	uint32_t call;
};
static const char *const calls[] = {"open_tree", "mount_setattr", "setns", "fchdir", "chroot", "clone3", "unshare", "open mount namespace", "open /"};
enum { OPEN_TREE, SETATTR, SETNS, FCHDIR, CHROOT, CLONE3, UNSHARE, OPEN_NS, OPEN_ROOT, CALLS };

/* Sends len bytes and n descriptors. */
static int put(int sock, const void *data, size_t len, const int *fds, unsigned n)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(MOST_FDS * sizeof(int))];
	} u;
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	if (n > 0) {
		memset(&u, 0, sizeof u);
		m.msg_control = &u;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		u.h.cmsg_level = SOL_SOCKET;
		u.h.cmsg_type = SCM_RIGHTS;
		u.h.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&u.h), fds, n * sizeof(int));
	}
	return sendmsg(sock, &m, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -EPIPE;
}

/* Receives exactly len bytes, and up to MOST_FDS descriptors. Returns their number or -errno. */
static int get(int sock, void *data, size_t len, int fds[MOST_FDS])
{
	struct iovec iov = {data, len};
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(MOST_FDS * sizeof(int))];
	} u;
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof u};
	ssize_t got = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	if (got != (ssize_t)len || m.msg_flags & MSG_TRUNC)
		return -EPIPE;
	if (m.msg_flags & MSG_CTRUNC)
		return -EMFILE;
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (!h)
		return 0;
	if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS || h->cmsg_len < CMSG_LEN(sizeof(int)) ||
	    h->cmsg_len > CMSG_LEN(MOST_FDS * sizeof(int)))
		return -EBADMSG;
	unsigned n = (unsigned)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(fds, CMSG_DATA(h), n * sizeof(int));
	return (int)n;
}

/* Sends an answer: fd if the call was made, else its errno. fd is closed. Returns -1 when there is nothing more to do. */
static int tell(int sock, uint32_t call, int failed, int fd)
{
	struct answer a = {failed ? -errno : 0, call};
	int sent = put(sock, &a, sizeof a, &fd, !failed && fd >= 0);
	if (fd >= 0)
		close(fd);
	return failed || sent < 0 ? -1 : 0;
}

/* Opens this process's mount namespace, and its root, which need not be the namespace's. Returns 0, or -1 and which call. */
static int open_own(int fds[2], uint32_t *call)
{
	*call = OPEN_NS;
	if ((fds[0] = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC)) < 0)
		return -1;
	*call = OPEN_ROOT;
	return (fds[1] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 ? -1 : 0;
}

/* Enters a mount namespace and a root in it, and says so. */
static int enter(int sock, const int fds[2])
{
	if (setns(fds[0], CLONE_NEWNS) < 0)
		return tell(sock, SETNS, 1, -1);
	if (fchdir(fds[1]) < 0)
		return tell(sock, FCHDIR, 1, -1);
	int failed = chroot(".") < 0;
	close(fds[0]);
	close(fds[1]);
	return tell(sock, CHROOT, failed, -1);
}

/* Makes a copy of this mount namespace that belongs to a user namespace, and sends it on sock. For a process of its own. */
static __attribute__((noreturn)) void copy_mounts(int sock, int user)
{
	struct answer a = {0, SETNS};
	int fds[2], done = 0;
	if (setns(user, CLONE_NEWUSER) == 0) {
		a.call = UNSHARE;
		done = unshare(CLONE_NEWNS) == 0 && open_own(fds, &a.call) == 0;
	}
	a.err = done ? 0 : -errno;
	put(sock, &a, sizeof a, fds, done ? 2 : 0);
	_exit(0);
}

/* Enters a copy of the host's mount namespace that the owner of a user namespace could have made. */
static int enter_copy(int sock, int user)
{
	struct k_clone_args args = {.exit_signal = SIGCHLD};
	struct answer a = {0, 0};
	int pair[2], fds[MOST_FDS];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return tell(sock, CLONE3, 1, -1);
	long pid = syscall(NR_clone3, &args, sizeof args);
	if (pid < 0)
		return tell(sock, CLONE3, 1, -1);
	if (pid == 0)
		copy_mounts(pair[1], user);
	close(pair[1]);
	int n = get(pair[0], &a, sizeof a, fds);
	close(pair[0]);
	waitpid((pid_t)pid, NULL, 0);
	if (n == 2)
		return enter(sock, fds);
	errno = n < 0 ? -n : -a.err;
	return tell(sock, a.call < CALLS ? a.call : CLONE3, 1, -1);
}

/* Enters the mount namespace and root that the container's process has sent. */
static int join(int sock)
{
	int fds[MOST_FDS];
	uint32_t word;
	return get(sock, &word, sizeof word, fds) == 2 ? enter(sock, fds) : -1;
}

/* Opens the tree of a step request_tree, and maps its ids by the user namespace that comes with the request. */
static int serve_tree(int sock, const struct step *s)
{
	int fds[MOST_FDS], tree, failed = 0;
	uint32_t word;
	int n = get(sock, &word, sizeof word, fds);
	if (n != (s->a[2] != NO_FD))
		return -1;
	if ((tree = k_open_tree(AT_FDCWD, s->str[0], K_OPEN_TREE_CLONE | (s->a[1] ? K_RECURSIVE : 0))) < 0)
		return tell(sock, OPEN_TREE, 1, -1);
	if (n == 1) {
		struct k_mount_attr attr = {.attr_set = K_ATTR_IDMAP, .userns_fd = (uint64_t)fds[0]};
		failed = k_mount_setattr(tree, s->a[3] ? K_RECURSIVE : 0, &attr) < 0;
		close(fds[0]);
	}
	return tell(sock, SETATTR, failed, tree);
}

/* The opener's life. It keeps no descriptor but the socket and user, and has nothing that anyone could look at. */
static __attribute__((noreturn)) void serve(struct ctx *c, const struct step *s, int sock, int user)
{
	int r = 0;
	prctl(PR_SET_NAME, "rt:[opener]", 0, 0, 0);
	if (user >= 0)
		r = enter_copy(sock, user);
	syscall(NR_close_range, sock + 1, ~0u, 0);
	if (sock > 0)
		syscall(NR_close_range, 0, sock - 1, 0);
	for (uint32_t i = c->step + 1; r == 0 && i < c->nsteps; i++) {
		s = plan_next(s);
		if (s->kind == K_opener_join)
			r = join(sock);
		else if (s->kind == K_request_tree)
			r = serve_tree(sock, s);
		else if (s->kind == K_opener_end)
			break;
	}
	_exit(0);
}

/* Waits for an answer; the descriptor that comes with it goes to *fd. */
static int await_answer(struct ctx *c, int *fd)
{
	struct answer a = {0, 0};
	int fds[MOST_FDS];
	c->what = "ask the opener";
	int n = get(c->opener, &a, sizeof a, fds);
	if (n < 0)
		return n;
	if (a.call < CALLS)
		c->what = calls[a.call];
	if (a.err)
		return a.err < 0 ? a.err : -EBADMSG;
	if (n != (fd != NULL))
		return -EBADMSG;
	if (fd)
		*fd = fds[0];
	return 0;
}

/* a: slot of a user namespace or of a process in it: trees are opened in a copy of the host's mounts that belongs to it (NO_FD:
 * in the namespace of opener_join). */
STEP(opener)
{
	struct k_clone_args args = {.exit_signal = SIGCHLD};
	int pair[2], user = slot(c, s->a[0]);
	long pid;
	TRY(c, "socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	TRY(c, "clone3", pid = syscall(NR_clone3, &args, sizeof args));
	if (pid == 0)
		serve(c, s, pair[1], user);
	close(pair[1]);
	c->opener = pair[0];
	c->opener_pid = (pid_t)pid;
	return user >= 0 ? await_answer(c, NULL) : 0;
}

/* Takes the opener into this process's mount namespace and root. */
STEP(opener_join)
{
	(void)s;
	uint32_t word = PLAN_MAGIC, call;
	int fds[2];
	int r = open_own(fds, &call);
	c->what = calls[call];
	if (r < 0)
		return -errno;
	c->what = "ask the opener";
	r = put(c->opener, &word, sizeof word, fds, 2);
	close(fds[0]);
	close(fds[1]);
	return r < 0 ? r : await_answer(c, NULL);
}

/* a: slot to fill, 1 if recursive, slot of a user namespace that maps the ids (NO_FD: none), 1 if that is recursive. str: a path
 * of the host. */
STEP(request_tree)
{
	uint32_t word = PLAN_MAGIC;
	int tree = -1, map = slot(c, s->a[2]);
	c->what = "ask the opener";
	if (s->a[0] >= c->nfds || (map < 0) != (s->a[2] == NO_FD))
		return -EBADMSG;
	int r = put(c->opener, &word, sizeof word, &map, map >= 0);
	if (r < 0 || (r = await_answer(c, &tree)) < 0)
		return r;
	close(c->fd[s->a[0]]); /* it holds the number */
	c->fd[s->a[0]] = tree;
	return 0;
}

/* Waits until the opener has ended: what comes next may be a hook or the container's. */
STEP(opener_end)
{
	(void)s;
	char none;
	c->what = "wait for the opener";
	if (recv(c->opener, &none, sizeof none, 0) > 0)
		return -EBADMSG;
	close(c->opener);
	c->opener = -1;
	return 0;
}

/* For the process that has forked the opener, when another one goes on with the plan. */
void reap_opener(struct ctx *c)
{
	if (c->opener_pid == 0)
		return;
	close(c->opener); /* so that the opener ends when the container's process does */
	waitpid(c->opener_pid, NULL, 0);
}
