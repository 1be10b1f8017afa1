// Package many runs very many containers at once: `make test-many`.
package many

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crowd is a set of containers that share a root file system and a --root directory.
type crowd struct {
	t    *testing.T
	rt   string
	dir  string
	made []string
}

// cost is what one call of rt takes, children that it has waited for included.
type cost struct{ wall, cpu time.Duration }

func (c *crowd) rtCommand(args ...string) cost {
	c.t.Helper()
	cmd := exec.Command(c.rt, append([]string{"--root", filepath.Join(c.dir, "r")}, args...)...)
	out, err := os.Create(filepath.Join(c.dir, "out"))
	c.must(err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out // a file: the containers keep it, and nobody waits for its end
	began := time.Now()
	err = cmd.Run()
	took := time.Since(began)
	if err != nil {
		text, _ := os.ReadFile(out.Name())
		c.t.Fatalf("rt %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return cost{took, time.Duration(usage.Utime.Nano() + usage.Stime.Nano())}
}

func (c *crowd) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *crowd) output() string {
	text, err := os.ReadFile(filepath.Join(c.dir, "out"))
	c.must(err)
	return string(text)
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("run this test as root")
	}
	rt, err := filepath.Abs("../../rt")
	if path := os.Getenv("RT"); path != "" {
		rt, err = filepath.Abs(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "rt-many-")
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{t: t, rt: rt, dir: dir}
	t.Cleanup(func() {
		for _, id := range c.made {
			c.rtCommand("delete", "--force", id)
		}
		if left, _ := filepath.Glob("/sys/fs/cgroup/*/rt-many-*"); len(left) > 0 {
			t.Errorf("%d cgroups are left: %s ...", len(left), left[0])
		}
		if left, _ := filepath.Glob("/sys/fs/cgroup/rt-many-*"); len(left) > 0 {
			t.Errorf("%d cgroups are left: %s ...", len(left), left[0])
		}
		c.must(os.RemoveAll(dir))
	})
	for _, sub := range []string{"rootfs/bin", "rootfs/proc", "rootfs/dev", "rootfs/sys"} {
		c.must(os.MkdirAll(filepath.Join(dir, sub), 0o755))
	}
	busybox, err := os.ReadFile("/bin/busybox")
	c.must(err)
	c.must(os.WriteFile(filepath.Join(dir, "rootfs/bin/busybox"), busybox, 0o755))
	c.must(os.Mkdir(filepath.Join(dir, "b"), 0o755))
	return c
}

// bundle writes the one bundle anew, for a container's own cgroup.
func (c *crowd) bundle(id string) string {
	dir := filepath.Join(c.dir, "b")
	namespaces := []map[string]string{}
	for _, kind := range []string{"pid", "network", "ipc", "uts", "mount"} {
		namespaces = append(namespaces, map[string]string{"type": kind})
	}
	data, err := json.Marshal(map[string]any{
		"ociVersion": "1.0.2",
		"process":    map[string]any{"args": []string{"/bin/busybox", "sleep", "100000"}, "cwd": "/", "user": map[string]int{"uid": 0, "gid": 0}},
		"root":       map[string]any{"path": filepath.Join(c.dir, "rootfs"), "readonly": true},
		"mounts": []map[string]any{
			{"destination": "/proc", "type": "proc", "source": "proc"},
			{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"mode=755", "size=64k"}},
			{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": []string{"ro"}},
		},
		"linux": map[string]any{
			"cgroupsPath": "/" + id, "namespaces": namespaces,
			"resources": map[string]any{"memory": map[string]int{"limit": 64 << 20}, "pids": map[string]int{"limit": 10}},
		},
	})
	c.must(err)
	c.must(os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644))
	return dir
}

func (c *crowd) create(id string) cost {
	c.t.Helper()
	dir := c.bundle(id)
	c.made = append(c.made, id)
	return c.rtCommand("create", "--bundle", dir, id)
}

func (c *crowd) delete(id string) cost {
	c.t.Helper()
	took := c.rtCommand("delete", "--force", id)
	c.made = slices.DeleteFunc(c.made, func(x string) bool { return x == id })
	return took
}

// sample makes, looks at and deletes one more container some times.
func (c *crowd) sample(n int, costs map[string][]cost) {
	c.t.Helper()
	for range n {
		id := fmt.Sprintf("rt-many-%d-extra", os.Getpid())
		costs["create"] = append(costs["create"], c.create(id))
		costs["state"] = append(costs["state"], c.rtCommand("state", id))
		costs["delete"] = append(costs["delete"], c.delete(id))
	}
}

func median(costs []cost, of func(cost) time.Duration) time.Duration {
	all := make([]time.Duration, len(costs))
	for i, c := range costs {
		all[i] = of(c)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// TestMany: the cost of one container does not grow with the number of those that are there.
func TestMany(t *testing.T) {
	many := 1000
	if text := os.Getenv("RT_MANY"); text != "" {
		many, _ = strconv.Atoi(text)
	}
	c := newCrowd(t)
	alone, crowded := map[string][]cost{}, map[string][]cost{}
	c.sample(3, map[string][]cost{}) // warm
	const rounds, samples = 2, 20
	for range rounds {
		c.sample(samples, alone)
		began := time.Now()
		for i := range many {
			c.create(fmt.Sprintf("rt-many-%d-%d", os.Getpid(), i))
		}
		t.Logf("create %d: %v", many, time.Since(began).Round(time.Millisecond))
		c.sample(samples, crowded)
		list := c.rtCommand("list", "--quiet")
		if n := len(strings.Fields(c.output())); n != many {
			t.Errorf("list: %d of %d", n, many)
		}
		t.Logf("list %d: %v", many, list.wall.Round(time.Millisecond))
		began = time.Now()
		for _, id := range slices.Clone(c.made) {
			c.delete(id)
		}
		t.Logf("delete %d: %v", many, time.Since(began).Round(time.Millisecond))
	}
	c.sample(samples, alone)
	for _, verb := range []string{"create", "state", "delete"} {
		for name, of := range map[string]func(cost) time.Duration{
			"wall": func(c cost) time.Duration { return c.wall }, "cpu": func(c cost) time.Duration { return c.cpu },
		} {
			a, b := median(alone[verb], of), median(crowded[verb], of)
			ratio := float64(b) / float64(a)
			t.Logf("%-6s %-4s  at 1: %8.3f ms  at %d: %8.3f ms  ratio %.2f", verb, name, ms(a), many, ms(b), ratio)
			// Waiting depends on what else the machine does.
			if name == "cpu" && verb != "delete" && ratio > 1.2 {
				t.Errorf("%s at %d costs %.2f times what it does at 1", verb, many, ratio)
			}
		}
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
