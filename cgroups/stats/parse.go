package stats

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rt/internal/names"

	"golang.org/x/sys/unix"
)

// readings reads the files of one cgroup in all its hierarchies. The first error is kept: what a caller
// wants is all numbers or the reason why not.
type readings struct {
	dir  func(controller string) string
	read func(path string) (string, error)
	err  error
}

// A reading reads the files of one directory. A nil one is of a hierarchy that there is not: no file exists.
type reading struct {
	read func(name string) (string, error)
	err  *error
}

func (rs *readings) in(dir string) *reading {
	if dir == "" {
		return nil
	}
	return &reading{read: func(name string) (string, error) { return rs.read(dir + "/" + name) }, err: &rs.err}
}

// v1 is the hierarchy of a v1 controller, or nil.
func (rs *readings) v1(controller string) *reading { return rs.in(rs.dir(controller)) }

func (rs *readings) v2() *reading { return rs.in(rs.dir("")) }

// either is for controllers whose files are the same in v1 and v2.
func (rs *readings) either(controller string) *reading {
	if r := rs.v1(controller); r != nil {
		return r
	}
	return rs.v2()
}

// text is a file's content. A file that does not exist is one that the kernel, or the cgroup because its
// controller is not enabled, does not have. EOPNOTSUPP is what pressure files give when the kernel was
// started with psi=0, and EINVAL hugetlb's on some kernels without huge pages.
func (r *reading) text(name string) (text string, ok bool) {
	if r == nil {
		return "", false
	}
	text, err := r.read(name)
	switch {
	case err == nil:
		return text, true
	case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EOPNOTSUPP):
		r.fail(err)
	}
	return "", false
}

func (r *reading) fail(err error) {
	if *r.err == nil {
		*r.err = err
	}
}

// number is a file that holds one number; 0 if there is no such file.
func (r *reading) number(name string) uint64 {
	text, ok := r.text(name)
	if !ok {
		return 0
	}
	return r.parse(name, text)
}

func (r *reading) parse(name, text string) uint64 {
	n, err := parseNumber(strings.TrimSpace(text))
	if err != nil {
		r.fail(fmt.Errorf("read %s: %q is not a number", name, text))
	}
	return n
}

// parseNumber reads a number, or max, which is the largest one. A negative one, which counters of v1 can be
// for a moment, is 0.
func parseNumber(text string) (uint64, error) {
	if text == "max" {
		return 1<<64 - 1, nil
	}
	if digits, negative := strings.CutPrefix(text, "-"); negative {
		_, err := names.Unsigned(digits, 64)
		return 0, err
	}
	return names.Unsigned(text, 64)
}

// keyed is a file with a key and a number in each line. Lines of another form, which a newer kernel may
// have, are passed over.
func (r *reading) keyed(name string) map[string]uint64 {
	text, ok := r.text(name)
	if !ok {
		return nil
	}
	values := map[string]uint64{}
	for line := range strings.SplitSeq(text, "\n") {
		key, value, _ := strings.Cut(line, " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			values[key] = n
		}
	}
	return values
}

// list is a file with numbers between spaces.
func (r *reading) list(name string) []uint64 {
	text, _ := r.text(name)
	var list []uint64
	for _, word := range strings.Fields(text) {
		list = append(list, r.parse(name, word))
	}
	return list
}

// psi is a pressure file:
//
//	some avg10=0.00 avg60=0.00 avg300=0.00 total=0
//	full avg10=0.00 avg60=0.00 avg300=0.00 total=0
//
// nil if the kernel has none. Before Linux 5.13 there is no "full" of the cpu.
func (r *reading) psi(name string) *PSI {
	text, ok := r.text(name)
	if !ok {
		return nil
	}
	p := &PSI{}
	for line := range strings.SplitSeq(text, "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		var err error
		switch kind {
		case "some":
			p.Some, err = parsePressure(rest)
		case "full":
			p.Full, err = parsePressure(rest)
		}
		if err != nil {
			r.fail(fmt.Errorf("read %s: line %q: %w", name, line, err))
		}
	}
	return p
}

func parsePressure(text string) (p Pressure, err error) {
	for _, word := range strings.Fields(text) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "avg10":
			p.Avg10, err = parsePercent(value)
		case "avg60":
			p.Avg60, err = parsePercent(value)
		case "avg300":
			p.Avg300, err = parsePercent(value)
		case "total":
			p.Total, err = names.Unsigned(value, 64)
		}
		if err != nil {
			return Pressure{}, err
		}
	}
	return p, nil
}

// parsePercent takes what JSON can express only.
func parsePercent(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "0123456789.") != "" {
		return 0, fmt.Errorf("%.64q is not a percentage", text)
	}
	return f, nil
}

// blockIO is a v1 table: "8:0 Read 4096" or, where operations are not told apart, "8:0 42". The line with
// the total of all devices is left out.
func (r *reading) blockIOTable(name string) []BlockIOEntry {
	text, _ := r.text(name)
	var list []BlockIOEntry
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Fields(line)
		if len(words) != 2 && len(words) != 3 {
			continue
		}
		var e BlockIOEntry
		var ok bool
		if e.Major, e.Minor, ok = parseDevice(words[0]); !ok {
			continue
		}
		if len(words) == 3 {
			e.Op = words[1]
		}
		e.Value = r.parse(name, words[len(words)-1])
		list = append(list, e)
	}
	return list
}

func parseDevice(text string) (major, minor uint64, ok bool) {
	left, right, _ := strings.Cut(text, ":")
	major, err1 := strconv.ParseUint(left, 10, 32)
	minor, err2 := strconv.ParseUint(right, 10, 32)
	return major, minor, err1 == nil && err2 == nil
}

// nested is a v2 file with a name and key=value words in each line: "8:0 rbytes=1 wbytes=2".
func (r *reading) nested(name string, value func(name, key string, value uint64)) {
	text, _ := r.text(name)
	for line := range strings.SplitSeq(text, "\n") {
		first, rest, _ := strings.Cut(line, " ")
		for _, word := range strings.Fields(rest) {
			key, number, _ := strings.Cut(word, "=")
			if n, err := parseNumber(number); err == nil {
				value(first, key, n)
			}
		}
	}
}

// parseCPUs reads the kernel's list format (cpuset(7)): 0-2,7.
func parseCPUs(text string) (list []uint16, err error) {
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		if part == "" {
			continue
		}
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, err1 := strconv.ParseUint(low, 10, 16)
		last, err2 := strconv.ParseUint(high, 10, 16)
		if err1 != nil || err2 != nil || last < first {
			return nil, fmt.Errorf("invalid list %q", text)
		}
		for n := first; n <= last; n++ {
			list = append(list, uint16(n))
			if len(list) > 1<<16 {
				return nil, fmt.Errorf("invalid list %q", text)
			}
		}
	}
	return list, nil
}
