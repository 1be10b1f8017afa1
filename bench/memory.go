package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// A squeeze is a set of limits besides memory under which a container is to start.
type squeeze struct {
	title  string
	change change
}

func squeezes() []squeeze {
	pids := func(_, _, linux map[string]any) error {
		linux["resources"].(map[string]any)["pids"] = map[string]any{"limit": 1}
		return nil
	}
	files := func(config, process, linux map[string]any) error {
		process["rlimits"] = []any{map[string]any{"type": "RLIMIT_NOFILE", "hard": 8, "soft": 8}}
		return pids(config, process, linux)
	}
	return []squeeze{{"memory only", nil}, {"pids.limit 1", pids}, {"pids.limit 1, RLIMIT_NOFILE 8", files}}
}

const (
	page    = 4096
	largest = 256 << 20 // a runtime that needs more is said not to run at all
)

// memory finds the smallest linux.resources.memory.limit with which each runtime runs static true, and what waits in
// the container between create and start.
func (l *lab) memory(ctx context.Context, w io.Writer) error {
	fmt.Fprintln(os.Stderr, "bench: memory limits")
	fmt.Fprint(w, "\nsmallest memory limit that static true runs with, KiB\n")
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tab, "\t")
	for _, t := range l.targets {
		fmt.Fprintf(tab, "%s\t", t.name)
	}
	fmt.Fprintln(tab)
	for _, s := range squeezes() {
		fmt.Fprintf(tab, "%s\t", s.title)
		for _, t := range l.targets {
			limit, err := l.smallest(ctx, t, s)
			if err != nil {
				return err
			}
			if limit > largest {
				fmt.Fprint(tab, "never\t")
			} else {
				fmt.Fprintf(tab, "%d\t", limit/1024)
			}
		}
		fmt.Fprintln(tab)
	}
	tab.Flush()
	if err := l.peak(ctx, w); err != nil {
		return err
	}
	return l.waiting(ctx, w)
}

// peak prints the most that the kernel has charged to the container's cgroup, for a container that runs static true.
func (l *lab) peak(ctx context.Context, w io.Writer) error {
	const runs = 15
	fmt.Fprintln(w, "\nmost memory charged to the cgroup of a container that runs static true, KiB: median of", runs)
	for _, t := range l.targets {
		var peaks []int
		for range runs {
			kib, err := l.peakOf(ctx, t)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			peaks = append(peaks, kib)
		}
		slices.Sort(peaks)
		fmt.Fprintf(w, "  %6s %d\n", t.name, peaks[len(peaks)/2])
	}
	return nil
}

func (l *lab) peakOf(ctx context.Context, t target) (kib int, err error) {
	for _, args := range [][]string{{"create", "--bundle", l.bundle("run"), "peak"}, {"start", "peak"}} {
		if err := l.quietly(ctx, t, args...); err != nil {
			return 0, err
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		text, err := l.charge("run", "memory.max_usage_in_bytes", "memory.peak")
		if err != nil {
			return 0, err
		}
		procs, err := l.charge("run", "cgroup.procs")
		if err != nil {
			return 0, err
		}
		if procs == "" {
			bytes, err := strconv.Atoi(text)
			return bytes / 1024, errors.Join(err, l.quietly(ctx, t, "delete", "--force", "peak"))
		}
		if time.Now().After(deadline) {
			return 0, errors.New("static true does not end")
		}
	}
}

// quietly runs the runtime with its output in a file: a container may keep stdio open.
func (l *lab) quietly(ctx context.Context, t target, args ...string) error {
	log, err := os.Create(l.bundle("stderr"))
	if err != nil {
		return err
	}
	defer log.Close()
	argv := l.argv(t, args...)
	cmd := command(ctx, argv[0], argv[1:]...)
	cmd.Stderr = log
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s: %w: %s", args[0], err, text)
	}
	return nil
}

