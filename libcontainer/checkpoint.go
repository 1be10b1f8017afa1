package libcontainer

import (
	"fmt"

	"rt/cgroups"
	"rt/internal/hint"
	"rt/libcontainer/bundle"
	"rt/libcontainer/checkpoint"
	"rt/libcontainer/criu"
	"rt/libcontainer/facts"
	"rt/libcontainer/plan"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Checkpoint saves a running container into files. It is gone afterwards, unless it is to be left running.
func (r *Runtime) Checkpoint(id string, o checkpoint.DumpOptions) error {
	c, err := r.open(id, true)
	if err != nil {
		return err
	}
	defer c.Release()
	status, err := c.status()
	if err != nil {
		return err
	}
	if status != specs.StateRunning && status != statePaused {
		//lint:ignore ST1005 runc's words
		return fmt.Errorf("Container cannot be checkpointed in %s state", status)
	}
	if err := c.dump(o); err != nil {
		if status != statePaused {
			err = c.thawAfterDump(err)
		}
		return fmt.Errorf("checkpoint container: %w", err)
	}
	if o.LeaveRunning || o.PreDump {
		return nil
	}
	return r.remove(c)
}

// thawAfterDump lets a container go on whose dump has failed for a reason. CRIU, which has ended, does so itself unless it is killed.
func (c *container) thawAfterDump(reason error) error {
	frozen, err := c.frozen()
	if err == nil && frozen {
		var cg *cgroups.Cgroup
		if cg, err = c.Cgroup(); err == nil {
			err = cg.Thaw()
		}
	}
	if err != nil {
		return fmt.Errorf("%w; and then let the container go on: %w", reason, err)
	}
	return reason
}

func (c *container) dump(o checkpoint.DumpOptions) error {
	spec, err := c.config()
	if err != nil {
		return err
	}
	init, err := c.openInit(spec) // CRIU knows it by its pid
	if err != nil {
		return err
	}
	init.Close()
	session, err := c.openCriu(&o.Options, checkpoint.DumpLog, true)
	if err != nil {
		return err
	}
	defer session.Close()
	d := &checkpoint.Dump{Session: session, Spec: spec, Freezer: c.Recorded().FreezerDir(), Warn: c.rt.Warn}
	if !o.PreDump {
		if d.View, err = c.cgroupBindView(spec); err != nil {
			return err
		}
	}
	return d.Save(&o)
}

// openCriu opens the conversation with CRIU, which it starts later.
func (c *container) openCriu(o *checkpoint.Options, log string, make bool) (*checkpoint.Session, error) {
	p := facts.OwnPrivileges()
	if err := mayCriu(p); err != nil {
		return nil, err
	}
	return checkpoint.Open(c.Container, c.rt.Criu, o, log, make, !p.Admin())
}

// mayCriu refuses an rt without the capabilities that CRIU needs. CRIU decides itself what it can do with the lesser one.
func mayCriu(p facts.Privileges) error {
	if p.Admin() || p.Has(unix.CAP_CHECKPOINT_RESTORE) {
		return nil
	}
	return hint.With(fmt.Errorf("CRIU needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE: %w", unix.EPERM),
		"containers of an ordinary user cannot be saved; run rt as root")
}

// cgroupBindView is what the container's mounts of cgroups show, if they are bind mounts.
func (c *container) cgroupBindView(spec *specs.Spec) (plan.CgroupView, error) {
	if bundle.HasNamespace(spec, specs.CgroupNamespace) || !facts.MountsCgroup(spec) {
		return plan.CgroupView{}, nil
	}
	host, err := cgroups.Probe()
	if err != nil {
		return plan.CgroupView{}, err
	}
	cg, err := c.Cgroup()
	if err != nil {
		return plan.CgroupView{}, err
	}
	return facts.ViewOf(host, cg, facts.OwnPrivileges())
}

// Checkpoints says whether the program is there without which nothing can be saved.
func (r *Runtime) Checkpoints() bool {
	_, err := criu.Find(r.Criu)
	return err == nil
}
