/*
 * The opener: the process that opens trees of mounts for a container with a user namespace. It clones them in a copy of the
 * host's mount namespace that belongs to a user namespace of its own: there the kernel has locked the flags and covers of the
 * host's mounts (mount_namespaces(7)). No other process has capabilities in that user namespace (clone_userns), whereas a member of
 * the container's user namespace can enter each mount namespace that belongs to that one. It keeps the credentials of rt, so that
 * sources in directories that the container's root may not enter can be opened. It is forked before any namespace is joined, so it
 * is never in the container's pid namespace. It has the plan and one end of a socket, opens what the plan names, in its order, and
 * ends with the last tree or when the socket is closed.
 */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "stub.h"

enum { FDS = 2 }; /* of a message */

/* What the opener answers: 0 or -errno, and which of its calls failed. */
struct answer {
	int32_t err;
	uint32_t call;
};
static const char *const calls[] = {"open_tree", "mount_setattr", "setns", "fchdir", "chroot", "clone3", "socketpair", "open mount namespace", "open /", "unshare", "cover the root of a mount namespace"};
enum { OPEN_TREE, SETATTR, SETNS, FCHDIR, CHROOT, CLONE3, SOCKETPAIR, OPEN_NS, OPEN_ROOT, UNSHARE, COVER, CALLS };

/* Sends an answer: fd if the call was made, else its errno. fd is closed. Returns -1 when there is nothing more to do. */
static int tell(int sock, uint32_t call, int failed, int fd)
{
	struct answer a = {failed ? -errno : 0, call};
	int sent = send_fds(sock, &a, sizeof a, &fd, !failed && fd >= 0, 0);
	if (fd >= 0)
		close(fd);
	return failed || sent < 0 ? -1 : 0;
}

/*
 * Makes a copy of the mounts when it may, sends that and its root, which need not be the namespace's, and ends. With it ends the last
 * process of the user namespace, in which no id is mapped.
 */
