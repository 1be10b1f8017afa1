// Command vm runs the tests in machines that the one at hand is not: pure cgroup v2, systemd as PID 1, an ordinary
// user, cgroup v1. Each is a qemu guest that exists for one run. It is a program of the host; docs/testing.md says how
// to use it.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

type options struct {
	guests  string
	run     string // which tests, as go test's -run
	skip    string // and which not
	runtime string // the program that is tested, ./rt or another
	quick   bool
	script  string // instead of tests
	timeout time.Duration
	jobs    int // guests at a time
	verbose bool
}

func main() {
	var o options
	flag.StringVar(&o.guests, "guest", "", "which guests, comma separated (default all): "+strings.Join(guestNames(), ", "))
	flag.StringVar(&o.run, "run", "", "which tests: a regular expression, as for go test")
	flag.StringVar(&o.skip, "skip", "", "which not")
	flag.StringVar(&o.runtime, "rt", "", "the runtime under test (default ./rt); of one that is not ./rt, tests/integration only")
	flag.BoolVar(&o.quick, "quick", false, "the tests of make test, in the guests that have some")
	flag.StringVar(&o.script, "sh", "", "run this shell script in the guest instead of tests; with -rt, the runtime is in its working directory")
	flag.DurationVar(&o.timeout, "timeout", 90*time.Minute, "end a guest after this long")
	flag.IntVar(&o.jobs, "jobs", runtime.NumCPU(), "guests at a time: each keeps one CPU busy and has 2 GiB")
	flag.BoolVar(&o.verbose, "v", false, "show the output of passed tests and the console, too")
	flag.Parse()
	// Signals end the guests and remove the run's directory.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := runGuests(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(1)
	}
}

// runGuests boots some guests at a time, in order; a failed one does not keep the rest from running.
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
	if o.script == "" || o.runtime != "" {
		if err := build(ctx, work, o); err != nil {
			return err
		}
	}
	lines, errs := make([]string, len(chosen)), make([]error, len(chosen))
	var running sync.WaitGroup
	turn := make(chan struct{}, max(o.jobs, 1))
	out := &shared{to: os.Stdout}
	for i, g := range chosen {
		turn <- struct{}{}
		running.Go(func() {
			defer func() { <-turn }()
			w := out.of(pick(o.jobs > 1 && len(chosen) > 1, g.name, ""))
			lines[i], errs[i] = runGuest(ctx, g, o, work, w)
		})
	}
	running.Wait()
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	fmt.Println("\n== guests")
	for i, g := range chosen {
		if errs[i] != nil {
			lines[i] = strings.TrimSpace(lines[i] + " FAILED: " + errs[i].Error())
		}
		fmt.Printf("%-15s %s\n", g.name, lines[i])
	}
	if errors.Join(errs...) != nil {
		return errors.New("failed")
	}
	return nil
}

func runGuest(ctx context.Context, g guest, o options, work string, out io.Writer) (string, error) {
	fmt.Fprintf(out, "== %s: %s\n", g.name, g.about)
	command := testScript(g, cmp.Or(o.runtime, ownRuntime), g.tests(o), o.skip)
	if o.script != "" {
		command = installLibraries + o.script
	}
	m, err := prepare(ctx, g, command, work)
	if err != nil {
		return "", err
	}
	m.verbose, m.out, m.log = o.verbose, out, out
	var rep *report
	if o.script == "" {
		rep = newReport(out, o.verbose)
		m.out = rep
	}
	began := time.Now()
	err = m.run(ctx, o.timeout)
	took := time.Since(began).Round(time.Second)
	if rep == nil {
		return took.String(), err
	}
	line := fmt.Sprintf("%s in %s", rep.end(), took)
	fmt.Fprintf(out, "== %s: %s\n", g.name, line)
	if err == nil && rep.count["pass"] == 0 {
		err = errors.New("no test passed")
	}
	return line, err
}
