package security

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOtherUsers: an ordinary user of the host can neither read what rt keeps, nor change it, nor start or end a
// container that waits for its start.
func TestOtherUsers(t *testing.T) {
	v := newVictim(t)
	v.create().ok(t)
	dir := filepath.Join(v.dir, "root", v.id)
	for _, script := range []string{
		"cat " + dir + "/state.json", "cat " + dir + "/config.json", "cat " + dir + "/journal", "ls " + dir, "touch " + dir + "/x", "rm -f " + dir + "/start.sock && ! test -e " + dir + "/start.sock",
		"echo > " + dir + "/start.sock", "mv " + dir + " " + dir + ".x",
		host.attack + " say seqpacket " + dir + "/start.sock rlpn",
	} {
		cmd := exec.Command("sh", "-c", script)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("%s: an ordinary user can: %s", script, out)
		}
	}
	if s := v.rt("state", v.id).ok(t).stdout; !strings.Contains(s, `"created"`) {
		t.Error(s)
	}
}
