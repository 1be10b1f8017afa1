package nsenter

import "golang.org/x/sys/unix"

func propagationName(flags uint64) string {
	name := ""
	switch {
	case flags&unix.MS_SHARED != 0:
		name = "shared"
	case flags&unix.MS_SLAVE != 0:
		name = "slave"
	case flags&unix.MS_PRIVATE != 0:
		name = "private"
	case flags&unix.MS_UNBINDABLE != 0:
		name = "unbindable"
	}
	if flags&unix.MS_REC != 0 {
		return "r" + name
	}
	return name
}
