package cri

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestLifecycle(t *testing.T) {
	p := connect(t).run("pod")
	c := p.create("one", sleeper, func(config *v1.ContainerConfig) {
		config.WorkingDir, config.Args = "/tmp", []string{"an argument"}
		config.Envs = []*v1.KeyValue{{Key: "A", Value: "b"}}
	})
	c.is("state", c.status().State, v1.ContainerState_CONTAINER_CREATED)
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	c.is("state", c.status().State, v1.ContainerState_CONTAINER_RUNNING)
	c.is("the runtime's own state", c.state(c.id).Status, "running")
	c.is("variable and directory", c.sh("echo $A; pwd"), "b\n/tmp")
	if err := c.start(); err == nil {
		t.Error("it was started twice")
	}
	c.stop(10)
	c.is("exit code", c.status().ExitCode, 0)
	c.is("reason", c.status().Reason, "Completed")
	if _, err := c.runtime.RemoveContainer(t.Context(), &v1.RemoveContainerRequest{ContainerId: c.id}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/run/containerd/runc/k8s.io/" + c.id); !os.IsNotExist(err) {
		t.Errorf("its state is left: %v", err)
	}
	// Never started, and removed with its pod.
	p.create("two", sleeper)
}

// TestReasons: how a kubelet learns what became of a container.
func TestReasons(t *testing.T) {
	p := connect(t).run("pod")
	output, status := p.result("error", []string{"sh", "-c", "echo said; exit 9"})
	p.is("output", output, "said")
	p.is("exit code and reason", fmt.Sprintf("%d %s", status.ExitCode, status.Reason), "9 Error")
	_, status = p.result("memory", []string{"sh", "-c", "tail /dev/zero; sleep 1; exit 3"}, func(config *v1.ContainerConfig) {
		config.Linux.Resources.MemoryLimitInBytes = 16 << 20
	})
	p.is("exit code and reason", fmt.Sprintf("%d %s", status.ExitCode, status.Reason), "3 OOMKilled")

	for text, program := range map[string]string{"not found in $path": "no-such-program", "permission denied": "/etc/passwd"} {
		c := p.create(filepath.Base(program), []string{program})
		if err := c.start(); !says(err, text) {
			t.Errorf("start of %s: %v", program, err)
		}
		p.is("reason", c.status().Reason, "StartError")
	}
}

func TestStop(t *testing.T) {
	p := connect(t).run("pod")
	c := p.start("polite", []string{"sh", "-c", "trap 'exit 8' TERM; echo ready; while :; do sleep 0.1; done"})
	c.eventually("it is ready", func() bool { return len(c.lines("stdout")) > 0 })
	c.stop(20)
	c.is("exit code", c.status().ExitCode, 8)
	c = p.start("stubborn", []string{"sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"})
	c.eventually("it is ready", func() bool { return len(c.lines("stdout")) > 0 })
	c.stop(1)
	c.is("exit code", c.status().ExitCode, 137)
	c = p.start("family", []string{"sh", "-c", "sleep 1000 & sleep 1000 & wait"})
	c.stop(0)
	c.is("exit code", c.status().ExitCode, 137)
}

// cgroup reads a file of a container's cgroup.
func (c *container) cgroup(controller, file string) string {
	c.Helper()
	text := must[[]byte](c, "read a cgroup file")(os.ReadFile(filepath.Join("/sys/fs/cgroup", controller, c.config.Linux.CgroupParent, c.id, file)))
	return strings.TrimSpace(string(text))
}

