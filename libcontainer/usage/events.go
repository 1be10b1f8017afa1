// Package usage tells what containers use: statistics and out-of-memory events, the share of the cpu over time, and processes.
package usage

import (
	"fmt"
	"os"
	"time"

	"rt/cgroups"
	"rt/cgroups/stats"
	"rt/internal/sys"
	"rt/libcontainer/intelrdt"

	"golang.org/x/sys/unix"
)

// EventsOptions are the flags of events.
type EventsOptions struct {
	Interval time.Duration // between two statistics, the first of which comes after one; more than zero
	Once     bool          // --stats: the statistics of now, and no more
	Reader   *os.File      // where the events go: the stream ends when nobody reads there; or nil
}

// An Event is one line of events, in runc's layout.
type Event struct {
	Type string     `json:"type"` // stats or oom
	ID   string     `json:"id"`
	Data *EventData `json:"data,omitempty"` // of stats
}

// EventData are the statistics of a container. rt makes no network interface, so that it knows of none.
type EventData struct {
	*stats.Stats
	IntelRDT          intelrdt.Stats `json:"intel_rdt"` // empty without linux.intelRdt
	NetworkInterfaces []struct{}     `json:"network_interfaces"`
}

// A Stream are the events of one container. Emit gets them.
type Stream struct {
	ID     string
	Init   *os.File // pidfd of the container's init
	Cgroup *cgroups.Cgroup
	Rdt    intelrdt.Group
	Emit   func(*Event) error
	Warn   func(format string, args ...any)

	reader *os.File
	oom    *cgroups.OOMWatch
}

// Run emits statistics, again and again, and each out-of-memory event, until init ends, nobody reads any more, or Emit fails.
func (s *Stream) Run(o EventsOptions) (err error) {
	if o.Once {
		return s.stats()
	}
	interval := o.Interval
	s.reader = o.Reader
	if s.oom, err = s.Cgroup.WatchOOM(); err != nil {
		s.Warn("out-of-memory events of %s are not reported: %v", s.ID, err)
	}
	defer s.oom.Close()
	for next := time.Now().Add(interval); ; {
		ended, err := s.wait(next)
		if err != nil {
			return err
		}
		// Looked at in any case, and before the end: what ended the container may have been this.
		if err := s.reportOOM(); err != nil || ended {
			return err
		}
		if now := time.Now(); !now.Before(next) {
			if err := s.stats(); err != nil {
				return err
			}
			next = next.Add(interval)
			if next.Before(now) { // stopped (SIGSTOP) or slow: no burst to catch up
				next = now.Add(interval)
			}
		}
	}
}

// wait returns when there may be an event to report, the time has come, or the stream is to end.
func (s *Stream) wait(until time.Time) (ended bool, err error) {
	fds := []unix.PollFd{{Fd: int32(s.Init.Fd()), Events: unix.POLLIN}, {Fd: -1}, {Fd: -1}}
	if s.oom != nil {
		fds[1] = s.oom.Poll()
	}
	if s.reader != nil {
		fds[2].Fd = int32(s.reader.Fd()) // of a pipe or socket, POLLERR says that the other end is closed
	}
	left := unix.NsecToTimespec(max(time.Until(until), 0).Nanoseconds())
	if err := sys.Retry(func() error { _, err := unix.Ppoll(fds, &left, nil); return err }); err != nil {
		return false, os.NewSyscallError("poll", err)
	}
	return fds[0].Revents != 0 || fds[2].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0, nil
}

func (s *Stream) reportOOM() error {
	if s.oom == nil {
		return nil
	}
	happened, err := s.oom.Happened()
	if err != nil || !happened {
		return err
	}
	return s.Emit(&Event{Type: "oom", ID: s.ID})
}

func (s *Stream) stats() error {
	stats, err := s.Cgroup.Stats()
	if err != nil {
		return fmt.Errorf("read statistics: %w", err)
	}
	rdt, err := s.Rdt.Stats()
	if err != nil {
		return fmt.Errorf("read statistics: %w", err)
	}
	return s.Emit(&Event{Type: "stats", ID: s.ID, Data: &EventData{Stats: stats, IntelRDT: rdt}})
}
