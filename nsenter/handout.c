/*
 * Handing out namespaces. A process that is not dumpable keeps an rt without privileges from opening what it has in /proc
 * (ptrace(2)). So one that waits for its start, and an init for its life, give rt the descriptors of their namespaces and their root.
 * The socket is made outside, and its name is in the container's directory, which the container cannot see.
 */
#include <sys/socket.h>
#include <sys/vfs.h>

#include "stub.h"

/* Opens what is to be handed out at a listening socket. All namespaces are there, and the root is still that of before. */
STEP(hand_out)
{
	static const char *const names[NS_TYPES] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"};
	struct statfs fs;
	c->handout = slot(c, s->hand_out.listener);
	/* A mount namespace that was joined may show anything at /proc. rt sees what it gets. */
	int dir = open("/proc/self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int ok = dir >= 0 && fstatfs(dir, &fs) == 0 && fs.f_type == K_PROC_MAGIC;
	for (unsigned i = 0; i < NS_TYPES; i++) /* an older kernel has fewer */
		c->ns[i] = ok ? openat(dir, names[i], O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
	if (dir >= 0)
		close(dir);
	return 0;
}

/*
 * Whether the peer is of the user who listens, who is the one that made the container. Both are given as this process's user
 * namespace sees them. Who is not mapped there looks like all others who are not: the mode of the socket keeps those off.
 */
static int same_user(int listener, int conn)
{
	struct ucred a = {0, 1, 0}, b = {0, 2, 0};
	socklen_t n = sizeof a, m = sizeof b;
	return getsockopt(listener, SOL_SOCKET, SO_PEERCRED, &a, &n) == 0 && getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &b, &m) == 0 &&
		n == sizeof a && m == sizeof b && a.uid == b.uid;
}

/* Sends the root, then the namespaces, in one message, and does not wait until it is received. */
static void send_namespaces(struct ctx *c, int conn)
{
	const uint32_t word = PLAN_MAGIC;
	int fds[NS_TYPES + 1] = {c->root};
	unsigned n = 1;
	for (unsigned i = 0; i < NS_TYPES; i++)
		if (c->ns[i] >= 0)
			fds[n++] = c->ns[i];
	send_fds(conn, &word, sizeof word, fds, n, MSG_DONTWAIT);
}

/* Serves one who has connected. Returns -1 if that is not possible now, and should not be tried again at once. */
int hand_out(struct ctx *c)
{
	int conn = accept4(c->handout, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (conn < 0)
		return -1;
	if (same_user(c->handout, conn))
		send_namespaces(c, conn);
	close(conn);
	return 0;
}
