package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"rt/internal/sys"
	"rt/libcontainer"
	"rt/libcontainer/place"
	"rt/libcontainer/state"

	"github.com/urfave/cli/v2"
)

// globalFlags are the flags that stand before the command.
func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "root", DefaultText: "/run/rt, or $XDG_RUNTIME_DIR/rt for a user who is not root",
			Usage: "`directory` of the container states, best on a tmpfs"},
		&cli.StringFlag{Name: "log", Usage: "append messages to this `file` (standard error otherwise)"},
		&cli.StringFlag{Name: "log-format", Value: "text", Usage: "text or json"},
		&cli.StringFlag{Name: "log-level", Value: "info", Usage: "error, warning, info or debug"},
		&cli.BoolFlag{Name: "debug", Usage: "the same as --log-level debug"},
		&cli.BoolFlag{Name: "systemd-cgroup", Usage: "let systemd make the cgroups; cgroupsPath is then slice:prefix:name"},
		&cli.StringFlag{Name: "cgroup-manager", Value: "cgroupfs", Usage: "who makes the cgroups: cgroupfs, systemd (the same as --systemd-cgroup), or disabled: none is made"},
		&cli.StringFlag{Name: "rootless", Value: "auto", Usage: "go without a cgroup where none can be made and none is asked for: true, false or auto (not as root of the host)"},
		&cli.StringFlag{Name: "criu", Value: "criu", Usage: "`program` that checkpoint and restore call: a path, or a name in $PATH"},
	}
}

// setUp checks the global flags and points the log where they say, before any command runs.
func (p *program) setUp(c *cli.Context) error {
	if err := p.log.Configure(c.String("log"), c.String("log-format"), c.String("log-level"), c.Bool("debug")); err != nil {
		return err
	}
	if err := checkRootless(c.String("rootless")); err != nil {
		return err
	}
	if err := checkCgroupManager(c.String("cgroup-manager"), c.Bool("systemd-cgroup")); err != nil {
		return err
	}
	if c.IsSet("root") {
		if err := checkRoot(c.String("root")); err != nil {
			return err
		}
	}
	if c.Args().First() == "delete" { // which opens the log itself: with --force nothing of others may hold it up
		return nil
	}
	if err := p.log.Open(); err != nil {
		return err
	}
	p.begins(c.Args().First())
	return nil
}

// begins is the first message of a command.
func (p *program) begins(command string) {
	p.log.Debugf("rt version %s, commit %s: %s", version, commit, command)
}

func checkRootless(s string) error {
	if s == "auto" || s == "" {
		return nil
	}
	if _, err := strconv.ParseBool(s); err != nil {
		return fmt.Errorf("invalid rootless: %s", s)
	}
	return nil
}

// checkCgroupManager knows the names that crun has for its --cgroup-manager, which Podman passes.
func checkCgroupManager(name string, systemd bool) error {
	switch name {
	case "cgroupfs", "systemd":
		return nil
	case "disabled":
		if systemd {
			return errors.New("options --cgroup-manager disabled and --systemd-cgroup exclude each other")
		}
		return nil
	}
	return fmt.Errorf("invalid cgroup-manager: %s", name)
}

// rootless is what checkRootless has let pass, in the words of libcontainer.
func rootless(s string) string {
	if b, err := strconv.ParseBool(s); err == nil {
		return strconv.FormatBool(b)
	}
	return "auto"
}

func checkRoot(dir string) error {
	if dir == "" {
		return errors.New("option --root must not be empty")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("resolve --root %s: %w", dir, err)
	}
	// Containers are directories of the root, so every directory of the host would pass for one.
	if abs == "/" {
		return errors.New("option --root must not be /")
	}
	return nil
}

// runtime is what the command acts on: the containers below the root that was asked for.
func (p *program) runtime(c *cli.Context) libcontainer.Verbs {
	return p.open(&libcontainer.Runtime{
		Root: state.Root{Dir: root(c), Warn: p.log.Warnf},
		CgroupOptions: place.CgroupOptions{
			SystemdCgroup: c.Bool("systemd-cgroup") || c.String("cgroup-manager") == "systemd",
			NoCgroup:      c.String("cgroup-manager") == "disabled",
			Rootless:      rootless(c.String("rootless")),
		},
		Criu: c.String("criu"),
	})
}

func root(c *cli.Context) string {
	if c.IsSet("root") {
		// setUp has refused what cannot be made absolute.
		abs, _ := filepath.Abs(c.String("root"))
		return abs
	}
	return defaultRoot(os.Getenv("XDG_RUNTIME_DIR"), os.Geteuid(), os.Getenv("USER"), sys.InFirstUserNamespace)
}

// defaultRoot is where containers are kept when --root is not given. Root of a user namespace whose USER
// is somebody else is that somebody under another name (unshare -r), who cannot write to /run.
func defaultRoot(xdg string, euid int, user string, inFirstNS func() bool) string {
	if xdg != "" && filepath.IsAbs(xdg) && (euid != 0 || user != "root" && !inFirstNS()) {
		return filepath.Join(xdg, "rt")
	}
	return "/run/rt"
}
