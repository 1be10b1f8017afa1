package bundle

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// NamespaceOf finds the entry of linux.namespaces of a type: at is its index, and ok is false if there is none.
// A checked configuration has each type once at most.
func NamespaceOf(spec *specs.Spec, kind specs.LinuxNamespaceType) (ns specs.LinuxNamespace, at int, ok bool) {
	for i, ns := range spec.Linux.Namespaces {
		if ns.Type == kind {
			return ns, i, true
		}
	}
	return ns, 0, false
}

// HasNamespace says that the container is in another namespace of a type than the runtime: a new one, or one that exists.
func HasNamespace(spec *specs.Spec, kind specs.LinuxNamespaceType) bool {
	_, _, ok := NamespaceOf(spec, kind)
	return ok
}

// MakesNamespace says that the container gets a new namespace of a type.
func MakesNamespace(spec *specs.Spec, kind specs.LinuxNamespaceType) bool {
	ns, _, ok := NamespaceOf(spec, kind)
	return ok && ns.Path == ""
}

// JoinedNamespace is the path of the namespace of a type that the container joins, "" if it joins none.
func JoinedNamespace(spec *specs.Spec, kind specs.LinuxNamespaceType) string {
	ns, _, _ := NamespaceOf(spec, kind)
	return ns.Path
}
