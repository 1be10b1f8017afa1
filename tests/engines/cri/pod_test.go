package cri

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cri-api/pkg/apis/runtime/v1"
)

// rotate is what a kubelet does with a log that has become long.
func rotate(c *container) {
	c.Helper()
	if err := os.Rename(c.log, c.log+".1"); err != nil {
		c.Fatal(err)
	}
	if _, err := c.runtime.ReopenContainerLog(c.Context(), &v1.ReopenContainerLogRequest{ContainerId: c.id}); err != nil {
		c.Fatalf("ReopenContainerLog: %v", err)
	}
}

// state is what the runtime under test itself says, so that it is seen to be the one that runs them.
func (c *client) state(id string) (state struct {
	Pid    int
	Status string
}) {
	c.Helper()
	command := exec.Command(os.Getenv("RUNTIME"), "--root", "/run/containerd/runc/k8s.io", "state", id)
	if err := json.Unmarshal(must[[]byte](c, command.String())(command.Output()), &state); err != nil {
		c.Fatal(err)
	}
	return state
}

func TestSandbox(t *testing.T) {
	p := connect(t).run("pod")
	s := p.status()
	p.is("state", s.State, v1.PodSandboxState_SANDBOX_READY)
	p.is("handler", s.RuntimeHandler, handler)
	p.is("label", s.Labels["app"], "pod")
	p.is("annotation", s.Annotations["note"], "of the pod")
	p.is("the runtime's own state", p.state(p.id).Status, "running")
	if !strings.HasPrefix(s.GetNetwork().GetIp(), "10.88.") {
		t.Fatalf("the address %q is not of docs/install.md's network", s.GetNetwork().GetIp())
	}
	list := must[*v1.ListPodSandboxResponse](t, "ListPodSandbox")(p.runtime.ListPodSandbox(t.Context(),
		&v1.ListPodSandboxRequest{Filter: &v1.PodSandboxFilter{LabelSelector: map[string]string{"app": "pod"}}}))
	p.is("pods in the list", len(list.Items), 1)
	_, err := p.runtime.RunPodSandbox(t.Context(), &v1.RunPodSandboxRequest{Config: podConfig(t, "other"), RuntimeHandler: "no-such-handler"})
	if err == nil || !strings.Contains(err.Error(), "no-such-handler") {
		t.Fatalf("a handler that is not there: %v", err)
	}
	if _, err := p.runtime.StopPodSandbox(t.Context(), &v1.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
		t.Fatal(err)
	}
	p.is("state after stop", p.status().State, v1.PodSandboxState_SANDBOX_NOTREADY)
}

// namespaces is a change of both the pod and, by way of it, its containers.
func namespaces(options *v1.NamespaceOption) func(*v1.PodSandboxConfig) {
	return func(config *v1.PodSandboxConfig) { config.Linux.SecurityContext.NamespaceOptions = options }
}

func (c *container) namespace(kind string) string {
	c.Helper()
	return c.sh("readlink /proc/self/ns/" + kind)
}

// TestSharedNamespaces: what the containers of a pod have in common, in each of the modes.
func TestSharedNamespaces(t *testing.T) {
	client := connect(t)
	p := client.run("apart")
	one, two := p.start("one", sleeper), p.start("two", sleeper)
	for _, kind := range []string{"net", "ipc", "uts"} {
		p.is("namespace "+kind, one.namespace(kind), two.namespace(kind))
		if host := must[string](t, "readlink")(os.Readlink("/proc/self/ns/" + kind)); host == one.namespace(kind) {
			t.Errorf("the pod has the host's %s namespace", kind)
		}
	}
	p.is("hostname", one.sh("hostname"), "apart")
	if one.namespace("pid") == two.namespace("pid") || one.namespace("mnt") == two.namespace("mnt") {
		t.Error("the containers have a pid or mount namespace in common")
	}
	one.sh("ipcmk -M 100 2>/dev/null || true; touch /dev/shm/common")
	two.sh("test -e /dev/shm/common")

	p = client.run("shared", namespaces(&v1.NamespaceOption{Pid: v1.NamespaceMode_POD}))
	one, two = p.start("one", []string{"sleep", "5432"}), p.start("two", sleeper)
	p.is("namespace pid", one.namespace("pid"), two.namespace("pid"))
	two.has("what two sees", two.sh("ps"), "sleep 5432")
	debug := p.start("debug", sleeper, func(config *v1.ContainerConfig) {
		config.Linux.SecurityContext.NamespaceOptions = &v1.NamespaceOption{Pid: v1.NamespaceMode_TARGET, TargetId: one.id}
	})
	p.is("namespace pid of a target", debug.namespace("pid"), one.namespace("pid"))
	one.stop(0)

	p = client.run("host", namespaces(&v1.NamespaceOption{
		Pid: v1.NamespaceMode_NODE, Network: v1.NamespaceMode_NODE, Ipc: v1.NamespaceMode_NODE}),
		func(config *v1.PodSandboxConfig) { config.Hostname = "" })
	one = p.start("one", sleeper)
	for _, kind := range []string{"net", "ipc", "uts", "pid"} {
		p.is("namespace "+kind, one.namespace(kind), must[string](t, "readlink")(os.Readlink("/proc/self/ns/"+kind)))
	}
	one.stop(0)
}

