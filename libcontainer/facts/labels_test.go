package facts

import (
	"errors"
	"testing"

	"rt/tests/nofiles"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestAppArmorUnknown: that it cannot be asked whether AppArmor is enabled does not mean that it is not.
func TestAppArmorUnknown(t *testing.T) {
	for _, name := range []string{"unconfined", "some"} {
		p := &specs.Process{ApparmorProfile: name}
		nofiles.Run(t, func() {
			if err := checkAppArmor(p); !errors.Is(err, unix.EMFILE) {
				t.Errorf("%s: %v", name, err)
			}
			if none, err := NoAppArmor(p); none || name == unconfined && !errors.Is(err, unix.EMFILE) {
				t.Errorf("%s: %v, %v", name, none, err)
			}
		})
	}
}
