package security

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"rt/tests/dbustest"
)

// Systemd, and what else is on its bus: an answer that does not come or that another user has sent, and a systemd that says nothing
// but noise.

// A fakeSystemd makes scopes as systemd does, in its own hierarchy.
type fakeSystemd struct {
	*dbustest.Server
	unit, dir string
	slow      bool // the unit of another container comes to be while rt asks

	start func(started []dbustest.Answer, job dbustest.Answer) []dbustest.Answer // instead of the answer to StartTransientUnit
	stop  func() []dbustest.Answer                                               // and to StopUnit
}

// withSystemd gives a victim a unit of a fake systemd. The runtime finds it by the environment that is returned.
func withSystemd(t *testing.T, v *victim) (f *fakeSystemd, env []string) {
	t.Helper()
	slice := "rtsec" + strings.ReplaceAll(strings.TrimPrefix(v.id, "rt-sec"), "-", "x") + ".slice"
	v.spec.Linux.CgroupsPath = slice + ":rt:" + v.id
	v.write()
	f = &fakeSystemd{unit: "rt-" + v.id + ".scope"}
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/systemd"} {
		if _, err := os.Stat(root + "/cgroup.procs"); err == nil {
			f.dir = filepath.Join(root, slice, f.unit)
		}
	}
	if f.dir == "" {
		t.Fatal("the host has neither cgroup v2 nor v1's name=systemd")
	}
	f.Server = dbustest.Serve(t, f.answer)
	t.Cleanup(func() { // before the victim's: its directories are below the slice
		if v.rt("delete", "--force", v.id); len(cgroupDirs(slice+"/"+f.unit)) > 0 {
			t.Errorf("left behind: %v", cgroupDirs(slice+"/"+f.unit))
		}
		for _, dir := range cgroupDirs(slice) {
			_ = os.Remove(dir)
		}
	})
	return f, []string{"DBUS_SYSTEM_BUS_ADDRESS=" + f.Address}
}

func (f *fakeSystemd) answer(call dbustest.Call) []dbustest.Answer {
	const systemd = ":1.1"
	reply := func(values ...any) dbustest.Answer { return dbustest.Answer{Sender: systemd, Values: values} }
	fail := func(name, text string) []dbustest.Answer {
		return []dbustest.Answer{{Sender: systemd, Error: name, Values: []any{text}}}
	}
	removed := dbustest.Answer{Sender: systemd, Signal: "JobRemoved", Values: []any{uint32(1), dbustest.Path("/job/1"), f.unit, "done"}}
	started := []dbustest.Answer{reply(dbustest.Path("/job/1"))}
	_, err := os.Stat(f.dir)
	switch call.Member {
	case "Get":
		return []dbustest.Answer{reply(dbustest.Variant(""))}
	case "GetNameOwner":
		return []dbustest.Answer{{Sender: "org.freedesktop.DBus", Values: []any{systemd}}}
	case "GetUnit":
		if err != nil || f.slow {
			return fail("org.freedesktop.systemd1.NoSuchUnit", "not loaded")
		}
		return []dbustest.Answer{reply(dbustest.Path("/unit"))}
	case "StopUnit":
		switch {
		case f.stop != nil:
			return f.stop()
		case err != nil:
			return fail("org.freedesktop.systemd1.NoSuchUnit", "not loaded")
		}
		if err := os.Remove(f.dir); err != nil {
			return fail("org.freedesktop.DBus.Error.Failed", err.Error())
		}
		return append(started, removed)
	case "StartTransientUnit":
		if f.slow {
			return f.start(started, removed)
		}
		_, rest, _ := strings.Cut(string(call.Body), "PIDs\x00\x02au\x00")
		at := (len(call.Body) - len(rest) + 3) / 4 * 4
		pid := int(binary.LittleEndian.Uint32(call.Body[at+4:]))
		if err := os.MkdirAll(f.dir, 0o755); err != nil {
			return fail("org.freedesktop.DBus.Error.Failed", err.Error())
		}
		if err := os.WriteFile(f.dir+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0); err != nil {
			return fail("org.freedesktop.DBus.Error.Failed", err.Error())
		}
		if f.start != nil {
			return f.start(started, removed)
		}
		return append(started, removed)
	}
	return []dbustest.Answer{reply()}
}

func (v *victim) systemdCall(env []string, args ...string) call {
	return call{args: append([]string{"--systemd-cgroup"}, args...), env: env}
}

