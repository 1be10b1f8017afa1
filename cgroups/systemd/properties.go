package systemd

import (
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"rt/cgroups/translate"
	"rt/internal/dbus"
)

// Base are the properties of every container's unit. pid is the first process, which a slice cannot be given.
func Base(u Unit, description string, pid int, v2 bool) []Property {
	list := []Property{{"Description", dbus.String(description)}}
	if u.IsSlice() {
		list = append(list, Property{"Wants", dbus.Strings(u.Slice)}) // where it lies is in its name
	} else {
		list = append(list,
			Property{"Slice", dbus.String(u.Slice)},
			Property{"Delegate", dbus.Bool(true)}, // what is below the scope is the container's
			Property{"PIDs", dbus.Array{Of: "u", Items: []dbus.Value{dbus.Uint32(pid)}}})
	}
	io := "BlockIOAccounting"
	if v2 {
		io = "IOAccounting"
	}
	for _, name := range [...]string{"MemoryAccounting", "CPUAccounting", io, "TasksAccounting"} {
		list = append(list, Property{name, dbus.Bool(true)})
	}
	// The default ones would end the container with the user's login or early at shutdown.
	return append(list, Property{"DefaultDependencies", dbus.Bool(false)})
}

// infinity is "no limit" for sizes, numbers and times.
const infinity = dbus.Uint64(math.MaxUint64)

// Limits are the properties for settings of cgroup files, so that systemd, whenever it writes its own idea of the
// unit into the files (daemon-reload, a change of a property), writes the same. What systemd has no property for, or
// none of this value, is left out: the files are written anyway.
//
// present reads a file of the cgroup as it is now ("" if it has none): systemd takes quota and period together, and a
// change may give one of them. version is systemd's.
func Limits(settings []translate.Setting, present func(file string) string, version int) []Property {
	var list []Property
	set := func(name string, v dbus.Value) { list = put(list, Property{name, v}) }
	var cpu bandwidth
	for _, s := range settings {
		if cpu.take(s) {
			continue
		}
		name, parse := limit(s.File)
		if parse == nil {
			continue
		}
		value := s.Value
		if s.AltValue != "" {
			value = strings.TrimPrefix(s.AltValue, "default ")
		}
		if v := parse(value); v != nil {
			set(name, v)
		}
	}
	// Idle is a weight of 0 for systemd, since version 252.
	if idle(settings) && version >= 252 {
		set("CPUWeight", dbus.Uint64(0))
	}
	for _, p := range cpu.properties(present) {
		list = put(list, p)
	}
	return list
}

// Sorted orders properties by the names of the files that systemd makes of them when they are set one by one: it takes a
// unit for changed on disk (NeedDaemonReload) when the files were not made in the order of their names.
func Sorted(list []Property) []Property {
	slices.SortStableFunc(list, func(a, b Property) int { return strings.Compare(fileOf(a.Name), fileOf(b.Name)) })
	return list
}

// fileOf is the setting's name in a unit file.
func fileOf(property string) string {
	if property == "CPUQuotaPerSecUSec" {
		return "CPUQuota"
	}
	if stem, ok := strings.CutSuffix(property, "USec"); ok {
		return stem + "Sec"
	}
	return property
}

// put adds a property in place of one of its name.
func put(list []Property, p Property) []Property {
	for i := range list {
		if list[i].Name == p.Name {
			list[i] = p
			return list
		}
	}
	return append(list, p)
}

// limit is the property that a file is, of v2 or of v1, and how its value reads.
func limit(file string) (name string, parse func(string) dbus.Value) {
	switch file {
	case "cpu.weight":
		return "CPUWeight", within(1, 10000)
	case "memory.max":
		return "MemoryMax", size
	case "memory.high":
		return "MemoryHigh", size
	case "memory.low":
		return "MemoryLow", size
	case "memory.min":
		return "MemoryMin", size
	case "memory.swap.max":
		return "MemorySwapMax", size
	case "pids.max":
		return "TasksMax", tasks
	case "cpuset.cpus":
		return "AllowedCPUs", bits
	case "cpuset.mems":
		return "AllowedMemoryNodes", bits
	case "io.weight", "io.bfq.weight":
		return "IOWeight", ioWeight
	case "cpu.shares":
		return "CPUShares", within(2, 262144)
	case "memory.limit_in_bytes":
		return "MemoryLimit", size
	case "blkio.weight":
		return "BlockIOWeight", within(10, 1000)
	}
	return "", nil
}

func size(text string) dbus.Value {
	if text == "max" || text == "-1" {
		return infinity
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil
	}
	return dbus.Uint64(n)
}

// tasks: systemd has no limit of 0, which linux.resources.unified can ask for; the file says 0.
func tasks(text string) dbus.Value {
	if text == "0" {
		return dbus.Uint64(1)
	}
	return size(text)
}

func within(low, high uint64) func(string) dbus.Value {
	return func(text string) dbus.Value {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n < low || n > high {
			return nil
		}
		return dbus.Uint64(n)
	}
}

// ioWeight leaves out the lines for single devices ("8:0 100").
func ioWeight(text string) dbus.Value {
	return within(1, 10000)(strings.TrimPrefix(text, "default "))
}

