package libcontainer

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"rt/libcontainer/state"
	"rt/libcontainer/stub"
)

// TestExecError: a process that is gone before it is the program may have been killed for want of memory.
func TestExecError(t *testing.T) {
	for _, k := range []struct{ control, want string }{
		{"oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", stub.ErrDied.Error() + " (possibly OOM-killed)"},
		{"oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", stub.ErrDied.Error()},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "memory.oom_control"), []byte(k.control), 0o644); err != nil {
			t.Fatal(err)
		}
		r, _ := newRuntime(t)
		c := with(r, state.State{ID: "c", Cgroups: map[string]string{"memory": dir}})
		if err := execError(c, io.EOF); err.Error() != k.want || !errors.Is(err, stub.ErrDied) {
			t.Errorf("%q: %v", k.control, err)
		}
		if err := execError(c, errExecStopped); err != errExecStopped {
			t.Errorf("another error: %v", err)
		}
	}
}
