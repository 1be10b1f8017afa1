package integration

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A lan is a network namespace of the test's own that stands for the host's: rt runs in it, so that the machine's
// devices are left alone. It has the device `left` with some addresses; `right` is its other end.
type lan struct {
	t    *testing.T
	name string
}

func newLan(t *testing.T, c *container) lan {
	t.Helper()
	needRoot(t, "network namespaces of the host are made")
	if out, _ := exec.Command("ip", "-V").Output(); !strings.Contains(string(out), "iproute2") {
		t.Skip("ip(8) is not iproute2's: busybox' has no netns")
	}
	l := lan{t, c.id}
	l.host("netns", "add", l.name)
	t.Cleanup(func() { l.host("netns", "del", l.name) })
	c.prefix = []string{"nsenter", "--net=/run/netns/" + l.name}
	l.ip("link add left type veth peer name right")
	l.ip("link set left mtu 1400 address 02:00:00:00:00:01 up")
	l.ip("link set right up")
	l.ip("addr add 10.9.8.1/24 dev left label left:a metric 77")
	l.ip("addr add 10.9.8.3/24 dev left")
	l.ip("addr add 10.7.0.1 peer 10.7.0.2/32 dev left")
	l.ip("addr add 10.6.0.1/24 dev left scope link")
	l.ip("addr add 2001:db8::1/64 dev left nodad")
	l.ip("addr add 2001:db8::2/64 dev left valid_lft 1000 preferred_lft 1000")
	return l
}

func (l lan) host(args ...string) string {
	l.t.Helper()
	return host(l.t, append([]string{"ip"}, args...)...)
}

// ip runs ip(8) in the lan.
func (l lan) ip(args string) string {
	l.t.Helper()
	return l.host(append([]string{"-n", l.name}, strings.Fields(args)...)...)
}

// addresses are those of a device, IPv6 link-local ones left out, in the words of ip(8).
func (l lan) addresses(dev string) string {
	l.t.Helper()
	return addresses(l.ip("-o addr show dev " + dev))
}

func addresses(out string) string {
	var list []string
	for _, line := range strings.Split(out, "\n") {
		f := strings.Fields(line)
		if len(f) < 4 || strings.HasPrefix(f[3], "fe80") {
			continue
		}
		list = append(list, strings.Join(f[3:6], " "))
	}
	return strings.Join(list, "; ")
}

const (
	allOfLeft    = "10.6.0.1/24 scope link; 10.9.8.1/24 metric 77; 10.7.0.1 peer 10.7.0.2/32; 10.9.8.3/24 scope global; 2001:db8::2/64 scope global; 2001:db8::1/64 scope global"
	globalOfLeft = "10.9.8.1/24 metric 77; 10.7.0.1 peer 10.7.0.2/32; 10.9.8.3/24 scope global; 2001:db8::1/64 scope global"
)

func netDevice(name, as string) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{name: {Name: as}} }
}

// inside runs ip in the container's network namespace.
func (l lan) inside(c *container, args ...string) string {
	l.t.Helper()
	return host(l.t, append([]string{"nsenter", "-t", pidText(c.pid()), "-n", "ip"}, args...)...)
}

func TestNetDevice(t *testing.T) {
	t.Parallel()
	c := newContainer(t, netDevice("left", "eth7"))
	l := newLan(t, c)
	c.create().ok()
	link := l.inside(c, "-o", "link", "show", "dev", "eth7")
	for _, want := range []string{"mtu 1400", "02:00:00:00:00:01", ",UP,"} {
		if !strings.Contains(link, want) {
			t.Errorf("the device lacks %q: %s", want, link)
		}
	}
	if got := addresses(l.inside(c, "-o", "addr", "show", "dev", "eth7")); got != globalOfLeft && !differs(t, "netDevices: addresses") {
		t.Errorf("addresses in the container:\n got %s\nwant %s", got, globalOfLeft)
	}
	if all := l.ip("-o link"); strings.Contains(all, "left") {
		t.Errorf("the device is still there: %s", all)
	}
	c.start().ok()
	c.exec("cat", "/sys/class/net/eth7/operstate").ok().prints("up")
	l.ip("addr add 10.9.8.2/24 dev right")
	l.ip("route get 10.9.8.1") // and the other end is still a device of the lan
	c.delete("--force").ok()
	eventually(t, "the end of the device", func() bool { return !strings.Contains(l.ip("-o link"), "right") })
}

func TestNetDeviceOwnName(t *testing.T) {
	t.Parallel()
	c := newContainer(t, netDevice("left", ""), args("ip", "-o", "addr", "show", "dev", "left"))
	newLan(t, c)
	if got := addresses(c.run().ok().stdout); !strings.HasPrefix(got, "10.9.8.1/24") {
		t.Errorf("addresses: %s", got)
	}
}

