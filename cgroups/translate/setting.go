// Package translate has what linux.resources is for the files of cgroups: a value for each file, for v1 and v2, and the program that
// enforces device rules on v2. It makes no system call.
package translate

import (
	"fmt"
	"strconv"
	"strings"

	"rt/internal/text"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A Setting is one value for one file of a cgroup.
type Setting struct {
	Controller string // v1: name of the controller; v2: name in cgroup.controllers, "" for cgroup.* files
	File       string // name in the cgroup's directory
	Value      string // written with one write(2)
	Pointer    string // JSON pointer of what asked for it, below /linux/resources

	// Optional: the kernel need not have the file; asking for what holds without it is no error.
	Optional bool
	// Alt is written with AltValue when File does not exist (another I/O scheduler, an older kernel).
	Alt, AltValue string
	// Group names files that the kernel checks against each other, such as a quota and its burst. Which
	// of them must be written first depends on the present values, so a setting refused with EINVAL is
	// tried again after the others of its group.
	Group string
	// KeepFirst: Value is put after the first word of what the file holds now.
	KeepFirst bool
	// Memory and MemorySwap: with memory.checkBeforeUpdate, limits of memory and of memory+swap that must be above what
	// memory.current holds. 0: none.
	Memory, MemorySwap int64
}

// settings collects the translation of one LinuxResources.
type settings struct {
	list     []Setting
	warnings []string
	err      error // the first one
}

func (s *settings) add(controller, file, pointer, value string) *Setting {
	s.list = append(s.list, Setting{Controller: controller, File: file, Value: value, Pointer: pointer})
	return &s.list[len(s.list)-1]
}

func (s *settings) warn(pointer, format string, args ...any) {
	s.warnings = append(s.warnings, pointer+": "+fmt.Sprintf(format, args...))
}

func (s *settings) fail(pointer, format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(pointer+": "+format, args...)
	}
}

func (s *settings) result() ([]Setting, []string, error) {
	if s.err != nil {
		return nil, s.warnings, s.err
	}
	return s.list, s.warnings, nil
}

// Resources is the JSON pointer of what is translated.
const Resources = "/linux/resources"

// given says that a number is set. As in every OCI runtime a limit of 0 means "not set", except where the
// spec says otherwise (pids.limit).
func given[T int64 | uint64 | uint16](p *T) bool { return p != nil && *p != 0 }

func itoa(n int64) string  { return strconv.FormatInt(n, 10) }
func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// limit is n, or "max" for the negative values that mean no limit.
func limit(n int64) string {
	if n < 0 {
		return "max"
	}
	return itoa(n)
}

// swappinessGiven: engines have written -1 for "not set", which reads as the largest unsigned number.
func swappinessGiven(m *specs.LinuxMemory) bool {
	return m.Swappiness != nil && *m.Swappiness != 1<<64-1
}

// pids.limit is the same file in v1 and v2. 0 is a real limit (config-linux.md, "PIDs", since 1.3.0), and written as 1, as runc
// does since 1.4: systemd takes no TasksMax of 0, and the kernel refuses forks only, of which neither allows one.
func (s *settings) pids(p *specs.LinuxPids) {
	if p == nil || p.Limit == nil {
		return
	}
	n := *p.Limit
	if n == 0 {
		n = 1
	}
	s.add("pids", "pids.max", Resources+"/pids/limit", limit(n))
}

// rdma.max is the same file in v1 and v2.
func (s *settings) rdma(devices map[string]specs.LinuxRdma) {
	for _, name := range sortedKeys(devices) {
		pointer := Resources + "/rdma/" + text.PointerToken(name)
		d, value := devices[name], name
		if !oneWord(name) {
			s.fail(pointer, "invalid device name %q", name)
		}
		if d.HcaHandles == nil && d.HcaObjects == nil {
			s.fail(pointer, "one of hcaHandles and hcaObjects must be set")
		}
		if d.HcaHandles != nil {
			value += " hca_handle=" + utoa(uint64(*d.HcaHandles))
		}
		if d.HcaObjects != nil {
			value += " hca_object=" + utoa(uint64(*d.HcaObjects))
		}
		s.add("rdma", "rdma.max", pointer, value)
	}
}

// cpuset.cpus and cpuset.mems are the same files in v1 and v2.
func (s *settings) cpuset(c *specs.LinuxCPU) {
	for _, f := range []struct{ name, value string }{{"cpus", c.Cpus}, {"mems", c.Mems}} {
		if f.value == "" {
			continue
		}
		pointer := Resources + "/cpu/" + f.name
		list := strings.TrimSpace(f.value)
		if list == "" || strings.Trim(list, "0123456789,-:/N ") != "" { // bitmap_parselist: 0-3,8-15:2/4, N is the last
			s.fail(pointer, "invalid list %q", f.value)
		}
		s.add("cpuset", "cpuset."+f.name, pointer, list)
	}
}

// hugepagePrefix checks a page size, which becomes part of a file's name: 64KB, 2MB, 1GB.
func (s *settings) hugepagePrefix(i int, size string) (prefix, pointer string) {
	pointer = Resources + "/hugepageLimits/" + strconv.Itoa(i)
	n := strings.TrimRight(size, "KMGB")
	unit := size[len(n):]
	if n == "" || n[0] == '0' || strings.Trim(n, "0123456789") != "" || (unit != "KB" && unit != "MB" && unit != "GB") {
		s.fail(pointer+"/pageSize", "invalid page size %q", size)
	}
	return "hugetlb." + size + ".", pointer + "/limit"
}

// oneWord says that a name can be the first word of a line of a cgroup file.
func oneWord(name string) bool { return name != "" && !strings.ContainsAny(name, " \t\n\v\f\r\x00") }
