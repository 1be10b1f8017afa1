package main

import "github.com/urfave/cli/v2"

func (p *program) startCommand() *cli.Command {
	return command(&cli.Command{
		Name:      "start",
		Usage:     "run the program of a created container",
		ArgsUsage: "<container-id>",
	}, 1, 1, func(c *cli.Context) error {
		return p.runtime(c).Start(c.Args().First())
	})
}
