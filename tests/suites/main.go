// Command suites runs a slow test suite and records its result in a page: suites PAGE NAME go test ARGUMENT ... . It shows what the
// tests say as they say it, and exits with 1 when the suite has failed. The page keeps the last result of every suite.
package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"

	"rt/tests/testjson"

	"golang.org/x/sys/unix"
)

func main() {
	ok, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "suites: %v\n", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

func run(args []string) (ok bool, err error) {
	if len(args) < 5 || args[2] != "go" || args[3] != "test" {
		return false, fmt.Errorf("usage: suites PAGE NAME go test and its arguments")
	}
	page, name := args[0], args[1]
	// go test gets the terminal's signals as well, and ends the tests in order.
	signal.Ignore(unix.SIGINT, unix.SIGTERM)
	commit := commitOf(page)
	seen, err := test(args[4:])
	if err != nil {
		return false, err
	}
	old, err := os.ReadFile(page)
	if err != nil && !os.IsNotExist(err) {
		return false, err
	}
	row := seen.row(name, settings(os.Environ()), commit, time.Now().UTC().Format(time.DateOnly)+", "+machine())
	return seen.ok(), os.WriteFile(page, []byte(withRow(string(old), name, row)), 0o644)
}

// test runs `go test -json`, and shows its output as `go test -v` does.
func test(args []string) (*result, error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	seen := newResult()
	readErr := testjson.Read(out, func(e testjson.Event) {
		_, _ = io.WriteString(os.Stdout, e.Output)
		seen.note(e)
	})
	seen.exited = cmd.Wait()
	return seen, readErr
}

// A result is how the tests of a suite have ended.
type result struct {
	end    map[string]string // test: its last action
	exited error             // of go test
}

func newResult() *result { return &result{end: map[string]string{}} }

func (r *result) note(e testjson.Event) {
	switch e.Action {
	case testjson.Run, testjson.Pass, testjson.Skip, testjson.Fail:
		if e.Test != "" {
			r.end[e.Test] = e.Action
		}
	}
}

// count counts tests, or their parts, that have ended so.
func (r *result) count(part bool, end string) int {
	return len(r.names(func(test, e string) bool { return strings.Contains(test, "/") == part && e == end }))
}

func (r *result) names(wanted func(test, end string) bool) (tests []string) {
	for test, end := range r.end {
		if wanted(test, end) {
			tests = append(tests, test)
		}
	}
	slices.Sort(tests)
	return tests
}

// failed are the tests that have failed, or were still running when their program ended.
func (r *result) failed() []string {
	return r.names(func(_, end string) bool { return end == testjson.Fail || end == testjson.Run })
}

func (r *result) ok() bool {
	return r.exited == nil && len(r.failed()) == 0 && r.count(false, testjson.Pass) > 0
}

func (r *result) row(name, settings, commit, where string) string {
	verdict := "pass"
	switch failed := r.failed(); {
	case len(failed) > 0:
		verdict = "**fail**: " + strings.Join(failed, " ")
	case !r.ok():
		verdict = "**fail**: the tests did not run to their end"
	}
	skipped := r.names(func(test, end string) bool { return end == testjson.Skip })
	return fmt.Sprintf("| `make %s` | %s | %s | %s | %d | %d | %s | %s |", name, cmp.Or(settings, "-"), commit, where,
		r.count(false, testjson.Pass), r.count(true, testjson.Pass), cmp.Or(strings.Join(skipped, " "), "-"), verdict)
}

const head = "# Slow suites\n\n" +
	"Each of these make targets writes its last result here. They take too long for `make test`, which runs a short\n" +
	"form of each. Results of guests are in [testing-vm.md](testing-vm.md), of engines in [engines.md](engines.md), with\n" +
	"runc in [runc-peers.md](runc-peers.md).\n\n" +
	"| target | settings | commit | when, where | tests passed | parts passed | skipped | verdict |\n|---|---|---|---|---|---|---|---|\n"

// withRow is the page with a suite's row replaced.
func withRow(page, name, row string) string {
	rows := []string{row}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "| `make ") && !strings.HasPrefix(line, "| `make "+name+"`") {
			rows = append(rows, strings.TrimSuffix(line, "\n"))
		}
	}
	slices.Sort(rows)
	return head + strings.Join(rows, "\n") + "\n"
}

// settings are the variables that change what the tests do.
func settings(env []string) string {
	set := slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		return !strings.HasPrefix(v, "RT_") || strings.HasPrefix(v, "RT_TAGS=") || strings.Contains(v, "/")
	})
	slices.Sort(set)
	return strings.Join(set, " ")
}

// commitOf names the commit of the tree, and says whether other files than the page were changed since.
func commitOf(page string) string {
	id, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	commit := strings.TrimSpace(string(id))
	if exec.Command("git", "diff", "--quiet", "HEAD", "--", ".", ":(exclude)"+page).Run() != nil {
		commit += " with changes"
	}
	return commit
}

func machine() string {
	release := "unknown"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	cgroups := "v1"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		cgroups = "v2"
	} else if _, err := os.Stat("/sys/fs/cgroup/unified"); err == nil {
		cgroups = "v1 with v2 beside it"
	}
	return fmt.Sprintf("Linux %s, %d CPUs, cgroups %s", release, runtime.NumCPU(), cgroups)
}
