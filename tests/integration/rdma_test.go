package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rdmaDevice makes a device for RDMA out of a network device that is none, and gives the numbers of the device node by
// which programs use it.
func rdmaDevice(t *testing.T) (name string, major, minor int64) {
	t.Helper()
	needRoot(t, "a device is made")
	if kernelBefore(6, 2) {
		t.Skip("rdma_rxe of Linux 6.1 may panic when a device goes (list_del corruption)")
	}
	name = "rt-" + strconv.Itoa(os.Getpid())
	if out, err := hostCommand("ip", "link", "add", name, "type", "dummy"); err != nil {
		t.Skipf("no network device to make an RDMA device of: %v: %s", err, out)
	}
	t.Cleanup(func() { host(t, "ip", "link", "delete", name) })
	if out, err := hostCommand("rdma", "link", "add", name, "type", "rxe", "netdev", name); err != nil {
		t.Skipf("this kernel makes no RDMA device in software: %v: %s", err, out)
	}
	t.Cleanup(func() { host(t, "rdma", "link", "delete", name) })
	list, _ := filepath.Glob("/sys/class/infiniband_verbs/*/ibdev")
	for _, file := range list {
		if strings.TrimSpace(readAllOf(t, file)) == name {
			first, second, _ := strings.Cut(strings.TrimSpace(readAllOf(t, filepath.Join(filepath.Dir(file), "dev"))), ":")
			major, _ = strconv.ParseInt(first, 10, 64)
			minor, _ = strconv.ParseInt(second, 10, 64)
			return name, major, minor
		}
	}
	t.Fatalf("%s has no device node: %v", name, list)
	return "", 0, 0
}

// TestRDMA: both limits of a device, as the kernel has them and as they work, also when they change.
func TestRDMA(t *testing.T) {
	name, major, minor := rdmaDevice(t)
	handles, objects := uint32(2), uint32(3)
	c := newContainer(t, writable, capable("CAP_MKNOD"), limited(specs.LinuxResources{
		Rdma:    map[string]specs.LinuxRdma{name: {HcaHandles: &handles, HcaObjects: &objects}},
		Devices: []specs.LinuxDeviceCgroup{{Allow: true, Type: "c", Major: &major, Minor: &minor, Access: "rw"}},
	})).up()
	c.sh("mknod /verbs c " + strconv.FormatInt(major, 10) + " " + strconv.FormatInt(minor, 10))
	check := func(limits, effect string) {
		t.Helper()
		if list := c.cgroupFile("rdma", "rdma.max"); value(list, name) != limits {
			t.Errorf("rdma.max: %q, want %s", list, limits)
		}
		c.exec("probe", "rdma", "/verbs").ok().prints(effect)
	}
	check("hca_handle=2 hca_object=3", "2 contexts, 3 objects: Resource temporarily unavailable")
	c.do(call{args: []string{"update", "-r", "-", c.id}, stdin: strings.NewReader(`{"rdma":{"` + name + `":{"hcaObjects":1}}}`)}).ok()
	check("hca_handle=2 hca_object=1", "2 contexts, 1 objects: Resource temporarily unavailable")
}
