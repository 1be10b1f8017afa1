package integration

import (
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ownedByUser makes a configuration one that an ordinary user can run: root inside is the user outside, and the other
// ids are those of /etc/subuid and /etc/subgid.
func ownedByUser(s *specs.Spec) {
	if !ordinaryUser() {
		return
	}
	namespace(specs.UserNamespace, "")(s)
	ids := func(self int) []specs.LinuxIDMapping {
		return []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(self), Size: 1}, {ContainerID: 1, HostID: subID, Size: 65535}}
	}
	s.Linux.Resources.Devices = nil // programs for them need privileges
	s.Linux.UIDMappings, s.Linux.GIDMappings = ids(os.Getuid()), ids(os.Getgid())
}

const subID = 100000

// outside is what the host calls an id of the container, other than root's, that a configuration of ownedByUser has.
func outside(id int) string {
	if ordinaryUser() {
		id += subID - 1
	}
	return strconv.Itoa(id)
}

// needsRoot says what of a test an ordinary user cannot do, where it is the runtime that would do it. What the test
// itself may not do leaves it out, too: see must and hold.
var needsRoot = map[string]string{
	"TestNewNamespaces":        "be without a user namespace",
	"TestJoinEach":             joinsOther,
	"TestTimeNamespace":        joinsOther,
	"TestJoinMix":              joinsOther,
	"TestJoinDeadPidNamespace": joinsOther,
}

const joinsOther = "join a namespace that belongs to another user namespace than the container's"

// skipForUser leaves out a test that needs root.
func skipForUser(t *testing.T) {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	if reason, found := needsRoot[name]; found && ordinaryUser() {
		t.Skip("an ordinary user cannot: " + reason)
	}
}
