package main

import (
	"encoding/json"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"github.com/urfave/cli/v2"

	"rt/internal/names"
	"rt/libcontainer/plan"
	"rt/libcontainer/seccomp"
)

func (p *program) featuresCommand() *cli.Command {
	return command(&cli.Command{
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
