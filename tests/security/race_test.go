package security

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// perContainer is how many mount steps one container of a race has.
const perContainer = 64

// TestRaces: while a container is made, a neighbour that shares the rootfs or a volume swaps its directories for links
// to the host, all the time, by RENAME_EXCHANGE (CVE-2021-30465, CVE-2024-45310, CVE-2019-19921). No file outside is
// made, opened or mounted over: each mount is inside, or create has failed. Succeeds against a stub that resolves
// without RESOLVE_IN_ROOT.
func TestRaces(t *testing.T) {
	for name, race := range map[string]struct{ swapped, base string }{
		"rootfs": {"bundle/rootfs/gate", "/gate"},
		"volume": {"volume/gate", "/volume/gate"},
		"dev":    {"bundle/rootfs/dev", "/dev"},
		"parent": {"bundle/rootfs/a/gate", "/a/gate/b/c"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, capable(strongCaps), args("cat", "/proc/self/mountinfo"), without("/dev"))
			swapped := filepath.Join(v.dir, race.swapped)
			if name == "dev" {
				v.spec.Linux.MaskedPaths = nil
			}
			for _, d := range []string{swapped + "/b/c", v.dir + "/volume"} {
				must(t, os.MkdirAll(d, 0o755))
			}
			if name == "volume" {
				mounted(specs.Mount{Destination: "/volume", Type: "bind", Source: v.dir + "/volume", Options: []string{"rbind"}})(v)
			}
			for i, target := range []string{v.outside, strings.Repeat("../", 12) + v.outside[1:]} {
				link := swapped + ".link" + strconv.Itoa(i)
				must(t, os.Symlink(target, link))
				program(t, host.attack, "exchange", swapped, link)
			}
			mode := os.FileMode(0o600)
			for i := range perContainer {
				at := race.base + "/t" + strconv.Itoa(i)
				switch i % 4 {
				case 0, 1:
					mounted(specs.Mount{Destination: at, Type: "tmpfs", Source: "raced", Options: []string{"size=4k"}})(v)
				case 2:
					mounted(specs.Mount{Destination: at, Type: "bind", Source: host.attack, Options: []string{"bind", "ro"}})(v)
				case 3:
					v.spec.Linux.Devices = append(v.spec.Linux.Devices, specs.LinuxDevice{Path: at, Type: "c", Major: 1, Minor: 7, FileMode: &mode})
				}
			}
			v.spec.Linux.MaskedPaths = append(v.spec.Linux.MaskedPaths, race.base+"/masked")
			v.spec.Linux.ReadonlyPaths = append(v.spec.Linux.ReadonlyPaths, race.base+"/readonly")
			v.spec.Process.Cwd = race.base + "/cwd"
			v.write()
			steps, made, failed := 0, 0, 0
			for ; steps < runs(400, 10_000); steps += perContainer {
				r := v.run()
				if r.code != 0 {
					failed++
					if v.remove(); strings.Contains(r.stderr, "left") {
						t.Errorf("%s", r)
					}
				} else {
					made++
					if n := strings.Count(r.stdout, " raced "); n != perContainer/2 {
						t.Errorf("of %d mounts %d are in the container", perContainer/2, n)
					}
				}
				if !v.untouched() {
					t.Fatalf("after %d steps: %s", steps, r)
				}
			}
			t.Logf("%d steps raced, %d containers made, %d refused", steps, made, failed)
		})
	}
}

// TestRacedMasks: a neighbour that shares the rootfs renames the directories that procfs and sysfs are mounted on, while
// the container is made: the kernel allows it, for they are no mount points where he is. Wherever they are then, what
// masks and protects them is in them. Succeeds against a stub that finds the paths by their names.
func TestRacedMasks(t *testing.T) {
	v := newVictim(t, args("sh", "-c", `for d in proc proc.fake; do test -e /$d/self/stat || continue; cat /$d/timer_list | head -c 10; mkdir /$d/sys/x 2>&1; done; cat /proc/self/mountinfo /proc.fake/self/mountinfo 2>/dev/null`))
	for _, name := range []string{"keys", "kcore", "timer_list", "bus/x", "fs/x", "irq/x", "sys/x", "sysrq-trigger"} {
		v.file("bundle/rootfs/proc.fake/"+name, "", 0o644)
	}
	v.spec.Linux.ReadonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"}
	v.write()
	program(t, host.attack, "exchange", v.rootfs+"/proc", v.rootfs+"/proc.fake")
	made, unmasked := 0, 0
	for range runs(30, 500) {
		r := v.run()
		if r.code != 0 && !strings.Contains(r.stdout, " - proc ") {
			v.remove()
			continue // refused, or without any procfs to look into
		}
		made++
		masks, readonly := 0, 0
		for _, line := range strings.Split(r.stdout, "\n") {
			f := strings.Fields(line)
			if len(f) > 5 && (strings.HasSuffix(f[4], "/timer_list") || strings.HasSuffix(f[4], "/keys")) && f[3] == "/null" {
				masks++
			}
			if len(f) > 5 && strings.HasSuffix(f[4], "/sys") && strings.Contains(line, " - proc ") && strings.HasPrefix(f[5], "ro") {
				readonly++
			}
		}
		if strings.Contains(r.stdout, "Timer List") || masks < 2 || readonly < 1 {
			unmasked++
			if unmasked == 1 {
				t.Errorf("procfs is not protected: %s", r)
			}
		}
		v.remove()
	}
	t.Logf("%d containers to look into, %d of them without protection", made, unmasked)
}
