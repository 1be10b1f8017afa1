// Package cpulist reads the kernel's lists of CPUs and memory nodes: "0-3,7" (cpuset(7), "Formats"). It is pure.
package cpulist

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of the kernel's own masks on the largest builds: NR_CPUS and MAX_NUMNODES.
const (
	MaxCPUs  = 8192
	MaxNodes = 1024
)

// Numbers is how many numbers a list may have, from 0 on: more than any kernel has CPUs or nodes, as with runc.
const Numbers = 1 << 16

// A Mask is a bit for each CPU or node, the lowest first, as the kernel takes it.
type Mask []uint64

// Parse reads a list of numbers below Numbers. Blanks around a number, and elements of nothing else, are allowed, as with runc. A list
// that is empty or blank is a nil mask. Numbers from limit on, which no kernel knows, are left out of the mask and set beyond.
func Parse(list string, limit int) (mask Mask, beyond bool, err error) {
	if strings.TrimSpace(list) == "" {
		return nil, false, nil
	}
	mask = make(Mask, (limit+63)/64)
	some := false
	for _, part := range strings.Split(list, ",") {
		if strings.Trim(part, " ") == "" {
			continue
		}
		from, to, err := parseRange(part)
		if err != nil {
			return nil, false, fmt.Errorf("%.60q: %w", part, err)
		}
		some, beyond = true, beyond || to >= limit
		for n := from; n <= min(to, limit-1); n++ {
			mask[n/64] |= 1 << (n % 64)
		}
	}
	if !some {
		return nil, false, fmt.Errorf("%.60q: no number", list)
	}
	return mask, beyond, nil
}

func parseRange(part string) (from, to int, err error) {
	first, last, isRange := strings.Cut(part, "-")
	if from, err = number(first); err != nil || !isRange {
		return from, from, err
	}
	if to, err = number(last); err != nil {
		return 0, 0, err
	}
	if to < from {
		return 0, 0, errors.New("the range ends before it begins")
	}
	return from, to, nil
}

func number(s string) (int, error) {
	s = strings.Trim(s, " ")
	if s == "" || strings.TrimLeft(s, "0123456789") != "" {
		return 0, errors.New("not a number or a range of numbers")
	}
	n, err := strconv.Atoi(s)
	if err != nil || n >= Numbers {
		return 0, fmt.Errorf("larger than %d", Numbers-1)
	}
	return n, nil
}

// All is the mask of every number below limit.
func All(limit int) Mask {
	mask := make(Mask, (limit+63)/64)
	for i := range mask {
		mask[i] = ^uint64(0)
	}
	return mask
}
