package main

import (
	"github.com/urfave/cli/v2"

	"rt/libcontainer"
)

func (p *program) runCommand() *cli.Command {
	return command(&cli.Command{
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
