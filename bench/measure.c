//go:build ignore

/*
 * measure COMMAND ARGS... [+ COMMAND ARGS... | & COMMAND ARGS...]...: run the commands one after the other (+), or beside
 * the one before (&), and print what they and everything they started have cost: wall ns, user us, system us, minor faults, major faults, peak RSS KiB.
 *
 * A program of its own because a process's ru_maxrss includes the program that it was before execve: a
 * child of the Go benchmark would never show less than that one's own megabytes. As a subreaper it also collects
 * the processes that a detaching runtime leaves behind. Exit status 1 when a command fails.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { MOST = 64 }; /* commands beside each other */

struct cost {
	long long user, sys;
	long minor, major, peak;
};

static void add(struct cost *c, const struct rusage *ru)
{
	c->user += ru->ru_utime.tv_sec * 1000000ll + ru->ru_utime.tv_usec;
	c->sys += ru->ru_stime.tv_sec * 1000000ll + ru->ru_stime.tv_usec;
	c->minor += ru->ru_minflt;
	c->major += ru->ru_majflt;
	if (ru->ru_maxrss > c->peak)
		c->peak = ru->ru_maxrss;
}

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static pid_t start(char **argv, posix_spawn_file_actions_t *files)
{
	pid_t pid;
	int err = posix_spawn(&pid, argv[0], files, NULL, argv, environ);
	if (err) {
		fprintf(stderr, "measure: %s: %s\n", argv[0], strerror(err));
		exit(1);
	}
	return pid;
}

static void finish(pid_t pid, char **argv, struct cost *c)
{
	struct rusage ru;
	int status;
	while (wait4(pid, &status, 0, &ru) < 0)
		if (errno != EINTR)
			exit(1);
	if (status != 0) {
		fprintf(stderr, "measure: %s %s: %s %d\n", argv[0], argv[1] ? argv[1] : "",
			WIFEXITED(status) ? "exit status" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
		exit(1);
	}
	add(c, &ru);
}

int main(int argc, char **argv)
{
	posix_spawn_file_actions_t files;
	struct cost c = { 0 };
	struct rusage ru;
	long long begin, end;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	begin = now();
	pid_t pid[MOST];
	char **command[MOST];
	int running = 0;
	for (int i = 1; i < argc; i++) {
		command[running] = argv + i;
		while (i < argc && strcmp(argv[i], "+") != 0 && strcmp(argv[i], "&") != 0)
			i++;
		int beside = i < argc && argv[i][0] == '&';
		argv[i] = NULL;
		pid[running] = start(command[running], &files);
		running++;
		if (beside && running < MOST)
			continue;
		while (running > 0) {
			running--;
			finish(pid[running], command[running], &c);
		}
	}
	end = now();
	/* What was detached has been killed by the last command; SIGALRM ends this wait if it was not. */
	alarm(10);
	while (wait4(-1, NULL, 0, &ru) > 0)
		add(&c, &ru);
	printf("%lld %lld %lld %ld %ld %ld\n", end - begin, c.user, c.sys, c.minor, c.major, c.peak);
	return 0;
}