// TestLimitsAndUpdate: an update is what in-place resize and the kubelet's CPU manager do.
func TestLimitsAndUpdate(t *testing.T) {
	c := connect(t).run("pod").start("one", sleeper, func(config *v1.ContainerConfig) {
		config.Linux.Resources = &v1.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512,
			MemoryLimitInBytes: 64 << 20, MemorySwapLimitInBytes: 64 << 20, CpusetCpus: "0", OomScoreAdj: 500}
	})
	c.is("memory", c.cgroup("memory", "memory.limit_in_bytes"), 64<<20)
	c.is("quota", c.cgroup("cpu", "cpu.cfs_quota_us"), 50000)
	c.is("shares", c.cgroup("cpu", "cpu.shares"), 512)
	c.is("cpuset", c.cgroup("cpuset", "cpuset.cpus"), 0)
	c.is("OOM score", c.sh("cat /proc/1/oom_score_adj"), 500)

	c.update(&v1.LinuxContainerResources{MemoryLimitInBytes: 96 << 20, MemorySwapLimitInBytes: 96 << 20, CpuQuota: 25000, CpuPeriod: 100000, CpuShares: 300})
	c.is("memory", c.cgroup("memory", "memory.limit_in_bytes"), 96<<20)
	c.is("quota", c.cgroup("cpu", "cpu.cfs_quota_us"), 25000)
	c.is("shares", c.cgroup("cpu", "cpu.shares"), 300)
	c.is("cpuset", c.cgroup("cpuset", "cpuset.cpus"), 0)
	c.update(&v1.LinuxContainerResources{CpusetCpus: "1"})
	c.is("cpuset", c.cgroup("cpuset", "cpuset.cpus"), 1)
	c.is("memory", c.cgroup("memory", "memory.limit_in_bytes"), 96<<20)
	c.update(&v1.LinuxContainerResources{MemoryLimitInBytes: 48 << 20, MemorySwapLimitInBytes: 48 << 20})
	c.is("memory", c.cgroup("memory", "memory.limit_in_bytes"), 48<<20)
	if _, err := c.runtime.UpdateContainerResources(t.Context(), &v1.UpdateContainerResourcesRequest{ContainerId: c.id,
		Linux: &v1.LinuxContainerResources{CpusetCpus: "77"}}); err == nil {
		t.Error("CPU 77 was taken")
	}
	c.is("cpuset", c.cgroup("cpuset", "cpuset.cpus"), 1)
	c.is("in it", c.sh("grep Cpus_allowed_list /proc/1/status | cut -f2"), 1)
}

func (c *container) update(resources *v1.LinuxContainerResources) {
	c.Helper()
	if _, err := c.runtime.UpdateContainerResources(c.Context(), &v1.UpdateContainerResourcesRequest{ContainerId: c.id, Linux: resources}); err != nil {
		c.Fatalf("UpdateContainerResources: %v", err)
	}
}

func TestStats(t *testing.T) {
	p := connect(t).run("pod")
	c := p.start("busy", []string{"sh", "-c", "while :; do :; done"})
	p.start("other", sleeper)
	used := func() uint64 {
		response := must[*v1.ContainerStatsResponse](t, "ContainerStats")(c.runtime.ContainerStats(t.Context(), &v1.ContainerStatsRequest{ContainerId: c.id}))
		if response.Stats.Memory.GetWorkingSetBytes().GetValue() == 0 {
			t.Error("no memory is used")
		}
		return response.Stats.Cpu.GetUsageCoreNanoSeconds().GetValue()
	}
	first := used()
	p.eventually("CPU time grows", func() bool { return used() > first })
	list := must[*v1.ListContainerStatsResponse](t, "ListContainerStats")(c.runtime.ListContainerStats(t.Context(),
		&v1.ListContainerStatsRequest{Filter: &v1.ContainerStatsFilter{PodSandboxId: p.id}}))
	p.is("containers in the list", len(list.Stats), 2)
}

