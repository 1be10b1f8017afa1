package security

import (
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestWedgedLog: delete --force kills a create that a hook keeps waiting, and says so, in a log or at a standard error that hangs. The
// container is gone all the same, and delete ends as soon as it can write. Succeeds against a runtime that writes first.
func TestWedgedLog(t *testing.T) {
	for name, hang := range map[string]func(v *victim, log string) (stderr *os.File, free func()){
		"FUSE, killable": func(v *victim, log string) (*os.File, func()) { return nil, newHungFS(v.t, log, false).end },
		"FUSE, state D":  func(v *victim, log string) (*os.File, func()) { return nil, newHungFS(v.t, log, true).end },
		"FIFO": func(v *victim, log string) (*os.File, func()) {
			must(v.t, os.Mkdir(log, 0o755))
			must(v.t, unix.Mkfifo(log+"/x", 0o600))
			return nil, func() {
				f, err := os.OpenFile(log+"/x", os.O_RDONLY|unix.O_NONBLOCK, 0)
				must(v.t, err)
				v.t.Cleanup(func() { f.Close() })
			}
		},
		"standard error": func(v *victim, _ string) (*os.File, func()) {
			r, w, err := os.Pipe()
			must(v.t, err)
			v.t.Cleanup(func() { r.Close(); w.Close() })
			raw := int(w.Fd())
			must(v.t, unix.SetNonblock(raw, true))
			for err = nil; err == nil; _, err = unix.Write(raw, make([]byte, 4096)) {
			}
			must(v.t, unix.SetNonblock(raw, false))
			return w, func() { go func() { _, _ = io.Copy(io.Discard, r) }() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, args("sleep", "1000"))
			mark := v.dir + "/hook-runs"
			v.file("hook", "#!/bin/sh\necho $$ >"+mark+".new; mv "+mark+".new "+mark+"; exec sleep 1000\n", 0o755)
			v.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: v.dir + "/hook", Env: []string{"PATH=/bin:/usr/bin"}}}}
			v.write()
			w := v.wedged(call{args: v.with("create")}, there(mark))
			stderr, free := hang(v, v.dir+"/hung")
			argv := []string{"--root", v.dir + "/root"}
			if stderr == nil {
				argv = append(argv, "--log", v.dir+"/hung/x")
			}
			cmd := exec.Command(host.rt, append(argv, "delete", "--force", v.id)...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			cmd.Stderr = stderr
			must(t, cmd.Start())
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			eventually(t, "removal of the container", func() bool { _, err := os.Stat(v.dir + "/root/" + v.id); return os.IsNotExist(err) })
			<-w.done
			v.ended(mark)
			free()
			select {
			case err := <-ended:
				must(t, err)
			case <-time.After(patience):
				t.Errorf("delete --force has not ended")
			}
		})
	}
}
