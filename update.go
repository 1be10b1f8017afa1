package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"rt/internal/cmdline"
	"rt/internal/hint"
	"rt/internal/names"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
)

func (p *program) updateCommand() *cli.Command {
	limits := limitFlags()
	flags := []cli.Flag{&cli.StringFlag{Name: "resources", Aliases: []string{"r"},
		Usage: "`FILE` with a linux.resources object, - for standard input; the flags below are then ignored"}}
	for _, l := range limits {
		flags = append(flags, &cli.StringFlag{Name: l.name, Usage: l.usage, Hidden: l.usage == ""})
	}
	flags = append(flags,
		&cli.StringFlag{Name: "l3-cache-schema", Usage: "`SCHEMA` of the L3 cache for the container's resctrl group, L3:0=f;1=f0"},
		&cli.StringFlag{Name: "mem-bw-schema", Usage: "`SCHEMA` of memory bandwidth for the container's resctrl group, MB:0=20;1=70"})
	return cmdline.Command(&cli.Command{
		Name:      "update",
		Usage:     "change the limits of a container",
		ArgsUsage: "<container-id>",
		Flags:     flags,
	}, 1, 1, func(c *cli.Context) error {
		r, err := p.resources(c, limits)
		if err != nil {
			return err
		}
		var rdt *specs.LinuxIntelRdt
		if l3, mb := c.String("l3-cache-schema"), c.String("mem-bw-schema"); l3 != "" || mb != "" {
			rdt = &specs.LinuxIntelRdt{L3CacheSchema: l3, MemBwSchema: mb}
		}
		return p.runtime(c).Update(c.Args().First(), r, rdt)
	})
}

func (p *program) mountsCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:      "mounts",
		Usage:     "mount more into a running container, or unmount it",
		ArgsUsage: "add|remove <container-id> <mounts.json>",
	}, 3, 3, func(c *cli.Context) error {
		change := map[string]func(string, []byte) error{"add": p.runtime(c).AddMounts, "remove": p.runtime(c).RemoveMounts}[c.Args().First()]
		if change == nil {
			return hint.With(fmt.Errorf("unknown command %q", "mounts "+c.Args().First()), "it is mounts add or mounts remove")
		}
		list, err := p.readInput(c.Args().Get(2))
		if err != nil {
			return fmt.Errorf("read mounts: %w", err)
		}
		return change(c.Args().Get(1), list)
	})
}

// resources is what the command line asks for.
func (p *program) resources(c *cli.Context, limits []limitFlag) (*specs.LinuxResources, error) {
	if c.String("resources") == "" {
		return resourcesOfFlags(c, limits)
	}
	var ignored []string
	for _, l := range limits {
		if c.IsSet(l.name) {
			ignored = append(ignored, "--"+l.name)
		}
	}
	if len(ignored) > 0 {
		p.log.Warnf("%s: ignored, because of --resources", strings.Join(ignored, ", "))
	}
	raw, err := p.readInput(c.String("resources"))
	if err != nil {
		return nil, fmt.Errorf("read resources: %w", err)
	}
	r, problems, err := bundle.DecodeResources(raw)
	if err != nil {
		return nil, err
	}
	for _, w := range problems {
		if w.Warning {
			p.log.Warnf("resources: %s: %s", w.Pointer, w.Text)
		}
	}
	return r, bundle.Join(problems)
}

// resourcesOfFlags: an empty value is as good as no flag, as in runc.
func resourcesOfFlags(c *cli.Context, limits []limitFlag) (*specs.LinuxResources, error) {
	r := &specs.LinuxResources{
		CPU: &specs.LinuxCPU{}, Memory: &specs.LinuxMemory{}, BlockIO: &specs.LinuxBlockIO{}, Pids: &specs.LinuxPids{}, Unified: map[string]string{},
	}
	for _, l := range limits {
		value := c.String(l.name)
		if value == "" {
			continue
		}
		if err := l.set(r, value); err != nil {
			return nil, fmt.Errorf("invalid value for %s: %v", l.name, err)
		}
	}
	return r, bundle.Join(bundle.CheckResources(r))
}

// A limitFlag is a flag of update that sets one limit.
type limitFlag struct {
	name, usage string
	set         func(r *specs.LinuxResources, value string) error
}

