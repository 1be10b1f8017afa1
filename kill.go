package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

func (p *program) killCommand() *cli.Command {
	return command(&cli.Command{
		Name:      "kill",
		Usage:     "send a signal (default: SIGTERM) to a container's init process",
		ArgsUsage: "<container-id> [signal]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Hidden: true, Usage: "signal every process of the container"},
			regexFlag(),
		},
	}, 1, 2, func(c *cli.Context) error {
		sig, err := parseSignal(c.Args().Get(1))
		if err != nil {
			return err
		}
		return p.eachMatch(c, func(id string) error { return p.runtime(c).Kill(id, sig, c.Bool("all")) })
	})
}

// The kernel keeps 32 and 33 from the C libraries' use: what they call SIGRTMIN is 34 (signal(7)).
const (
	sigRTMin = 34
	sigRTMax = 64
)

// parseSignal takes any number, or a name in any case with or without SIG, or RTMIN+n and RTMAX-n. 0 asks
// whether the process is there. An empty string is SIGTERM.
func parseSignal(s string) (unix.Signal, error) {
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