func TestMounts(t *testing.T) {
	dir := scratch(t)
	if err := os.WriteFile(dir+"/file", []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	shared := scratch(t)
	if err := syscall.Mount("tmpfs", shared, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(shared, syscall.MNT_DETACH) })
	if err := syscall.Mount("", shared, "", syscall.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	c := connect(t).run("pod").start("one", sleeper, func(config *v1.ContainerConfig) {
		config.Linux.SecurityContext.Capabilities.AddCapabilities = []string{"SYS_ADMIN"}
		config.Linux.SecurityContext.Seccomp = &v1.SecurityProfile{ProfileType: v1.SecurityProfile_Unconfined}
		config.Mounts = []*v1.Mount{
			{HostPath: dir, ContainerPath: "/rw"},
			{HostPath: dir, ContainerPath: "/ro", Readonly: true},
			{HostPath: dir + "/file", ContainerPath: "/new/place/file"},
			{HostPath: shared, ContainerPath: "/private"},
			{HostPath: shared, ContainerPath: "/slave", Propagation: v1.MountPropagation_PROPAGATION_HOST_TO_CONTAINER},
			{HostPath: shared, ContainerPath: "/shared", Propagation: v1.MountPropagation_PROPAGATION_BIDIRECTIONAL},
		}
	})
	c.is("a file", c.sh("cat /new/place/file"), "data")
	c.sh("touch /rw/made && test -e /ro/made")
	_, code := c.try("touch", "/ro/made")
	c.is("exit code of a write to a read-only mount", code, 1)

	for _, from := range []string{"host", "container"} {
		made := shared + "/" + from
		if from == "host" {
			mustMount(t, made)
		} else {
			c.sh("mkdir /shared/container && mount -t tmpfs tmpfs /shared/container && touch /shared/container/file")
			must[os.FileInfo](t, "a mount of the container, on the host")(os.Stat(made + "/file"))
		}
		c.is("a mount of the "+from+" in /slave", c.sh("ls /slave/"+from), "file")
		c.is("a mount of the "+from+" in /shared", c.sh("ls /shared/"+from), "file")
		c.is("a mount of the "+from+" in /private", c.sh("ls /private/"+from), "")
	}
	c.sh("mkdir /slave/own && mount -t tmpfs tmpfs /slave/own && touch /slave/own/file")
	entries := must[[]os.DirEntry](t, "a slave's mount on the host")(os.ReadDir(shared + "/own"))
	c.is("what is below the mount point on the host", len(entries), 0)
}

func mustMount(t *testing.T, dir string) {
	t.Helper()
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = syscall.Mount("tmpfs", dir, "tmpfs", 0, "")
	}
	if err == nil {
		err = os.WriteFile(dir+"/file", nil, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDevices: of the kernel's log, for runtimes and containerd allow many others by themselves.
func TestDevices(t *testing.T) {
	p := connect(t).run("pod")
	device := func(permissions string) func(*v1.ContainerConfig) {
		return func(config *v1.ContainerConfig) {
			config.Linux.SecurityContext.Capabilities.AddCapabilities = []string{"SYSLOG"}
			config.Devices = []*v1.Device{{HostPath: "/dev/kmsg", ContainerPath: "/dev/other", Permissions: permissions}}
		}
	}
	read := p.start("read", sleeper, device("r"))
	read.sh("test -c /dev/other && : </dev/other")
	output, _ := read.try("sh", "-c", ": >/dev/other")
	p.has("a write to a device for reading", output, "Operation not permitted")
	write := p.start("write", sleeper, device("rwm"))
	write.sh(": >/dev/other; mknod /tmp/log c 1 11")
	none := p.start("none", sleeper) // every node may be made, and not opened
	output, _ = none.try("sh", "-c", "mknod /tmp/log c 1 11; : >/tmp/log")
	p.has("a device that was not given", output, "Operation not permitted")
}

// TestRestart: containers go on while containerd is away, and it takes them up again.
func TestRestart(t *testing.T) {
	c := connect(t).run("pod").start("stays", []string{"sh", "-c", "trap 'exit 8' TERM; while :; do date +%s%N; sleep 0.1; done"})
	ends := c.pod.start("ends", []string{"sh", "-c", "until test -e /dev/shm/end; do sleep 0.05; done; exit 7"})
	before := c.state(c.id)
	away := stopDaemon(c)
	lines := len(c.lines("stdout"))
	c.is("the runtime's own state", c.state(c.id).Status, "running")
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/root/dev/shm/end", before.Pid), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c.eventually("the other has ended", func() bool { return c.state(ends.id).Status == "stopped" })
	away()
	c.eventually("containerd is back", func() bool {
		_, err := c.runtime.Version(t.Context(), &v1.VersionRequest{})
		return err == nil
	})
	c.is("state", c.status().State, v1.ContainerState_CONTAINER_RUNNING)
	c.is("pid", c.state(c.id).Pid, before.Pid)
	c.is("exit code of the one that ended meanwhile", ends.wait().ExitCode, 7)
	c.is("exec", c.sh("echo in"), "in")
	c.eventually("the log goes on", func() bool { return len(c.lines("stdout")) > lines })
	c.update(&v1.LinuxContainerResources{MemoryLimitInBytes: 32 << 20})
	c.stop(10)
	c.is("exit code", c.status().ExitCode, 8)
}

// stopDaemon kills containerd without warning; what it returns lets the suite start it again. See cri.sh.
func stopDaemon(c *container) func() {
	c.Helper()
	hold := os.Getenv("SCRATCH") + "/hold"
	if err := os.WriteFile(hold, nil, 0o644); err != nil {
		c.Fatal(err)
	}
	text := must[[]byte](c, "containerd's pid")(os.ReadFile(os.Getenv("SCRATCH") + "/containerd.pid"))
	pid := must[int](c, "containerd's pid")(strconv.Atoi(strings.TrimSpace(string(text))))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		c.Fatal(err)
	}
	release := func() { os.Remove(hold) }
	c.Cleanup(release)
	c.eventually("containerd is gone", func() bool { return syscall.Kill(pid, 0) != nil })
	return release
}
