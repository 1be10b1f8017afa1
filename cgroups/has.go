package cgroups

import (
	"slices"
)

// Has says whether a controller, by its v1 name, can be had on this host.
func (h *Host) Has(controller string) bool {
	if h.V1[controller] != "" {
		return true
	}
	if h.Unified == "" {
		return false
	}
	if controller == "blkio" {
		controller = "io"
	}
	names, err := readFields(h.Unified + "/cgroup.controllers")
	return err == nil && slices.Contains(names, controller)
}
