package nsenter

// #include <stdint.h>
// void rt_catch_signals(int fd, uint64_t mask);
import "C"

// CatchSignals makes each signal of mask (bit n-1 is signal n) a byte that is written to the pipe fd, which must not
// block. With fd -1 the signals get their default action back.
func CatchSignals(fd int, mask uint64) { C.rt_catch_signals(C.int(fd), C.uint64_t(mask)) }
