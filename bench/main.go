// Command bench compares rt with other runtimes and with the floor, the bare system calls. docs/performance.md
// says what is measured and how. It needs root and runs in a mount namespace of its own; a run that fails ends it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

type options struct {
	n, warmup int
	many      int // containers of the cases many and run-many
	probes    int // seconds of exec probes
	mode      string
	cases     string
	rt        string
	without   string
	peers     peerFlag
	update    bool
	out       string // directory of latest.txt and latest.svg; "" writes neither
	doc       string // Markdown file whose results section is replaced; "" for none
}

// A target is one runtime: its name in the tables and the absolute path of its binary.
type target struct{ name, path string }

type peerFlag []target

func (p *peerFlag) String() string { return "" }

func (p *peerFlag) Set(value string) error {
	name, path, found := strings.Cut(value, ":")
	if !found || name == "" {
		return errors.New("a peer is name:path")
	}
	*p = append(*p, target{name, path})
	return nil
}

func main() {
	var o options
	flag.IntVar(&o.n, "n", 60, "measured runs of each case and runtime, at least 50 for a p99 that means something")
	flag.IntVar(&o.warmup, "warmup", 5, "runs before those, not counted")
	flag.IntVar(&o.many, "many", 1000, "containers of each runtime in the cases many and run-many")
	flag.IntVar(&o.probes, "probes", 30, "seconds of 100 execs each, 0: none")
	flag.StringVar(&o.mode, "mode", "all", "speed, memory, binary, counts, builds, or all")
	flag.StringVar(&o.cases, "cases", "", "which of the speed cases (default: all)")
	flag.BoolVar(&o.update, "update", false, "with -mode counts: write the counts down instead of comparing")
	flag.StringVar(&o.rt, "rt", "./rt", "the rt binary; none for the peers only")
	flag.Var(&o.peers, "peer", "a further runtime, name:path; may be repeated")
	flag.StringVar(&o.without, "without", "", "crun or runc: leave that one out, as crun on a hybrid host whose v2 controllers are in use")
	flag.StringVar(&o.out, "out", "", "directory for latest.txt and latest.svg")
	flag.StringVar(&o.doc, "doc", "", "Markdown file to put the results into, between its results markers")
	flag.Parse()
	if err := bench(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(o options) (err error) {
	targets, err := findTargets(o)
	if err != nil {
		return err
	}
	if o.mode == "binary" {
		return reportBinary(os.Stdout, targets, false)
	}
	if o.cases == "" {
		o.cases = caseNames(o)
	}
	switch o.mode {
	case "all", "speed", "memory", "counts", "builds":
	default:
		return fmt.Errorf("mode %q: not speed, memory, binary, counts, builds or all", o.mode)
	}
	if err := ownMounts(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	l, err := newLab(ctx, targets)
	if err != nil {
		return err
	}
	defer func() {
		closed := l.close()
		if err = errors.Join(err, closed); ctx.Err() != nil && closed == nil {
			err = errors.New("interrupted; everything is removed")
		}
	}()
	if o.mode == "counts" {
		return l.countCalls(ctx, os.Stdout, o.update)
	}
	if o.mode == "builds" {
		return l.compareBuilds(ctx, os.Stdout, o)
	}
	return measureAll(ctx, o, l)
}

// reread puts a binary into the page cache by reading it from its beginning to its end, so that all of them are there in the same way: in
// how large pieces changes a start by a fifth.
func reread(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("drop %s from the page cache: %w", path, err)
	}
	_, err = os.ReadFile(path)
	return err
}

func measureAll(ctx context.Context, o options, l *lab) error {
	for _, t := range l.targets {
		if err := reread(t.path); err != nil {
			return err
		}
	}
	var text strings.Builder
	w := io.MultiWriter(os.Stdout, &text)
	fmt.Fprintf(w, "%s\n", l.describe())
	var results []result
	if o.mode != "memory" {
		var err error
		if results, err = l.speed(ctx, o); err != nil {
			return err
		}
		writeTables(w, results)
		if err := l.probe(ctx, w, o.probes); err != nil {
			return err
		}
	}
	if o.mode != "speed" {
		if err := l.memory(ctx, w); err != nil {
			return err
		}
	}
	var limits error
	if o.mode == "all" {
		// Over a limit is reported with everything else and fails the run at the end.
		limits = reportBinary(w, l.targets, true)
	}
	return errors.Join(limits, save(o, text.String(), results))
}

// findTargets is rt first, then the peers given by hand, crun and runc; of a comparison of builds rt and the peers given by hand.
// All must be there: a comparison that silently lacks one is not the comparison asked for.
func findTargets(o options) ([]target, error) {
	var wanted []target
	if o.rt != "none" {
		wanted = append(wanted, target{"rt", o.rt})
	}
	if o.mode != "binary" && o.mode != "counts" {
		wanted = append(wanted, o.peers...)
	}
	if o.mode == "all" || o.mode == "speed" || o.mode == "memory" {
		for _, name := range []string{"crun", "runc"} {
			if name != o.without {
				wanted = append(wanted, target{name, name})
			}
		}
	}
	var found []target
	for _, t := range wanted {
		path, err := exec.LookPath(t.path)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", t.name, err)
		}
		if path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
		found = append(found, target{t.name, path})
	}
	return found, nil
}

// ownMounts re-executes the program in a mount namespace of its own, so that whatever it mounts is gone with it,
// however it ends.
func ownMounts() error {
	const inside = "RT_BENCH_INSIDE"
	if os.Getenv(inside) != "" {
		return os.Unsetenv(inside)
	}
	if os.Geteuid() != 0 {
		return errors.New("needs root")
	}
	// unshare acts on the calling thread, and execve makes that thread the process.
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return fmt.Errorf("exec %s: %w", self, syscall.Exec(self, os.Args, append(os.Environ(), inside+"=1")))
}
