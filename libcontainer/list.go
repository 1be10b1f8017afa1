package libcontainer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// List tells about every container below the root, by id. One that vanishes meanwhile is left out; one that
// cannot be read is warned about.
func (r *Runtime) List() ([]ContainerState, error) {
	entries, err := os.ReadDir(r.Root)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var all []ContainerState
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		v, err := r.State(e.Name())
		if err != nil {
			if !errors.Is(err, ErrNotExist) {
				r.Warn("container %s: %v", e.Name(), err)
			}
			continue
		}
		if fi, err := os.Stat(filepath.Join(r.Root, e.Name())); err == nil {
			if st, ok := fi.Sys().(*syscall.Stat_t); ok {
				v.OwnerUID = int(st.Uid)
			}
		}
		all = append(all, *v)
	}
	return all, nil
}
