package checkpoint

import (
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// recorded is the mountinfo of a container that CRIU 4.2 has restored, with two volumes, one of them read-only; on cgroup v1.
const recorded = `144 140 254:0 /b/rootfs / rw,relatime - ext4 /dev/vda rw
146 144 0:51 / /proc rw,relatime - proc proc rw
148 146 0:51 /bus /proc/bus ro,relatime - proc proc rw
156 146 0:52 / /proc/acpi ro,nosuid,nodev,noexec,relatime - tmpfs tmpfs ro,size=4k
159 144 0:53 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
161 159 0:55 / /dev/pts rw,nosuid,noexec,relatime - devpts devpts rw,gid=5,mode=620,ptmxmode=666
173 159 0:42 / /dev/mqueue rw,nosuid,nodev,noexec,relatime - mqueue mqueue rw
175 144 0:65 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs rw
177 175 0:66 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - tmpfs cgroup rw,mode=755
179 177 0:35 /ck1 /sys/fs/cgroup/blkio ro,nosuid,nodev,noexec,relatime - cgroup cgroup rw,blkio
201 144 254:0 /srv/fixed /fixed ro,nodev,relatime master:7 - ext4 /dev/vda rw
202 144 254:0 /srv/open /open rw,relatime - ext4 /dev/vda rw
203 144 0:5 /null /proc/keys rw,nosuid - devtmpfs devtmpfs rw
`

func parse(t *testing.T, text string) []*mountinfo.Info {
	t.Helper()
	list, err := mountinfo.GetMountsFromReader(strings.NewReader(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func rules() *mountRules {
	vda := device{254, 0}
	return &mountRules{
		Sources: []hostSource{{Target: "/", Device: vda, Root: "/b/rootfs"},
			{Target: "/fixed", Device: vda, Root: "/srv/fixed", Attrs: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV},
			{Target: "/open", Device: vda, Root: "/srv/open"}, {Target: "/dev/null", Device: device{0, 5}, Root: "/null"}},
		Mounts: []fileSystem{{Target: "/proc", Type: "proc"}, {Target: "/sys", Type: "sysfs"},
			{Target: "/over", Type: "overlay", Options: []string{"lowerdir=/a:/b", "upperdir=/u", "workdir=/w", "metacopy=off"}},
			{Target: "/sec", Type: "securityfs"}},
		Host:    map[device]bool{vda: true, {0, 5}: true, {0, 22}: true, {0, 23}: true, {0, 24}: true, {0, 35}: true, {0, 8}: true},
		Cgroups: parseCgroups("5:blkio:/ck1\n4:cpu,cpuacct:/ck1\n3:memory:/\n1:name=systemd:/ck1\n0::/ck1\n"), HostsIn: map[string]bool{},
	}
}

// TestCheck: a mount more than those of a container that is as it should be.
func TestCheck(t *testing.T) {
	if err := rules().check(parse(t, recorded)); err != nil {
		t.Fatal(err)
	}
	for line, allowed := range map[string]bool{
		"254:0 /b/rootfs/w/x /mnt rw - ext4 /dev/vda rw":                                            true,
		"254:0 /b/rootfs2 /mnt rw - ext4 /dev/vda rw":                                               false,
		"254:0 /b /mnt rw - ext4 /dev/vda rw":                                                       false,
		"254:0 / /mnt rw - ext4 /dev/vda rw":                                                        false,
		"254:0 /etc /mnt rw - ext4 /dev/vda rw":                                                     false,
		"254:1 /b/rootfs /mnt rw - ext4 /dev/vdb rw":                                                false,
		"254:0 /srv/open/sub /mnt rw - ext4 /dev/vda rw":                                            true,
		"254:0 /srv/opener /mnt rw - ext4 /dev/vda rw":                                              false,
		"0:5 /null /mnt rw - devtmpfs devtmpfs rw":                                                  true,
		"0:5 /kmsg /mnt rw - devtmpfs devtmpfs rw":                                                  false,
		"0:5 / /mnt rw - devtmpfs devtmpfs rw":                                                      false,
		"0:99 / /mnt rw - tmpfs tmpfs rw":                                                           true,
		"0:24 / /mnt rw - tmpfs run rw":                                                             false,
		"0:24 /secrets /mnt rw - tmpfs run rw":                                                      false,
		"0:22 / /mnt rw - proc proc rw":                                                             false,
		"0:23 / /sys rw - sysfs sysfs rw":                                                           false,
		"0:35 /ck1/sub /mnt rw - cgroup cgroup rw,blkio":                                            true,
		"0:35 /ck1x /mnt rw - cgroup cgroup rw,blkio":                                               false,
		"0:35 / /mnt rw - cgroup cgroup rw,blkio":                                                   false,
		"0:36 /ck1 /mnt rw - cgroup cgroup rw,cpu,cpuacct":                                          true,
		"0:36 /ck1 /mnt rw - cgroup cgroup rw,name=systemd":                                         true,
		"0:36 /ck1 /mnt rw - cgroup cgroup rw,memory":                                               true, // the container is at its root
		"0:36 / /mnt rw - cgroup cgroup rw,memory":                                                  true,
		"0:36 / /mnt rw - cgroup cgroup rw,cpu,cpuacct":                                             false,
		"0:36 /ck1 /mnt rw - cgroup cgroup rw,pids":                                                 false,
		"0:36 / /mnt rw - cgroup2 cgroup2 rw":                                                       false,
		"0:36 /ck1/sub /mnt rw - cgroup2 cgroup2 rw":                                                true,
		"0:35 /.. /mnt rw - cgroup2 cgroup2 rw":                                                     false,
		"0:99 / /mnt rw - overlay overlay rw,lowerdir=/etc:/usr":                                    false,
		"0:99 / /mnt rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/u,workdir=/w":                 false,
		"0:99 / /over rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/u,workdir=/w":                true,
		"0:99 / /over rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/u,workdir=/x":                false,
		"0:99 / /over rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/u,workdir=/w,lowerdir+=/etc": false,
		"0:99 / /over rw - overlay overlay rw,lowerdir=/a:/b,datadir+=/etc,upperdir=/u,workdir=/w":  false,
		"0:8 / /sec rw - securityfs securityfs rw":                                                  true,
		"0:8 / /mnt rw - securityfs securityfs rw":                                                  false,
		"0:99 / /mnt rw - fuse.sshfs sshfs rw,user_id=0,group_id=0":                                 false,
		"0:99 / /mnt rw - nfs4 server:/x rw":                                                        false,
		"7:0 / /mnt rw - squashfs /dev/loop0 rw":                                                    false,
		"0:4 mnt:[4026531840] /mnt rw - nsfs nsfs rw":                                               false,
	} {
		list := parse(t, recorded+"300 144 "+line+"\n")
		if err := rules().check(list); (err == nil) != allowed {
			t.Errorf("%s: %v, want allowed %v", line, err, allowed)
		}
	}
}

// TestCheckMade: what CRIU must not make files on.
func TestCheckMade(t *testing.T) {
	for line, allowed := range map[string]bool{
		"254:0 /b/rootfs/w/x /t/mnt-1 rw - ext4 /dev/vda rw":     true,
		"254:0 /srv/open/sub /t/mnt-1 rw - ext4 /dev/vda rw":     true,
		"254:0 /etc /t/mnt-1 rw - ext4 /dev/vda rw":              false,
		"0:24 /secrets /t/mnt-1 rw - tmpfs run rw":               false,
		"0:99 / /t/mnt-1 rw - tmpfs tmpfs rw":                    true,
		"0:99 / /t/mnt-1 rw - proc proc rw":                      true,
		"0:22 / /t/mnt-1 rw - proc proc rw":                      false,
		"0:8 / /t/mnt-1 rw - securityfs securityfs rw":           true, // the configuration has it
		"0:5 / /t/mnt-1 rw - devtmpfs devtmpfs rw":               false,
		"0:5 /null /t/mnt-1 rw - devtmpfs devtmpfs rw":           true,
		"0:35 /ck1/sub /t/mnt-1 rw - cgroup cgroup rw,blkio":     true,
		"0:35 / /t/mnt-1 rw - cgroup cgroup rw,blkio":            false,
		"0:35 /other /t/mnt-1 rw - cgroup cgroup rw,cpu,cpuacct": false,
	} {
		if err := rules().checkMade(parse(t, "300 144 "+line+"\n")); (err == nil) != allowed {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestCheckHostsIn: the host's own procfs is the container's if that has no pid namespace, where the configuration mounts it.
func TestCheckHostsIn(t *testing.T) {
	r := rules()
	r.HostsIn["proc"] = true
	text := strings.ReplaceAll(recorded, "0:51", "0:22")
	if err := r.check(parse(t, text)); err != nil {
		t.Error(err)
	}
	if err := r.check(parse(t, text+"300 144 0:22 / /mnt rw - proc proc rw\n")); err == nil {
		t.Error("a second one, without masks")
	}
	if err := r.check(parse(t, text+"300 144 0:22 /1 /mnt rw - proc proc rw\n")); err == nil {
		t.Error("a part of it, elsewhere")
	}
}

// TestWeaker: what shows a source has the attributes that the configuration gives to that.
func TestWeaker(t *testing.T) {
	const ro, nodev = unix.MOUNT_ATTR_RDONLY, unix.MOUNT_ATTR_NODEV
	twice := func(r *mountRules) {
		r.Sources = append(r.Sources, hostSource{Target: "/again", Device: device{254, 0}, Root: "/srv/fixed", Attrs: nodev})
	}
	for _, c := range []struct {
		name, from, to string
		change         func(*mountRules)
		want           map[string]uint64
	}{
		{"as it was", "", "", nil, nil},
		{"writable", "/fixed ro,nodev", "/fixed rw,nodev", nil, map[string]uint64{"/fixed": ro}},
		{"without any", "/fixed ro,nodev", "/fixed rw", nil, map[string]uint64{"/fixed": ro | nodev}},
		{"under another name", "/srv/fixed /fixed ro,nodev", "/srv/fixed /open rw", nil, map[string]uint64{"/open": ro | nodev}},
		{"a part of it", "/srv/fixed /fixed ro,nodev", "/srv/fixed/sub /x rw,nodev", nil, map[string]uint64{"/x": ro}},
		{"more than configured", "/open rw", "/open ro,noexec", nil, nil},
		{"twice, here", "/fixed ro,nodev", "/fixed rw,nodev", twice, map[string]uint64{"/fixed": ro}},
		{"twice, elsewhere", "/fixed ro,nodev", "/x rw", twice, map[string]uint64{"/x": nodev}},
		{"twice, there", "/fixed ro,nodev", "/again rw,nodev", twice, nil},
	} {
		r := rules()
		if c.change != nil {
			c.change(r)
		}
		text := recorded
		if c.from != "" {
			if text = strings.Replace(recorded, c.from, c.to, 1); text == recorded {
				t.Fatalf("%s: no %s", c.name, c.from)
			}
		}
		got := r.weaker(parse(t, text))
		if len(got) != len(c.want) {
			t.Errorf("%s: %+v, want %v", c.name, got, c.want)
		}
		for _, w := range got {
			if c.want[w.Mountpoint] != w.Missing {
				t.Errorf("%s: %+v, want %v", c.name, w, c.want)
			}
		}
	}
}

func TestCheckDump(t *testing.T) {
	known := map[device]bool{{254, 0}: true, {0, 5}: true}
	configured := []fileSystem{{Target: "/sec", Type: "securityfs"}, {Target: "/over", Type: "overlay", Options: []string{"lowerdir=/a:/b"}}}
	if err := checkDump(parse(t, recorded), known, configured); err != nil {
		t.Error(err)
	}
	for line, allowed := range map[string]bool{
		"0:99 / /mnt rw - overlay overlay rw,lowerdir=/a:/b":  false,
		"0:99 / /over rw - overlay overlay rw,lowerdir=/a:/b": true,
		"0:99 / /over rw - overlay overlay rw,lowerdir=/a:/c": false,
		"0:99 / /mnt rw - autofs x rw,fd=5,pgrp=1":            false,
		"0:99 / /mnt rw - fuse /dev/fuse rw":                  false,
		"0:99 / /mnt rw - tmpfs x rw":                         true,
		"0:99 / /sec rw - securityfs x rw":                    true,
		"0:99 / /mnt rw - binfmt_misc x rw":                   false,
		"254:0 / /mnt rw - ext4 x rw":                         true,
		"0:30 / /mnt rw - cgroup2 x rw":                       true,
		"0:99 / /mnt rw - securityfs x rw":                    false,
	} {
		if err := checkDump(parse(t, recorded+"300 144 "+line+"\n"), known, configured); (err == nil) != allowed {
			t.Errorf("%s: %v, want allowed %v", line, err, allowed)
		}
	}
}

func TestCheckKey(t *testing.T) {
	for key, allowed := range map[string]bool{"/vol": true, "/a]b": true, "/a]": true, "/a:b": true, "": false, "x": false, "/x]:/etc": false, "]:/etc": false, "/]:": false} {
		if err := checkKey(key); (err == nil) != allowed {
			t.Errorf("%q: %v, want allowed %v", key, err, allowed)
		}
	}
}

// TestCheckImages: file systems that CRIU would make anew, by paths on the host.
func TestCheckImages(t *testing.T) {
	root := []savedMount{{Type: "overlay", Device: 72, Mountpoint: "/", Options: "lowerdir=/image"}, {Type: "proc", Device: 1, Mountpoint: "/proc"},
		{Device: 5, Mountpoint: "/vol", External: true}, {Type: "cgroup2", Device: 9, Mountpoint: "/cg"}}
	configured := []fileSystem{{Target: "/over", Type: "overlay", Options: []string{"lowerdir=/a:/b"}}}
	for _, c := range []struct {
		name    string
		m       savedMount
		nested  bool
		allowed bool
	}{
		{"tmpfs", savedMount{Type: "tmpfs", Device: 80, Mountpoint: "/mnt"}, false, true},
		{"a part of the root", savedMount{Type: "overlay", Device: 72, Mountpoint: "/mnt", Options: "lowerdir=/image"}, false, true},
		{"a part of a volume", savedMount{Device: 5, Mountpoint: "/mnt"}, false, true},
		{"overlay", savedMount{Type: "overlay", Device: 80, Mountpoint: "/mnt", Options: "lowerdir=/etc:/usr"}, false, false},
		{"the configuration's", savedMount{Type: "overlay", Device: 80, Mountpoint: "/over", Options: "lowerdir=/a:/b"}, false, true},
		{"like the configuration's", savedMount{Type: "overlay", Device: 80, Mountpoint: "/over", Options: "lowerdir=/a:/c"}, false, false},
		{"external", savedMount{Type: "overlay", Device: 80, Mountpoint: "/mnt", External: true, Key: "/vol"}, false, true},
		{"external, of an old CRIU", savedMount{Type: "overlay", Device: 80, Mountpoint: "/mnt", External: true}, false, true},
		{"external by a name of CRIU's", savedMount{Device: 80, Mountpoint: "/mnt", Source: "/etc", External: true, Key: "CRIU:AUTOGENERATED"}, false, false},
		{"external by what CRIU takes for another name", savedMount{Device: 80, Mountpoint: "/mnt", External: true, Key: "/x]:/etc"}, false, false},
		{"the root's device with other options", savedMount{Type: "overlay", Device: 72, Mountpoint: "/mnt", Options: "lowerdir=/etc:/usr"}, false, false},
		{"the root's device with another source", savedMount{Type: "overlay", Device: 72, Mountpoint: "/mnt", Options: "lowerdir=/image", Source: "/etc"}, false, false},
		{"the root's device with another type", savedMount{Type: "ext4", Device: 72, Mountpoint: "/mnt", Options: "lowerdir=/image"}, false, false},
		{"a volume's device as a new file system", savedMount{Type: "overlay", Device: 5, Mountpoint: "/mnt", Options: "lowerdir=/etc:/usr"}, false, false},
		{"binfmt_misc", savedMount{Type: "binfmt_misc", Device: 80, Mountpoint: "/mnt"}, false, false},
		{"unknown", savedMount{Type: "type 99", Device: 80, Mountpoint: "/mnt"}, false, false},
		{"root of another namespace", savedMount{Type: "overlay", Device: 80, Mountpoint: "/"}, true, false},
	} {
		namespaces := [][]savedMount{append(root[:len(root):len(root)], c.m)}
		if c.nested {
			namespaces = [][]savedMount{root, {c.m}}
		}
		if err := checkSaved(namespaces, configured); (err == nil) != c.allowed {
			t.Errorf("%s: %v, want allowed %v", c.name, err, c.allowed)
		}
	}
}
