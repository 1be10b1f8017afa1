package libcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"rt/internal/sys"
)

// A journal is what a container has outside its own directory. It is written before any of it is made, so that
// delete finds everything no matter when create was killed; and again when cgroups have been taken and processes made, for
// what was only intended may have become another container's.
type journal struct {
	Cgroups    map[string]string `json:"cgroups,omitempty"` // controller -> directory
	Unit       string            `json:"systemdUnit,omitempty"`
	RdtGroup   string            `json:"rdtGroup,omitempty"` // a resctrl directory that is the container's alone
	RdtMonitor string            `json:"rdtMonitor,omitempty"`
	RdtShared  string            `json:"rdtShared,omitempty"` // a class of service that others may use by now, if create has made it
	RdtTaken   map[string]string `json:"rdtTaken,omitempty"`  // as in the state
	BootID     string            `json:"bootId,omitempty"`

	PidNamespace uint64 `json:"pidNamespace,omitempty"` // inode of rt's own

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

func (c *container) writeJournal() error {
	j := journal{Cgroups: c.Cgroups, Unit: c.Unit, RdtMonitor: c.RdtMonitor, RdtShared: c.rdtShared, RdtTaken: c.RdtTaken, BootID: c.BootID, PidNamespace: c.PidNamespace,
		Taken: c.Taken, Mark: c.Mark, PrivatePid: c.PrivatePid, Restored: c.restored, Pid: c.Pid, StartTime: c.StartTime, PidInode: c.PidInode,
		HelperPid: c.helper.Pid, HelperStart: c.helper.Start, HelperInode: c.helper.Inode}
	if c.RdtOwn {
		j.RdtGroup = c.RdtGroup
	}
	if err := sys.ReplaceFile(filepath.Join(c.dir, journalFile), j.encode(), 0o600); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// readJournal fills in what a container without a state has; no journal, or half of one, means that nothing was made.
func (c *container) readJournal() error {
	var j journal
	if err := c.check(); err == ErrNotExist {
		return nil
	} else if err != nil {
		return err
	}
	data, err := c.read(journalFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read journal: %w", err)
	}
	if err != nil || json.Unmarshal(data, &j) != nil {
		return nil
	}
	c.Cgroups, c.Unit, c.RdtMonitor, c.rdtShared, c.BootID = j.Cgroups, j.Unit, j.RdtMonitor, j.RdtShared, j.BootID
	c.PidNamespace, c.Taken, c.Mark, c.PrivatePid, c.restored, c.early = j.PidNamespace, j.Taken, j.Mark, j.PrivatePid, j.Restored, true
	c.Pid, c.StartTime, c.PidInode = max(0, j.Pid), j.StartTime, j.PidInode
	c.helper = sys.Process{Pid: j.HelperPid, Start: j.HelperStart, Inode: j.HelperInode}
	c.RdtGroup, c.RdtOwn, c.RdtTaken = j.RdtGroup, j.RdtGroup != "", j.RdtTaken
	return c.checkBoot()
}
