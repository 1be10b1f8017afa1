package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"rt/cgroups"
	"rt/internal/names"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/facts"
	"rt/libcontainer/plan"
	"rt/libcontainer/stub"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Check finds everything that is wrong with a bundle, and what this host cannot do for it. Nothing is made.
func Check(dir string) (problems, host []bundle.Problem, err error) {
	b, err := bundle.Load(dir)
	if err != nil {
		return nil, nil, err
	}
	problems = append(b.Check(), bundle.UnknownFields(b.Raw)...)
	return problems, hostProblems(b), nil
}

// hostProblems looks for what the configuration names and this host does not have.
func hostProblems(b *bundle.Bundle) []bundle.Problem {
	h := &hostCheck{}
	s := withAll(b.Spec)
	if s.Root.Path != "" {
		if _, _, err := facts.Rootfs(b); err != nil {
			h.fail("/root/path", err)
		}
	}
	for i, m := range s.Mounts {
		if plan.IsBind(m) && m.Source != "" {
			source := m.Source
			if !filepath.IsAbs(source) {
				source = filepath.Join(b.Dir, source)
			}
			_, err := os.Stat(source)
			h.fail(fmt.Sprintf("/mounts/%d/source", i), err)
		}
	}
	h.fail(facts.LabelProblem(s))
	h.hooks(s.Hooks)
	h.linux(s)
	h.found = append(h.found, facts.OwnPrivileges().Problems(s)...)
	return h.found
}

// withAll is a configuration in which Process and Root are there, for a check that goes on after a problem.
func withAll(s *specs.Spec) *specs.Spec {
	all := *s
	if all.Process == nil {
		all.Process = new(specs.Process)
	}
	if all.Root == nil {
		all.Root = new(specs.Root)
	}
	return &all
}

type hostCheck struct{ found []bundle.Problem }

func (h *hostCheck) fail(pointer string, err error) {
	if err != nil {
		h.found = append(h.found, bundle.Problem{Pointer: pointer, Text: err.Error()})
	}
}

// pointed is fail for an error that may begin with its own pointer.
func (h *hostCheck) pointed(otherwise string, err error) {
	if err == nil {
		return
	}
	if pointer, text, ok := strings.Cut(err.Error(), ": "); ok && strings.HasPrefix(pointer, "/") {
		otherwise, err = pointer, errors.New(text)
	}
	h.fail(otherwise, err)
}

func (h *hostCheck) hooks(all *specs.Hooks) {
	for _, kind := range []struct {
		name string
		list []specs.Hook
	}{ // startContainer's lie in the container
		{"prestart", all.Prestart}, //nolint:staticcheck // deprecated, and still to be run
		{"createRuntime", all.CreateRuntime}, {"createContainer", all.CreateContainer},
		{"poststart", all.Poststart}, {"poststop", all.Poststop},
	} {
		for i, hook := range kind.list {
			if err := unix.Access(hook.Path, unix.X_OK); err != nil {
				h.fail(fmt.Sprintf("/hooks/%s/%d/path", kind.name, i), fmt.Errorf("execute %s: %w", hook.Path, err))
			}
		}
	}
}

func (h *hostCheck) linux(s *specs.Spec) {
	for i, ns := range s.Linux.Namespaces {
		pointer := fmt.Sprintf("/linux/namespaces/%d", i)
		if ns.Path != "" {
			f, err := stub.OpenNamespace(plan.Input{Kind: plan.Namespace, Path: ns.Path, Type: plan.NamespaceFlag(ns.Type), NotHosts: plan.NotHosts(s, ns.Type)})
			h.fail(pointer+"/path", err)
			if f != nil {
				f.Close()
			}
			continue
		}
		if file := plan.NamespaceFile(ns.Type); file != "" {
			if _, err := os.Stat("/proc/self/ns/" + file); errors.Is(err, os.ErrNotExist) {
				h.fail(pointer+"/type", fmt.Errorf("this kernel has no %s namespaces", ns.Type))
			}
		}
	}
	for _, key := range plan.SortedKeys(s.Linux.Sysctl) {
		if _, err := os.Stat("/proc/sys/" + plan.SysctlPath(key)); err != nil {
			h.fail("/linux/sysctl/"+key, fmt.Errorf("this kernel has no sysctl %s", key))
		}
	}
	if s.Process.Capabilities != nil {
		h.capabilities(s)
	}
	host, err := cgroups.Probe()
	h.fail("/linux/cgroupsPath", err)
	if err == nil {
		h.cgroup(host, s.Linux)
	}
	if fs, err := sys.ReadKernelFile("/proc/sys/kernel/osrelease", 256); err == nil {
		h.kernel(string(fs))
	}
}

func (h *hostCheck) capabilities(s *specs.Spec) {
	if bundle.HasNamespace(s, specs.UserNamespace) {
		return
	}
	own := facts.OwnPrivileges()
	for i, name := range s.Process.Capabilities.Bounding {
		for n, known := range names.Capabilities() {
			if name == known && !own.Has(uint(n)) {
				h.found = append(h.found, bundle.Problem{Warning: true,
					Pointer: fmt.Sprintf("/process/capabilities/bounding/%d", i), Text: name + " cannot be granted, for rt does not have it"})
			}
		}
	}
}

func (h *hostCheck) cgroup(host *cgroups.Host, l *specs.Linux) {
	cg, err := cgroups.New(host, l.CgroupsPath, "ID")
	h.fail("/linux/cgroupsPath", err)
	h.controllers(host, l.Resources)
	if err == nil {
		h.pointed("/linux/resources", cg.Check(l.Resources))
	}
}

func (h *hostCheck) controllers(host *cgroups.Host, r *specs.LinuxResources) {
	for _, c := range []struct {
		used        bool
		name, field string
	}{
		{r.Memory != nil, "memory", "memory"}, {r.CPU != nil, "cpu", "cpu"}, {r.Pids != nil, "pids", "pids"},
		{r.BlockIO != nil, "blkio", "blockIO"}, {len(r.HugepageLimits) > 0, "hugetlb", "hugepageLimits"},
		{len(r.Rdma) > 0, "rdma", "rdma"},
	} {
		if c.used && !host.Has(c.name) {
			h.fail("/linux/resources/"+c.field, fmt.Errorf("cgroup controller %s is not available", c.name))
		}
	}
}

// kernel states the floor: openat2, mount_setattr, CLONE_INTO_CGROUP, close_range, cgroup.kill.
func (h *hostCheck) kernel(release string) {
	if err := CheckKernel(release); err != nil {
		h.fail("", err)
	}
}

// CheckKernel says whether a kernel release, as in uname(2), is one that rt runs on.
func CheckKernel(release string) error {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n == 2 && (major < 5 || major == 5 && minor < 14) {
		return fmt.Errorf("kernel %d.%d is older than 5.14, the oldest that rt runs on", major, minor)
	}
	return nil
}
