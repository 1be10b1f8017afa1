/* Waits until it is told to end: a container's process that needs next to no memory. */
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* As PID 1 of a namespace a process gets only the signals it has asked for. */
static void leave(int sig)
{
	_exit(128 + sig);
}

int main(void)
{
	struct sigaction act = { .sa_handler = leave };
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	for (;;)
		pause();
}
