// Command vm runs the tests in machines that the one at hand is not: pure cgroup v2, systemd as PID 1, an ordinary
// user, cgroup v1. Each is a qemu guest that exists for one run. It is a program of the host; docs/testing.md says how
// to use it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

type options struct {
	guests  string
	run     string // which tests, as go test's -run
	quick   bool
	script  string // instead of tests
	timeout time.Duration
	verbose bool
}

func main() {
	var o options
	flag.StringVar(&o.guests, "guest", "", "which guests, comma separated (default all): "+strings.Join(guestNames(), ", "))
	flag.StringVar(&o.run, "run", "", "which tests: a regular expression, as for go test")
	flag.BoolVar(&o.quick, "quick", false, "the tests of make test, in the guests that have some")
	flag.StringVar(&o.script, "sh", "", "run this shell script in the guest instead of tests")
	flag.DurationVar(&o.timeout, "timeout", 90*time.Minute, "end a guest after this long")
	flag.BoolVar(&o.verbose, "v", false, "show the output of passed tests and the console, too")
	flag.Parse()
	// Signals end the guest and remove the run's directory. A guest that outlives this thread would be killed (PDEATHSIG).
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := runGuests(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(1)
	}
}

// runGuests boots one guest after the other; a failed one does not keep the rest from running.
func runGuests(ctx context.Context, o options) error {
	chosen, err := choose(o.guests, o.quick)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "rt-vm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if o.script == "" {
		if err := build(ctx, filepath.Join(work, "rt-test")); err != nil {
			return err
		}
	}
	var summary []string
	failed := false
	for _, g := range chosen {
		line, err := runGuest(ctx, g, o, work)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			failed = true
			line = strings.TrimSpace(line + " FAILED: " + err.Error())
		}
		summary = append(summary, fmt.Sprintf("%-15s %s", g.name, line))
	}
	fmt.Printf("\n== guests\n%s\n", strings.Join(summary, "\n"))
	if failed {
		return errors.New("failed")
	}
	return nil
}

func runGuest(ctx context.Context, g guest, o options, work string) (string, error) {
	fmt.Printf("== %s: %s\n", g.name, g.about)
	regexp := o.run
	if o.quick {
		regexp = g.quick
	}
	command := testScript(g, regexp)
	if o.script != "" {
		command = o.script
	}
	m, err := prepare(ctx, g, command, work)
	if err != nil {
		return "", err
	}
	m.verbose = o.verbose
	var rep *report
	if o.script == "" {
		rep = newReport(os.Stdout, o.verbose)
		m.out = rep
	} else {
		m.out = os.Stdout
	}
	began := time.Now()
	err = m.run(ctx, o.timeout)
	took := time.Since(began).Round(time.Second)
	if rep == nil {
		return took.String(), err
	}
	line := fmt.Sprintf("%s in %s", rep.end(), took)
	fmt.Printf("== %s: %s\n", g.name, line)
	if err == nil && rep.count["pass"] == 0 {
		err = errors.New("no test passed")
	}
	return line, err
}
