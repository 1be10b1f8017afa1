package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The neighbours: containers whose cgroups are shared, nested, and one below another. Every verb is called on them in any order, some at
// once, and rt is killed now and then in the middle. No process may die but of a container that a verb was to end.

// A watched is a process that must live until something names it.
type watched struct {
	pid   int
	begin string // when it was started, /proc/PID/stat
}

func watch(pid int) (watched, bool) {
	begin, alive := startOf(pid)
	return watched{pid, begin}, alive
}

// startOf is field 22; alive is false of a process that is gone or a zombie.
func startOf(pid int) (begin string, alive bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false
	}
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	return f[19], f[0] != "Z" && f[0] != "X"
}

func (w watched) lives() bool {
	begin, alive := startOf(w.pid)
	return alive && begin == w.begin
}

// A neighbour is one container. Verbs that name it come one after the other.
type neighbour struct {
	id, bundle string
	ownPids    bool // it has a pid namespace
	tree       *tree
	busy       sync.Mutex

	mu        sync.Mutex // for what the check of all looks at
	processes []watched
}

// mayDie is for before a verb that ends the container.
func (n *neighbour) mayDie() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.processes = nil
}

// A tree has one lock for who pauses a container: the others then see what those below it can do, and go on when it is resumed.
type tree struct {
	lock sync.RWMutex
	all  []*neighbour
}

type neighbourhood struct {
	*lab
	all     []*neighbour
	verbs   atomic.Int64
	killed  atomic.Int64
	started atomic.Int64
	mu      sync.Mutex
	counts  map[string]int // of verbs that succeeded
}

const neighbourTrees = 10

// newNeighbourhood makes the bundles: in each tree two containers have the same cgroup, one is below that, one below this one, and one
// beside them. Two of five have no pid namespace.
func newNeighbourhood(t *testing.T) *neighbourhood {
	h := &neighbourhood{lab: newLab(t), counts: map[string]int{}}
	for number := range neighbourTrees {
		base, tree := fmt.Sprintf("/%s/tree%d", h.id, number), &tree{}
		for i, below := range []string{"", "", "/a", "/a/b", "/c"} {
			n := &neighbour{id: fmt.Sprintf("%s-%d-%d", h.id, number, i), ownPids: (number+i)%5 > 1, tree: tree}
			n.bundle = filepath.Join(h.dir, n.id)
			spec := plain(n.id)
			spec.Process.Args = []string{"/bin/sh", "-c", "sleep 100000 & sleep 100000 & wait"}
			spec.Root.Path = filepath.Join(h.lab.bundle, "rootfs")
			spec.Linux.CgroupsPath = base + below
			spec.Linux.Resources.Memory, spec.Linux.Resources.Pids = nil, nil // theirs would be their neighbours' below
			if !n.ownPids {
				spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.PIDNamespace })
			}
			data, err := json.Marshal(spec)
			h.must(err)
			h.must(os.Mkdir(n.bundle, 0o755))
			h.must(os.WriteFile(filepath.Join(n.bundle, "config.json"), data, 0o644))
			h.all, tree.all = append(h.all, n), append(tree.all, n)
		}
	}
	t.Cleanup(func() {
		for range 2 { // one that is paused holds those below it
			for _, n := range h.all {
				h.rt("resume", n.id)
			}
			for _, n := range h.all {
				h.rt("delete", "--force", n.id)
			}
		}
		for _, dir := range cgroupMounts() {
			removeCgroups(filepath.Join(dir, h.id))
		}
	})
	return h
}

func removeCgroups(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeCgroups(filepath.Join(dir, e.Name()))
		}
	}
	_ = syscall.Rmdir(dir)
}

// ends are the verbs that end processes of the container that they name.
var ends = []string{"kill", "delete", "delete --force", "kill --all"}

// pause freezes a container, and with it those below it, has their verbs called, and thaws it.
func (h *neighbourhood) pause(rnd *rand.Rand, n *neighbour) error {
	n.tree.lock.Lock()
	defer n.tree.lock.Unlock()
	if h.rt("pause", n.id).code != 0 {
		return nil
	}
	h.count("pause")
	var errs []error
	for range 3 {
		other := n.tree.all[rnd.IntN(len(n.tree.all))]
		if other == n {
			continue
		}
		errs = append(errs, h.call(rnd, other, []string{"create", "run", "start", "state", "ps", "list", "exec", "kill 0", "update", "mounts"}[rnd.IntN(10)], false))
	}
	if r := h.rt("resume", n.id); r.code != 0 { // a kill from before has come to its end meanwhile
		if status, err := h.state(n); err != nil || status != specs.StateStopped {
			errs = append(errs, fmt.Errorf("%s: %s %w", r, status, err))
		}
		h.rt("delete", "--force", n.id) // which thaws what is below
	}
	return errors.Join(append(errs, h.losses())...)
}

