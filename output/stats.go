package output

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"

	"rt/libcontainer/usage"
)

// A statsLine is a container in the JSON of stats. Percentages and bytes; what is not known is left out.
type statsLine struct {
	Time          time.Time      `json:"time"`
	ID            string         `json:"id"`
	CPUPercent    *float64       `json:"cpuPercent,omitempty"` // of one cpu, since the line before
	CPUTime       uint64         `json:"cpuTime"`              // nanoseconds
	MemoryUsage   uint64         `json:"memoryUsage"`
	MemoryLimit   uint64         `json:"memoryLimit"` // the machine's memory if there is none
	MemoryPercent float64        `json:"memoryPercent"`
	Pids          uint64         `json:"pids"`
	PidsLimit     uint64         `json:"pidsLimit,omitempty"`
	Read          uint64         `json:"read"`
	Written       uint64         `json:"written"`
	Pressure      *statsPressure `json:"pressure,omitempty"`
}

// statsPressure is PSI, some, over ten seconds.
type statsPressure struct {
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
	IO     float64 `json:"io"`
}

// firstLook is after how long the cpu's use is known for the first time.
const firstLook = 500 * time.Millisecond

// statsOrder compares two lines; what is larger comes first, and equals by id.
func statsOrder(by string) func(a, b *statsLine) int {
	var value func(*statsLine) float64
	switch by {
	case "id":
		value = func(*statsLine) float64 { return 0 }
	case "cpu":
		value = func(l *statsLine) float64 {
			if l.CPUPercent == nil {
				return 0
			}
			return *l.CPUPercent
		}
	case "memory":
		value = func(l *statsLine) float64 { return float64(l.MemoryUsage) }
	case "pids":
		value = func(l *statsLine) float64 { return float64(l.Pids) }
	case "io":
		value = func(l *statsLine) float64 { return float64(l.Read) + float64(l.Written) }
	default:
		return nil
	}
	return func(a, b *statsLine) int { return cmp.Or(cmp.Compare(value(b), value(a)), cmp.Compare(a.ID, b.ID)) }
}

// Stats is one call of the command.
type Stats struct {
	Out      io.Writer
	Named    bool // the containers were; all of the root otherwise
	Interval time.Duration
	Once     bool
	JSON     bool
	Look     func() ([]usage.Container, error)
	First    []usage.Container // of the first look, which knows no share of the cpu

	order func(a, b *statsLine) int
}

// Sort says by what the containers are sorted.
func (s *Stats) Sort(by string) error {
	if s.order = statsOrder(by); s.order == nil {
		return errors.New("invalid sort option")
	}
	return nil
}

// Run shows what the containers use, on a terminal until a signal ends it, which is returned, or prints it. Ctrl-C is how one leaves, and no
// such signal.
func (s *Stats) Run() (end unix.Signal, err error) {
	t := terminal(s.Out)
	if s.Once || s.JSON || t == nil || os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb" {
		return 0, s.print()
	}
	screen, err := openScreen(t)
	if err != nil {
		return 0, err
	}
	end, err = s.show(screen, t)
	screen.close()
	if end == unix.SIGINT {
		end = 0
	}
	return end, err
}

// lines are the containers of now; nil and no error when all that were named have ended.
func (s *Stats) lines() ([]*statsLine, error) {
	all, err := s.Look()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return s.sorted(all), nil
}

func (s *Stats) sorted(all []usage.Container) []*statsLine {
	memory := machineMemory()
	lines := make([]*statsLine, len(all))
	for i := range all {
		lines[i] = lineOf(&all[i], memory)
	}
	slices.SortFunc(lines, s.order)
	return lines
}

// print shows one table after the other, or a line of JSON for each container.
func (s *Stats) print() error {
	wait := min(s.Interval, firstLook)
	for again := false; ; again = true {
		time.Sleep(wait)
		lines, err := s.lines()
		if err != nil || again && s.Named && len(lines) == 0 {
			return err
		}
		if s.JSON {
			err = printJSON(s.Out, lines)
		} else {
			if again {
				fmt.Fprintln(s.Out)
			}
			err = printLines(s.Out, statsTable(lines, width(s.Out)))
		}
		if err != nil || s.Once {
			return err
		}
		wait = s.Interval
	}
}

