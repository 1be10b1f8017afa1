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

// A Mask is a bit for each CPU or node, the lowest first, as the kernel takes it.
type Mask []uint64

// Parse reads a list of numbers below limit. Blanks around a number are allowed, as in the specification's schema.
// An empty list is a nil mask.
func Parse(list string, limit int) (Mask, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	mask := make(Mask, (limit+63)/64)
	for _, part := range strings.Split(list, ",") {
		from, to, err := parseRange(part, limit)
		if err != nil {
			return nil, fmt.Errorf("%.60q: %w", part, err)
		}
		for n := from; n <= to; n++ {
			mask[n/64] |= 1 << (n % 64)
		}
	}
	return mask, nil
}

func parseRange(part string, limit int) (from, to int, err error) {
	first, last, isRange := strings.Cut(part, "-")
	if from, err = number(first, limit); err != nil || !isRange {
		return from, from, err
	}
	if to, err = number(last, limit); err != nil {
		return 0, 0, err
	}
	if to < from {
		return 0, 0, errors.New("the range ends before it begins")
	}
	return from, to, nil
}

func number(s string, limit int) (int, error) {
	s = strings.Trim(s, " ")
	if s == "" || strings.TrimLeft(s, "0123456789") != "" {
		return 0, errors.New("not a number or a range of numbers")
	}
	n, err := strconv.Atoi(s)
	if err != nil || n >= limit {
		return 0, fmt.Errorf("larger than %d", limit-1)
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
