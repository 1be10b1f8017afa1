package netdev

import (
	"testing"

	"rt/internal/sys"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestToMove: a device counts as moved only if rt's namespace has none of its name and the other has one of the name that was asked for.
func TestToMove(t *testing.T) {
	path := namespaces(t)
	here, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer here.close()
	ns, err := sys.OpenNamespace(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	there, err := openIn(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer there.close()
	for _, name := range []string{"both", "here"} {
		add(t, here, name)
	}
	for _, name := range []string{"both", "eth9", "there"} {
		add(t, there, name)
	}
	for name, c := range map[string]struct {
		as     string
		toMove bool
	}{"both": {"", true}, "here": {"eth9", true}, "moved": {"eth9", false}, "there": {"", false}, "none": {"", true}, "gone": {"eth%d", true}} {
		left, err := ToMove(map[string]specs.LinuxNetDevice{name: {Name: c.as}}, path)
		if _, toMove := left[name]; err != nil || toMove != c.toMove {
			t.Errorf("%s as %q: to be moved %v, want %v; %v", name, c.as, toMove, c.toMove, err)
		}
	}
	if _, err := ToMove(nil, "/proc/thread-self/ns/net"); err == nil {
		t.Error("rt's own namespace is taken for the container's")
	}
}