func limitFlags() []limitFlag {
	return []limitFlag{
		{"blkio-weight", "`WEIGHT` of block I/O among others, 10 to 1000", func(r *specs.LinuxResources, v string) error {
			n, err := names.AnyUnsigned(v, 16) // in runc it is a flag of type int, too, which takes 0x10
			weight := uint16(n)
			r.BlockIO.Weight = &weight
			return err
		}},
		{"cpu-period", "`MICROSECONDS` over which the quota counts", unsigned(func(r *specs.LinuxResources) **uint64 { return &r.CPU.Period })},
		{"cpu-quota", "`MICROSECONDS` of cpu time in a period; -1: no limit", signed(func(r *specs.LinuxResources) **int64 { return &r.CPU.Quota })},
		{"cpu-burst", "`MICROSECONDS` of unused quota that may be saved up", unsigned(func(r *specs.LinuxResources) **uint64 { return &r.CPU.Burst })},
		{"cpu-share", "`WEIGHT` of the cpu among others, 2 to 262144", unsigned(func(r *specs.LinuxResources) **uint64 { return &r.CPU.Shares })},
		{"cpu-rt-period", "`MICROSECONDS` over which the realtime runtime counts", unsigned(func(r *specs.LinuxResources) **uint64 { return &r.CPU.RealtimePeriod })},
		{"cpu-rt-runtime", "`MICROSECONDS` of realtime cpu time in a period", signed(func(r *specs.LinuxResources) **int64 { return &r.CPU.RealtimeRuntime })},
		{"cpuset-cpus", "`LIST` of cpus to use, 0-3,7", list(func(r *specs.LinuxResources) *string { return &r.CPU.Cpus })},
		{"cpuset-mems", "`LIST` of memory nodes to use", list(func(r *specs.LinuxResources) *string { return &r.CPU.Mems })},
		{"cpu-idle", "`1` to run only when nothing else does, 0 to run as others", signed(func(r *specs.LinuxResources) **int64 { return &r.CPU.Idle })},
		{"memory", "limit of memory in `BYTES`, or with a unit (100M); -1: none", size(func(r *specs.LinuxResources) **int64 { return &r.Memory.Limit })},
		{"memory-reservation", "`BYTES` that are kept when memory is short", size(func(r *specs.LinuxResources) **int64 { return &r.Memory.Reservation })},
		{"memory-swap", "limit of memory and swap together in `BYTES`; -1: none", size(func(r *specs.LinuxResources) **int64 { return &r.Memory.Swap })},
		{"pids-limit", "`NUMBER` of processes and threads, 0 is 1; -1: no limit", func(r *specs.LinuxResources, v string) error {
			n, err := names.AnySigned(v, 64)
			r.Pids.Limit = &n
			return err
		}},
		//lint:ignore SA1019 read only to say that it is ignored
		{"kernel-memory", "", size(func(r *specs.LinuxResources) **int64 { return &r.Memory.Kernel })},
		{"kernel-memory-tcp", "", size(func(r *specs.LinuxResources) **int64 { return &r.Memory.KernelTCP })},
	}
}

func unsigned(field func(*specs.LinuxResources) **uint64) func(*specs.LinuxResources, string) error {
	return func(r *specs.LinuxResources, v string) error {
		n, err := names.Unsigned(v, 64)
		*field(r) = &n
		return err
	}
}

func signed(field func(*specs.LinuxResources) **int64) func(*specs.LinuxResources, string) error {
	return func(r *specs.LinuxResources, v string) error {
		n, err := names.Signed(v, 64)
		*field(r) = &n
		return err
	}
}

func list(field func(*specs.LinuxResources) *string) func(*specs.LinuxResources, string) error {
	return func(r *specs.LinuxResources, v string) error {
		*field(r) = v
		return nil
	}
}

// size takes what Docker and runc take: 1024, 100M, 1.5g, 10MiB; units are powers of 1024.
func size(field func(*specs.LinuxResources) **int64) func(*specs.LinuxResources, string) error {
	return func(r *specs.LinuxResources, v string) error {
		n := int64(-1)
		if v != "-1" {
			var err error
			if n, err = units.RAMInBytes(v); err != nil {
				return fmt.Errorf("invalid size: '%.64s'", v) // the library's words are the same or those of strconv
			}
			if n < 0 || n == math.MaxInt64 { // what the library makes of more than fits depends on the processor
				return errors.New("value out of range")
			}
		}
		*field(r) = &n
		return nil
	}
}

// maxInput is far more than any linux.resources or list of mounts has.
const maxInput = 16 << 20

// readInput reads a document that a command is given: a file, or - for standard input.
func (p *program) readInput(path string) ([]byte, error) {
	if path != "-" {
		return sys.ReadNamed(path, sys.Regular|sys.FIFO, maxInput)
	}
	raw, err := io.ReadAll(io.LimitReader(p.stdin, maxInput+1))
	if err == nil && len(raw) > maxInput {
		err = errors.New("more than the limit of 16 MiB")
	}
	return raw, err
}
