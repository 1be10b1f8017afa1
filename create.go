package main

import (
	"github.com/urfave/cli/v2"

	"rt/libcontainer"
)

func (p *program) createCommand() *cli.Command {
	return command(&cli.Command{
		Name:      "create",
		Usage:     "create a container; start runs its program",
		ArgsUsage: "<container-id>",
		Flags:     createFlags(),
	}, 1, 1, func(c *cli.Context) error {
		return p.runtime(c).Create(c.Args().First(), createOptions(c))
	})
}

// createFlags are the flags of create, which run has too.
func createFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "bundle `directory` (default: the current one)"},
		&cli.StringFlag{Name: "config", Aliases: []string{"f"}, Usage: "`file` instead of config.json, relative to the bundle"},
		&cli.StringFlag{Name: "console-socket", Usage: "AF_UNIX `socket` that receives the terminal's master"},
		&cli.StringFlag{Name: "pid-file", Usage: "`file` to write the process id to"},
		&cli.StringFlag{Name: "pidfd-socket", Usage: "AF_UNIX `socket` that receives a pidfd of the process"},
		&cli.BoolFlag{Name: "no-pivot", Usage: "move the root mount instead of pivot_root, for a rootfs on a ramdisk"},
		&cli.BoolFlag{Name: "no-new-keyring", Usage: "keep the caller's session keyring"},
		&cli.BoolFlag{Name: "init", Usage: "let the program be a child of a minimal init, which forwards signals and reaps orphans"},
		preserveFdsFlag(),
	}
}

func preserveFdsFlag() cli.Flag {
	return &cli.IntFlag{Name: "preserve-fds", Usage: "pass `N` more file descriptors, after stdio and $LISTEN_FDS",
		Action: func(_ *cli.Context, n int) error {
			if n < 0 {
				return &usageError{text: "option --preserve-fds must not be negative"}
			}
			return nil
		}}
}

func createOptions(c *cli.Context) libcontainer.CreateOptions {
	return libcontainer.CreateOptions{
		Bundle:        c.String("bundle"),
		Config:        c.String("config"),
		ConsoleSocket: c.String("console-socket"),
		PidFile:       c.String("pid-file"),
		PidfdSocket:   c.String("pidfd-socket"),
		NoPivot:       c.Bool("no-pivot"),
		NoNewKeyring:  c.Bool("no-new-keyring"),
		Init:          c.Bool("init"),
		PreserveFds:   c.Int("preserve-fds"),
	}
}
