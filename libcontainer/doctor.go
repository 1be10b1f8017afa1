package libcontainer

import (
	"rt/libcontainer/doctor"
	"rt/libcontainer/place"
)

// Doctor looks for what containers that are gone have left on the host, and removes it if that is asked for.
func (r *Runtime) Doctor(o doctor.Options) ([]doctor.Finding, error) {
	return doctor.Find(&r.Root, func(p *place.Place) error { return r.remove(&container{Place: p, rt: r}) }, o)
}
