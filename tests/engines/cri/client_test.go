// Package cri uses containerd's CRI plugin as a kubelet does, by its gRPC API, with pods of a RuntimeClass handler whose
// runtime is the one under test. Called by tests/engines/run; the environment says where everything is.
package cri

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	endpoint = "unix:///run/containerd/containerd.sock"
	handler  = "rt" // the handler of docs/install.md, whichever runtime is under test
	image    = "docker.io/library/box:latest"
)

// A client is a connection to containerd and the test that uses it.
type client struct {
	*testing.T
	runtime v1.RuntimeServiceClient
	images  v1.ImageServiceClient
}

func connect(t *testing.T) *client {
	t.Helper()
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t, v1.NewRuntimeServiceClient(conn), v1.NewImageServiceClient(conn)}
}

// scratch is the directory that the suite throws away.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv("SCRATCH"), "cri")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// must is for calls that have to succeed.
func must[T any](t testing.TB, what string) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return value
	}
}

func (c *client) is(what string, got, want any) {
	c.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		c.Fatalf("%s is %q, want %q", what, fmt.Sprint(got), fmt.Sprint(want))
	}
}

func (c *client) has(what, text, part string) {
	c.Helper()
	if !strings.Contains(text, part) {
		c.Fatalf("%s has no %q: %q", what, part, text)
	}
}

// says looks into an error of the runtime; runtimes differ in capital letters.
func says(err error, part string) bool {
	return err != nil && strings.Contains(strings.ToLower(err.Error()), part)
}

// eventually waits for what the engine does in its own time.
func (c *client) eventually(what string, ok func() bool) {
	c.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.Fatalf("not within 20 s: %s", what)
		}
	}
}

// A pod is a sandbox that is there until the test ends.
type pod struct {
	*client
	id      string
	config  *v1.PodSandboxConfig
	removed bool
}

// podConfig is a pod of its own network namespace, as a kubelet describes it.
func podConfig(t *testing.T, name string) *v1.PodSandboxConfig {
	return &v1.PodSandboxConfig{
		Metadata:     &v1.PodSandboxMetadata{Name: name, Namespace: "default", Uid: name + "-" + strings.ToLower(t.Name()), Attempt: 0},
		Hostname:     name,
		LogDirectory: scratch(t),
		Labels:       map[string]string{"app": name},
		Annotations:  map[string]string{"note": "of the pod"},
		DnsConfig:    &v1.DNSConfig{Servers: []string{"192.0.2.53"}, Searches: []string{"cluster.test"}},
		Linux: &v1.LinuxPodSandboxConfig{
			CgroupParent: "/kubepods/" + strings.ToLower(t.Name()) + "-" + name,
			SecurityContext: &v1.LinuxSandboxSecurityContext{
				NamespaceOptions: &v1.NamespaceOption{Pid: v1.NamespaceMode_CONTAINER},
				Seccomp:          &v1.SecurityProfile{ProfileType: v1.SecurityProfile_RuntimeDefault},
			},
		},
	}
}

// run starts a pod; what is given changes its configuration before.
func (c *client) run(name string, change ...func(*v1.PodSandboxConfig)) *pod {
	c.Helper()
	config := podConfig(c.T, name)
	for _, f := range change {
		f(config)
	}
	ctx := c.Context()
	response, err := c.runtime.RunPodSandbox(ctx, &v1.RunPodSandboxRequest{Config: config, RuntimeHandler: handler})
	if err != nil {
		c.Fatalf("RunPodSandbox: %v", err)
	}
	p := &pod{client: c, id: response.PodSandboxId, config: config}
	c.Cleanup(p.remove)
	return p
}

// remove, once, is what a kubelet does when a pod is deleted. The test's own context is done by then.
func (p *pod) remove() {
	if p.removed {
		return
	}
	p.removed = true
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := p.runtime.StopPodSandbox(ctx, &v1.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
		p.Errorf("StopPodSandbox: %v", err)
	}
	if _, err := p.runtime.RemovePodSandbox(ctx, &v1.RemovePodSandboxRequest{PodSandboxId: p.id}); err != nil {
		p.Errorf("RemovePodSandbox: %v", err)
	}
}

func (p *pod) status() *v1.PodSandboxStatus {
	p.Helper()
	response := must[*v1.PodSandboxStatusResponse](p, "PodSandboxStatus")(
		p.runtime.PodSandboxStatus(p.Context(), &v1.PodSandboxStatusRequest{PodSandboxId: p.id}))
	return response.Status
}

func (p *pod) address() string { return p.status().GetNetwork().GetIp() }

// A container is one of a pod.
type container struct {
	*pod
	id  string
	log string
}

// sleeper is a container that does nothing until it is stopped, and then ends at once.
var sleeper = []string{"sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"}

