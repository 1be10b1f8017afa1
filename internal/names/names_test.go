package names

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// capabilityNumbers are linux/capability.h's, by name.
var capabilityNumbers = map[string]int{
	"CAP_AUDIT_CONTROL": unix.CAP_AUDIT_CONTROL, "CAP_AUDIT_READ": unix.CAP_AUDIT_READ, "CAP_AUDIT_WRITE": unix.CAP_AUDIT_WRITE,
	"CAP_BLOCK_SUSPEND": unix.CAP_BLOCK_SUSPEND, "CAP_BPF": unix.CAP_BPF, "CAP_CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE,
	"CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH,
	"CAP_FOWNER": unix.CAP_FOWNER, "CAP_FSETID": unix.CAP_FSETID, "CAP_IPC_LOCK": unix.CAP_IPC_LOCK, "CAP_IPC_OWNER": unix.CAP_IPC_OWNER,
	"CAP_KILL": unix.CAP_KILL, "CAP_LEASE": unix.CAP_LEASE, "CAP_LINUX_IMMUTABLE": unix.CAP_LINUX_IMMUTABLE,
	"CAP_MAC_ADMIN": unix.CAP_MAC_ADMIN, "CAP_MAC_OVERRIDE": unix.CAP_MAC_OVERRIDE, "CAP_MKNOD": unix.CAP_MKNOD,
	"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE, "CAP_NET_BROADCAST": unix.CAP_NET_BROADCAST,
	"CAP_NET_RAW": unix.CAP_NET_RAW, "CAP_PERFMON": unix.CAP_PERFMON, "CAP_SETFCAP": unix.CAP_SETFCAP, "CAP_SETGID": unix.CAP_SETGID,
	"CAP_SETPCAP": unix.CAP_SETPCAP, "CAP_SETUID": unix.CAP_SETUID, "CAP_SYSLOG": unix.CAP_SYSLOG, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN,
	"CAP_SYS_BOOT": unix.CAP_SYS_BOOT, "CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT, "CAP_SYS_MODULE": unix.CAP_SYS_MODULE,
	"CAP_SYS_NICE": unix.CAP_SYS_NICE, "CAP_SYS_PACCT": unix.CAP_SYS_PACCT, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE,
	"CAP_SYS_RAWIO": unix.CAP_SYS_RAWIO, "CAP_SYS_RESOURCE": unix.CAP_SYS_RESOURCE, "CAP_SYS_TIME": unix.CAP_SYS_TIME,
	"CAP_SYS_TTY_CONFIG": unix.CAP_SYS_TTY_CONFIG, "CAP_WAKE_ALARM": unix.CAP_WAKE_ALARM,
}

func TestCapabilityNumbers(t *testing.T) {
	if len(capabilities) != len(capabilityNumbers) || len(capabilities) != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d capabilities, %d in capability.h, the last one is %d", len(capabilities), len(capabilityNumbers), unix.CAP_LAST_CAP)
	}
	for name, want := range capabilityNumbers {
		if got := Capability(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	for _, name := range []string{"", "CAP_", "cap_kill", "KILL", "CAP_KILL "} {
		if n := Capability(name); n != -1 {
			t.Errorf("%q is %d", name, n)
		}
	}
}

func TestRlimitNumbers(t *testing.T) {
	numbers := map[string]int{
		"RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_DATA": unix.RLIMIT_DATA, "RLIMIT_STACK": unix.RLIMIT_STACK,
		"RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_RSS": unix.RLIMIT_RSS, "RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE,
		"RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS,
		"RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE,
		"RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
	}
	for name, want := range numbers {
		if got := Rlimit(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if len(numbers) != len(rlimits) {
		t.Errorf("%d resources, %d in resource.h", len(rlimits), len(numbers))
	}
	for _, name := range []string{"", "RLIMIT_", "NOFILE", "rlimit_nofile", "RLIMIT_NOFILE2"} {
		if n := Rlimit(name); n != -1 {
			t.Errorf("%q is %d", name, n)
		}
	}
}

// specOptions is the table of config.md, "Linux mount options", of version 1.3.0.
const specOptions = `async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev
nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev
rdiratime relatime remount rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro
rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime
suid symfollow sync tmpcopyup unbindable idmap ridmap`

func TestMountOptions(t *testing.T) {
	got := MountOptions()
	if !slices.IsSorted(got) {
		t.Errorf("not sorted: %v", got)
	}
	if len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("a name is there twice: %v", got)
	}
	want := strings.Fields(specOptions)
	// The specification's table forgets rnodev, mount(8) does not.
	want = append(want, "rnodev", "copy-symlink")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	for _, name := range got {
		if o := MountOption(name); o.Kind == Data || o.Name != name {
			t.Errorf("%s is not found", name)
		}
	}
	for _, name := range []string{"", "a", "zzz", "RO", "ro ", "rw=1", "bin", "bindd", "idmap=", "idmap=gids=0-0-1", "bind=uids=0-0-1"} {
		if MountOption(name).Kind != Data {
			t.Errorf("%q is found", name)
		}
	}
}

// TestCounterparts: for each attribute that restricts there is an option that sets it, one that takes it back, and both for a whole tree.
func TestCounterparts(t *testing.T) {
	for attr := uint64(1); attr != 0; attr <<= 1 {
		if Restricting()&attr == 0 {
			continue
		}
		found := map[string]string{}
		for _, name := range MountOptions() {
			o := MountOption(name)
			switch {
			case o.Kind == Attr && o.Set&attr != 0:
				found["sets"] = name
			case o.Kind == Attr && o.Clear&attr != 0:
				found["clears"] = name
			case o.Kind == Recursive && o.Set&attr != 0:
				found["sets all"] = name
			case o.Kind == Recursive && o.Clear&attr != 0:
				found["clears all"] = name
			}
		}
		if len(found) != 4 || found["sets all"] != "r"+found["sets"] || found["clears all"] != "r"+found["clears"] {
			t.Errorf("attribute %#x has only the options %v", attr, found)
		}
	}
}

// TestRestricting: what mount_setattr(2) lists as attributes of a mount, but for access times and MOUNT_ATTR_IDMAP.
func TestRestricting(t *testing.T) {
	const want = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSYMFOLLOW
	if got := Restricting(); got != want {
		t.Errorf("got %#x, want %#x", got, want)
	}
	for name, want := range map[string]uint64{
		"noatime": unix.MOUNT_ATTR_NOATIME, "relatime": Relatime, "strictatime": unix.MOUNT_ATTR_STRICTATIME, "nodiratime": unix.MOUNT_ATTR_NODIRATIME,
		"diratime": 0, "ro": 0, "rw": 0,
	} {
		if got := MountOption(name).AccessTime(); got != want {
			t.Errorf("%s sets the access time %#x, want %#x", name, got, want)
		}
	}
}
