package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"rt/internal/cmdline"
	"rt/internal/names"
	"rt/internal/sys"
	"rt/libcontainer/bundle"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
)

func (p *program) specCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:  "spec",
		Usage: "write a config.json to start from",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "`directory` to write to (default: the current one)"},
			&cli.BoolFlag{Name: "rootless", Usage: "for a user who is not root: a user namespace with that user as root"},
		},
	}, 0, 0, func(c *cli.Context) error {
		s := bundle.Example(onCgroup2())
		if c.Bool("rootless") {
			bundle.MakeRootless(s, os.Geteuid(), os.Getegid())
		}
		text, err := json.MarshalIndent(s, "", "\t")
		if err != nil {
			return err
		}
		return writeNew(c.String("bundle"), append(text, '\n'))
	})
}

// writeNew writes config.json in dir, unless there is one.
func writeNew(dir string, text []byte) error {
	path := filepath.Join(dir, "config.json")
	err := sys.CreateFile(path, text, 0o666)
	if errors.Is(err, os.ErrExist) {
		//lint:ignore ST1005 runc's words, which scripts match
		return fmt.Errorf("File %s exists. Remove it first", filepath.Base(path))
	}
	return err
}

// onCgroup2 reports whether /sys/fs/cgroup is the cgroup v2 hierarchy; v1 and hybrid hosts have a tmpfs there.
func onCgroup2() bool {
	var fs unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
}

func (p *program) featuresCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:  "features",
		Usage: "print what this build can do, as JSON",
	}, 0, 0, func(c *cli.Context) error {
		e := json.NewEncoder(p.stdout)
		e.SetIndent("", "    ")
		return e.Encode(supported(p.runtime(c).Checkpoints()))
	})
}

// supported is the features structure of the specification (features.md): what the build implements, whether
// or not the host has it. checkpoints says whether it has CRIU, without which the annotation would promise too much.
func supported(checkpoints bool) *features.Features {
	yes := true
	memoryModes, memoryFlags := plan.MemoryPolicies()
	return &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions:  names.MountOptions(),
		Linux: &features.Linux{
			Namespaces:   []string{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"},
			Capabilities: names.Capabilities(),
			Cgroup:       &features.Cgroup{V1: &yes, V2: &yes, Systemd: &yes, SystemdUser: &yes, Rdma: &yes},
			Seccomp: &features.Seccomp{
				Enabled:        &yes,
				Actions:        seccomp.Actions(),
				Operators:      seccomp.Operators(),
				Archs:          seccomp.Archs(),
				KnownFlags:     seccomp.KnownFlags(),
				SupportedFlags: seccomp.SupportedFlags(),
			},
			Apparmor:        &features.Apparmor{Enabled: &yes},
			Selinux:         &features.Selinux{Enabled: &yes},
			IntelRdt:        &features.IntelRdt{Enabled: &yes, Schemata: &yes, Monitoring: &yes},
			MemoryPolicy:    &features.MemoryPolicy{Modes: memoryModes, Flags: memoryFlags},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
			NetDevices:      &features.NetDevices{Enabled: &yes},
		},
		Annotations: map[string]string{
			// Callers look for checkpoint support under runc's name.
			"org.opencontainers.runc.checkpoint.enabled": strconv.FormatBool(checkpoints),
			"rt.version": version,
			"rt.commit":  commit,
			"rt.build":   build,
		},
		// The names that change what runtimes of this kind do: an engine that lets strangers set annotations
		// has to filter them whether or not this build reads them already.
		PotentiallyUnsafeConfigAnnotations: []string{"bundle", "org.systemd.property.", "org.criu.config"},
	}
}
