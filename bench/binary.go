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

// The limits of the rt binary; over one of them is an error.
const (
	maxSize = 9_000_000 // bytes
	maxInit = 300 * time.Microsecond
)

// reportBinary prints size, linkage and package init time of rt against their limits.
func reportBinary(w io.Writer, targets []target) error {
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
	initTime, slowest, err := initTime(path)
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
	line(initTime <= maxInit, "package init %.3f ms (at most %.1f), most in %s", float64(initTime)/1e6, float64(maxInit)/1e6, slowest)
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

// initTime is the sum of the packages' init times of `rt --version`, the least of 20 starts (anything above is the
// machine's noise), and the packages that take most of it.
func initTime(path string) (least time.Duration, slowest string, err error) {
	for i := range 20 {
		cmd := exec.Command(path, "--version")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		var trace bytes.Buffer
		cmd.Stderr = &trace
		if err := cmd.Run(); err != nil {
			return 0, "", fmt.Errorf("%s --version: %w: %s", path, err, trace.String())
		}
		total, names, err := parseInitTrace(trace.String())
		if err != nil {
			return 0, "", err
		}
		if i == 0 || total < least {
			least, slowest = total, names
		}
	}
	return least, slowest, nil
}

// parseInitTrace reads lines of "init internal/bytealg @0.008 ms, 0 ms clock, 0 bytes, 0 allocs".
func parseInitTrace(trace string) (total time.Duration, slowest string, err error) {
	var most float64
	for line := range strings.Lines(trace) {
		f := strings.Fields(line)
		if len(f) < 6 || f[0] != "init" || f[5] != "ms" && f[6] != "clock," {
			continue
		}
		clock, err := strconv.ParseFloat(f[4], 64)
		if err != nil {
			return 0, "", fmt.Errorf("inittrace %q: %w", line, err)
		}
		total += time.Duration(clock * 1e6)
		if clock > most {
			most, slowest = clock, fmt.Sprintf("%s (%.3f)", f[1], clock)
		}
	}
	if slowest == "" {
		return 0, "", errors.New("inittrace: no line of it on stderr")
	}
	return total, slowest, nil
}
