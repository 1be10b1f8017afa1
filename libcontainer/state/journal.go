package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"rt/internal/sys"
)

// A journal says what a container has outside of its directory. It is written before any of that is made, so that delete finds
// everything whenever create was killed. It is written again when cgroups were taken and processes created: what was only intended may
// by then belong to another container.
type journal struct {
	Cgroups    map[string]string `json:"cgroups,omitempty"` // controller -> directory
	Unit       string            `json:"systemdUnit,omitempty"`
	RdtGroup   string            `json:"rdtGroup,omitempty"` // resctrl directory of this container alone
	RdtMonitor string            `json:"rdtMonitor,omitempty"`
	RdtShared  string            `json:"rdtShared,omitempty"` // class of service that create makes and others may use
	RdtTaken   map[string]string `json:"rdtTaken,omitempty"`  // as in the state
	BootID     string            `json:"bootId,omitempty"`

	PidNamespace uint64 `json:"pidNamespace,omitempty"` // inode of the one that rt ran in

	Taken       map[string]string `json:"cgroupsTaken,omitempty"` // as in the state; cgroups.Missing and Existed before they are taken
	Mark        string            `json:"cgroupMark,omitempty"`
	PrivatePid  bool              `json:"privatePid,omitempty"`
	Restored    bool              `json:"restored,omitempty"`
	Pid         int               `json:"pid,omitempty"` // of init
	StartTime   uint64            `json:"startTime,omitempty"`
	PidInode    uint64            `json:"pidInode,omitempty"`
	HelperPid   int               `json:"helperPid,omitempty"` // of CRIU
	HelperStart uint64            `json:"helperStart,omitempty"`
	HelperInode uint64            `json:"helperInode,omitempty"`
}

// WriteJournal writes what the container has outside of its directory.
func (c *Container) WriteJournal() error {
	j := journal{Cgroups: c.Cgroups, Unit: c.Unit, RdtMonitor: c.RdtMonitor, RdtShared: c.RdtShared, RdtTaken: c.RdtTaken, BootID: c.BootID, PidNamespace: c.PidNamespace,
		Taken: c.Taken, Mark: c.Mark, PrivatePid: c.PrivatePid, Restored: c.Restored, Pid: c.Pid, StartTime: c.StartTime, PidInode: c.PidInode,
		HelperPid: c.Helper.Pid, HelperStart: c.Helper.Start, HelperInode: c.Helper.Inode}
	if c.RdtOwn {
		j.RdtGroup = c.RdtGroup
	}
	if err := sys.ReplaceFile(filepath.Join(c.Dir, JournalFile), j.encode(), 0o600); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// ReadJournal reads what a container without a state has. If the journal is missing or incomplete, nothing was made.
func (c *Container) ReadJournal() error {
	var j journal
	if err := c.Check(); err == ErrNotExist {
		return nil
	} else if err != nil {
		return err
	}
	data, err := c.ReadFile(JournalFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read journal: %w", err)
	}
	if err != nil || json.Unmarshal(data, &j) != nil {
		return nil
	}
	c.Cgroups, c.Unit, c.RdtMonitor, c.RdtShared, c.BootID = j.Cgroups, j.Unit, j.RdtMonitor, j.RdtShared, j.BootID
	c.PidNamespace, c.Taken, c.Mark, c.PrivatePid, c.Restored, c.Early = j.PidNamespace, j.Taken, j.Mark, j.PrivatePid, j.Restored, true
	c.Pid, c.StartTime, c.PidInode = max(0, j.Pid), j.StartTime, j.PidInode
	c.Helper = sys.Process{Pid: j.HelperPid, Start: j.HelperStart, Inode: j.HelperInode}
	c.RdtGroup, c.RdtOwn, c.RdtTaken = j.RdtGroup, j.RdtGroup != "", j.RdtTaken
	return c.checkBoot()
}