static __attribute__((noreturn)) void give_copy(int sock)
{
	struct answer a = {0, UNSHARE};
	int fds[2] = {-1, -1};
	uint32_t word;
	if (recv_fds(sock, &word, sizeof word, fds, FDS) < 0)
		_exit(1);
	if (unshare(CLONE_NEWNS) == 0) {
		a.call = OPEN_NS;
		fds[0] = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	}
	if (fds[0] >= 0) {
		a.call = OPEN_ROOT;
		fds[1] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	a.err = fds[0] < 0 || fds[1] < 0 ? -errno : 0;
	send_fds(sock, &a, sizeof a, fds, a.err ? 0 : 2, 0);
	_exit(0);
}

/* Enters a mount namespace and a root in it, and says so. */
static int enter(int sock, const int fds[2])
{
	if (setns(fds[0], CLONE_NEWNS) < 0)
		return tell(sock, SETNS, 1, -1);
	if (fchdir(fds[1]) < 0)
		return tell(sock, FCHDIR, 1, -1);
	return tell(sock, CHROOT, chroot(".") < 0, -1);
}

/*
 * Enters a copy of this mount namespace that belongs to a new user namespace, but not that one: the credentials stay. A process that
 * enters the copy by setns(2) finds its root covered; this one is given the root below that. The cover comes when the user namespace is
 * made, for a process whose root is covered counts as chrooted, which may not make one, and before the copy is, in which it is locked.
 */
static int enter_copy(int sock)
{
	struct k_clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	struct answer a = {0, CLONE3};
	const uint32_t word = PLAN_MAGIC;
	int pair[2], fds[FDS];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return tell(sock, SOCKETPAIR, 1, -1);
	if (unshare(CLONE_NEWNS) < 0)
		return tell(sock, UNSHARE, 1, -1);
	long pid = clone_userns(&args);
	if (pid < 0)
		return tell(sock, CLONE3, 1, -1);
	if (pid == 0) {
		close(pair[0]);
		give_copy(pair[1]);
	}
	close(pair[1]);
	int covered = cover_root(), err = errno;
	int n = covered < 0 ? -1 : send_fds(pair[0], &word, sizeof word, NULL, 0, 0);
	if (n == 0)
		n = recv_fds(pair[0], &a, sizeof a, fds, FDS);
	close(pair[0]);
	waitpid((pid_t)pid, NULL, 0);
	if (n == 2)
		return enter(sock, fds); /* serve closes them */
	errno = covered < 0 ? err : n < 0 ? -n : -a.err;
	return tell(sock, covered < 0 ? COVER : a.call < CALLS ? a.call : CLONE3, 1, -1);
}

/* Has a detached tree show its ids as a user namespace maps them. */
static int map_ids(int tree, int map, uint64_t recursive)
{
	struct k_mount_attr attr = {.attr_set = K_ATTR_IDMAP, .userns_fd = (uint64_t)map};
	return k_mount_setattr(tree, recursive ? K_RECURSIVE : 0, &attr);
}

/* Opens the tree of a step request_tree, and maps its ids by the user namespace that comes with the request. */
static int serve_tree(int sock, const struct step *s)
{
	int fds[FDS], tree, failed = 0;
	uint32_t word;
	int n = recv_fds(sock, &word, sizeof word, fds, FDS);
	if (n != is_given(s->request_tree.userns))
		return -1;
	if ((tree = clone_source(s, K_OPEN_TREE_CLONE | (s->request_tree.recursive ? K_RECURSIVE : 0))) < 0)
		return tell(sock, OPEN_TREE, 1, -1);
	if (n == 1) {
		failed = map_ids(tree, fds[0], s->request_tree.map_all) < 0;
		close(fds[0]);
	}
	return tell(sock, SETATTR, failed, tree);
}

/* Maps the ids of a tree of a step map_tree, which the stub has opened, by the user namespace that comes with it. */
static int serve_map(int sock, const struct step *s)
{
	int fds[FDS];
	uint32_t word;
	if (recv_fds(sock, &word, sizeof word, fds, FDS) != 2)
		return -1;
	int failed = map_ids(fds[0], fds[1], s->map_tree.all) < 0, err = errno;
	close(fds[0]);
	close(fds[1]);
	errno = err;
	return tell(sock, SETATTR, failed, -1);
}

/* The opener's life. It keeps no descriptor but the socket, and has nothing that anyone could look at. */
static __attribute__((noreturn)) void serve(struct ctx *c, const struct step *s, int sock)
{
	prctl(PR_SET_NAME, "rt:[opener]", 0, 0, 0);
	int r = s->opener.inside ? 0 : enter_copy(sock);
	syscall(NR_close_range, sock + 1, ~0u, 0);
	if (sock > 0)
		syscall(NR_close_range, 0, sock - 1, 0);
	for (uint32_t i = c->step + 1; r == 0 && i < c->nsteps; i++) {
		s = plan_next(s);
		if (s->kind == K_request_tree)
			r = serve_tree(sock, s);
		else if (s->kind == K_map_tree)
			r = serve_map(sock, s);
		else if (s->kind == K_opener_end)
			break;
	}
	_exit(0);
}

/* Waits for an answer; the descriptor that comes with it goes to *fd. */
static int await_answer(struct ctx *c, int *fd)
{
	struct answer a = {0, 0};
	int fds[FDS];
	c->what = "ask the opener";
	int n = recv_fds(c->opener, &a, sizeof a, fds, FDS);
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

/* Forks the opener. With inside it is in the user namespace that its copy of the mounts belongs to, and opens by the rights of rt's user
 * alone: for an rt that may not enter that copy otherwise. */
STEP(opener)
{
	struct k_clone_args args = {.flags = s->opener.inside ? CLONE_NEWUSER | CLONE_NEWNS : 0, .exit_signal = SIGCHLD};
	int pair[2];
	long pid;
	TRY(c, "socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	TRY(c, "clone3", pid = syscall(NR_clone3, &args, sizeof args));
	if (pid == 0)
		serve(c, s, pair[1]);
	close(pair[1]);
	c->opener = pair[0];
	c->opener_pid = (pid_t)pid;
	return s->opener.inside ? 0 : await_answer(c, NULL);
}

/* Has the opener fill a slot with a tree, whose ids a user namespace maps if there is one. */
STEP(request_tree)
{
	uint32_t word = PLAN_MAGIC;
	int tree = -1, map = slot(c, s->request_tree.userns);
	c->what = "ask the opener";
	if (s->request_tree.tree.n >= c->nfds || (map < 0) == is_given(s->request_tree.userns))
		return -EBADMSG;
	if (send_fds(c->opener, &word, sizeof word, &map, map >= 0, 0) < 0)
		return -EPIPE;
	int r = await_answer(c, &tree);
	if (r < 0)
		return r;
	close(c->fd[s->request_tree.tree.n]); /* it holds the number */
	c->fd[s->request_tree.tree.n] = tree;
	return 0;
}

/*
 * Has a user namespace map the ids of a tree that the stub has opened. That takes the host's rights:
 * those of the opener if there is one, else this process has them.
 */
STEP(map_tree)
{
	uint32_t word = PLAN_MAGIC;
	int fds[FDS] = {slot(c, s->map_tree.tree), slot(c, s->map_tree.userns)};
	c->what = "ask the opener";
	if (fds[0] < 0 || fds[1] < 0)
		return -EBADMSG;
	if (c->opener < 0) {
		TRY(c, "mount_setattr", map_ids(fds[0], fds[1], s->map_tree.all));
		return 0;
	}
	if (send_fds(c->opener, &word, sizeof word, fds, 2, 0) < 0)
		return -EPIPE;
	return await_answer(c, NULL);
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