func server(p *pod) *container {
	return p.start("server", []string{"sh", "-c", "mkdir /w; echo page of $HOSTNAME >/w/index.html; exec httpd -f -p 80 -h /w"})
}

// TestNetwork: the pod's interface is made by the standard plugins of CNI; it is gone with the pod.
func TestNetwork(t *testing.T) {
	client := connect(t)
	one := client.run("one", func(config *v1.PodSandboxConfig) {
		config.PortMappings = []*v1.PortMapping{{Protocol: v1.Protocol_TCP, ContainerPort: 80, HostPort: 8088}}
	})
	two := client.run("two")
	server(one)
	asks := two.start("client", sleeper)
	asks.has("eth0", asks.sh("ip -4 addr show eth0"), two.address()+"/16")
	asks.has("DNS", asks.sh("cat /etc/resolv.conf"), "nameserver 192.0.2.53")
	fetch := fmt.Sprintf("wget -qO- http://%s/", one.address())
	asks.eventually("pod to pod", func() bool { _, code := asks.try("sh", "-c", fetch); return code == 0 })
	asks.is("the page", asks.sh(fetch), "page of one")
	client.is("pod from the host", get(client, one.address()+":80"), "page of one")
	asks.is("the port on the host's address", asks.sh("wget -qO- http://10.88.0.1:8088/"), "page of one")

	before := devices(t)
	if !leased(t, two.id) {
		t.Error("no lease has the pod's id")
	}
	two.remove()
	client.is("network devices with the pod removed", devices(t), before-1)
	client.eventually("the address is free again", func() bool { return !leased(t, two.id) })
}

// leased says whether host-local has an address for the pod.
func leased(t *testing.T, id string) bool {
	t.Helper()
	for _, file := range must[[]string](t, "leases")(filepath.Glob("/var/lib/cni/networks/pods/10.*")) {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), id) {
			return true
		}
	}
	return false
}

func get(c *client, address string) string {
	c.Helper()
	response := must[*http.Response](c, "get "+address)(http.Get("http://" + address + "/"))
	defer response.Body.Close()
	var text [64]byte
	n, _ := response.Body.Read(text[:])
	return strings.TrimSpace(string(text[:n]))
}

// devices is how many veth ends the host has.
func devices(t *testing.T) (n int) {
	t.Helper()
	for _, device := range must[[]net.Interface](t, "network devices")(net.Interfaces()) {
		if strings.HasPrefix(device.Name, "veth") {
			n++
		}
	}
	return n
}

func TestSysctls(t *testing.T) {
	p := connect(t).run("pod", func(config *v1.PodSandboxConfig) {
		config.Linux.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "81", "kernel.shm_rmid_forced": "1", "kernel.msgmax": "4096"}
	})
	c := p.start("one", sleeper)
	p.is("port start", c.sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), 81)
	p.is("shm_rmid_forced", c.sh("cat /proc/sys/kernel/shm_rmid_forced"), 1)
	p.is("msgmax", c.sh("cat /proc/sys/kernel/msgmax"), 4096)
	_, code := c.try("sh", "-c", "echo 1 >/proc/sys/kernel/msgmax")
	p.is("exit code of a write to a sysctl", code, 1)

	config := podConfig(t, "wrong")
	config.Linux.Sysctls = map[string]string{"kernel.panic": "1"}
	if _, err := p.runtime.RunPodSandbox(t.Context(), &v1.RunPodSandboxRequest{Config: config, RuntimeHandler: handler}); err == nil {
		t.Fatal("a sysctl of the whole machine was set")
	}
}
