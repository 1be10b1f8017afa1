package cgroups

import "rt/cgroups/stats"

// Stats reads the usage of the cgroup.
func (c *Cgroup) Stats() (*stats.Stats, error) { return stats.Read(c.dirOf, readFile) }

// Usage reads the few numbers of Stats that tell how the cgroup is doing.
func (c *Cgroup) Usage() (*stats.Usage, error) { return stats.ReadUsage(c.dirOf, readShort) }
