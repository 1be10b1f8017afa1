package fault

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// slabs are kernel objects of which a container has some and a leak would leave one or more a cycle.
var slabs = []string{"mnt_cache", "net_namespace", "kernfs_node_cache", "cred_jar", "pid", "task_struct", "nsproxy", "sock_inode_cache",
	"proc_inode_cache", "shmem_inode_cache", "filp", "mm_struct", "signal_cache", "pid_namespace", "uts_namespace", "bpf"}

// census counts what the host has of everything that a container takes.
func census() map[string]int {
	n := map[string]int{}
	data, _ := os.ReadFile("/proc/slabinfo")
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 2 && (slices.Contains(slabs, f[0])) {
			n["slab "+f[0]], _ = strconv.Atoi(f[1])
		}
	}
	data, _ = os.ReadFile("/proc/sys/fs/file-nr")
	if f := strings.Fields(string(data)); len(f) > 0 {
		n["open files"], _ = strconv.Atoi(f[0])
	}
	data, _ = os.ReadFile("/proc/self/mountinfo")
	n["mounts"] = strings.Count(string(data), "\n")
	data, _ = os.ReadFile("/proc/cgroups")
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 4 && f[0][0] != '#' {
			n["cgroups of "+f[0]], _ = strconv.Atoi(f[2])
		}
	}
	data, _ = os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && (f[0] == "SUnreclaim:" || f[0] == "KernelStack:" || f[0] == "Percpu:") {
			n["KiB "+strings.TrimSuffix(f[0], ":")], _ = strconv.Atoi(f[1])
		}
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	n["descriptors of this process"] = len(fds)
	return n
}

// settle waits for what the kernel frees by and by: dead cgroups, network namespaces.
func settle() map[string]int {
	_ = os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
	least := census()
	for range 10 {
		time.Sleep(250 * time.Millisecond) // the kernel says nowhere when it is done
		for k, v := range census() {
			least[k] = min(least[k], v)
		}
	}
	return least
}

// grown is what there is more of than others on the host account for.
func grown(before, after map[string]int, cycles int) (names []string) {
	for _, k := range slices.Sorted(maps.Keys(after)) {
		limit := cycles/4 + 300
		if strings.HasPrefix(k, "KiB") {
			limit = cycles*4 + 16<<10
		}
		if after[k]-before[k] > limit {
			names = append(names, k)
		}
	}
	return names
}

// TestSoak: RT_SOAK cycles of create, start, exec, kill and delete, four at a time. The host has afterwards what it had
// before, within a quarter of an object a cycle (others work on it, too), and the last cycles take as long as the first.
func TestSoak(t *testing.T) {
	cycles, _ := strconv.Atoi(os.Getenv("RT_SOAK"))
	if cycles == 0 {
		cycles = 60 // which shows that it works, and a leak of many a cycle
	}
	const workers = 4
	l := newLab(t)
	soak(t, l, workers*10, workers) // what is made once: caches, the first cgroup of each kind
	before := settle()
	began := time.Now()
	took := soak(t, l, cycles, workers)
	wall := time.Since(began)
	after := settle()
	for range 20 { // what others hold is let go some time, what has leaked is not
		if len(grown(before, after, cycles)) == 0 {
			break
		}
		for k, v := range settle() {
			after[k] = min(after[k], v)
		}
	}
	if left, _ := os.ReadDir(l.root); len(left) > 0 {
		t.Errorf("%d containers are left", len(left))
	}
	for _, k := range slices.Sorted(maps.Keys(after)) {
		t.Logf("%-32s %8d -> %8d", k, before[k], after[k])
	}
	for _, k := range grown(before, after, cycles) {
		t.Errorf("%s: %d more after %d cycles", k, after[k]-before[k], cycles)
	}
	third := len(took) / 3
	first, last := took[:third], took[len(took)-third:]
	for _, q := range []struct {
		name  string
		per   int
		limit float64
	}{{"p50", 50, 2}, {"p99", 99, 3}} {
		a, b := quantile(first, q.per), quantile(last, q.per)
		t.Logf("%s of a cycle: %v in the first third, %v in the last", q.name, a.Round(time.Millisecond), b.Round(time.Millisecond))
		if float64(b) > q.limit*float64(a) {
			t.Errorf("%s drifts from %v to %v", q.name, a, b)
		}
	}
	t.Logf("%d cycles with %d workers in %v", cycles, workers, wall.Round(time.Second))
}

func quantile(list []time.Duration, per int) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)*per/100]
}

// soak goes through cycles and gives what each took, in their order.
func soak(t *testing.T, l *lab, cycles, workers int) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	next := 0
	for w := range workers {
		own := *l
		own.id = l.id + "-" + strconv.Itoa(w)
		own.bundle = filepath.Join(l.dir, "b"+strconv.Itoa(w))
		if err := os.MkdirAll(own.bundle, 0o755); err != nil {
			t.Fatal(err)
		}
		own.spec = plain(own.id)
		own.spec.Root.Path = filepath.Join(l.bundle, "rootfs")
		own.write()
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				mu.Lock()
				next++
				done := next > cycles
				mu.Unlock()
				if done || t.Failed() {
					return
				}
				began := time.Now()
				for _, args := range [][]string{{"create", "--bundle", own.bundle, own.id}, {"start", own.id}, {"exec", own.id, "/bin/true"},
					{"kill", own.id, "KILL"}, {"delete", "--force", own.id}} {
					if r := own.rt(args...); r.code != 0 {
						t.Errorf("%s", r)
						own.rt("delete", "--force", own.id)
						return
					}
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	return took
}
