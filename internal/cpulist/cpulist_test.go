package cpulist

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	bits := func(m Mask) (set []int) {
		for i := range len(m) * 64 {
			if m[i/64]>>(i%64)&1 != 0 {
				set = append(set, i)
			}
		}
		return set
	}
	for list, want := range map[string][]int{
		"": nil, "  ": nil, "0": {0}, "0-3,7": {0, 1, 2, 3, 7}, "7,0-1,1": {0, 1, 7}, " 1 - 2 , 4": {1, 2, 4},
		"63-64": {63, 64}, ",0,": {0}, "0-1, ": {0, 1}, "0,8192": {0}, "65535": nil, "8191-9000": {8191}, "1030": {1030}, "8191": {8191}, "5-5": {5}, "007": {7},
	} {
		m, beyond, err := Parse(list, MaxCPUs)
		if want := strings.Contains(list, "8192") || strings.Contains(list, "65535") || strings.Contains(list, "9000"); beyond != want {
			t.Errorf("%q: beyond %v", list, beyond)
		}
		if have := bits(m); err != nil || !slices.Equal(have, want) {
			t.Errorf("%q: %v, %v; wanted %v", list, have, err, want)
		}
	}
	for list, want := range map[string]string{
		"a": "not a number", ",": "no number", " , ": "no number", "-": "not a number", "1-": "not a number", "-1": "not a number",
		"1-2-3": "not a number", "+1": "not a number", "0x1": "not a number", "1 2": "not a number", "1\n": "not a number",
		"3-1": "ends before", "65536": "larger than 65535", "0-99999999999999999999": "larger than 65535",
	} {
		if m, _, err := Parse(list, MaxCPUs); err == nil || m != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; wanted an error with %q", list, m, err, want)
		}
	}
}

func TestAll(t *testing.T) {
	if m := All(MaxNodes); len(m) != 16 || m[0] != ^uint64(0) || m[15] != ^uint64(0) {
		t.Errorf("%x", m)
	}
}
