package facts

import (
	"reflect"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
)

// TestAPIMounts: all of the host's, also stacked ones and those below a mount that is younger; those below the rootfs apart.
func TestAPIMounts(t *testing.T) {
	const text = `20 1 254:0 / / rw - ext4 /dev/root rw
30 40 0:5 / /late/proc rw - proc proc rw
40 20 0:6 / /late rw - tmpfs tmpfs rw
21 20 0:7 / /proc rw - proc proc rw
22 21 0:7 / /proc rw - proc proc rw
23 22 0:7 /sys /proc/sys ro - proc proc rw
24 20 0:8 / /sys rw - sysfs sysfs rw
25 20 0:7 / /b/rootfs/proc rw - proc proc rw
26 20 0:7 / /b/rootfs2 rw - proc proc rw
27 20 0:9 / /dev rw - devtmpfs dev rw
`
	list, err := mountinfo.GetMountsFromReader(strings.NewReader(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/late/proc", "/proc", "/proc", "/sys", "/b/rootfs2"}
	below := []string{"/b/rootfs/proc"}
	if got, inside := apiMounts(list, "/b/rootfs"); !reflect.DeepEqual(got, want) || !reflect.DeepEqual(inside, below) {
		t.Errorf("got %q and %q, want %q and %q", got, inside, want, below)
	}
}