// charge reads the first of the files that there is in the memory cgroup called name.
func (l *lab) charge(name string, files ...string) (string, error) {
	for _, h := range l.hierarchies {
		if h.controllers != "memory" && h.controllers != "v2" {
			continue
		}
		for _, file := range files {
			if text, err := os.ReadFile(filepath.Join(h.point, l.group, name, file)); err == nil && (h.controllers == "memory" || len(l.hierarchies) == 1) {
				return strings.TrimSpace(string(text)), nil
			}
		}
	}
	return "", fmt.Errorf("no memory cgroup %s has %s", name, strings.Join(files, " or "))
}

// smallest is a binary search over whole pages; more than largest means that not even that is enough.
func (l *lab) smallest(ctx context.Context, t target, s squeeze) (int, error) {
	enough := func(limit int) (bool, error) {
		for range 3 {
			if ok, err := l.runsWith(ctx, t, s, limit); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	}
	if ok, err := enough(largest); !ok || err != nil {
		return largest + page, err
	}
	low, high := 0, largest/page // low is too little, high is enough
	for high-low > 1 {
		middle := (low + high) / 2
		ok, err := enough(middle * page)
		if err != nil {
			return 0, err
		}
		if ok {
			high = middle
		} else {
			low = middle
		}
	}
	return high * page, nil
}

// runsWith reports whether the container runs to a good end. A runtime that fails here is an answer, not an error;
// what it left behind is removed.
func (l *lab) runsWith(ctx context.Context, t target, s squeeze, limit int) (bool, error) {
	err := l.writeBundle("squeeze", []string{"/bin/true"}, func(config, process, linux map[string]any) error {
		linux["resources"].(map[string]any)["memory"] = map[string]any{"limit": limit}
		if s.change != nil {
			return s.change(config, process, linux)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	run := func(args ...string) error {
		// A runtime whose init was killed may wait for it for ever.
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		argv := l.argv(t, args...)
		return command(ctx, argv[0], argv[1:]...).Run()
	}
	if run("run", "--bundle", l.bundle("squeeze"), "squeeze") == nil {
		return true, nil
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	_ = run("delete", "--force", "squeeze") // fails when run has cleaned up itself
	var errs []error
	for _, h := range l.hierarchies {
		if err := removeGroups(filepath.Join(h.point, l.group, "squeeze")); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return false, errors.Join(errs...)
}

// waiting prints the memory of the process that waits for start, and of its cgroup: what a created container costs.
func (l *lab) waiting(ctx context.Context, w io.Writer) error {
	fmt.Fprint(w, "\nthe process that waits between create and start, KiB\n")
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "\tRSS\tPSS\tanonymous\tthreads\tcgroup\t")
	for _, t := range l.targets {
		if err := l.waitingOf(ctx, t, tab); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return tab.Flush()
}

func (l *lab) waitingOf(ctx context.Context, t target, w io.Writer) (err error) {
	pidFile := l.bundle("waiting-pid")
	if err := l.quietly(ctx, t, "create", "--bundle", l.bundle("run"), "--pid-file", pidFile, "waiting"); err != nil {
		return err
	}
	defer func() {
		argv := l.argv(t, "delete", "--force", "waiting")
		_, deleted := output(ctx, argv[0], argv[1:]...)
		err = errors.Join(err, deleted)
	}()
	pid, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	proc := "/proc/" + strings.TrimSpace(string(pid))
	sizes, err := os.ReadFile(proc + "/smaps_rollup")
	if err != nil {
		return err
	}
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t\n", t.name, field(sizes, "Rss:"), field(sizes, "Pss:"), field(sizes, "Anonymous:"),
		field(status, "Threads:"), l.charged("run"))
	return nil
}

// field is the value of a "Name:  value kB" line.
func field(text []byte, name string) string {
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			return f[1]
		}
	}
	return "-"
}

// charged is what the kernel has charged to the cgroup called name, in KiB: "-" where no hierarchy has memory.
func (l *lab) charged(name string) string {
	for _, h := range l.hierarchies {
		for _, file := range []string{"memory.usage_in_bytes", "memory.current"} {
			text, err := os.ReadFile(filepath.Join(h.point, l.group, name, file))
			if err != nil {
				continue
			}
			var bytes int
			if _, err := fmt.Sscan(string(text), &bytes); err == nil {
				return fmt.Sprint(bytes / 1024)
			}
		}
	}
	return "-"
}
