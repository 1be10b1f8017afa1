/*
 * The conversation with rt. No call is ever interrupted: no signal has a handler but where the stub waits for its start.
 */
#include <string.h>
#include <sys/socket.h>

#include "stub.h"

/* Sends a message with n descriptors. Returns 0 or -errno. */
int send_fds(int sock, const void *data, size_t len, const int *fds, unsigned n, int flags)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(MOST_FDS * sizeof(int))];
	} u;
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	if (n > 0) {
		memset(&u, 0, CMSG_SPACE(n * sizeof(int)));
		m.msg_control = &u;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		u.h.cmsg_level = SOL_SOCKET;
		u.h.cmsg_type = SCM_RIGHTS;
		u.h.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&u.h), fds, n * sizeof(int));
	}
	return sendmsg(sock, &m, MSG_NOSIGNAL | flags) == (ssize_t)len ? 0 : -errno;
}

/* Receives a message of exactly len bytes with up to max descriptors. Returns their number or -errno; -EPIPE if it has another length. */
int recv_fds(int sock, void *data, size_t len, int *fds, unsigned max)
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
	if (m.msg_flags & MSG_CTRUNC) /* no more is sent than fits into u: it is RLIMIT_NOFILE that left some out (unix(7)) */
		return -EMFILE;
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (!h)
		return 0;
	if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS || h->cmsg_len < CMSG_LEN(sizeof(int)))
		return -EBADMSG;
	unsigned n = (unsigned)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	if (n > max)
		return -EBADMSG;
	memcpy(fds, CMSG_DATA(h), n * sizeof(int));
	return (int)n;
}

/* Tells rt something, with a descriptor if fd >= 0. */
int talk_send(struct ctx *c, uint32_t type, int32_t value, const char *text, int fd)
{
	struct reply r = {.type = type, .left = c->nsteps - c->step, .value = value};
	if (text) {
		r.len = (uint32_t)strnlen(text, sizeof r.text);
		memcpy(r.text, text, r.len);
	}
	int err = send_fds(c->sock, &r, sizeof r, &fd, fd >= 0, 0);
	if (err == 0)
		return 0;
	/* A filter may deny the one and allow the other. To a closed socket write would be SIGPIPE. */
	return fd < 0 && err != -EPIPE && write(c->sock, &r, sizeof r) == sizeof r ? 0 : -EPIPE;
}

/* Tells rt the ids of the mounts that were made since the last time. */
int talk_mounts(struct ctx *c)
{
	struct reply r = {.type = R_MOUNTS, .left = c->nsteps - c->step, .value = (int32_t)c->nids, .len = c->nids * sizeof *c->mount_id};
	_Static_assert(sizeof r.text >= sizeof c->mount_id, "the ids fit into a message");
	memcpy(r.text, c->mount_id, r.len);
	c->nids = 0;
	return send(c->sock, &r, sizeof r, MSG_NOSIGNAL) == sizeof r ? 0 : -EPIPE;
}

/* Waits for rt's word to go on. The other end closed means that rt is gone, and with it the reason to live, and what has been
 * mounted into a container that lives on. */
int talk_wait(struct ctx *c)
{
	uint32_t word = 0;
	if (recv(c->sock, &word, sizeof word, 0) == sizeof word && word == PLAN_MAGIC)
		return 0;
	undo_mounts(c);
	quit(1);
}

/*
 * Lets rt have a filter's listener: rt is told the number and takes it (pidfd_getfd(2)), or, not being privileged, has it sent.
 * Under the filter each call may be held up for who has the listener, but for write (runc alike). So rt, which has it by
 * now, allows the calls of this process, and gives it to the agent at SYNC_FILTERED. It must not be open here then: the kernel
 * notices that the agent has closed it only if no other process has it.
 */
int talk_listener(struct ctx *c, int fd, int send)
{
	struct reply r = {.type = R_LISTENER, .left = c->nsteps - c->step, .value = fd, .len = sizeof LISTENER_CLOSED - 1, .text = LISTENER_CLOSED};
	uint32_t word = PLAN_MAGIC;
	c->what = "send listener";
	if (!send && (write(c->sock, &r, sizeof r) != sizeof r || read(c->sock, &word, sizeof word) != sizeof word))
		return -EPIPE;
	if ((send || word != PLAN_MAGIC) && talk_send(c, R_FD, 1, NULL, fd) < 0)
		return -EPIPE;
	close(fd);
	r.type = R_SYNC;
	r.value = SYNC_FILTERED;
	r.len = 0;
	return write(c->sock, &r, sizeof r) == sizeof r ? 0 : -EPIPE;
}

/* Whether a slot is one, which plan_check has seen to be in the plan, and not NO_FD. */
int is_given(fd_slot s)
{
	return s.n != NO_FD;
}

/* The descriptor in a slot, -1 if there is none. */
int slot(const struct ctx *c, fd_slot s)
{
	return s.n < c->nfds ? c->fd[s.n] : -1;
}

/* Takes one message of rt's: descriptors into got[0..max). Returns how many, or -errno. */
int receive_fds(int sock, int *got, unsigned max)
{
	uint32_t word = 0;
	int n = recv_fds(sock, &word, sizeof word, got, max);
	return n == 0 || n == -EPIPE || word != PLAN_MAGIC ? -EBADMSG : n;
}

/* Receives the other descriptors: rt has made what they are of while the steps before were taken. */
STEP(inputs)
{
	(void)s;
	c->what = "receive descriptors";
	for (int n; c->have < c->nfds; c->have += (uint32_t)n)
		if ((n = receive_fds(c->sock, c->fd + c->have, c->nfds - c->have)) < 1)
			return n < 0 ? n : -EBADMSG; /* or rt is gone */
	return 0;
}

/* Tells rt what has been reached. Unless the step says to go on, rt does its part first: maps ids, runs hooks, writes state. */
STEP(sync)
{
	if (s->sync.heed)
		heed_signals();
	if (s->sync.mounts)
		TRY(c, "send", talk_mounts(c));
	TRY(c, "send", talk_send(c, R_SYNC, (int32_t)s->sync.point, NULL, -1));
	return s->sync.go_on ? 0 : talk_wait(c);
}
