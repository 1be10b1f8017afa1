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
	name     string
	commands [][]string
	samples  []sample
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
		r, err := l.prepare(name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "bench: %s, %d runs each\n", name, o.n)
		for i := range o.warmup + o.n {
			for j := range r.contenders {
				// Another order each time: nobody always comes after the most expensive one.
				c := r.contenders[(i+j)%len(r.contenders)]
				s, err := l.measure(ctx, c.commands)
				if err != nil {
					return nil, fmt.Errorf("%s, %s, run %d: %w", name, c.name, i, err)
				}
				if i >= o.warmup {
					c.samples = append(c.samples, s)
				}
			}
		}
		results = append(results, r)
	}
	return results, nil
}

// startLive gives each target a container that runs until close, for exec, state and list.
func (l *lab) startLive(ctx context.Context) error {
	for _, t := range l.targets {
		argv := l.argv(t, "run", "--detach", "--bundle", l.bundle("live-"+t.name), "--pid-file", l.bundle("pid-"+t.name), "live")
		l.live = append(l.live, t.name)
		// The container keeps stdio: files, for a pipe would never come to its end.
		cmd := command(ctx, argv[0], argv[1:]...)
		log, err := os.Create(l.bundle("log-" + t.name))
		if err != nil {
			return err
		}
		cmd.Stdout, cmd.Stderr = log, log
		err = errors.Join(cmd.Run(), log.Close())
		if err != nil {
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("%s run --detach: %w: %s", t.name, err, text)
		}
	}
	return nil
}

func (l *lab) prepare(name string) (result, error) {
	r := result{name: name}
	for _, t := range l.targets {
		c := &contender{name: t.name}
		switch name {
		case "run":
			r.title = "run: static true, default spec"
			c.commands = [][]string{l.argv(t, "run", "--bundle", l.bundle("run"), "bench")}
		case "seccomp":
			r.title = "seccomp: static true, default spec and Docker's default profile"
			c.commands = [][]string{l.argv(t, "run", "--bundle", l.bundle("seccomp"), "bench")}
		case "create":
			r.title = "create + start + delete --force: the same container"
			c.commands = [][]string{l.argv(t, "create", "--bundle", l.bundle("run"), "bench"),
				l.argv(t, "start", "bench"), l.argv(t, "delete", "--force", "bench")}
		case "exec":
			r.title = "exec: static true in a running container"
			c.commands = [][]string{l.argv(t, "exec", "live", "/bin/true")}
		case "state":
			r.title = "state: of a running container"
			c.commands = [][]string{l.argv(t, "state", "live")}
		case "list":
			r.title = "list: one running container"
			c.commands = [][]string{l.argv(t, "list")}
		default:
			return r, fmt.Errorf("no case %q: run, seccomp, create, exec, state, list", name)
		}
		r.contenders = append(r.contenders, c)
	}
	floor, err := l.floor(name)
	if floor != nil {
		r.contenders = append(r.contenders, floor)
	}
	return r, err
}

// floor is what the case's system calls cost by themselves; nil where that would be nothing.
func (l *lab) floor(name string) (*contender, error) {
	argv := []string{filepath.Join(l.dir, "floor")}
	switch name {
	case "run", "create":
		argv = append(argv, "run", l.rootfs, "/bin/true")
		argv = append(argv, l.floorGroups("floor", func(string) bool { return true })...)
	case "exec":
		// Into the last target's container, into those cgroups that its runtime has made.
		last := l.targets[len(l.targets)-1]
		text, err := os.ReadFile(l.bundle("pid-" + last.name))
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

// measure runs the commands one after the other by way of the measure program.
func (l *lab) measure(ctx context.Context, commands [][]string) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var args []string
	for i, c := range commands {
		if i > 0 {
			args = append(args, "+")
		}
		args = append(args, c...)
	}
	// A file: a detached container holds stderr as long as it lives.
	log, err := os.Create(l.bundle("stderr"))
	if err != nil {
		return sample{}, err
	}
	defer log.Close()
	var out bytes.Buffer
	cmd := command(ctx, filepath.Join(l.dir, "measure"), args...)
	cmd.Stdout, cmd.Stderr = &out, log
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log.Name())
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
