package libcontainer

import (
	"rt/cgroups"
	"rt/libcontainer/doctor"
	"rt/libcontainer/state"
)

// Doctor looks for what containers that are gone have left on the host, and removes it if that is asked for.
func (r *Runtime) Doctor(o doctor.Options) ([]doctor.Finding, error) {
	return doctor.Find(&r.Root, doctorVerbs{r}, o)
}

// doctorVerbs are the verbs that doctor needs.
type doctorVerbs struct{ r *Runtime }

func (v doctorVerbs) Cgroup(c *state.Container) (*cgroups.Cgroup, error) {
	return (&container{Container: c, rt: v.r}).cgroup()
}

func (v doctorVerbs) Remove(c *state.Container) error {
	return v.r.remove(&container{Container: c, rt: v.r})
}

func (v doctorVerbs) RemoveCgroup(s *state.Container, cg *cgroups.Cgroup) error {
	c := &container{Container: s, rt: v.r, cg: cg}
	if err := c.stopUnit(false); err != nil {
		return err
	}
	return cg.Remove(c.killPatiently())
}
