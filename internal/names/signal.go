package names

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The kernel keeps 32 and 33 from the C libraries' use: what they call SIGRTMIN is 34 (signal(7)).
const (
	sigRTMin = 34
	sigRTMax = 64
)

// Signal reads a signal: any number, or a name in any case with or without SIG, or RTMIN+n and RTMAX-n. 0 asks
// whether the process is there. An empty string is SIGTERM.
func Signal(s string) (unix.Signal, error) {
	if s == "" {
		return unix.SIGTERM, nil
	}
	if n, err := strconv.Atoi(s); err == nil {
		return unix.Signal(n), nil // whether there is such a one is for the container's state to come before
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	switch name { // second names in signal(7)
	case "CLD":
		return unix.SIGCHLD, nil
	case "IOT":
		return unix.SIGIOT, nil
	case "POLL":
		return unix.SIGPOLL, nil
	}
	if sig, ok := realTime(name); ok {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}

// realTime reads RTMIN, RTMIN+n, RTMAX and RTMAX-n.
func realTime(name string) (unix.Signal, bool) {
	base, rest, sign := sigRTMin, "", "+"
	if after, ok := strings.CutPrefix(name, "RTMIN"); ok {
		rest = after
	} else if after, ok := strings.CutPrefix(name, "RTMAX"); ok {
		base, rest, sign = sigRTMax, after, "-"
	} else {
		return 0, false
	}
	if rest == "" {
		return unix.Signal(base), true
	}
	digits, ok := strings.CutPrefix(rest, sign)
	n, err := strconv.ParseUint(digits, 10, 8)
	if !ok || err != nil || n > sigRTMax-sigRTMin {
		return 0, false
	}
	if sign == "-" {
		return unix.Signal(base - int(n)), true
	}
	return unix.Signal(base + int(n)), true
}
