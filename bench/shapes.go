package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// A change edits the default configuration; process and linux are parts of config.
type change func(config, process, linux map[string]any) error

// dockerSeccomp is the filter that Docker gives a container which asks for nothing.
func dockerSeccomp(_, _, linux map[string]any) error {
	text, err := os.ReadFile("libcontainer/seccomp/testdata/docker.json")
	linux["seccomp"] = json.RawMessage(text)
	return err
}

func withoutNamespace(kind string) change {
	return func(_, _, linux map[string]any) error {
		linux["namespaces"] = slices.DeleteFunc(linux["namespaces"].([]any), func(n any) bool { return n.(map[string]any)["type"] == kind })
		return nil
	}
}

// likeDocker is a configuration as Docker writes it for a service: 25 mounts, among them files and volumes of the host, its
// capabilities, masked and read-only paths, limits, and its seccomp profile.
func (l *lab) likeDocker(config, process, linux map[string]any) error {
	mounts := config["mounts"].([]any)
	for i := 0; len(mounts) < 25; i++ {
		source := filepath.Join(l.dir, fmt.Sprintf("volume-%d", i))
		if err := os.MkdirAll(source, 0o755); err != nil {
			return err
		}
		options := []any{"rbind", "rprivate"}
		if i%2 == 0 {
			options = append(options, "ro")
		}
		mounts = append(mounts, map[string]any{"destination": fmt.Sprintf("/dev/shm/volumes/%d", i), "type": "bind", "source": source, "options": options})
	}
	config["mounts"] = mounts
	caps := []any{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
		"CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}
	process["capabilities"] = map[string]any{"bounding": caps, "effective": caps, "permitted": caps}
	resources := linux["resources"].(map[string]any)
	resources["memory"] = map[string]any{"limit": 512 << 20, "reservation": 256 << 20}
	resources["cpu"] = map[string]any{"shares": 512, "quota": 150000, "period": 100000}
	resources["pids"] = map[string]any{"limit": 200}
	linux["maskedPaths"] = []any{"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
		"/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"}
	linux["readonlyPaths"] = []any{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
	return dockerSeccomp(config, process, linux)
}

// inUserNamespace maps the container's ids to ones that mean nothing to the host, on a root file system of their own.
func (l *lab) inUserNamespace(config, _, linux map[string]any) error {
	const first, size = 100000, 65536
	rootfs := filepath.Join(l.dir, "userns-rootfs")
	if _, err := output(context.Background(), "cp", "-a", l.rootfs, rootfs); err != nil {
		return err
	}
	if _, err := output(context.Background(), "chown", "-R", fmt.Sprintf("%d:%d", first, first), rootfs); err != nil {
		return err
	}
	if err := os.Chmod(l.dir, 0o755); err != nil { // the container's root passes through it
		return err
	}
	config["root"].(map[string]any)["path"] = rootfs
	mapping := []any{map[string]any{"containerID": 0, "hostID": first, "size": size}}
	linux["uidMappings"], linux["gidMappings"] = mapping, mapping
	linux["namespaces"] = append(linux["namespaces"].([]any), map[string]any{"type": "user"})
	return nil
}
