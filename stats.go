package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"rt/internal/hint"
	"rt/libcontainer/console"
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

func (p *program) statsCommand() *cli.Command {
	return command(&cli.Command{
		Name:      "stats",
		Usage:     "show what containers use, in a table that is kept up to date",
		ArgsUsage: "[container-id...]",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", Value: time.Second, Usage: "`time` between updates"},
			&cli.BoolFlag{Name: "no-stream", Usage: "show once and exit"},
			&cli.StringFlag{Name: "sort", Value: "id", Usage: "id, cpu, memory, pids or io"},
			formatFlag("table"),
		},
	}, 0, -1, func(c *cli.Context) error {
		s := stats{p: p, named: c.NArg() > 0, interval: c.Duration("interval"), once: c.Bool("no-stream")}
		if s.interval <= 0 {
			return errors.New("duration interval must be greater than 0")
		}
		var err error
		if s.json, err = isJSON(c, "table"); err != nil {
			return err
		}
		if s.order = statsOrder(c.String("sort")); s.order == nil {
			return errors.New("invalid sort option")
		}
		s.look = p.runtime(c).Usages(c.Args().Slice())
		// The default root is made by the first container.
		if s.first, err = s.look(); err != nil && (c.IsSet("root") || !errors.Is(err, os.ErrNotExist)) {
			return hint.With(err, unknownFlag(c))
		}
		p.keepCollecting()
		return s.run()
	})
}

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

// stats is one call of the command.
type stats struct {
	p        *program
	named    bool // the containers were; all of the root otherwise
	interval time.Duration
	once     bool
	json     bool
	order    func(a, b *statsLine) int
	look     func() ([]usage.Container, error)
	first    []usage.Container // of the first look, which knows no share of the cpu
}

func (s *stats) run() error {
	terminal := s.p.terminal()
	if s.once || s.json || terminal == nil || os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb" {
		return s.print()
	}
	screen, err := console.OpenScreen(terminal)
	if err != nil {
		return err
	}
	end, err := s.show(screen, terminal)
	screen.Close()
	if err != nil || end == 0 || end == unix.SIGINT { // Ctrl-C is how one leaves
		return err
	}
	return exitStatus(128 + int(end))
}

// lines are the containers of now; nil and no error when all that were named have ended.
func (s *stats) lines() ([]statsLine, error) {
	all, err := s.look()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return s.sorted(all), nil
}

func (s *stats) sorted(all []usage.Container) []statsLine {
	memory := machineMemory()
	lines := make([]statsLine, len(all))
	for i := range all {
		lines[i] = lineOf(&all[i], memory)
	}
	slices.SortFunc(lines, func(a, b statsLine) int { return s.order(&a, &b) })
	return lines
}

// print shows one table after the other, or a line of JSON for each container.
func (s *stats) print() error {
	wait := min(s.interval, firstLook)
	for again := false; ; again = true {
		time.Sleep(wait)
		lines, err := s.lines()
		if err != nil || again && s.named && len(lines) == 0 {
			return err
		}
		if s.json {
			err = printJSON(s.p, lines)
		} else {
			if again {
				fmt.Fprintln(s.p.stdout)
			}
			err = printLines(s.p.stdout, statsTable(lines, s.p.width()))
		}
		if err != nil || s.once {
			return err
		}
		wait = s.interval
	}
}

func printJSON(p *program, lines []statsLine) error {
	e := newEncoder(p.stdout)
	for i := range lines {
		if err := e.Encode(&lines[i]); err != nil {
			return err
		}
	}
	return nil
}

// show draws the table until a signal ends it or there is nothing more to show.
func (s *stats) show(screen *console.Screen, terminal *os.File) (unix.Signal, error) {
	lines := s.sorted(s.first)
	next := time.Now().Add(min(s.interval, firstLook))
	for {
		if s.named && len(lines) == 0 {
			return 0, nil
		}
		columns, rows := console.Size(terminal)
		if err := screen.Draw(clip(statsTable(lines, columns), rows)); err != nil {
			return 0, err
		}
		end, err := screen.Wait(max(time.Until(next), 0))
		if end != 0 || err != nil {
			return end, err
		}
		// A new size draws the same numbers: over a short time there is no share of the cpu to tell.
		if now := time.Now(); !now.Before(next) {
			if lines, err = s.lines(); err != nil {
				return 0, err
			}
			next = now.Add(s.interval)
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

func lineOf(u *usage.Container, memory uint64) statsLine {
	l := statsLine{
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

func statsTable(lines []statsLine, width int) []string {
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

// terminal is standard output if it is one.
func (p *program) terminal() *os.File {
	if f, ok := p.stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// width is how wide standard output is; 0 if it is not a terminal: there nothing is cut off.
func (p *program) width() int {
	if t := p.terminal(); t != nil {
		columns, _ := console.Size(t)
		return columns
	}
	return 0
}
