package main

import (
	"github.com/urfave/cli/v2"

	"rt/internal/cmdline"
)

func (p *program) startCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:      "start",
		Usage:     "run the program of a created container",
		ArgsUsage: "<container-id>",
	}, 1, 1, func(c *cli.Context) error {
		return p.runtime(c).Start(c.Args().First())
	})
}

func (p *program) pauseCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:      "pause",
		Usage:     "suspend all processes of a container",
		ArgsUsage: "<container-id>",
	}, 1, 1, func(c *cli.Context) error {
		return p.runtime(c).Pause(c.Args().First())
	})
}

func (p *program) resumeCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:      "resume",
		Usage:     "let the processes of a paused container run again",
		ArgsUsage: "<container-id>",
	}, 1, 1, func(c *cli.Context) error {
		return p.runtime(c).Resume(c.Args().First())
	})
}
