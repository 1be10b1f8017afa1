/* Starting the stub: what start.c offers to Go. */
#ifndef RT_START_H
#define RT_START_H

#include <stdint.h>

struct rt_child;

void rt_note_start(void);
void rt_files(uint64_t lim[2]);
int rt_child_start(const int fd[3], int extra, int conv, int image, struct rt_child **child);
int rt_child_wait(struct rt_child *c);

#endif
