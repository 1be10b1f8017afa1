/* Runs inside the containers of the integration tests: the few things that busybox cannot ask the kernel.
 * Built static with musl by TestMain. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* From linux/keyctl.h, which musl-gcc does not see. */
enum { KEYCTL_GET_KEYRING_ID = 0, KEYCTL_DESCRIBE = 6, KEY_SPEC_SESSION_KEYRING = -3 };

/* session: the serial number and the description of the session keyring. */
static int session(void)
{
	char text[256];
	long id = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
	if (id < 0)
		return perror("keyctl"), 1;
	if (syscall(SYS_keyctl, KEYCTL_DESCRIBE, id, text, sizeof(text)) < 0)
		return perror("describe"), 1;
	printf("%ld %s\n", id, text);
	return 0;
}

/* fds: the open descriptors, found without opening one. */
static int fds(void)
{
	for (int fd = 0; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("%d\n", fd);
	return 0;
}

/* overwrite PATH: try to open a file for writing and put rubbish into it. */
static int overwrite(const char *path)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return printf("refused: %s\n", strerror(errno)), 0;
	if (write(fd, "#!/bin/false\n", 13) != 13)
		return printf("refused write: %s\n", strerror(errno)), 0;
	printf("overwritten\n");
	return 0;
}

static int is_busybox(int fd)
{
	struct stat held, own;
	return fstat(fd, &held) == 0 && stat("/bin/busybox", &own) == 0 && held.st_dev == own.st_dev && held.st_ino == own.st_ino;
}

static int strike(int fd)
{
	char path[64];
	int hit, out;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	out = open(path, O_WRONLY | O_CLOEXEC);
	if (out < 0)
		return 0;
	hit = write(out, "#!/bin/false\n", 13) == 13;
	close(out);
	return hit;
}

/* hunt: CVE-2019-5736's second form. Hold a read handle of every other process' executable as soon as it appears
 * and reopen it for writing again and again, until it succeeds or the file /stop is there. Says in the file /seen
 * how many it held. */
static int hunt(void)
{
	static int held[200];
	int count = 0, seen = 0, self = getpid();
	while (access("/stop", F_OK) != 0) {
		for (int pid = 1; pid < 300; pid++) {
			char path[64];
			int fd;
			if (pid == self)
				continue;
			snprintf(path, sizeof(path), "/proc/%d/exe", pid);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			if (is_busybox(fd) || count == 200) {
				close(fd);
				continue;
			}
			held[count++] = fd;
			seen++;
		}
		for (int i = 0; i < count; i++)
			if (strike(held[i]))
				return 1;
	}
	FILE *out = fopen("/seen", "w");
	return !out || fprintf(out, "%d\n", seen) < 0 || fclose(out) != 0;
}

/* notify PATH TEXT: one datagram, as sd_notify sends it. */
static int notify(const char *path, const char *text)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || !path)
		return printf("no socket\n"), 1;
	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return perror("sendto"), 1;
	return 0;
}

/* copymounts: live in a copy of the mount namespace, with its propagation as it is. */
static int copymounts(void)
{
	if (unshare(CLONE_NEWNS) || creat("/child", 0644) < 0)
		return perror("copymounts"), 1;
	return pause();
}

/* Commands that are written to /dev/infiniband/uverbsN, and what they answer (rdma/ib_user_verbs.h). */
enum { GET_CONTEXT = 0, ALLOC_PD = 3 };

static int verb_works(int fd, int verb)
{
	uint32_t answer[2];
	struct {
		uint32_t verb;
		uint16_t words, answer_words;
		uint64_t answer;
	} command = {(uint32_t)verb, sizeof(command) / 4, sizeof(answer) / 4, (uintptr_t)answer};
	return write(fd, &command, sizeof(command)) == (ssize_t)sizeof(command);
}

/* rdma PATH: how many contexts of the device can be had at the same time, and how many objects in them; ten are enough. */
static int rdma(const char *path)
{
	int contexts = 0, objects = 0, first = -1;
	for (; contexts < 10; contexts++) {
		int fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return perror(path), 1;
		if (!verb_works(fd, GET_CONTEXT))
			break;
		if (first < 0)
			first = fd;
	}
	while (objects < 10 && verb_works(first, ALLOC_PD))
		objects++;
	printf("%d contexts, %d objects: %s\n", contexts, objects, strerror(errno));
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "true";
	if (strcmp(verb, "true") == 0)
		return 0;
	if (strcmp(verb, "session") == 0)
		return session();
	if (strcmp(verb, "fds") == 0)
		return fds();
	if (strcmp(verb, "overwrite") == 0 && argc == 3)
		return overwrite(argv[2]);
	if (strcmp(verb, "copymounts") == 0)
		return copymounts();
	if (strcmp(verb, "hunt") == 0)
		return hunt();
	if (strcmp(verb, "rdma") == 0 && argc == 3)
		return rdma(argv[2]);
	if (strcmp(verb, "notify") == 0 && argc == 3)
		return notify(getenv("NOTIFY_SOCKET"), argv[2]);
	fprintf(stderr, "probe: unknown verb %s\n", verb);
	return 2;
}
