package libcontainer

import (
	"fmt"
	"strconv"

	"rt/internal/sys"
	"rt/libcontainer/bundle"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// CRIU restores every container in a time namespace, so that its monotonic clocks go on from where they were. What joins the container
// later must join that, too: a process in another one has other clocks, and CRIU saves no container with two.

// noteTimeNamespace writes down that init is in one that the configuration does not have.
func (k *making) noteTimeNamespace() error {
	its, known := k.c.Namespaces[string(specs.TimeNamespace)]
	if !known || bundle.HasNamespace(k.spec, specs.TimeNamespace) {
		return nil
	}
	own, err := sys.NamespaceInode(unix.AT_FDCWD, "/proc/self/ns/time")
	if err != nil {
		return fmt.Errorf("look at rt's time namespace: %w", err)
	}
	k.c.TimeNamespace = its != strconv.FormatUint(own, 10)
	return nil
}

// addTimeNamespace makes the configuration what the container has.
func (c *container) addTimeNamespace(spec *specs.Spec) {
	if !c.TimeNamespace || spec.Linux == nil || bundle.HasNamespace(spec, specs.TimeNamespace) {
		return
	}
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
}
