package main

import (
	"errors"

	"github.com/urfave/cli/v2"

	"rt/internal/cmdline"
	"rt/libcontainer"
)

func (p *program) createCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:      "create",
		Usage:     "create a container; start runs its program",
		ArgsUsage: "<container-id>",
		Flags:     createFlags(),
	}, 1, 1, func(c *cli.Context) error {
		return p.runtime(c).Create(c.Args().First(), createOptions(c))
	})
}

func (p *program) runCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:      "run",
		Usage:     "create and start a container, and wait for it unless --detach is given",
		ArgsUsage: "<container-id>",
		Flags: append(createFlags(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the program runs"},
			&cli.BoolFlag{Name: "keep", Usage: "do not delete the container when it exits"},
			&cli.BoolFlag{Name: "no-subreaper", Usage: "do not adopt the container's orphans"},
		),
	}, 1, 1, func(c *cli.Context) error {
		o := libcontainer.RunOptions{
			CreateOptions: createOptions(c),
			Detach:        c.Bool("detach"),
			Keep:          c.Bool("keep"),
			NoSubreaper:   c.Bool("no-subreaper"),
		}
		if !o.Detach {
			// In the foreground rt lives as long as the container and copies its terminal all the while.
			p.keepCollecting()
		}
		status, err := p.runtime(c).Run(c.Args().First(), o)
		if err != nil && !o.Detach && libcontainer.IsStartHook(err) {
			return execError{err} // as with runc, where the hook is the work of the container's process, which exits with 255
		}
		if err != nil {
			return err
		}
		return exited(status)
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
				return errors.New("option --preserve-fds must not be negative")
			}
			return nil
		}}
}

func createOptions(c *cli.Context) libcontainer.CreateOptions {
	return libcontainer.CreateOptions{
		Bundle:          c.String("bundle"),
		Config:          c.String("config"),
		HandOverOptions: handOverOptions(c),
		NoPivot:         c.Bool("no-pivot"),
		NoNewKeyring:    c.Bool("no-new-keyring"),
		Init:            c.Bool("init"),
		PreserveFds:     c.Int("preserve-fds"),
	}
}

func handOverOptions(c *cli.Context) libcontainer.HandOverOptions {
	return libcontainer.HandOverOptions{
		ConsoleSocket: c.String("console-socket"),
		PidFile:       c.String("pid-file"),
		PidfdSocket:   c.String("pidfd-socket"),
	}
}
