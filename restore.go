package main

import (
	"github.com/urfave/cli/v2"

	"rt/libcontainer"
)

func (p *program) restoreCommand() *cli.Command {
	var emptyNS stringList
	flags := append(criuFlags(&emptyNS),
		&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "bundle `directory` (default: the current one)"},
		&cli.StringFlag{Name: "console-socket", Usage: "AF_UNIX `socket` that receives the terminal's master"},
		&cli.StringFlag{Name: "pid-file", Usage: "`file` to write the process id to"},
		&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the processes run"},
		&cli.BoolFlag{Name: "no-subreaper", Usage: "do not adopt the container's orphans"},
		&cli.BoolFlag{Name: "no-pivot", Usage: "accepted and ignored: CRIU sets up the root"},
		&cli.StringFlag{Name: "lsm-profile", Usage: "`TYPE:NAME` of a security profile instead of the saved one: apparmor or selinux"},
		&cli.StringFlag{Name: "lsm-mount-context", Usage: "SELinux `context` for mounts that were saved with one"},
	)
	return command(&cli.Command{
		Name:      "restore",
		Usage:     "bring back a container that was saved by checkpoint",
		ArgsUsage: "<container-id>",
		Flags:     flags,
	}, 1, 1, func(c *cli.Context) error {
		o := libcontainer.RestoreOptions{
			Options:         criuOptions(c, emptyNS),
			Bundle:          c.String("bundle"),
			ConsoleSocket:   c.String("console-socket"),
			PidFile:         c.String("pid-file"),
			Detach:          c.Bool("detach"),
			NoSubreaper:     c.Bool("no-subreaper"),
			LSMProfile:      c.String("lsm-profile"),
			LSMMountContext: c.String("lsm-mount-context"),
		}
		if !o.Detach {
			p.keepCollecting() // as in run
		}
		status, err := p.runtime(c).Restore(c.Args().First(), o)
		if err != nil {
			return err
		}
		return exited(status)
	})
}
