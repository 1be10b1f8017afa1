package configs

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rt/tests/reaper"
)

//go:embed testdata
var testdata embed.FS

// names are configurations as engines write them: of Docker 20.10 (one of them --privileged), Podman 4.3, containerd's CRI plugin (a
// pod's sandbox and a container), rt spec, one with what the specification has besides, and one with nearly nothing.
var names = []string{"docker", "privileged", "podman", "cri", "sandbox", "spec", "rootless", "rich", "bare"}

var orphans = reaper.New()

func TestMain(m *testing.M) {
	if text := os.Getenv(jobVariable); text != "" {
		if err := work(text); err != nil {
			fmt.Fprintln(os.Stderr, "configs:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A verdict is what a worker says of one case.
type verdict struct {
	Case    int
	Problem string // "" if all is well
	How     string // what was changed
	Config  string // if there is a problem
	Checked bool   // check has found no problem
	Created bool
	Started bool
	Said    string // by create or start
}

// TestConfigurations: whatever a configuration says, each verb ends in time, without a trace; nothing is left; and what check finds
// no fault with is no configuration that plan or create finds one with.
//
// RT_CONFIGS=N is how many, RT_FUZZ_SEED which, RT_FUZZ_CASE=N makes case N alone, RT_CONFIGS_LIMIT=10s has slow calls fail.
func TestConfigurations(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("these tests start containers: run them as root")
	}
	count, seed := number(t, "RT_CONFIGS", 200), uint64(number(t, "RT_FUZZ_SEED", int(time.Now().UnixNano()&0xffffff)))
	first := number(t, "RT_FUZZ_CASE", -1)
	limit := 2 * time.Minute
	if text := os.Getenv("RT_CONFIGS_LIMIT"); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("RT_FUZZ_SEED=%d, %d configurations", seed, count)
	rt := os.Getenv("RT")
	if rt == "" {
		rt = "../../rt"
	}
	rt, err := filepath.Abs(rt)
	if err != nil {
		t.Fatal(err)
	}
	workers := max(2, runtime.NumCPU())
	if first >= 0 {
		workers, count = 1, first+1
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var done, failed, checked, created, started int
	for w := range workers {
		j := job{Stage: 1, RT: rt, Seed: seed, First: w, Step: workers, Count: count, Limit: limit}
		if first >= 0 {
			j.First = first
		}
		all.Go(func() {
			err := runWorker(t, j, fmt.Sprintf("rt-configs-%d-%d", os.Getpid(), w), func(v *verdict) {
				mu.Lock()
				defer mu.Unlock()
				done++
				checked, created, started = checked+one(v.Checked), created+one(v.Created), started+one(v.Started)
				if v.Checked && !v.Created && os.Getenv("RT_CONFIGS_TELL") != "" {
					t.Logf("case %d: %s%s", v.Case, v.Said, v.How)
				}
				if failed += one(v.Problem != ""); v.Problem != "" && failed <= 20 {
					t.Errorf("RT_FUZZ_SEED=%d RT_FUZZ_CASE=%d: %s\n%s\n%s", seed, v.Case, v.Problem, v.How, v.Config)
				}
			})
			if err != nil {
				t.Errorf("worker %d: %v", w, err)
			}
		})
	}
	all.Wait()
	t.Logf("%d configurations: %d without a problem to check, %d created, %d started", done, checked, created, started)
	if want := count; first < 0 && done != want {
		t.Errorf("%d cases were run, want %d", done, want)
	}
	if first < 0 && count >= 100 && (created < count/20 || checked-created > count/2) {
		t.Errorf("too few containers were made to say anything: %d of %d", created, count)
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// runWorker starts a worker, and hands on what it says. Whatever happens, its cgroups are removed and its processes end with it.
func runWorker(t *testing.T, j job, name string, each func(*verdict)) (err error) {
	if j.Dir, err = os.MkdirTemp("/tmp", "rt-configs-"); err != nil {
		return err
	}
	defer os.RemoveAll(j.Dir) // the tmpfs is in the worker's mount namespace only
	if j.Hierarchy, err = hierarchies(name); err != nil {
		_ = removeAll(j.Hierarchy)
		return err
	}
	enableAll(j.Hierarchy)
	data, err := json.Marshal(j)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	var errs bytes.Buffer
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{jobVariable + "=" + string(data)}
	cmd.ExtraFiles, cmd.Stderr = []*os.File{w}, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // whose death Pdeathsig is about
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	w.Close()
	if err == nil {
		d := json.NewDecoder(r)
		for {
			v := new(verdict)
			if derr := d.Decode(v); derr != nil {
				if derr != io.EOF {
					err = derr
				}
				break
			}
			each(v)
		}
		if werr := cmd.Wait(); werr != nil {
			err = fmt.Errorf("%w: %s", werr, errs.String())
		}
	}
	if rerr := removeAll(j.Hierarchy); err == nil {
		err = rerr
	}
	return err
}

// cases makes the job's cases.
func (j *job) cases() error {
	if err := orphans.Begin(); err != nil {
		return err
	}
	var docs []any
	for _, name := range names {
		raw, err := testdata.ReadFile("testdata/" + name + ".json")
		if err != nil {
			return err
		}
		docs = append(docs, parse(raw))
	}
	out := json.NewEncoder(os.NewFile(3, "verdicts"))
	before := j.picture()
	for n := j.First; n < j.Count; n += j.Step {
		v, err := j.one(n, docs, before)
		if err != nil {
			return fmt.Errorf("case %d: %w", n, err)
		}
		if err := out.Encode(v); err != nil {
			return err
		}
	}
	return nil
}

// one makes one case. Those that come first are the configurations as they are.
func (j *job) one(n int, docs []any, before []string) (*verdict, error) {
	rnd := rand.New(rand.NewPCG(j.Seed, uint64(n)))
	v := &verdict{Case: n}
	doc := copyOf(docs[n%len(docs)])
	v.How = names[n%len(names)]
	if n >= len(docs) {
		for range 1 + rnd.IntN(3) {
			v.How += "; " + mutate(rnd, doc, docs)
		}
	}
	dir := fmt.Sprint("/tmp/c", n)
	config, err := bundle(dir, text(doc))
	if err != nil {
		return nil, err
	}
	if v.Problem, err = j.verbs(dir, v); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil && v.Problem == "" {
		v.Problem = err.Error()
	}
	for deadline := time.Now().Add(j.Limit); ; time.Sleep(2 * time.Millisecond) {
		left := difference(before, j.picture())
		if !slices.ContainsFunc(left, func(line string) bool { return !strings.HasPrefix(line, "cgroup ") }) {
			j.removeParents(left)
			break
		}
		if time.Now().After(deadline) || v.Problem != "" && time.Now().After(deadline.Add(5*time.Second-j.Limit)) {
			v.Problem = strings.TrimSpace(v.Problem + "\nleft: " + strings.Join(left, ", "))
			j.sweep(before)
			break
		}
	}
	if n < len(docs) && v.Problem == "" && !v.Started {
		v.Problem = "a configuration that an engine writes does not start: " + v.Said
	}
	if v.Problem != "" {
		v.Config = string(config)
	}
	return v, nil
}

func (j *job) removeParents(lines []string) {
	entries, _ := os.ReadDir("/run") // which can be a rootfs
	for _, e := range entries {
		if e.Name() != "rt.lock" {
			_ = os.RemoveAll("/run/" + e.Name())
		}
	}
	for _, line := range lines {
		_ = removeTree(strings.TrimPrefix(line, "cgroup "))
	}
}

func difference(before, after []string) (left []string) {
	counts := map[string]int{}
	for _, line := range before {
		counts[line]++
	}
	for _, line := range after {
		if counts[line]--; counts[line] < 0 {
			left = append(left, line)
		}
	}
	for line, n := range counts {
		if n > 0 {
			left = append(left, "no more: "+line)
		}
	}
	return left
}

// sweep makes the sandbox as it was, for the next case.
func (j *job) sweep(before []string) {
	for range 100 {
		_ = syscall.Kill(-1, syscall.SIGKILL) // all in this pid namespace but the worker, its PID 1
		for _, line := range difference(before, j.picture()) {
			if dir, ok := strings.CutPrefix(strings.TrimPrefix(line, "container's "), "cgroup "); ok {
				_ = removeTree(dir)
			}
		}
		if len(difference(before, j.picture())) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// bundle makes a bundle with a rootfs, what an engine mounts from the host, and the configuration.
func bundle(dir string, config []byte) ([]byte, error) {
	rootfs, host := dir+"/b/rootfs", dir+"/host"
	for _, d := range []string{"", "/bin", "/dev", "/etc", "/proc", "/sys", "/tmp", "/run", "/data"} {
		if err := errors.Join(os.MkdirAll(rootfs+d, 0o755), os.Chmod(rootfs+d, 0o777)); err != nil { // engines give it to the container's root
			return nil, err
		}
	}
	for _, d := range []string{host + "/volume/below", host + "/shm", dir + "/root"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	for _, f := range []string{host + "/resolv.conf", host + "/hostname", host + "/hosts", host + "/volume/file", rootfs + "/etc/hosts", rootfs + "/etc/passwd"} {
		if err := os.WriteFile(f, nil, 0o644); err != nil {
			return nil, err
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(rootfs+"/bin/busybox", busybox, 0o755); err != nil {
		return nil, err
	}
	for _, name := range []string{"sh", "sleep", "true"} {
		if err := os.Symlink("busybox", rootfs+"/bin/"+name); err != nil {
			return nil, err
		}
	}
	for word, path := range map[string]string{"@ROOTFS@": rootfs, "@HOST@": host, "@HOOK@": "/bin/hook"} {
		config = bytes.ReplaceAll(config, []byte(word), []byte(path))
	}
	return config, os.WriteFile(dir+"/b/config.json", config, 0o644)
}

// pointed is an error that begins with the place in the configuration: one of check's.
var pointed = regexp.MustCompile(`(?m)^rt: (/[a-zA-Z]|decode config.json)`)

// verbs calls each verb, and says what is wrong with what rt did.
func (j *job) verbs(dir string, v *verdict) (problem string, err error) {
	do := func(args ...string) (c call, fine bool) {
		if problem != "" || err != nil {
			return c, false
		}
		if c, err = j.rt(dir, args...); err != nil {
			return c, false
		}
		said := c.stdout + c.stderr
		switch {
		case c.late:
			problem = "not done in time: " + c.String()
		case strings.Contains(said, "goroutine ") || strings.Contains(said, "panic:") || strings.Contains(said, "a bug in rt"):
			problem = "a bug: " + c.String()
		case args[0] != "exec" && c.code != 0 && c.code != 1:
			problem = "odd exit status: " + c.String()
		case args[0] != "exec" && args[0] != "check" && c.code != 0 && strings.TrimSpace(c.stderr) == "":
			problem = "no reason given: " + c.String()
		}
		return c, problem == "" && c.code == 0
	}
	wrong := func(c call, what string) {
		if problem == "" && err == nil {
			problem = what + ": " + c.String()
		}
	}
	_, v.Checked = do("check", dir+"/b")
	if c, fine := do("plan", dir+"/b"); !fine && v.Checked {
		wrong(c, "check finds no problem, and plan does")
	}
	c, fine := do("create", "--bundle", dir+"/b", "c")
	v.Created = fine
	if v.Said = c.stderr; !fine {
		if v.Checked && pointed.MatchString(c.stderr) {
			wrong(c, "check finds no problem, and create one that check looks for")
		}
		if left, _ := os.ReadDir(dir + "/root"); len(left) > 0 && problem == "" && err == nil {
			wrong(c, "create failed and left its directory")
		}
		return problem, err
	}
	do("state", "c")
	c, v.Started = do("start", "c")
	v.Said += c.stderr
	do("exec", "c", "/bin/true")
	do("list")
	if c, fine := do("delete", "--force", "c"); !fine {
		wrong(c, "delete --force fails")
	}
	if left, _ := os.ReadDir(dir + "/root"); len(left) > 0 {
		wrong(c, "delete --force left the container's directory")
	}
	return problem, err
}

// A mutated configuration is JSON, and no mutation loses the document.
func TestMutationsAreJSON(t *testing.T) {
	var docs []any
	for _, name := range names {
		raw, err := testdata.ReadFile("testdata/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, parse(raw))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	kinds := map[string]bool{}
	for range 3000 {
		doc := copyOf(docs[rnd.IntN(len(docs))])
		kinds[strings.Fields(mutate(rnd, doc, docs))[0]] = true
		if raw := text(doc); !json.Valid(raw) {
			t.Fatalf("not JSON: %s", raw)
		}
	}
	for _, want := range []string{"delete", "repeat", "swap", "replace", "take"} {
		if !kinds[want] {
			t.Errorf("no mutation %q in 3000: %v", want, kinds)
		}
	}
	if !slices.Contains(names, "docker") {
		t.Error("no configuration of Docker's")
	}
}
