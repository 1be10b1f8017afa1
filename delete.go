package main

import "github.com/urfave/cli/v2"

func (p *program) deleteCommand() *cli.Command {
	return command(&cli.Command{
		Name:      "delete",
		Usage:     "delete a stopped or created container and all that belongs to it",
		ArgsUsage: "<container-id>",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill it first if it still runs; a container that does not exist is no error"},
			regexFlag(),
		},
	}, 1, 1, func(c *cli.Context) error {
		if c.Bool("force") {
			p.log.hold() // neither to open the log nor to write to it: it may be one that hangs
			defer p.log.release()
		} else if err := p.log.open(); err != nil {
			return err
		}
		p.begins("delete")
		return p.eachMatch(c, func(id string) error { return p.runtime(c).Delete(id, c.Bool("force")) })
	})
}
