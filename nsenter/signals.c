/*
 * Catching signals in a foreground rt, outside of containers. os/signal pays two switches of threads for each
 * signal it is told to catch, some sixty times; this pays a system call. A caught signal is a byte in a pipe.
 */
#ifndef RT_STUB_IMAGE

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static volatile int pipe_end = -1;

/* Only what is safe in a handler (signal-safety(7)). The pipe does not block: what does not fit is dropped. */
static void note(int sig)
{
	int saved = errno;
	unsigned char byte = (unsigned char)sig;
	if (write(pipe_end, &byte, 1) < 0)
		errno = 0;
	errno = saved;
}

/* Catches the signals of mask (bit n-1 is signal n), or gives them their default action back if fd < 0. */
void rt_catch_signals(int fd, uint64_t mask)
{
	struct sigaction act, old;
	memset(&act, 0, sizeof act);
	/* On Go's signal stack, as its runtime demands of foreign handlers (os/signal, Go programs that use cgo). */
	act.sa_flags = SA_ONSTACK | SA_RESTART | SA_NOCLDSTOP;
	act.sa_handler = fd < 0 ? SIG_DFL : note;
	sigfillset(&act.sa_mask);
	if (fd >= 0)
		pipe_end = fd;
	for (int sig = 1; sig <= 64; sig++) {
		if (!(mask >> (sig - 1) & 1))
			continue;
		/* nohup: a SIGHUP that rt was started with as ignored stays ignored. */
		if (sig == SIGHUP && sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
			continue;
		sigaction(sig, &act, NULL);
	}
}

#else
typedef int not_empty;
#endif
