package bundle

import (
	"math"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// scheduler follows sched_setattr(2) and sched(7).
func (c *checker) scheduler(s *specs.Scheduler, ptr string) {
	if s == nil {
		return
	}
	realtime := false
	switch s.Policy {
	case specs.SchedOther, specs.SchedBatch, specs.SchedIdle, specs.SchedDeadline:
	case specs.SchedFIFO, specs.SchedRR:
		realtime = true
	case specs.SchedISO:
		c.fail(ptr+"/policy", "no Linux kernel implements SCHED_ISO")
	default:
		c.fail(ptr+"/policy", "unknown scheduling policy %s", quote(s.Policy))
	}
	if s.Nice < -20 || s.Nice > 19 {
		c.fail(ptr+"/nice", "%d is not from -20 to 19", s.Nice)
	}
	switch {
	case realtime && (s.Priority < 1 || s.Priority > 99):
		c.fail(ptr+"/priority", "%d is not from 1 to 99, as %s needs", s.Priority, s.Policy)
	case !realtime && s.Priority != 0:
		c.fail(ptr+"/priority", "only SCHED_FIFO and SCHED_RR have a priority")
	}
	for i, f := range s.Flags {
		if !schedulerFlag(f) {
			c.fail(at(ptr, "flags", i), "unknown scheduling flag %s", quote(f))
		}
	}
	c.deadline(s, ptr)
}

func schedulerFlag(f specs.LinuxSchedulerFlag) bool {
	switch f {
	case specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun, specs.SchedFlagKeepPolicy,
		specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax:
		return true
	}
	return false
}

// deadline checks what the kernel's __checkparam_dl does, in nanoseconds: 1024 <= runtime <= deadline <= period.
func (c *checker) deadline(s *specs.Scheduler, ptr string) {
	if s.Policy != specs.SchedDeadline {
		if s.Runtime != 0 || s.Deadline != 0 || s.Period != 0 {
			c.fail(ptr, "runtime, deadline and period are only for SCHED_DEADLINE")
		}
		return
	}
	if s.Runtime < 1024 || s.Runtime > s.Deadline {
		c.fail(ptr+"/runtime", "%d is not from 1024 to deadline, %d", s.Runtime, s.Deadline)
	}
	if s.Deadline > math.MaxInt64 {
		c.fail(ptr+"/deadline", "%d is larger than 9223372036854775807", s.Deadline)
	}
	if s.Period != 0 && (s.Period < s.Deadline || s.Period > math.MaxInt64) {
		c.fail(ptr+"/period", "%d is not from deadline, %d, to 9223372036854775807", s.Period, s.Deadline)
	}
}

// ioPriority follows ioprio_set(2).
func (c *checker) ioPriority(p *specs.LinuxIOPriority, ptr string) {
	if p == nil {
		return
	}
	switch p.Class {
	case specs.IOPRIO_CLASS_RT, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE:
	default:
		c.fail(ptr+"/class", "unknown I/O scheduling class %s", quote(p.Class))
	}
	if p.Priority < 0 || p.Priority > 7 {
		c.fail(ptr+"/priority", "%d is not from 0 to 7", p.Priority)
	}
}

func (c *checker) personality(p *specs.LinuxPersonality) {
	if p == nil {
		return
	}
	if p.Domain != specs.PerLinux && p.Domain != specs.PerLinux32 {
		c.fail("/linux/personality/domain", "unknown execution domain %s", quote(p.Domain))
	}
	if len(p.Flags) > 0 {
		c.warn("/linux/personality/flags", "the specification has no flags: they are ignored")
	}
}
