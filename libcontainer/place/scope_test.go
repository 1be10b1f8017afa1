package place

import (
	"testing"

	"rt/cgroups"
	"rt/cgroups/systemd"
	"rt/libcontainer/facts"

	"golang.org/x/sys/unix"
)

// TestRootIsNeverOutsideScope: only a user's rt asks the kernel whether it may move a process into a scope, and no rt asks that of a slice.
func TestRootIsNeverOutsideScope(t *testing.T) {
	root := facts.Privileges{Caps: 1 << unix.CAP_SYS_ADMIN, First: true}
	for _, c := range []struct {
		name    string
		priv    facts.Privileges
		unit    string
		answer  error
		asks    int
		outside bool
	}{
		{"root", root, "a.scope", unix.EACCES, 0, false},
		{"user", facts.Privileges{}, "a.scope", unix.EACCES, 1, true},
		{"user who may", facts.Privileges{}, "a.scope", nil, 1, false},
		{"slice", facts.Privileges{}, "a.slice", unix.EACCES, 0, false},
	} {
		asked := 0
		s := &scope{r: &Reservation{Privileges: c.priv}, unit: systemd.Unit{Name: c.unit}}
		outside := s.bornOutside(func(*cgroups.Host) error { asked++; return c.answer })
		if outside != c.outside || asked != c.asks {
			t.Errorf("%s: outside is %v after %d questions, want %v after %d", c.name, outside, asked, c.outside, c.asks)
		}
	}
}