func (h *neighbourhood) count(verb string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[verb]++
}

// act calls a verb on a container by chance.
func (h *neighbourhood) act(rnd *rand.Rand, n *neighbour) error {
	if rnd.IntN(20) == 0 {
		return h.pause(rnd, n)
	}
	n.tree.lock.RLock()
	defer n.tree.lock.RUnlock()
	n.busy.Lock()
	defer n.busy.Unlock()
	verbs := []string{"create", "create", "start", "start", "start", "run", "exec", "exec -d", "resume", "update", "ps", "state", "list", "top",
		"events", "mounts", "doctor", "kill 0", "kill", "kill --all", "delete", "delete --force"}
	verb := verbs[rnd.IntN(len(verbs))]
	n.mu.Lock()
	rests := n.processes == nil
	n.mu.Unlock()
	if rests && rnd.IntN(3) > 0 { // most of them run, most of the time
		verb = []string{"create", "start", "run", "run", "delete --force"}[rnd.IntN(5)]
	}
	return h.call(rnd, n, verb, rnd.IntN(5) == 0)
}

// call calls a verb, and kills rt somewhere in the middle of it if it is to.
func (h *neighbourhood) call(rnd *rand.Rand, n *neighbour, verb string, kill bool) error {
	args := map[string][]string{
		"create": {"create", "--bundle", n.bundle, n.id}, "run": {"run", "--detach", "--bundle", n.bundle, n.id}, "exec": {"exec", n.id, "/bin/true"},
		"exec -d": {"exec", "--detach", n.id, "/bin/sleep", "100000"}, "update": {"update", "--pids-limit", strconv.Itoa(900 + rnd.IntN(99)), n.id},
		"list": {"list"}, "events": {"events", "--stats", n.id}, "doctor": {"doctor"}, "mounts": {"mounts", "add", n.id, filepath.Join(h.dir, "mounts.json")},
		"kill 0": {"kill", n.id, "0"}, "kill": {"kill", n.id, "KILL"}, "kill --all": {"kill", "--all", n.id, "KILL"}, "delete": {"delete", n.id},
		"delete --force": {"delete", "--force", n.id},
	}[verb]
	if args == nil {
		args = []string{verb, n.id}
	}
	if slices.Contains(ends, verb) {
		n.mayDie()
	}
	cmd, out, errs := h.command(args...)
	if kill {
		delay := time.Duration(rnd.IntN(20_000)) * time.Microsecond
		h.killed.Add(1)
		err := orphans.Start(cmd)
		if err != nil {
			return err
		}
		timer := time.AfterFunc(delay, func() { _ = cmd.Process.Kill() })
		_ = orphans.Wait(cmd)
		timer.Stop()
		out.Close()
		errs.Close()
		return nil // a container that is started so is not watched
	}
	r := h.finish(cmd, args, out, errs)
	if err := oneError(r); r.code != 0 && verb != "exec" && verb != "doctor" && err != nil && !strings.Contains(r.stderr, "Incorrect Usage") {
		return fmt.Errorf("%w: %s", err, r)
	}
	if r.code != 0 {
		return nil
	}
	h.count(verb)
	if verb == "start" || verb == "run" {
		return h.watch(n)
	}
	return nil
}

func (h *neighbourhood) state(n *neighbour) (specs.ContainerState, error) {
	var s specs.State
	err := json.Unmarshal([]byte(h.ok("state", n.id).stdout), &s)
	return s.Status, err
}