// create makes a container and does not start it.
func (p *pod) create(name string, command []string, change ...func(*v1.ContainerConfig)) *container {
	p.Helper()
	config := &v1.ContainerConfig{
		Metadata: &v1.ContainerMetadata{Name: name},
		Image:    &v1.ImageSpec{Image: image},
		Command:  command,
		LogPath:  name + ".log",
		Linux: &v1.LinuxContainerConfig{
			Resources: &v1.LinuxContainerResources{},
			SecurityContext: &v1.LinuxContainerSecurityContext{
				NamespaceOptions: p.config.Linux.SecurityContext.NamespaceOptions,
				Capabilities:     &v1.Capability{},
				MaskedPaths:      []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"},
				ReadonlyPaths:    []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
				Seccomp:          &v1.SecurityProfile{ProfileType: v1.SecurityProfile_RuntimeDefault},
			},
		},
	}
	for _, f := range change {
		f(config)
	}
	response, err := p.runtime.CreateContainer(p.Context(),
		&v1.CreateContainerRequest{PodSandboxId: p.id, Config: config, SandboxConfig: p.config})
	if err != nil {
		p.Fatalf("CreateContainer: %v", err)
	}
	return &container{p, response.ContainerId, filepath.Join(p.config.LogDirectory, config.LogPath)}
}

// start makes a container and starts it.
func (p *pod) start(name string, command []string, change ...func(*v1.ContainerConfig)) *container {
	p.Helper()
	c := p.create(name, command, change...)
	if err := c.start(); err != nil {
		p.Fatalf("StartContainer: %v", err)
	}
	return c
}

func (c *container) start() error {
	_, err := c.runtime.StartContainer(c.Context(), &v1.StartContainerRequest{ContainerId: c.id})
	return err
}

func (c *container) status() *v1.ContainerStatus {
	c.Helper()
	response := must[*v1.ContainerStatusResponse](c, "ContainerStatus")(
		c.runtime.ContainerStatus(c.Context(), &v1.ContainerStatusRequest{ContainerId: c.id}))
	return response.Status
}

// wait is for its end.
func (c *container) wait() *v1.ContainerStatus {
	c.Helper()
	c.eventually("the container has ended", func() bool { return c.status().State == v1.ContainerState_CONTAINER_EXITED })
	return c.status()
}

// stop gives it so many seconds to end by itself.
func (c *container) stop(seconds int64) {
	c.Helper()
	if _, err := c.runtime.StopContainer(c.Context(), &v1.StopContainerRequest{ContainerId: c.id, Timeout: seconds}); err != nil {
		c.Fatalf("StopContainer: %v", err)
	}
}

// try executes a command in it: standard output and error together, and the exit code.
func (c *container) try(command ...string) (output string, code int32) {
	c.Helper()
	response, err := c.runtime.ExecSync(c.Context(), &v1.ExecSyncRequest{ContainerId: c.id, Cmd: command, Timeout: 20})
	if err != nil {
		c.Fatalf("ExecSync %q: %v", command, err)
	}
	return strings.TrimSpace(string(response.Stdout) + string(response.Stderr)), response.ExitCode
}

// sh is try for a shell's line that has to succeed.
func (c *container) sh(line string) string {
	c.Helper()
	output, code := c.try("sh", "-c", line)
	if code != 0 {
		c.Fatalf("exit code %d of %q: %s", code, line, output)
	}
	return output
}

// result runs a command as a container of its own, and is what it has written.
func (p *pod) result(name string, command []string, change ...func(*v1.ContainerConfig)) (output string, status *v1.ContainerStatus) {
	p.Helper()
	c := p.start(name, command, change...)
	status = c.wait()
	return strings.Join(c.lines("stdout"), "\n") + strings.Join(c.lines("stderr"), "\n"), status
}

// lines are what the container's log has of a stream: "TIME STREAM F|P TEXT".
func (c *container) lines(stream string) []string {
	c.Helper()
	text := must[[]byte](c, "read the log")(os.ReadFile(c.log))
	var lines []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4); len(fields) == 4 && fields[1] == stream {
			lines = append(lines, fields[3])
		}
	}
	return lines
}

var remove = flag.Bool("remove", false, "remove all pods before the tests")

func TestMain(m *testing.M) {
	flag.Parse()
	if *remove {
		if err := removeAll(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func removeAll() error {
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	runtime := v1.NewRuntimeServiceClient(conn)
	list, err := runtime.ListPodSandbox(ctx, &v1.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	for _, p := range list.Items {
		_, err = runtime.StopPodSandbox(ctx, &v1.StopPodSandboxRequest{PodSandboxId: p.Id})
		if err == nil {
			_, err = runtime.RemovePodSandbox(ctx, &v1.RemovePodSandboxRequest{PodSandboxId: p.Id})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
