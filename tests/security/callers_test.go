package security

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What other users of the host, and programs that pretend, do to who calls rt.

// TestProcessLeavesOut: exec with a process.json that says nothing of limits and labels. The container's hold, not those of rt's
// caller.
func TestProcessLeavesOut(t *testing.T) {
	adj, mask := 321, uint32(0o27)
	v := newVictim(t, func(v *victim) {
		p := v.spec.Process
		p.OOMScoreAdj, p.User.Umask, p.NoNewPrivileges = &adj, &mask, true
		p.Scheduler = &specs.Scheduler{Policy: specs.SchedOther, Nice: 7}
		p.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE}
		p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 78}}
	}).up()
	v.file("process.json", `{"args":["sh","-c","cat /proc/self/oom_score_adj; umask; cut -d\" \" -f19 /proc/self/stat; ulimit -n; ulimit -Hn; grep NoNewPrivs /proc/self/status"],"cwd":"/","env":["PATH=/bin"]}`, 0o600)
	must(t, os.Symlink("busybox", v.rootfs+"/bin/cut"))
	const want = "321\n0027\n7\n77\n78\nNoNewPrivs:\t1\n"
	if r := v.rt("exec", "--process", v.dir+"/process.json", v.id).ok(t); r.stdout != want {
		t.Errorf("want %q: %s", want, r)
	}
	v.file("process.json", `{"args":["sh","-c","cat /proc/self/oom_score_adj; umask; ulimit -n; grep CapEff /proc/self/status"],"cwd":"/","env":["PATH=/bin"],"oomScoreAdj":322,"user":{"umask":18},"rlimits":[{"type":"RLIMIT_NOFILE","soft":7,"hard":7}]}`, 0o600)
	if r := v.rt("exec", "--process", v.dir+"/process.json", v.id).ok(t); r.stdout != "322\n0022\n7\nCapEff:\t0000000000000000\n" {
		t.Error(r)
	}
}

// inDirectory runs rt in a directory, with another PATH.
func (v *victim) inDirectory(dir, path string) {
	v.exe = v.dir + "/in-directory"
	v.file("in-directory", "#!/bin/sh\ncd "+dir+"\nPATH="+path+"\nexport PATH\nexec "+host.rt+" \"$@\"\n", 0o755)
}

// TestProgramOfTheDirectory: PATH leads into the working directory, where another user has put a program.
func TestProgramOfTheDirectory(t *testing.T) {
	for _, path := range []string{".", "/usr/bin:", ":/bin", "bin"} {
		v := newVictim(t).up()
		for _, name := range []string{"criu", "bin/criu"} {
			v.file("others/"+name, "#!/bin/sh\n/bin/touch "+v.outside+"/made\n", 0o755)
		}
		v.inDirectory(v.dir+"/others", path)
		r := v.rt("checkpoint", "--image-path", v.dir+"/image", v.id)
		if !v.untouched() || r.code == 0 || !strings.Contains(r.stderr, "criu") {
			t.Errorf("PATH=%s: %s", path, r)
		}
		v.exe = ""
	}
}

// TestCheckpointDirectoryOfOthers: the directory of images is another user's, who puts a link there under the name of CRIU's log.
// (CRIU itself is replaced by what matters of it.)
func TestCheckpointDirectoryOfOthers(t *testing.T) {
	for name, prepare := range map[string]func(dir string) error{
		"another user's": func(dir string) error { return os.Chown(dir, someone, someone) },
		"for all":        func(dir string) error { return os.Chmod(dir, 0o777) },
	} {
		for _, flag := range []string{"--image-path", "--work-path"} {
			t.Run(name+" "+flag, func(t *testing.T) {
				v := newVictim(t).up()
				dir := v.dir + "/image"
				must(t, os.Mkdir(dir, 0o755))
				must(t, prepare(dir))
				// The link is made when what rt looks at in the directory has been looked at.
				v.file("criu", "#!/bin/sh\nsetpriv --reuid "+strconv.Itoa(someone)+" --clear-groups ln -s "+v.outside+"/secret "+dir+"/dump.log\necho log >"+dir+"/dump.log\n", 0o755)
				args := []string{"--criu", v.dir + "/criu", "checkpoint", flag, dir}
				if flag == "--work-path" {
					args = append(args, "--image-path", v.dir+"/own")
				}
				r := v.rt(append(args, v.id)...)
				if !v.untouched() || r.code == 0 || !strings.Contains(r.stderr, dir) {
					t.Error(r)
				}
			})
		}
	}
}

// TestKeyringOfOthers: another user has made a session keyring with the name that the container's had, and lets everybody join it.
func TestKeyringOfOthers(t *testing.T) {
	v := newVictim(t, args("attack", "session"))
	var out bytes.Buffer
	cmd := exec.Command(host.attack, "keyring", "_ses."+v.id)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: someone, Gid: someone}}
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	ready := make([]byte, 6)
	if n, err := stdout.Read(ready); err != nil || string(ready[:n]) != "ready\n" {
		t.Fatalf("%q, %v, %s", ready, err, &out)
	}
	first := v.run().ok(t)
	if !strings.HasPrefix(first.stdout, "keyring;0;0;") {
		t.Errorf("the container's session keyring is another user's: %s", first)
	}
	v.remove()
	v.spec.Process.Args = []string{"sleep", "1000"}
	v.write()
	v.up()
	one, two := v.exec("attack", "session").ok(t).stdout, v.exec("attack", "session").ok(t).stdout
	if one != two || one == first.stdout || !strings.HasPrefix(one, "keyring;0;0;") {
		t.Errorf("session keyrings of run and two times exec: %q, %q, %q", first.stdout, one, two)
	}
}

// TestPretendedStub: a program executes a file in memory that has the name of rt's. rt doctor does not take it for a process of
// rt's, which it would end without being asked to.
func TestPretendedStub(t *testing.T) {
	v := newVictim(t, args("attack", "pretend")).up()
	pid := v.pid()
	eventually(t, "execve", func() bool {
		exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
		return err == nil && strings.HasPrefix(exe, "/memfd:rt-stub")
	})
	state := v.dir + "/root/" + v.id
	must(t, os.Rename(state, v.dir+"/aside"))
	t.Cleanup(func() { must(t, os.Rename(v.dir+"/aside", state)) })
	r := v.rt("doctor", "--format", "json")
	var found []struct {
		Paths []string
		Fix   string
	}
	must(t, json.Unmarshal([]byte(r.stdout), &found))
	seen := false
	for _, f := range found {
		if strings.Contains(strings.Join(f.Paths, " "), v.id) {
			if seen = true; !strings.HasPrefix(f.Fix, "do nothing, as 1 process") {
				t.Errorf("doctor --fix would %s", f.Fix)
			}
		}
	}
	if !seen {
		t.Error(r)
	}
	must(t, unix.Kill(pid, 0))
}