// TestUnitOfOthers: another container's unit of this name comes to be while rt asks systemd, which then refuses, or closes the
// connection, or ends the job without a result for rt. Succeeds against a runtime that stops the unit, with all that is in it,
// because its own start has failed.
func TestUnitOfOthers(t *testing.T) {
	for name, start := range map[string]func([]dbustest.Answer, dbustest.Answer) []dbustest.Answer{
		"refused": func([]dbustest.Answer, dbustest.Answer) []dbustest.Answer {
			return []dbustest.Answer{{Sender: ":1.1", Error: "org.freedesktop.DBus.Error.LimitsExceeded", Values: []any{"too many units"}}}
		},
		"lost": func([]dbustest.Answer, dbustest.Answer) []dbustest.Answer { return []dbustest.Answer{{Hangup: true}} },
		"no reply": func([]dbustest.Answer, dbustest.Answer) []dbustest.Answer {
			return []dbustest.Answer{{Error: "org.freedesktop.DBus.Error.NoReply", Values: []any{"disconnected"}}}
		},
		"canceled": func(started []dbustest.Answer, removed dbustest.Answer) []dbustest.Answer {
			removed.Values[3] = "canceled"
			return append(started, removed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t)
			f, env := withSystemd(t, v)
			other := exec.Command("sleep", "1000")
			must(t, other.Start())
			t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
			pid, placed := other.Process.Pid, errors.New("the other unit was not started")
			f.slow = true
			f.start = func(started []dbustest.Answer, removed dbustest.Answer) []dbustest.Answer {
				if placed = os.MkdirAll(f.dir, 0o755); placed == nil {
					placed = os.WriteFile(f.dir+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0)
				}
				return start(started, removed)
			}
			f.stop = func() []dbustest.Answer { return []dbustest.Answer{{Hangup: true}} }
			for _, args := range [][]string{v.with("create"), {"delete", "--force", v.id}} {
				if r := v.do(v.systemdCall(env, args...)); r.code == 0 && args[0] == "create" {
					t.Errorf("%s\nwant an error", r)
				}
			}
			must(t, placed)
			if members := f.Members(); strings.Contains(members, "StopUnit") || !strings.Contains(members, "StartTransientUnit") {
				t.Errorf("systemd was asked for %s\nwant StartTransientUnit and no StopUnit", members)
			}
			if !alive(pid) {
				t.Error("the process of the other unit was killed")
			}
			if _, err := os.Stat(v.dir + "/root/" + v.id); err == nil {
				t.Error("the container's directory is left")
			}
			killAll(t, f.dir)
		})
	}
}

// killAll ends what is in a cgroup, and removes it.
func killAll(t *testing.T, dir string) {
	t.Helper()
	eventually(t, "removal of "+dir, func() bool {
		data, err := os.ReadFile(dir + "/cgroup.procs")
		for _, pid := range strings.Fields(string(data)) {
			_ = exec.Command("kill", "-9", pid).Run()
		}
		reap()
		return err != nil || os.Remove(dir) == nil
	})
}

// TestForgedJob: another user of the message bus says how systemd's job has ended, before systemd does. Succeeds against a runtime
// that does not look who has sent a signal: any user makes each create fail.
func TestForgedJob(t *testing.T) {
	v := newVictim(t, args("sleep", "1000"))
	f, env := withSystemd(t, v)
	f.start = func(started []dbustest.Answer, removed dbustest.Answer) []dbustest.Answer {
		forged := removed
		forged.Sender, forged.Values = ":1.66", append([]any(nil), removed.Values...)
		forged.Values[3] = "failed"
		return append(append([]dbustest.Answer{forged}, started...), forged, removed)
	}
	if r := v.do(v.systemdCall(env, v.with("create")...)); r.code != 0 {
		t.Errorf("%s\nwant a container: another user of the bus has said that the job failed", r)
	}
}

// TestBusFlood: other users of the message bus send rt long signals. Succeeds against a runtime that keeps them.
func TestBusFlood(t *testing.T) {
	v := newVictim(t, args("sleep", "1000"))
	f, env := withSystemd(t, v)
	f.start = func(started []dbustest.Answer, removed dbustest.Answer) (list []dbustest.Answer) {
		noise := dbustest.Answer{Sender: ":1.66", Signal: "Noise", Values: []any{strings.Repeat("x", 8<<20)}}
		for range 8 { // more than rt may take
			list = append(list, noise)
		}
		return append(append(list, started...), removed)
	}
	cmd := exec.Command(host.rt, append([]string{"--root", v.dir + "/root", "--systemd-cgroup"}, v.with("create")...)...)
	cmd.Env = append(os.Environ(), env...)
	stderr, err := os.Create(v.dir + "/stderr")
	must(t, err)
	defer stderr.Close()
	cmd.Stderr = stderr
	must(t, cmd.Start())
	killed := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer killed.Stop()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	most := 0
	for waiting := true; waiting; {
		select {
		case err := <-ended:
			if waiting = false; err != nil {
				said, _ := os.ReadFile(stderr.Name())
				t.Errorf("%v: %s", err, said)
			}
		case <-time.After(time.Millisecond):
			most = max(most, peak(cmd.Process.Pid))
		}
	}
	if most > 40_000 || most == 0 {
		t.Errorf("rt took %d KiB, want less than 40,000", most)
	}
}
