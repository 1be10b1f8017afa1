package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// A benchCase is one table: what each runtime is told to do.
type benchCase struct {
	name, title string
	setup       func(ctx context.Context, l *lab) error // before the first run, or nil
	commands    func(l *lab, t target) [][]string
	beside      bool // the commands run at the same time
	busy        bool // the container works while its runtime's turn lasts
}

// cases are in the order in which they run: from "many" on each target has a thousand containers.
func cases(o options) []benchCase {
	runs := func(bundle string) func(*lab, target) [][]string {
		return func(l *lab, t target) [][]string {
			return [][]string{l.argv(t, "run", "--bundle", l.bundle(bundle), "bench")}
		}
	}
	one := func(args ...string) func(*lab, target) [][]string {
		return func(l *lab, t target) [][]string { return [][]string{l.argv(t, args...)} }
	}
	crowd := func(n int) func(context.Context, *lab) error {
		return func(ctx context.Context, l *lab) error { return l.crowd(ctx, n) }
	}
	return []benchCase{
		{name: "version", title: "version: --version", commands: one("--version")},
		{name: "run", title: "run: static true, default spec", commands: runs("run")},
		{name: "seccomp", title: "seccomp: static true, default spec and Docker's default profile", commands: runs("seccomp")},
		{name: "docker", title: "docker: static true, 25 mounts, masked paths, limits, Docker's default profile", commands: runs("docker")},
		{name: "userns", title: "userns: static true in a user namespace", commands: runs("userns")},
		{name: "engine", title: "engine: create + start + state + kill + delete --force", commands: engine},
		{name: "exec", title: "exec: static true in a running container", commands: one("exec", "live", "/bin/true")},
		{name: "busy", title: "busy: exec of static true in a container that keeps one processor busy", setup: startBusy,
			commands: one("exec", "busy", "/bin/true"), busy: true},
		{name: "parallel", title: "parallel: 8 runs of static true at once", setup: parallelBundles, commands: parallel, beside: true},
		{name: "state", title: "state: of a running container", commands: one("state", "live")},
		{name: "list", title: "list: one running container", commands: one("list")},
		{name: "list100", title: "list: 100 running containers", setup: crowd(100), commands: one("list")},
		{name: "many", title: fmt.Sprintf("many: list of %d running containers", o.many), setup: crowd(o.many), commands: one("list")},
		{name: "run-many", title: fmt.Sprintf("run-many: static true beside %d containers of each runtime", o.many), setup: crowd(o.many), commands: runs("run")},
	}
}

func caseNames(o options) string {
	var names []string
	for _, c := range cases(o) {
		names = append(names, c.name)
	}
	return strings.Join(names, ",")
}

// engine is what an engine does with a container that is stopped soon.
func engine(l *lab, t target) [][]string {
	return [][]string{
		l.argv(t, "create", "--bundle", l.bundle("hold"), "bench"), l.argv(t, "start", "bench"), l.argv(t, "state", "bench"),
		l.argv(t, "kill", "bench", "KILL"), l.argv(t, "delete", "--force", "bench"),
	}
}

const atOnce = 8

func parallelBundles(_ context.Context, l *lab) error {
	for i := range atOnce {
		if err := l.writeBundle("parallel-"+strconv.Itoa(i), []string{"/bin/true"}, nil); err != nil {
			return err
		}
	}
	return nil
}

func parallel(l *lab, t target) (commands [][]string) {
	for i := range atOnce {
		name := "parallel-" + strconv.Itoa(i)
		commands = append(commands, l.argv(t, "run", "--bundle", l.bundle(name), name))
	}
	return commands
}

// startBusy gives each target a container with a busy loop, stopped until its turn.
func startBusy(ctx context.Context, l *lab) error {
	for _, t := range l.targets {
		if err := l.writeBundle("busy-"+t.name, []string{"/bin/sh", "-c", "while :; do :; done"}, nil); err != nil {
			return err
		}
		if err := l.start(ctx, t, "busy", "busy-"+t.name); err != nil {
			return err
		}
		if err := l.signalBusy(t.name, syscall.SIGSTOP); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) signalBusy(name string, sig syscall.Signal) error {
	text, err := os.ReadFile(l.bundle("pid-busy-" + name))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	return syscall.Kill(pid, sig)
}

// crowd sees to it that each target has n containers besides "live". They share the host's network, as containers of a pod share
// one: to make and end thousands of network namespaces takes the kernel longer than all the rest.
func (l *lab) crowd(ctx context.Context, n int) error {
	for ; l.crowded < n; l.crowded++ {
		name := fmt.Sprintf("crowd-%04d", l.crowded)
		for _, t := range l.targets {
			bundle := name + "-" + t.name
			if err := l.writeBundle(bundle, []string{"/bin/hold"}, withoutNamespace("network")); err != nil {
				return err
			}
			if err := l.start(ctx, t, name, bundle); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lab) prepare(ctx context.Context, name string, o options) (result, error) {
	for _, c := range cases(o) {
		if c.name == name {
			return l.contenders(ctx, c)
		}
	}
	return result{}, fmt.Errorf("no case %q: %s", name, caseNames(o))
}

func (l *lab) contenders(ctx context.Context, c benchCase) (result, error) {
	r := result{name: c.name, title: c.title}
	if c.setup != nil {
		if err := c.setup(ctx, l); err != nil {
			return r, err
		}
	}
	for _, t := range l.targets {
		one := &contender{name: t.name, commands: c.commands(l, t), beside: c.beside}
		if c.busy {
			one.before = func() error { return l.signalBusy(t.name, syscall.SIGCONT) }
			one.after = func() error { return l.signalBusy(t.name, syscall.SIGSTOP) }
		}
		r.contenders = append(r.contenders, one)
	}
	floor, err := l.floor(c.name)
	if floor != nil {
		r.contenders = append(r.contenders, floor)
	}
	return r, err
}
