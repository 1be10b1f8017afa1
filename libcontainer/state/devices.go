package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// WriteDevices writes the journal of network devices: what a create that is killed leaves in a network namespace that outlives it.
func (c *Container) WriteDevices(record any) error {
	data, err := json.Marshal(record)
	if err == nil {
		err = sys.ReplaceFile(filepath.Join(c.Dir, devicesFile), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write journal of network devices: %w", err)
	}
	return nil
}

// RemoveDevices removes the journal of network devices, if there is one: they stay where they are.
func (c *Container) RemoveDevices() error {
	if err := unix.Unlink(filepath.Join(c.Dir, devicesFile)); err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove journal of network devices: %w", err)
	}
	return nil
}

// ReadDevices reads what WriteDevices has written. A journal that makes no sense is a warning, for no other attempt would make it readable.
func (c *Container) ReadDevices(record any) (found bool, err error) {
	data, err := c.ReadFile(devicesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if sys.Unseen(err) || Distrusted(err) {
		return false, fmt.Errorf("bring network devices back: %w", err)
	}
	if err == nil {
		err = json.Unmarshal(data, record)
	}
	if err != nil {
		c.Root.Warn("bring network devices back: read %s: %v", devicesFile, err)
		return false, nil
	}
	return true, nil
}
