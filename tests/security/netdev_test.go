package security

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestForgedNetDevice: create moves a device of the host to a network namespace that a neighbour with CAP_NET_ADMIN shares, and fails.
// Meanwhile the neighbour has deleted it and put one of his in its place, with its number, name and address, and with its other end
// in his hands. It must not come to the host under the name and with the addresses of the host's. The neighbour's work is done by a
// hook, so that it is always in time.
func TestForgedNetDevice(t *testing.T) {
	if out, _ := exec.Command("ip", "-V").Output(); !strings.Contains(string(out), "iproute2") {
		t.Skip("ip(8) is not iproute2's")
	}
	for _, c := range []struct {
		name, make string // the host's device
		attack     string // on it, in the pod; $index is its number there
		back       bool   // it is the host's own and comes back
	}{
		{"nothing done", "link add left type veth peer name right", "", true},
		{"renamed", "link add left type veth peer name right", "ip link set left down; ip link set left name other", true},
		{"its address changed", "link add left type veth peer name right", "ip link set left address 02:00:00:00:00:99", true},
		{"a veth for a veth", "link add left type veth peer name right",
			"ip link del left; ip link add left index $index address 02:00:00:00:00:01 type veth peer name evil index 77", false},
		{"a veth for a macvlan", "link add left link base type macvlan",
			"ip link del left; ip link add left index $index address 02:00:00:00:00:01 type veth peer name evil index 77", false},
		{"a macvlan for a macvlan", "link add left link base type macvlan",
			"ip link del left; ip link add left link pod index $index address 02:00:00:00:00:01 type macvlan", false},
		{"a macvlan", "link add left link base type macvlan", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVictim(t, args("true"))
			h := newFakeHost(v)
			pod := exec.Command("unshare", "--net", "sleep", "1000")
			must(t, pod.Start())
			t.Cleanup(func() { _ = pod.Process.Kill(); _ = pod.Wait() })
			pid := strconv.Itoa(pod.Process.Pid)
			eventually(t, "the pod's namespace", func() bool {
				comm, _ := os.ReadFile("/proc/" + pid + "/comm")
				return string(comm) == "sleep\n"
			})
			ip := func(args string) string { return h.tells(strings.Fields("ip " + args)...) }
			ip("link add base type veth peer name base2")
			ip("link set base up")
			ip(c.make)
			ip("link set left address 02:00:00:00:00:01 up")
			ip("addr add 10.9.8.1/24 dev left")
			in := func(script string) string { return "nsenter --net=/proc/" + pid + "/ns/net sh -ec '" + script + "'\n" }
			v.file("hook", "#!/bin/sh\n"+in("ip link add index 70 name pod type veth peer name pod2 index 71; ip link set pod up; index=$(cat /sys/class/net/left/ifindex 2>/dev/null || ip -o link show left | cut -d: -f1); "+
				c.attack)+"exit 1\n", 0o755)
			v.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: v.dir + "/hook", Env: os.Environ()}}}
			v.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"left": {}}
			joins(v, specs.NetworkNamespace, "/proc/"+pid+"/ns/net")
			v.write()
			r := v.do(call{args: v.with("create"), exe: h.rt})
			if r.code == 0 {
				t.Fatal(r)
			}
			links := ip("-d -o link show")
			here := strings.Contains(links, ": left@") || strings.Contains(links, ": left:")
			if here != c.back {
				t.Errorf("left is on the host: %v, want %v\n%s\n%s", here, c.back, links, r)
			}
			if c.back && !strings.Contains(ip("-o link show left"), "02:00:00:00:00:01") {
				t.Errorf("left has another address\n%s", ip("-o link show left"))
			}
			if strings.Contains(links, ": rt-") {
				t.Errorf("a device with a passing name is left on the host\n%s", links)
			}
			if addresses := ip("-o addr show"); strings.Contains(addresses, "10.9.8.1") != c.back {
				t.Errorf("the addresses are on the host: %v\n%s", !c.back, addresses)
			}
			if !c.back && !strings.Contains(r.stderr, "network device left stays in network namespace /proc/"+pid+"/ns/net: ") {
				t.Errorf("it is not said that it stays: %s", r)
			}
		})
	}
}
