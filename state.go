package main

import (
	"github.com/urfave/cli/v2"

	"rt/internal/text"
)

func (p *program) stateCommand() *cli.Command {
	return command(&cli.Command{
		Name:      "state",
		Usage:     "print the state of a container as JSON",
		ArgsUsage: "<container-id>",
	}, 1, 1, func(c *cli.Context) error {
		s, err := p.runtime(c).State(c.Args().First())
		if err != nil {
			return err
		}
		_, err = p.stdout.Write(text.PrintableJSON(s.JSON())) // no newline at the end: runc's layout
		return err
	})
}
