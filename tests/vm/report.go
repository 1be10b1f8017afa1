package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// packageMark begins a line that names the package whose tests follow.
const packageMark = "\x16package "

// A report reads what test binaries say with -test.v=test2json and shows a line for each test when it ends, with its
// output when it has failed. Lines of go test itself begin with the byte 0x16; what is between them belongs to the
// test that was named last.
type report struct {
	to      io.Writer
	verbose bool
	rest    []byte // of an incomplete line
	pkg     string
	test    string                      // whose output comes now, "" for none
	output  map[string]*strings.Builder // of tests that have not ended
	count   map[string]int
	failed  []string
}

func newReport(to io.Writer, verbose bool) *report {
	return &report{to: to, verbose: verbose, output: map[string]*strings.Builder{}, count: map[string]int{}}
}

func (r *report) Write(p []byte) (int, error) {
	r.rest = append(r.rest, p...)
	for {
		line, rest, found := bytes.Cut(r.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		r.line(strings.TrimRight(string(line), "\r"))
		r.rest = rest
	}
}

func (r *report) line(line string) {
	// A test may leave its own output without an end of line.
	if text, marked, found := strings.Cut(line, "\x16"); found {
		r.text(text, text != "")
		r.marked(marked)
		return
	}
	r.text(line, true)
}

func (r *report) marked(line string) {
	if name, found := strings.CutPrefix("\x16"+line, packageMark); found {
		r.pkg, r.test = name, ""
		return
	}
	mark, rest, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
	if mark == "===" {
		what, name, _ := strings.Cut(rest, " ")
		r.test = top(strings.TrimSpace(name))
		if r.test != "" && r.begun(r.test).Len() == 0 && what == "PAUSE" { // waits for its turn
			delete(r.output, r.test)
		}
		return
	}
	verdict, rest, _ := strings.Cut(rest, ": ")
	name, took, _ := strings.Cut(rest, " ")
	if mark != "---" || name == "" {
		r.text(line, line != "" && line != "PASS" && line != "FAIL")
		return
	}
	if strings.Contains(name, "/") {
		r.test = top(name)
		r.text("    "+strings.TrimLeft(line, " "), verdict != "PASS")
		return
	}
	r.finish(name, strings.ToLower(verdict), took)
	r.test = ""
}

// text is output of the current test, or of the package.
func (r *report) text(line string, wanted bool) {
	switch {
	case !wanted:
	case r.test == "":
		if line != "PASS" && line != "FAIL" {
			fmt.Fprintln(r.to, line)
		}
	default:
		r.begun(r.test).WriteString(line + "\n")
	}
}

// begun is the output of a test that has not ended.
func (r *report) begun(test string) *strings.Builder {
	out := r.output[test]
	if out == nil {
		out = new(strings.Builder)
		r.output[test] = out
	}
	return out
}

func (r *report) finish(name, verdict, took string) {
	out := r.begun(name).String()
	delete(r.output, name)
	r.count[verdict]++
	fmt.Fprintf(r.to, "%-4s %s %s %s\n", verdict, r.pkg, name, took)
	if verdict != "pass" || r.verbose {
		fmt.Fprint(r.to, out)
	}
	if verdict == "fail" {
		r.failed = append(r.failed, name)
	}
}

// end shows which tests have begun and not ended, with what they said, and gives the figures.
func (r *report) end() string {
	for _, name := range slices.Sorted(maps.Keys(r.output)) {
		fmt.Fprintf(r.to, "not ended: %s\n%s", name, r.output[name])
	}
	line := fmt.Sprintf("%d passed, %d failed, %d skipped", r.count["pass"], r.count["fail"], r.count["skip"])
	if len(r.failed) > 0 {
		line += " (" + strings.Join(r.failed, ", ") + ")"
	}
	return line
}

// top is the test that a subtest belongs to.
func top(name string) string { name, _, _ = strings.Cut(name, "/"); return name }