// bits is a list of CPUs or memory nodes, "0-3,8", as a bit mask, lowest byte first. The kernel's forms beyond lists
// and ranges ("0-9:1/2") are not understood: nil.
func bits(text string) dbus.Value {
	const most = 8192 // CONFIG_NR_CPUS is not larger anywhere
	var mask []byte
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 32)
		last, err2 := strconv.ParseUint(to, 10, 32)
		if err1 != nil || err2 != nil || first > last || last >= most {
			return nil
		}
		for n := first; n <= last; n++ {
			for uint64(len(mask)) <= n/8 {
				mask = append(mask, 0)
			}
			mask[n/8] |= 1 << (n % 8)
		}
	}
	return dbus.Bytes(mask)
}

func idle(settings []translate.Setting) bool {
	for _, s := range settings {
		if s.File == "cpu.idle" && s.Value != "0" {
			return true
		}
	}
	return false
}

// A bandwidth is quota and period in microseconds, "" where not given; the quota may be "max".
type bandwidth struct {
	quota, period string
	v1            bool
}

func (b *bandwidth) take(s translate.Setting) bool {
	switch s.File {
	case "cpu.max":
		fields := strings.Fields(s.Value)
		switch {
		case s.KeepFirst && len(fields) == 1:
			b.period = fields[0]
		case len(fields) == 2:
			b.quota, b.period = fields[0], fields[1]
		case len(fields) == 1:
			b.quota = fields[0]
		}
	case "cpu.cfs_quota_us":
		b.quota, b.v1 = s.Value, true
	case "cpu.cfs_period_us":
		b.period, b.v1 = s.Value, true
	default:
		return false
	}
	return true
}

// complete adds what was not given and holds now.
func (b *bandwidth) complete(present func(string) string) {
	var quota, period string
	if b.v1 {
		quota, period = present("cpu.cfs_quota_us"), present("cpu.cfs_period_us")
	} else if fields := strings.Fields(present("cpu.max")); len(fields) == 2 {
		quota, period = fields[0], fields[1]
	}
	if b.quota == "" {
		b.quota = quota
	}
	if b.period == "" {
		b.period = period
	}
}

// Quota is what systemd makes of a quota in microseconds: it keeps the time per second as a whole percentage of a CPU, and
// computes from that what it writes. It is rounded up as runc does, for a limit below the container's own would make the exact
// one for its children invalid on v1. A quota of 0 or less, no limit, stays, and what the kernel refuses.
func Quota(quota int64, period uint64) int64 {
	if period == 0 {
		period = defaultPeriod
	}
	if quota <= 0 || quota > 1<<43 || period > secondUsec {
		return quota
	}
	const least = 1000 // the kernel's
	return max(int64(perSecond(uint64(quota), period)*period/secondUsec), least)
}

const (
	secondUsec    = 1_000_000
	defaultPeriod = 100_000 // the kernel's
)

// perSecond is the CPU time per second in microseconds, in whole percent.
func perSecond(quota, period uint64) uint64 {
	const percent = secondUsec / 100
	return (quota*secondUsec/period + percent - 1) / percent * percent
}

// properties: quota and period together.
func (b *bandwidth) properties(present func(string) string) []Property {
	if b.quota == "" && b.period == "" {
		return nil
	}
	b.complete(present)
	var list []Property
	period, err := strconv.ParseUint(b.period, 10, 64)
	if err != nil || period == 0 {
		period = defaultPeriod
	} else {
		list = append(list, Property{"CPUQuotaPeriodUSec", dbus.Uint64(period)})
	}
	perSec := infinity
	if quota, err := strconv.ParseUint(b.quota, 10, 64); err == nil && quota < math.MaxUint64/secondUsec {
		perSec = dbus.Uint64(perSecond(quota, period))
	}
	return append(list, Property{"CPUQuotaPerSecUSec", perSec})
}

// Devices are the properties for device rules, given as the settings of a v1 devices cgroup: systemd filters what its
// units may open, too, and attaches its filter again at every daemon-reload. If it cannot express the rules it is told
// not to filter (DevicePolicy=auto with no rule), and those that rt puts in force stand alone.
func Devices(settings []translate.Setting) []Property {
	rules := dbus.Array{Of: "(ss)"}
	off := []Property{{"DeviceAllow", rules}, {"DevicePolicy", dbus.String("auto")}}
	for i, s := range settings {
		if i == 0 {
			if s.File != "devices.deny" || s.Value != "a" {
				return off
			}
			continue
		}
		name, access, ok := deviceRule(s.Value)
		if !ok || s.File != "devices.allow" {
			return off
		}
		rules.Items = append(rules.Items, dbus.Struct{dbus.String(name), dbus.String(access)})
	}
	if len(settings) == 0 {
		return nil
	}
	return []Property{{"DeviceAllow", rules}, {"DevicePolicy", dbus.String("strict")}}
}

// deviceRule translates "c 1:3 rwm". A whole major is named by its number, which systemd takes since version 240 and
// which needs no /proc/devices.
func deviceRule(rule string) (name, access string, ok bool) {
	fields := strings.Fields(rule)
	if len(fields) != 3 {
		return "", "", false
	}
	major, minor, ok := strings.Cut(fields[1], ":")
	kind := "char"
	if fields[0] == "b" {
		kind = "block"
	}
	switch {
	case !ok || fields[0] != "b" && fields[0] != "c":
		return "", "", false
	case minor == "*":
		return kind + "-" + major, fields[2], true // "char-*" is all of them
	case major == "*":
		return "", "", false
	}
	return path.Join("/dev", kind, major+":"+minor), fields[2], true
}
