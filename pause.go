package main

import "github.com/urfave/cli/v2"

func (p *program) pauseCommand() *cli.Command {
	return command(&cli.Command{
		Name:      "pause",
		Usage:     "suspend all processes of a container",
		ArgsUsage: "<container-id>",
	}, 1, 1, func(c *cli.Context) error {
		return p.runtime(c).Pause(c.Args().First())
	})
}

func (p *program) resumeCommand() *cli.Command {
	return command(&cli.Command{
		Name:      "resume",
		Usage:     "let the processes of a paused container run again",
		ArgsUsage: "<container-id>",
	}, 1, 1, func(c *cli.Context) error {
		return p.runtime(c).Resume(c.Args().First())
	})
}