func printJSON(w io.Writer, lines []*statsLine) error {
	e := NewEncoder(w)
	for _, l := range lines {
		if err := e.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

// show draws the table until a signal ends it or there is nothing more to show.
func (s *Stats) show(screen *screen, terminal *os.File) (unix.Signal, error) {
	lines := s.sorted(s.First)
	next := time.Now().Add(min(s.Interval, firstLook))
	for {
		if s.Named && len(lines) == 0 {
			return 0, nil
		}
		columns, rows := size(terminal)
		if err := screen.draw(clip(statsTable(lines, columns), rows)); err != nil {
			return 0, err
		}
		end, err := screen.wait(max(time.Until(next), 0))
		if end != 0 || err != nil {
			return end, err
		}
		// A new size draws the same numbers: over a short time there is no share of the cpu to tell.
		if now := time.Now(); !now.Before(next) {
			if lines, err = s.lines(); err != nil {
				return 0, err
			}
			next = now.Add(s.Interval)
		}
	}
}

// clip leaves out what is below the screen, and says so.
func clip(lines []string, rows int) []string {
	if len(lines) <= rows || rows < 3 {
		return lines[:min(len(lines), rows)]
	}
	return append(slices.Clone(lines[:rows-1]), fmt.Sprintf("... %d more", len(lines)-rows+1))
}

func lineOf(u *usage.Container, memory uint64) *statsLine {
	l := &statsLine{
		Time: u.At.UTC(), ID: u.ID, CPUTime: u.CPU, MemoryUsage: u.Memory, MemoryLimit: memory,
		Pids: u.Pids, PidsLimit: u.PidsLimit, Read: u.Read, Written: u.Written,
	}
	if u.Measured {
		percent := rounded(u.CPUPercent)
		l.CPUPercent = &percent
	}
	if u.HasMemory && u.MemoryLimit < memory {
		l.MemoryLimit = u.MemoryLimit
	}
	if l.MemoryLimit > 0 {
		l.MemoryPercent = rounded(float64(l.MemoryUsage) / float64(l.MemoryLimit) * 100)
	}
	if u.HasPressure {
		l.Pressure = &statsPressure{u.PressureCPU, u.PressureMemory, u.PressureIO}
	}
	return l
}

func rounded(percent float64) float64 { return math.Round(percent*100) / 100 }

// machineMemory is the whole memory of the machine in bytes.
func machineMemory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return math.MaxUint64
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

func statsTable(lines []*statsLine, width int) []string {
	const size, percent = 8, 6 // 12.34MiB, 100.00
	columns := []column{
		{title: "ID", left: true}, {title: "CPU%", least: percent}, {title: "MEMORY", least: size}, {title: "LIMIT", least: size, drop: 4},
		{title: "MEM%", least: percent, drop: 3}, {title: "PIDS", least: 5, drop: 1}, {title: "MAX", least: 5, drop: 10},
		{title: "READ", least: size, drop: 5}, {title: "WRITTEN", least: size, drop: 6},
		{title: "PSI-CPU", drop: 7}, {title: "PSI-MEM", drop: 8}, {title: "PSI-IO", drop: 9},
	}
	const unknown = "-"
	rows := make([][]string, len(lines))
	for i, l := range lines {
		cpu, most, psi := unknown, unknown, [3]string{unknown, unknown, unknown}
		if l.CPUPercent != nil {
			cpu = fmt.Sprintf("%.2f", *l.CPUPercent)
		}
		if l.PidsLimit != 0 {
			most = strconv.FormatUint(l.PidsLimit, 10)
		}
		if p := l.Pressure; p != nil {
			psi = [3]string{fmt.Sprintf("%.2f", p.CPU), fmt.Sprintf("%.2f", p.Memory), fmt.Sprintf("%.2f", p.IO)}
		}
		rows[i] = []string{
			l.ID, cpu, human(l.MemoryUsage), human(l.MemoryLimit), fmt.Sprintf("%.2f", l.MemoryPercent),
			strconv.FormatUint(l.Pids, 10), most, human(l.Read), human(l.Written), psi[0], psi[1], psi[2],
		}
	}
	return table(columns, rows, width, 0)
}

func human(bytes uint64) string { return units.BytesSize(float64(bytes)) }
