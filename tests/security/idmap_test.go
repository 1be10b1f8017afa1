package security

import (
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestIDMapOfJoined: a container has the user namespace of another one's first process. That process makes a user namespace of its
// own, in which an ordinary user of the container stands for the owner of root's files, and `mounts add` with idmap follows. The mount
// has the mapping of the container's user namespace, not that of the one which its path leads to by now. Succeeds against rt 4a850c2:
// the ordinary user owned root's files of the volume.
func TestIDMapOfJoined(t *testing.T) {
	pod := newVictim(t, mapped, asUser(1000), args("sh", "-c", "cat /go; exec busybox unshare -U -r sleep 1000"))
	must(t, unix.Mkfifo(pod.rootfs+"/go", 0o600))
	must(t, os.Chmod(pod.rootfs+"/go", 0o644))
	pod.up()
	proc := "/proc/" + strconv.Itoa(pod.pid())
	v := newVictim(t, func(v *victim) {
		v.spec.Linux.Namespaces = append(v.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: proc + "/ns/user"})
	})
	must(t, os.Mkdir(v.rootfs+"/volume", 0o755))
	v.up()
	must(t, os.WriteFile(pod.rootfs+"/go", nil, 0))
	eventually(t, "a user namespace of the pod's own", func() bool {
		text, err := os.ReadFile(proc + "/uid_map")
		must(t, err)
		return len(strings.Fields(string(text))) == 3 && strings.Fields(string(text))[1] == "201000"
	})
	v.mounts("add", specs.Mount{Destination: "/volume", Type: "bind", Source: v.outside + "/dir", Options: []string{"bind", "idmap"}}).ok(t)
	if r := v.rt("exec", v.id, "cat", "/volume/secret").ok(t); r.stdout != "the host's\n" {
		t.Errorf("root of the container has not the volume: %s", r)
	}
	if r := v.rt("exec", "--user", "1000", v.id, "cat", "/volume/secret"); r.code == 0 {
		t.Errorf("an ordinary user has root's file: %s", r)
	}
}
