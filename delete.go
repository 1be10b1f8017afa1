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
		open := p.log.open
		if c.Bool("force") {
			open = p.log.openSoon
		}
		if err := open(); err != nil {
			return err
		}
		if c.Bool("force") {
			p.log.hold() // what is said of a process that is killed must not wait for a log that hangs
			defer p.log.release()
		}
		p.begins("delete")
		return p.eachMatch(c, func(id string) error { return p.runtime(c).Delete(id, c.Bool("force")) })
	})
}