// watch notes the processes of a container that was started now.
func (h *neighbourhood) watch(n *neighbour) error {
	var s specs.State
	if err := json.Unmarshal([]byte(h.ok("state", n.id).stdout), &s); err != nil {
		return err
	}
	init, alive := watch(s.Pid)
	if !alive {
		return fmt.Errorf("init of %s is dead, which was started a moment ago", n.id)
	}
	list := []watched{init}
	for range 500 { // its children come a little later; not while a neighbour above it is paused
		list = list[:1]
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", s.Pid, s.Pid))
		for _, text := range strings.Fields(string(children)) {
			pid, _ := strconv.Atoi(text)
			if w, alive := watch(pid); alive {
				list = append(list, w)
			}
		}
		if len(list) == 3 {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	n.mu.Lock()
	n.processes = list
	n.mu.Unlock()
	h.started.Add(1)
	return nil
}

// losses are containers with a process that is gone and that no verb has named.
func (h *neighbourhood) losses() error {
	var lost []error
	for _, n := range h.all {
		n.mu.Lock()
		for _, w := range n.processes {
			if !w.lives() {
				lost = append(lost, fmt.Errorf("process %d of %s (pid namespace of its own: %v) is dead", w.pid, n.id, n.ownPids))
				n.processes = nil
				break
			}
		}
		n.mu.Unlock()
	}
	return errors.Join(lost...)
}

// TestNeighbours: RT_NEIGHBOURS=10m goes on for so long; else a number of verbs decides.
func TestNeighbours(t *testing.T) {
	h := newNeighbourhood(t)
	h.must(os.WriteFile(filepath.Join(h.dir, "mounts.json"), []byte(`[{"destination":"/mnt","type":"tmpfs","source":"tmpfs"}]`), 0o644))
	most, end := int64(400), time.Time{}
	if text := os.Getenv("RT_NEIGHBOURS"); text != "" {
		d, err := time.ParseDuration(text)
		h.must(err)
		most, end = 1<<62, time.Now().Add(d)
	}
	// A process of the host's in each tree, which belongs to no container.
	var hosts []watched
	for tree := range neighbourTrees {
		cmd := exec.Command("/bin/sleep", "100000")
		h.must(orphans.Start(cmd))
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = orphans.Wait(cmd) })
		h.put(cmd.Process.Pid, fmt.Sprintf("%s/tree%d/host", h.id, tree))
		w, _ := watch(cmd.Process.Pid)
		hosts = append(hosts, w)
	}
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	var failed atomic.Bool
	for worker := range 3 {
		rnd := rand.New(rand.NewPCG(seed, uint64(worker)))
		wg.Go(func() {
			for !failed.Load() && h.verbs.Add(1) <= most && (end.IsZero() || time.Now().Before(end)) {
				n := h.all[rnd.IntN(len(h.all))]
				err := h.act(rnd, n)
				if err = errors.Join(err, h.losses()); err != nil {
					failed.Store(true)
					t.Errorf("after %d verbs: %v", h.verbs.Load(), err)
				}
			}
		})
	}
	wg.Wait()
	for _, w := range hosts {
		if !w.lives() {
			t.Errorf("a process of the host's is dead, which was in a cgroup beside the containers'")
		}
	}
	if failed.Load() {
		return
	}
	// One by one all are deleted, and those that are still there live.
	for _, n := range h.all {
		h.rt("resume", n.id)
	}
	for _, n := range h.all {
		n.mayDie()
		if r := h.rt("delete", "--force", n.id); r.code != 0 && !strings.Contains(r.stderr, "Failed to remove paths") {
			t.Errorf("%s", r)
		}
		if err := h.losses(); err != nil {
			t.Errorf("by delete --force %s: %v", n.id, err)
		}
	}
	if left, _ := os.ReadDir(h.root); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	t.Logf("%d verbs on %d containers, rt killed in %d, %d containers watched; successes %v", h.verbs.Load(), len(h.all), h.killed.Load(), h.started.Load(), h.counts)
}

// put moves a process into a cgroup, in each hierarchy.
func (h *neighbourhood) put(pid int, path string) {
	h.t.Helper()
	for _, mount := range cgroupMounts() {
		dir := mount
		for _, name := range strings.Split(path, "/") {
			values := map[string][]byte{}
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				values[file], _ = os.ReadFile(filepath.Join(dir, file))
			}
			dir = filepath.Join(dir, name)
			if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
				h.t.Fatal(err)
			}
			for file, value := range values { // a new v1 cpuset is empty
				if old, err := os.ReadFile(filepath.Join(dir, file)); err == nil && strings.TrimSpace(string(old)) == "" {
					_ = os.WriteFile(filepath.Join(dir, file), value, 0)
				}
			}
		}
		h.must(os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0))
	}
}
