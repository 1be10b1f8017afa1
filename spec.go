package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"rt/internal/sys"
)

func (p *program) specCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "spec",
		Usage: "write a config.json to start from",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "`directory` to write to (default: the current one)"},
			&cli.BoolFlag{Name: "rootless", Usage: "for a user who is not root: a user namespace with that user as root"},
		},
	}, 0, 0, func(c *cli.Context) error {
		s := defaultSpec(onCgroup2())
		if c.Bool("rootless") {
			makeRootless(s, os.Geteuid(), os.Getegid())
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

// makeRootless changes s into what an ordinary user may run: the one id there is to map, nothing that needs
// the host's root.
func makeRootless(s *specs.Spec, uid, gid int) {
	kept := s.Linux.Namespaces[:0]
	for _, ns := range s.Linux.Namespaces {
		// Without a network namespace the container has a network: nobody is there to set one up.
		if ns.Type != specs.NetworkNamespace {
			kept = append(kept, ns)
		}
	}
	s.Linux.Namespaces = append(kept, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(uid), Size: 1}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(gid), Size: 1}}
	s.Linux.Resources = nil
	for i := range s.Mounts {
		m := &s.Mounts[i]
		switch m.Destination {
		case "/dev/pts": // group 5 is not mapped
			m.Options = m.Options[:len(m.Options)-1]
		case "/sys": // a new sysfs needs a network namespace of the same user namespace
			m.Type, m.Source = "none", "/sys"
			m.Options = append([]string{"rbind"}, m.Options...)
		}
	}
}
