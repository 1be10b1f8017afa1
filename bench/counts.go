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

// countCases are the cases whose calls are counted.
var countCases = []string{"run", "docker", "engine", "exec", "state", "list"}

// tolerated is by how much a count may grow, in percent. To allow more is a decision: `make bench-counts` writes it down.
const tolerated = 2

// countCalls counts what rt and all it starts do in some cases: system calls and clones, which are nearly the same each time, unlike time.
// Those that time does not decide are compared with what was written down. All calls, threads and page faults stand beside them.
func (l *lab) countCalls(ctx context.Context, w io.Writer, update bool) error {
	build, err := buildOf(l.targets[0].path)
	if err != nil {
		return err
	}
	if err := l.rewrite(&l.targets[0]); err != nil { // for the page faults
		return err
	}
	if err := l.startLive(ctx); err != nil {
		return err
	}
	known, err := readCounts()
	if err != nil {
		return err
	}
	host := l.hostKind() + " " + build
	fmt.Fprintf(w, "%s: the least of %d runs\n%-8s %9s %9s %9s %9s %9s\n", host, countRuns, "", "counted", "before", "all calls", "threads", "faults")
	var failed []error
	for _, name := range countCases {
		n, faults, err := l.count(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		was, there := known[host+" "+name]
		known[host+" "+name] = n.decided
		fmt.Fprintf(w, "%-8s %9d %9s %9d %9d %9d\n", name, n.decided, before(was, there), n.all, n.threads, faults)
		if there && !update {
			failed = append(failed, grown(name, n.decided, was))
		}
	}
	if update {
		return writeCounts(known)
	}
	return errors.Join(failed...)
}

func before(was int, there bool) string {
	if !there {
		return "unknown"
	}
	return strconv.Itoa(was)
}

// grown is an error if a case makes more calls than is tolerated.
func grown(name string, calls, was int) error {
	if calls*100 <= was*(100+tolerated) {
		return nil
	}
	return fmt.Errorf("%s makes %d system calls, %d before, which is more than %d %% more; if that must be, `make bench-counts` writes it down",
		name, calls, was, tolerated)
}

// count is the tally of a case, and its page faults.
func (l *lab) count(ctx context.Context, name string) (n tally, faults int, err error) {
	r, err := l.prepare(ctx, name, options{})
	if err != nil {
		return tally{}, 0, err
	}
	c := r.contenders[0]
	if n, err = l.callsOf(ctx, c.commands); err != nil {
		return tally{}, 0, err
	}
	for i := range countRuns {
		s, err := l.turn(ctx, c)
		if err != nil {
			return tally{}, 0, err
		}
		if i == 0 || s.faults < faults {
			faults = s.faults
		}
	}
	return n, faults, nil
}

// hostKind is what the counts depend on besides rt: how many cgroup hierarchies there are.
func (l *lab) hostKind() string { return "cgroups-" + strconv.Itoa(len(l.hierarchies)) }

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

// A tally is how many system calls a case makes.
type tally struct {
	decided   int // that neither the clock nor other threads decide
	all       int
	processes int // started
	threads   int
}

// scheduling are calls that Go's runtime makes or not, by the clock and by what other threads do: it waits for and preempts threads, starts
// them (clone with CLONE_THREAD, and what a thread does first and last), and maps memory, which Linux lets it name by PR_SET_VMA.
var scheduling = map[string]bool{
	"futex": true, "nanosleep": true, "sched_yield": true, "tgkill": true, "rt_sigreturn": true, "madvise": true, "getpid": true,
	"epoll_pwait": true, "restart_syscall": true, "mmap": true, "munmap": true, "sigaltstack": true, "gettid": true, "rt_sigprocmask": true,
	"exit": true, "mprotect": true, "set_tid_address": true, "brk": true, "wait4": true, "waitid": true,
}

// add counts a line of strace -f -o.
func (t *tally) add(line string) {
	name, args := parseCall(line)
	if name == "" {
		return
	}
	t.all++
	thread := false
	switch name {
	case "clone", "clone3", "vfork", "fork":
		if thread = strings.Contains(args, "CLONE_THREAD"); thread {
			t.threads++
		} else {
			t.processes++
		}
	}
	if !thread && !scheduling[name] && !(name == "prctl" && strings.HasPrefix(args, "PR_SET_VMA,")) {
		t.decided++
	}
}

// least is, of each count, the smaller one.
func (t tally) least(u tally) tally {
	return tally{min(t.decided, u.decided), min(t.all, u.all), min(t.processes, u.processes), min(t.threads, u.threads)}
}

// countRuns is of how many runs the least counts.
const countRuns = 5

// callsOf is the least of some runs.
func (l *lab) callsOf(ctx context.Context, commands [][]string) (least tally, err error) {
	for i := range countRuns {
		n, err := l.trace(ctx, commands)
		if err != nil {
			return tally{}, err
		}
		if i > 0 {
			n = n.least(least)
		}
		least = n
	}
	return least, nil
}

// trace runs the commands under one strace. It stays until the last process has ended, those that were detached as well. A shell runs more
// than one command, and its own calls do not count.
func (l *lab) trace(ctx context.Context, commands [][]string) (n tally, err error) {
	out := filepath.Join(l.dir, "strace")
	text, err := newOutputPipe()
	if err != nil {
		return n, err
	}
	defer text.close()
	argv, shell := commands[0], len(commands) > 1
	if shell {
		var script []string
		for _, c := range commands {
			script = append(script, strings.Join(c, " ")) // no word of them needs quotes
		}
		argv = []string{"sh", "-c", strings.Join(script, " && ")}
	}
	cmd := command(ctx, "strace", append([]string{"-f", "-qq", "-o", out, "-e", "signal=none"}, argv...)...)
	cmd.Stdout, cmd.Stderr = text.w, text.w
	if err := cmd.Run(); err != nil {
		return n, fmt.Errorf("%w: %s", err, text)
	}
	f, err := os.Open(out)
	if err != nil {
		return n, err
	}
	defer f.Close()
	first := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		pid, _, _ := strings.Cut(lines.Text(), " ")
		if first == "" {
			first = pid
		}
		if !shell || pid != first {
			n.add(lines.Text())
		}
	}
	return n, nil
}

// parseCall is the system call that begins in a line of strace -f -o, "PID name(arguments) = result"; name is "" if none does.
func parseCall(line string) (name, args string) {
	_, call, _ := strings.Cut(line, " ")
	name, args, ok := strings.Cut(strings.TrimLeft(call, " "), "(")
	if !ok || strings.ContainsAny(name, " <+-") {
		return "", ""
	}
	return name, args
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
