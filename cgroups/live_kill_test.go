package cgroups

import (
	"errors"
	"maps"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestFreeze(t *testing.T) {
	each(t, func(t *testing.T, h *Host) {
		c := cgroupFor(t, h)
		create(t, c, `{}`)
		ticks := filepath.Join(t.TempDir(), "ticks")
		writeTestFile(t, ticks, "")
		cmd := sh(t, c, "trap 'exit 3' TERM; echo ready; while :; do printf x >>"+ticks+"; sleep 0.001; done")
		for range 20 { // against a process that forks all the time
			if err := c.Freeze(); err != nil {
				t.Fatal(err)
			}
			if frozen, err := c.Frozen(); !frozen || err != nil {
				t.Fatalf("frozen %v %v", frozen, err)
			}
			before := read(t, ticks)
			time.Sleep(10 * time.Millisecond)
			if read(t, ticks) != before {
				t.Fatal("a frozen process ran")
			}
			if err := c.Thaw(); err != nil {
				t.Fatal(err)
			}
			if frozen, err := c.Frozen(); frozen || err != nil {
				t.Fatalf("thawed: frozen %v %v", frozen, err)
			}
			for deadline := time.Now().Add(2 * time.Minute); read(t, ticks) == before; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("a thawed process does not run")
				}
			}
		}
		// A signal other than KILL leaves a frozen cgroup frozen, and arrives when it is thawed.
		if err := errors.Join(c.Freeze(), c.Kill(unix.SIGTERM)); err != nil {
			t.Fatal(err)
		}
		if frozen, err := c.Frozen(); !frozen || err != nil {
			t.Errorf("after TERM: frozen %v %v", frozen, err)
		}
		if err := c.Thaw(); err != nil {
			t.Fatal(err)
		}
		died(t, cmd)
	})
}

func TestKillFrozen(t *testing.T) {
	each(t, func(t *testing.T, h *Host) {
		c := cgroupFor(t, h)
		create(t, c, `{}`)
		cmd := sh(t, c, "")
		if err := errors.Join(c.Freeze(), c.Kill(unix.SIGKILL)); err != nil {
			t.Fatal(err)
		}
		if sig := died(t, cmd); sig != syscall.SIGKILL {
			t.Errorf("died of %v", sig)
		}
		if err := c.Destroy(); err != nil {
			t.Error(err)
		}
	})
}

// A process that does nothing but fork does not get away, with a freezer or without.
func TestKillForking(t *testing.T) {
	kill := func(t *testing.T, h *Host) {
		c := cgroupFor(t, h)
		create(t, c, `{}`)
		cmd := sh(t, c, "echo ready; f() { while :; do (sleep 0.002; f) & sleep 0.02; done; }; f")
		time.Sleep(30 * time.Millisecond)
		if err := c.Kill(unix.SIGKILL); err != nil {
			t.Error(err)
		}
		died(t, cmd)
		if err := c.Destroy(); err != nil {
			t.Error(err)
		}
	}
	each(t, kill)
	t.Run("v1 without freezer", func(t *testing.T) {
		h := onlyV1(t)
		h.V1 = maps.Clone(h.V1)
		delete(h.V1, "freezer")
		kill(t, h)
	})
}

// Processes that are in the v1 hierarchies only are killed too, as those of a join that was cut off.
func TestKillStrays(t *testing.T) {
	h := liveHost(t)
	if h.Mode != Hybrid {
		t.Skip("not a hybrid host")
	}
	c := cgroupFor(t, h)
	create(t, c, `{}`)
	v1 := maps.Clone(c.Paths())
	delete(v1, "")
	stray := sh(t, Load(h, v1), "")
	whole := sh(t, c, "")
	if err := errors.Join(c.Freeze(), c.Kill(unix.SIGKILL)); err != nil {
		t.Error(err)
	}
	died(t, stray)
	died(t, whole)
}
