package bundle

import "strings"

// sysctls lets through only what belongs to a namespace of the container's own: anything else would
// change the host.
func (c *checker) sysctls(list map[string]string, ns namespaces) {
	seen := make(map[string]string, len(list))
	for _, name := range sorted(list) {
		file := sysctlFile(name)
		switch other, twice := seen[file]; {
		case !isSysctl(file):
			c.fail(at("/linux/sysctl", name), "%s is not the name of a kernel parameter", quote(name))
		case twice:
			c.fail(at("/linux/sysctl", name), "%s is the same parameter as %s", quote(name), quote(other))
		default:
			c.sysctl(name, file, ns)
		}
		seen[file] = name
	}
}

func (c *checker) sysctl(name, file string, ns namespaces) {
	if file == "kernel/hostname" {
		c.fail(at("/linux/sysctl", name), `sysctl %s is not allowed as it conflicts with the OCI "hostname" field`, quote(name))
		return
	}
	kind, word := sysctlNamespace(file)
	switch {
	case kind < 0:
		c.fail(at("/linux/sysctl", name), "sysctl %s is not in a separate kernel namespace", quote(name))
	case !ns.has(kind):
		c.failHint(`add {"type": "`+word+`"} to /linux/namespaces`, at("/linux/sysctl", name),
			"sysctl %s is not allowed in the host's %s namespace", quote(name), word)
	}
}

// sysctlFile turns a name into a path below /proc/sys. As in sysctl(8), the first separator says which
// of "." and "/" separates; the other one then stands for a dot inside a part, as in a VLAN's eth0.100.
func sysctlFile(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '/' {
		return name
	}
	b := []byte(name)
	for i, ch := range b {
		switch ch {
		case '.':
			b[i] = '/'
		case '/':
			b[i] = '.'
		}
	}
	return string(b)
}

// isSysctl keeps the path below /proc/sys.
func isSysctl(file string) bool {
	for part := range strings.SplitSeq(file, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// sysctlNamespace returns the namespace a parameter belongs to (namespaces(7) and the manual pages it
// names), -1 if it is the whole machine's.
func sysctlNamespace(file string) (kind int, word string) {
	switch file {
	case "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax",
		"kernel/shmmni", "kernel/shm_rmid_forced":
		return ipcNS, "ipc"
	case "kernel/domainname":
		return utsNS, "uts"
	}
	switch {
	case strings.HasPrefix(file, "fs/mqueue/"):
		return ipcNS, "ipc"
	case strings.HasPrefix(file, "net/"):
		return networkNS, "network"
	case strings.HasPrefix(file, "user/"):
		return userNS, "user"
	}
	return -1, ""
}
