package output

import (
	"math"
	"strings"
	"testing"
	"time"

	cgstats "rt/cgroups/stats"
	"rt/libcontainer/usage"
)

// sample is what two containers use; the second is new at each look.
func sample(int) []usage.Container {
	at := time.Date(2026, 11, 23, 8, 49, 33, 0, time.UTC)
	return []usage.Container{
		{ID: "web", At: at, Measured: true, CPUPercent: 99.876, Usage: cgstats.Usage{
			CPU: 5e9, Memory: 32 << 20, MemoryLimit: 64 << 20, HasMemory: true, Pids: 7, PidsLimit: 100, Read: 1 << 30, Written: 4096,
			HasPressure: true, PressureCPU: 12.5, PressureMemory: 0.01, PressureIO: 100}},
		{ID: strings.Repeat("0123456789abcdef", 4), At: at, Usage: cgstats.Usage{Memory: 1 << 20, MemoryLimit: math.MaxUint64, HasMemory: true, Pids: 1}},
	}
}

func TestStatsTable(t *testing.T) {
	lines := make([]*statsLine, 2)
	for i, u := range sample(0) {
		lines[i] = lineOf(&u, 8<<30)
	}
	for _, c := range []struct {
		width int
		want  string
	}{
		{0, `
ID                                                                  CPU%    MEMORY     LIMIT    MEM%   PIDS    MAX      READ   WRITTEN  PSI-CPU  PSI-MEM  PSI-IO
web                                                                99.88     32MiB     64MiB   50.00      7    100      1GiB      4KiB    12.50     0.01  100.00
0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef       -      1MiB      8GiB    0.01      1      -        0B        0B        -        -       -`},
		{120, `
ID                          CPU%    MEMORY     LIMIT    MEM%   PIDS    MAX      READ   WRITTEN  PSI-CPU  PSI-MEM  PSI-IO
web                        99.88     32MiB     64MiB   50.00      7    100      1GiB      4KiB    12.50     0.01  100.00
0123456789abcdef0123456…       -      1MiB      8GiB    0.01      1      -        0B        0B        -        -       -`},
		{80, `
ID                   CPU%    MEMORY     LIMIT    MEM%   PIDS      READ   WRITTEN
web                 99.88     32MiB     64MiB   50.00      7      1GiB      4KiB
0123456789abcdef…       -      1MiB      8GiB    0.01      1        0B        0B`},
		{40, `
ID                  CPU%    MEMORY  PIDS
`},
	} {
		got := "\n" + strings.Join(statsTable(lines, c.width), "\n")
		if c.width == 40 {
			for line := range strings.SplitSeq(got, "\n") {
				if len([]rune(line)) > 40 {
					t.Errorf("wider than 40: %q", line)
				}
			}
			continue
		}
		if got != c.want {
			t.Errorf("width %d: got%s\nwant%s", c.width, got, c.want)
		}
	}
}
