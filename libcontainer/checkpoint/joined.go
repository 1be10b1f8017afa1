package checkpoint

import (
	"fmt"
	"os"

	"rt/internal/sys"
	"rt/libcontainer/criu"
	"rt/libcontainer/plan"
	"rt/libcontainer/stub"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Joined are the namespaces that the configuration names by paths, by their types. Each is opened once: a path can lead to another one by
// the time that CRIU starts.
type Joined map[specs.LinuxNamespaceType]*os.File

// OpenJoined opens them by the rules of create.
func OpenJoined(spec *specs.Spec) (Joined, error) {
	joined := Joined{}
	for i, ns := range spec.Linux.Namespaces {
		if ns.Path == "" {
			continue
		}
		f, err := stub.OpenNamespace(plan.Input{Path: ns.Path, Type: plan.NamespaceFlag(ns.Type), NotHosts: plan.NotHosts(spec, ns.Type)})
		if err == nil {
			joined[ns.Type] = f
			switch ns.Type {
			case specs.CgroupNamespace, specs.MountNamespace, specs.TimeNamespace, specs.UserNamespace:
				err = fmt.Errorf("CRIU restores nothing into a %s namespace that is there already", ns.Type)
			}
		}
		if err != nil {
			joined.Close()
			return nil, fmt.Errorf("%w (/linux/namespaces/%d/path)", err, i)
		}
	}
	return joined, nil
}

// Close closes the namespaces.
func (j Joined) Close() {
	for _, f := range j {
		f.Close()
	}
}

// joinNamespaces has CRIU restore the processes in the joined namespaces. CRIU inherits some, and opens the others through rt's
// descriptors.
func (r *Restoration) joinNamespaces() error {
	for _, ns := range r.Spec.Linux.Namespaces {
		f := r.Joined[ns.Type]
		if f == nil {
			continue
		}
		key, ok := externalNamespaces()[ns.Type]
		if !ok {
			r.Session.opts.JoinNS = append(r.Session.opts.JoinNS, criu.Pair{Key: plan.NamespaceFile(ns.Type), Value: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())})
			continue
		}
		f, err := sys.Duplicate(f) // CRIU closes it
		if err != nil {
			return err
		}
		r.inherit(key, f)
	}
	return nil
}