func TestNetDeviceUserNamespace(t *testing.T) {
	t.Parallel()
	c := newContainer(t, mapped, netDevice("left", "eth0"), args("ip", "-o", "addr", "show", "dev", "eth0"))
	newLan(t, c)
	if got := addresses(c.run().ok().stdout); !strings.HasPrefix(got, "10.9.8.1/24") {
		t.Errorf("addresses: %s", got)
	}
}

// TestNetDeviceSwap: names that are taken only for as long as another device is on its way.
func TestNetDeviceSwap(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("cat /sys/class/net/right/address; cat /sys/class/net/left/mtu"), func(s *specs.Spec) {
		s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"left": {Name: "right"}, "right": {Name: "left"}}
	})
	newLan(t, c)
	c.run().ok().prints("02:00:00:00:00:01\n1500")
}

// TestNetDeviceJoined: a network namespace that somebody else made, with devices of its own. What is moved into it
// stays there.
func TestNetDeviceJoined(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	l := newLan(t, c)
	pod := lan{t, c.id + "-pod"}
	l.host("netns", "add", pod.name)
	t.Cleanup(func() { l.host("netns", "del", pod.name) })
	pod.ip("link add left type veth peer name eth0")
	for i, ns := range c.spec.Linux.Namespaces {
		if ns.Type == specs.NetworkNamespace {
			c.spec.Linux.Namespaces[i].Path = "/run/netns/" + pod.name
		}
	}
	c.spec.Process.Args = []string{"cat", "/sys/class/net/eth1/mtu"}
	try := func(as string) result {
		netDevice("left", as)(c.spec)
		c.write()
		return c.run()
	}
	for as, taken := range map[string]string{"": "left", "eth0": "eth0", "lo": "lo"} {
		try(as).fails("file exists").rtError("move network device left (/linux/netDevices/left): there is a device " + taken + " in the container's network namespace: file exists")
		if got := l.addresses("left"); got != allOfLeft && !differs(t, "netDevices: a create that fails") {
			t.Errorf("addresses after an error:\n got %s\nwant %s", got, allOfLeft)
		}
	}
	rtOnly(t, "netDevices: a name with %d")
	try("eth%d").ok().prints("1400")
	if got := addresses(pod.ip("-o addr show dev eth1")); got != globalOfLeft && !differs(t, "netDevices: addresses") {
		t.Errorf("addresses in the namespace afterwards:\n got %s\nwant %s", got, globalOfLeft)
	}
}

// TestNetDeviceBack: a container that does not come to be gives back what it was given.
func TestNetDeviceBack(t *testing.T) {
	t.Parallel()
	c := newContainer(t, netDevice("left", "eth0"), args("/no/such/program"))
	l := newLan(t, c)
	back := func(when string) {
		t.Helper()
		if got := l.addresses("left"); got != globalOfLeft {
			t.Errorf("addresses after %s:\n got %s\nwant %s", when, got, globalOfLeft)
		}
		if link := l.ip("-o link show dev left"); !strings.Contains(link, ",UP,") {
			t.Errorf("%s after %s", link, when)
		}
	}
	l.ip("addr del 10.6.0.1/24 dev left") // would not be kept
	l.ip("addr del 2001:db8::2/64 dev left")
	c.create().fails("/no/such/program", "no such file or directory")
	rtOnly(t, "netDevices: a create that fails")
	back("a failed create")
	args("true")(c.spec)
	c.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}}
	c.write()
	c.create().fails("exit status 1")
	back("a failed hook")

	c.spec.Hooks = nil
	c.spec.Linux.NetDevices["nosuch0"] = specs.LinuxNetDevice{}
	c.write()
	c.create().fails("move network device nosuch0 (/linux/netDevices/nosuch0): no such device").oneError()
	back("a missing device")

	netDevice("lo", "lo1")(c.spec)
	c.write()
	c.create().fails("move network device lo (/linux/netDevices/lo): invalid argument", "does not let this kind of device leave").oneError()

	c.spec.Linux.Namespaces = append(c.spec.Linux.Namespaces[:1], c.spec.Linux.Namespaces[2:]...)
	c.write()
	c.create().fails("/linux/netDevices: moving network devices needs a network namespace").oneError()

	c.spec.Linux.Namespaces = append(c.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/run/netns/" + l.name})
	c.write()
	c.create().fails("move network devices (/linux/netDevices): the container is in rt's own network namespace").oneError()
	if _, err := os.Stat("/run/netns/" + l.name); err != nil {
		t.Error(err)
	}
}
