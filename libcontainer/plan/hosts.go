package plan

import (
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// NotHosts is the error of a configuration that joins a namespace of this kind by its path, if that turns out to be the host's:
// something of the configuration would be written to the host. "" if nothing is. Where runc has words for it they are runc's.
func NotHosts(spec *specs.Spec, kind specs.LinuxNamespaceType) string {
	switch kind {
	case specs.MountNamespace:
		return "the mount namespace is the host's: its root would become the container's"
	case specs.UTSNamespace:
		if spec.Hostname != "" {
			return "unable to set hostname without a private UTS namespace"
		}
		if spec.Domainname != "" {
			return "unable to set domainname without a private UTS namespace"
		}
	}
	for _, key := range SortedKeys(spec.Linux.Sysctl) {
		file := SysctlPath(key)
		switch {
		case kind == specs.NetworkNamespace && strings.HasPrefix(file, "net/"):
			return fmt.Sprintf("sysctl %q not allowed in host network namespace", key)
		case kind == specs.IPCNamespace && (strings.HasPrefix(file, "kernel/") && file != "kernel/domainname" || strings.HasPrefix(file, "fs/mqueue/")):
			return fmt.Sprintf("sysctl %q is not allowed in the hosts ipc namespace", key)
		case kind == specs.UTSNamespace && file == "kernel/domainname":
			return fmt.Sprintf("sysctl %q is not allowed in the hosts uts namespace", key)
		}
	}
	return ""
}
