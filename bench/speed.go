package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A sample is what one run has cost, the whole tree of processes included.
type sample struct {
	wall   time.Duration
	cpu    time.Duration // user + system
	faults int           // minor page faults
	rss    int           // peak of the largest process, KiB
}

// A contender is one line of a table: a runtime, or the floor, and its command lines for the case.
type contender struct {
	name          string
	commands      [][]string
	beside        bool // the commands run at the same time
	before, after func() error
	samples       []sample
}

type result struct {
	name, title string
	contenders  []*contender
}

// speed runs all cases, contenders taking turns so that whatever disturbs the machine disturbs all of them.
func (l *lab) speed(ctx context.Context, o options) ([]result, error) {
	if o.n < 1 {
		return nil, errors.New("-n: at least 1 run")
	}
	if err := l.startLive(ctx); err != nil {
		return nil, err
	}
	var results []result
	for _, name := range strings.Split(o.cases, ",") {
		r, err := l.prepare(ctx, name, o)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "bench: %s, %d runs each\n", name, o.n)
		for i := range o.warmup + o.n {
			if err := l.round(ctx, r, i, i >= o.warmup); err != nil {
				return nil, err
			}
		}
		results = append(results, r)
	}
	return results, nil
}

// round runs each contender once, in another order each time: nobody always comes after the most expensive one.
func (l *lab) round(ctx context.Context, r result, i int, counts bool) error {
	for j := range r.contenders {
		c := r.contenders[(i+j)%len(r.contenders)]
		s, err := l.turn(ctx, c)
		if err != nil {
			return fmt.Errorf("%s, %s, run %d: %w", r.name, c.name, i, err)
		}
		if counts {
			c.samples = append(c.samples, s)
		}
	}
	return nil
}

func (l *lab) turn(ctx context.Context, c *contender) (s sample, err error) {
	if c.before != nil {
		if err := c.before(); err != nil {
			return s, err
		}
	}
	s, err = l.measure(ctx, c.commands, c.beside)
	if c.after != nil {
		err = errors.Join(err, c.after())
	}
	return s, err
}

// startLive gives each target a container that runs until close, for exec, state and list.
func (l *lab) startLive(ctx context.Context) error {
	for _, t := range l.targets {
		if err := l.start(ctx, t, "live", "live-"+t.name); err != nil {
			return err
		}
	}
	return nil
}

// start runs a container that stays until close. Its pid is in the file pid-BUNDLE.
func (l *lab) start(ctx context.Context, t target, id, bundle string) error {
	l.running = append(l.running, container{t, id})
	argv := l.argv(t, "run", "--detach", "--bundle", l.bundle(bundle), "--pid-file", l.bundle("pid-"+bundle), id)
	// The container keeps stdio: files, for a pipe would never come to its end.
	cmd := command(ctx, argv[0], argv[1:]...)
	log, err := os.Create(l.bundle("log-" + t.name))
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err = errors.Join(cmd.Run(), log.Close()); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s run --detach: %w: %s", t.name, err, text)
	}
	return nil
}

// floor is what the case's system calls cost by themselves; nil where that would be nothing.
func (l *lab) floor(name string) (*contender, error) {
	argv := []string{filepath.Join(l.dir, "floor")}
	switch name {
	case "run", "engine", "run-many":
		argv = append(argv, "run", l.rootfs, "/bin/true")
		argv = append(argv, l.floorGroups("floor", func(string) bool { return true })...)
	case "exec":
		// Into the last target's container, into those cgroups that its runtime has made.
		last := l.targets[len(l.targets)-1]
		text, err := os.ReadFile(l.bundle("pid-live-" + last.name))
		if err != nil {
			return nil, err
		}
		argv = append(argv, "exec", strings.TrimSpace(string(text)), "/bin/true")
		argv = append(argv, l.floorGroups("live-"+last.name, func(dir string) bool {
			_, err := os.Stat(dir)
			return err == nil
		})...)
	default:
		return nil, nil
	}
	return &contender{name: "floor", commands: [][]string{argv}}, nil
}

// measure runs the commands, one after the other or beside each other, by way of the measure program.
func (l *lab) measure(ctx context.Context, commands [][]string, beside bool) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var args []string
	for i, c := range commands {
		switch {
		case i > 0 && beside:
			args = append(args, "&")
		case i > 0:
			args = append(args, "+")
		}
		args = append(args, c...)
	}
	text, err := newOutputPipe()
	if err != nil {
		return sample{}, err
	}
	defer text.close()
	var out bytes.Buffer
	cmd := command(ctx, filepath.Join(l.dir, "measure"), args...)
	cmd.Stdout, cmd.Stderr = &out, text.w
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("%w: %s", err, text)
	}
	return parseSample(out.String())
}

func parseSample(line string) (sample, error) {
	fields := strings.Fields(line)
	if len(fields) != 6 {
		return sample{}, fmt.Errorf("measure printed %q", line)
	}
	var v [6]int
	for i, field := range fields {
		var err error
		if v[i], err = strconv.Atoi(field); err != nil {
			return sample{}, fmt.Errorf("measure printed %q: %w", line, err)
		}
	}
	return sample{
		wall:   time.Duration(v[0]),
		cpu:    time.Duration(v[1]+v[2]) * time.Microsecond,
		faults: v[3], rss: v[5],
	}, nil
}

// quantile is the q-th quantile of what of picks, by nearest rank.
func quantile[T cmp.Ordered](samples []sample, q float64, of func(sample) T) T {
	values := make([]T, 0, len(samples))
	for _, s := range samples {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}

func wall(s sample) time.Duration { return s.wall }
func cpu(s sample) time.Duration  { return s.cpu }
func faults(s sample) int         { return s.faults }
func rss(s sample) int            { return s.rss }
