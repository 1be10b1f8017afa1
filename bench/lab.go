package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A lab is everything a benchmark makes: a scratch directory, cgroups, bundles, the two C programs. close removes it.
type lab struct {
	targets     []target
	dir         string      // scratch
	rootfs      string      // shared, read-only
	config      []byte      // the default spec, the same for all
	hierarchies []hierarchy // every mounted cgroup hierarchy
	group       string      // name of the cgroup that all containers are below, in every hierarchy
	running     []container // what close ends
	crowded     int         // how many containers of the crowd each target has
}

// A container of a target that was started and stays.
type container struct {
	target
	id string
}

// A hierarchy is a cgroup mount. controllers is the v1 list ("cpu", "systemd" for a named one), or "v2".
type hierarchy struct{ controllers, point string }

func newLab(ctx context.Context, targets []target) (*lab, error) {
	dir, err := os.MkdirTemp("/tmp", "rt-bench.")
	if err != nil {
		return nil, err
	}
	l := &lab{targets: targets, dir: dir, group: "rt-test-bench-" + strconv.Itoa(os.Getpid())}
	for _, step := range []func(context.Context) error{l.takeControllersFromV2, l.makeGroups, l.buildPrograms, l.makeBundles, l.proveTargets} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	return l, nil
}

// command is a process that ends with its whole process group when ctx does.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := command(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(append([]string{name}, args...), " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// takeControllersFromV2 mounts, on a hybrid host, the controllers that v2 has as v1 hierarchies: crun refuses to run
// otherwise. The mounts are in our own namespace; the controllers go back to v2 when they and their cgroups are gone.
func (l *lab) takeControllersFromV2(context.Context) error {
	if err := l.findHierarchies(); err != nil {
		return err
	}
	v2 := slices.IndexFunc(l.hierarchies, func(h hierarchy) bool { return h.controllers == "v2" })
	if v2 < 0 || len(l.hierarchies) == 1 || l.target("crun") == nil {
		return nil
	}
	controllers, err := os.ReadFile(filepath.Join(l.hierarchies[v2].point, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(controllers)) {
		point := filepath.Join(l.dir, "cgroup-"+controller)
		if err := os.Mkdir(point, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount("cgroup", point, "cgroup", 0, controller); err != nil {
			return fmt.Errorf("mount %s as cgroup v1 (crun needs it; EBUSY: a v2 cgroup uses it): %w", controller, err)
		}
	}
	return l.findHierarchies()
}

func (l *lab) target(name string) *target {
	if i := slices.IndexFunc(l.targets, func(t target) bool { return t.name == name }); i >= 0 {
		return &l.targets[i]
	}
	return nil
}

func (l *lab) findHierarchies() error {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer f.Close()
	l.hierarchies = nil
	for lines := bufio.NewScanner(f); lines.Scan(); {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		point, fs := strings.Fields(before)[4], strings.Fields(after)
		switch fs[0] {
		case "cgroup2":
			l.hierarchies = append(l.hierarchies, hierarchy{"v2", point})
		case "cgroup":
			// The super options are "rw,cpu,cpuacct" or "rw,name=systemd"; no runtime uses another named one.
			_, controllers, _ := strings.Cut(fs[2], ",")
			if name, named := strings.CutPrefix(controllers, "name="); !named || name == "systemd" {
				l.hierarchies = append(l.hierarchies, hierarchy{strings.TrimPrefix(controllers, "name="), point})
			}
		}
	}
	if len(l.hierarchies) == 0 {
		return errors.New("no cgroup hierarchy is mounted")
	}
	return nil
}

// makeGroups makes the parent of all containers' cgroups, so that none of the runtimes pays for it.
func (l *lab) makeGroups(context.Context) error {
	for _, h := range l.hierarchies {
		dir := filepath.Join(h.point, l.group)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if h.controllers != "cpuset" {
			continue
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(h.point, file))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, file), value, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// floorGroups are the floor's arguments for the cgroup called name, in the hierarchies for which use says yes.
func (l *lab) floorGroups(name string, use func(dir string) bool) []string {
	var args []string
	for _, h := range l.hierarchies {
		if dir := filepath.Join(h.point, l.group, name); use(dir) {
			args = append(args, h.controllers+":"+dir)
		}
	}
	return args
}

func (l *lab) buildPrograms(ctx context.Context) error {
	triplet, err := output(ctx, "gcc", "-print-multiarch")
	if err != nil {
		return err
	}
	for _, name := range []string{"floor", "measure"} {
		if _, err := output(ctx, "musl-gcc", "-static", "-Os", "-s", "-std=gnu11", "-Wall", "-Wextra", "-Werror",
			"-idirafter", "/usr/include", "-idirafter", "/usr/include/"+triplet,
			"-o", filepath.Join(l.dir, name), filepath.Join("bench", name+".c")); err != nil {
			return err
		}
	}
	return nil
}

// makeBundles writes the bundle that is run again and again, and one for each target's long-lived container. They
// differ in the cgroup and in the program.
func (l *lab) makeBundles(ctx context.Context) (err error) {
	if l.rootfs, err = output(ctx, "scripts/rootfs", "busybox"); err != nil {
		return err
	}
	spec := filepath.Join(l.dir, "spec")
	if err := os.Mkdir(spec, 0o755); err != nil {
		return err
	}
	writer := l.targets[0]
	if runc := l.target("runc"); runc != nil {
		writer = *runc
	}
	if _, err := output(ctx, writer.path, "spec", "--bundle", spec); err != nil {
		return err
	}
	if l.config, err = os.ReadFile(filepath.Join(spec, "config.json")); err != nil {
		return err
	}
	if err := l.mountRoots(); err != nil {
		return err
	}
	for _, t := range l.targets {
		if err := os.Mkdir(l.rootOf(t), 0o700); err != nil {
			return err
		}
		if err := l.writeBundle("live-"+t.name, []string{"/bin/hold"}, nil); err != nil {
			return err
		}
	}
	for name, change := range map[string]change{"run": nil, "seccomp": dockerSeccomp, "docker": l.likeDocker, "userns": l.inUserNamespace} {
		if err := l.writeBundle(name, []string{"/bin/true"}, change); err != nil {
			return err
		}
	}
	return l.writeBundle("hold", []string{"/bin/hold"}, nil)
}

// mountRoots puts the directories of states on a tmpfs, as /run is on every host that has one.
func (l *lab) mountRoots() error {
	dir := filepath.Join(l.dir, "roots")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755")
}

func (l *lab) rootOf(t target) string { return filepath.Join(l.dir, "roots", t.name) }

// writeBundle makes or replaces the bundle called name; its cgroup has the same name. change may edit the config.
func (l *lab) writeBundle(name string, args []string, change change) error {
	var config map[string]any
	if err := json.Unmarshal(l.config, &config); err != nil {
		return err
	}
	process, linux := config["process"].(map[string]any), config["linux"].(map[string]any)
	process["terminal"], process["args"] = false, args
	config["root"].(map[string]any)["path"] = l.rootfs
	linux["cgroupsPath"] = "/" + l.group + "/" + name
	if change != nil {
		if err := change(config, process, linux); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(l.dir, name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.dir, name, "config.json"), text, 0o644)
}

func (l *lab) bundle(name string) string { return filepath.Join(l.dir, name) }

// argv is a command line of t with a root directory of its own.
func (l *lab) argv(t target, args ...string) []string {
	return append([]string{t.path, "--root", l.rootOf(t)}, args...)
}

// proveTargets runs a container that says something and ends with a status of its own: a runtime that refuses
// quickly would otherwise be the fastest.
func (l *lab) proveTargets(ctx context.Context) error {
	script := []string{"/bin/sh", "-c", `test "$$" = 1 && test -c /dev/null && echo contained; exit 42`}
	for _, t := range l.targets {
		if err := l.writeBundle("prove", script, nil); err != nil {
			return err
		}
		argv := l.argv(t, "run", "--bundle", l.bundle("prove"), "prove")
		var complaint bytes.Buffer
		cmd := command(ctx, argv[0], argv[1:]...)
		cmd.Stderr = &complaint
		out, err := cmd.Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 42 || string(out) != "contained\n" {
			return fmt.Errorf("%s does not run containers here: run of `echo contained; exit 42` printed %q: %v: %s",
				t.name, out, err, complaint.Bytes())
		}
	}
	return nil
}

// describe says on what machine and with which versions this was measured.
func (l *lab) describe() string {
	var uts syscall.Utsname
	_ = syscall.Uname(&uts) // cannot fail with a valid buffer
	var release []byte
	for _, c := range uts.Release {
		if c == 0 {
			break
		}
		release = append(release, byte(c))
	}
	cgroup := "v1"
	for i, h := range l.hierarchies {
		if h.controllers == "v2" {
			cgroup = "hybrid"
			if len(l.hierarchies) == 1 && i == 0 {
				cgroup = "v2"
			}
		}
	}
	// The load of the last minute says whether the machine had something else to do.
	load, _ := os.ReadFile("/proc/loadavg")
	minute, _, _ := strings.Cut(string(load), " ")
	lines := []string{fmt.Sprintf("Linux %s, %s, %d CPUs (%.1f at once), cgroup %s, load before %s, %s", release, runtime.GOARCH, runtime.NumCPU(),
		cpusAtOnce(), cgroup, minute, time.Now().UTC().Format("2006-01-02"))}
	for _, t := range l.targets {
		out, err := exec.Command(t.path, "--version").Output()
		if err != nil {
			out = []byte(err.Error())
		}
		first, _, _ := strings.Cut(string(out), "\n")
		lines = append(lines, t.name+": "+first)
	}
	return strings.Join(lines, "\n") + "\n"
}
