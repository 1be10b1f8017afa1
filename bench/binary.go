package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// The limits of the rt binary; over one of them is an error. Those of package init are a third above what was counted.
const (
	maxSize     = 9_000_000 // bytes
	maxPackages = 45        // packages with an init of their own
	maxAllocs   = 200       // by all of them
	maxBytes    = 32 << 10
	maxInit     = 300 * time.Microsecond // only where timed
)

// reportBinary prints size, linkage and package init of rt against their limits. The time of package init has a limit only
// in a benchmark (timed): on another machine a page fault alone may cost ten times as much.
func reportBinary(w io.Writer, targets []target, timed bool) error {
	if len(targets) == 0 || targets[0].name != "rt" {
		return nil
	}
	path := targets[0].path
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	libraries, err := sharedLibraries(path)
	if err != nil {
		return err
	}
	start, err := measureInit(path)
	if err != nil {
		return err
	}
	var errs []error
	line := func(ok bool, format string, args ...any) {
		text, verdict := fmt.Sprintf(format, args...), "ok"
		if !ok {
			verdict = "OVER THE LIMIT"
			errs = append(errs, errors.New("binary: "+text))
		}
		fmt.Fprintf(w, "  %-60s %s\n", text, verdict)
	}
	fmt.Fprint(w, "\nthe binary\n")
	line(info.Size() <= maxSize, "size %.2f MB (at most %.0f)", float64(info.Size())/1e6, maxSize/1e6)
	line(len(libraries) == 0, "shared libraries: %s (none)", strings.Join(append(libraries, "none")[:max(1, len(libraries))], " "))
	line(start.packages <= maxPackages, "packages with an init: %d (at most %d)", start.packages, maxPackages)
	line(start.allocs <= maxAllocs, "their allocations: %d (at most %d)", start.allocs, maxAllocs)
	line(start.bytes <= maxBytes, "of %d bytes (at most %d), most in %s", start.bytes, maxBytes, start.largest)
	if timed {
		line(start.time <= maxInit, "package init %.3f ms (at most %.1f), most in %s", float64(start.time)/1e6, float64(maxInit)/1e6, start.slowest)
	}
	return errors.Join(errs...)
}

// sharedLibraries are the libraries and the loader that the program asks for.
func sharedLibraries(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var names []string
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			text := make([]byte, p.Filesz)
			if _, err := p.ReadAt(text, 0); err != nil {
				return nil, err
			}
			names = append(names, strings.TrimRight(string(text), "\x00"))
		}
	}
	libraries, err := f.ImportedLibraries()
	return append(names, libraries...), err
}

// packageInit is what the init of all packages does at one start of rt.
type packageInit struct {
	packages, allocs, bytes int
	time                    time.Duration
	largest, slowest        string // the package with the most bytes, and the one with the most time, with the figure
}

// measureInit is package init of `rt --version`, each figure the least of 20 starts: anything above is the machine's noise.
func measureInit(path string) (least packageInit, err error) {
	for i := range 20 {
		cmd := exec.Command(path, "--version")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		var trace bytes.Buffer
		cmd.Stderr = &trace
		if err := cmd.Run(); err != nil {
			return least, fmt.Errorf("%s --version: %w: %s", path, err, trace.String())
		}
		p, err := parseInitTrace(trace.String())
		if err != nil {
			return least, err
		}
		if i == 0 {
			least = p
			continue
		}
		least.allocs = min(least.allocs, p.allocs)
		if p.bytes < least.bytes {
			least.bytes, least.largest = p.bytes, p.largest
		}
		if p.time < least.time {
			least.time, least.slowest = p.time, p.slowest
		}
	}
	return least, nil
}

// parseInitTrace reads lines of "init internal/bytealg @0.008 ms, 0 ms clock, 0 bytes, 0 allocs".
func parseInitTrace(trace string) (p packageInit, err error) {
	var mostTime float64
	var mostBytes int
	for line := range strings.Lines(trace) {
		f := strings.Fields(line)
		if len(f) < 11 || f[0] != "init" || f[8] != "bytes," {
			continue
		}
		clock, errClock := strconv.ParseFloat(f[4], 64)
		size, errBytes := strconv.Atoi(f[7])
		allocs, errAllocs := strconv.Atoi(f[9])
		if err := errors.Join(errClock, errBytes, errAllocs); err != nil {
			return p, fmt.Errorf("inittrace %q: %w", line, err)
		}
		p.packages++
		p.allocs += allocs
		p.bytes += size
		p.time += time.Duration(clock * 1e6)
		if p.largest == "" || size > mostBytes {
			mostBytes, p.largest = size, fmt.Sprintf("%s (%d)", f[1], size)
		}
		if p.slowest == "" || clock > mostTime {
			mostTime, p.slowest = clock, fmt.Sprintf("%s (%.3f)", f[1], clock)
		}
	}
	if p.packages == 0 {
		return p, errors.New("inittrace: no line of it on stderr")
	}
	return p, nil
}
