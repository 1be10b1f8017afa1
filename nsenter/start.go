package nsenter

// #include "start.h"
import "C"

// CallerFiles is the limit on open files, soft and hard, that rt's caller has. Go's runtime raises the soft one to the hard
// one, and the stub uses that: a plan may hold a descriptor for each mount.
func CallerFiles() (soft, hard uint64) {
	var lim [2]C.uint64_t
	C.rt_files(&lim[0])
	return uint64(lim[0]), uint64(lim[1])
}
