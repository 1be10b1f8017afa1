package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// countsFile has a line "kind-of-host build case calls" for each case that was counted.
const countsFile = "bench/counts"

// tolerated is by how much a count may grow, in percent. To allow more is a decision: `make bench-counts` writes it down.
const tolerated = 5

// countCalls counts the system calls that rt and all it starts make in some cases, which, unlike time, is nearly the same each time, and
// compares with what was written down.
func (l *lab) countCalls(ctx context.Context, w io.Writer, update bool) error {
	if err := l.startLive(ctx); err != nil {
		return err
	}
	known, err := readCounts()
	if err != nil {
		return err
	}
	var failed []error
	build, err := buildOf(l.targets[0].path)
	if err != nil {
		return err
	}
	host := l.hostKind() + " " + build
	for _, name := range []string{"run", "docker", "engine", "exec", "state"} {
		r, err := l.prepare(ctx, name, options{})
		if err != nil {
			return err
		}
		calls, err := l.callsOf(ctx, r.contenders[0].commands, decided)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		was, there := known[host+" "+name]
		switch {
		case update:
			known[host+" "+name] = calls
			fmt.Fprintf(w, "%-8s %4d system calls, written down\n", name, calls)
		case !there:
			fmt.Fprintf(w, "%-8s %4d system calls; nothing is known of hosts and builds like this (%s)\n", name, calls, host)
		case calls*100 > was*(100+tolerated):
			fmt.Fprintf(w, "%-8s %4d system calls, %d before: MORE THAN %d %% MORE\n", name, calls, was, tolerated)
			failed = append(failed, fmt.Errorf("%s makes %d system calls, %d before; if that must be, `make bench-counts` writes it down", name, calls, was))
		default:
			fmt.Fprintf(w, "%-8s %4d system calls, %d before\n", name, calls, was)
		}
	}
	if update {
		return writeCounts(known)
	}
	return errors.Join(failed...)
}

// hostKind is what the counts depend on besides rt: how many cgroup hierarchies there are.
func (l *lab) hostKind() string { return "cgroups-" + strconv.Itoa(len(l.hierarchies)) }

// scheduling are calls that Go's runtime makes or not, by the clock and by what other threads do.
var scheduling = map[string]bool{
	"futex": true, "nanosleep": true, "sched_yield": true, "tgkill": true, "rt_sigreturn": true, "madvise": true, "getpid": true, "clone": true,
	"epoll_pwait": true, "restart_syscall": true, "mmap": true, "munmap": true, "sigaltstack": true, "gettid": true, "rt_sigprocmask": true,
	"exit": true, "prctl": true, "mprotect": true, "set_tid_address": true, "brk": true, "wait4": true, "waitid": true,
}

// buildOf is the build that an rt says it is, stock or patched: Go's runtime makes some of the calls.
func buildOf(path string) (string, error) {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	for line := range strings.Lines(string(out)) {
		if build, ok := strings.CutPrefix(line, "build: "); ok {
			return strings.TrimSpace(build), nil
		}
	}
	return "", fmt.Errorf("%s --version does not say which build it is", path)
}

// decided are the calls that neither the clock nor other threads decide.
func decided(name string) bool { return !scheduling[name] }

// clones are the processes and threads that were started.
func clones(name string) bool {
	return name == "clone" || name == "clone3" || name == "vfork" || name == "fork"
}

// callsOf is the least of five runs.
func (l *lab) callsOf(ctx context.Context, commands [][]string, which func(name string) bool) (least int, err error) {
	for i := range 5 {
		n, err := l.trace(ctx, commands, which)
		if err != nil {
			return 0, err
		}
		if i == 0 || n < least {
			least = n
		}
	}
	return least, nil
}

// trace runs the commands under one strace, by a shell: it stays until the last process has ended, those that were detached as well.
func (l *lab) trace(ctx context.Context, commands [][]string, which func(name string) bool) (calls int, err error) {
	out := filepath.Join(l.dir, "strace")
	text, err := newOutputPipe()
	if err != nil {
		return 0, err
	}
	defer text.close()
	var script []string
	for _, c := range commands {
		script = append(script, strings.Join(c, " ")) // no word of them needs quotes
	}
	cmd := command(ctx, "strace", "-f", "-qq", "-o", out, "-e", "signal=none", "sh", "-c", strings.Join(script, " && "))
	cmd.Stdout, cmd.Stderr = text.w, text.w
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, text)
	}
	f, err := os.Open(out)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name := callName(lines.Text()); name != "" && which(name) {
			calls++
		}
	}
	return calls, nil
}

// callName is the system call that begins in a line of strace -f -o, "PID name(arguments) = result"; "" if none does.
func callName(line string) string {
	_, call, _ := strings.Cut(line, " ")
	name, _, ok := strings.Cut(strings.TrimLeft(call, " "), "(")
	if !ok || strings.ContainsAny(name, " <+-") {
		return ""
	}
	return name
}

func readCounts() (map[string]int, error) {
	text, err := os.ReadFile(countsFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	counts := map[string]int{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 4 {
			return nil, fmt.Errorf("%s: bad line %q", countsFile, line)
		}
		if counts[f[0]+" "+f[1]+" "+f[2]], err = strconv.Atoi(f[3]); err != nil {
			return nil, fmt.Errorf("%s: %w", countsFile, err)
		}
	}
	return counts, nil
}

func writeCounts(counts map[string]int) error {
	var lines []string
	for key, n := range counts {
		lines = append(lines, fmt.Sprintf("%s %d\n", key, n))
	}
	slices.Sort(lines)
	return replace(countsFile, []byte(strings.Join(lines, "")))
}
