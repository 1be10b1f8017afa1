package main

import (
	"github.com/urfave/cli/v2"

	"rt/internal/cmdline"
	"rt/libcontainer/doctor"
	"rt/output"
)

func (p *program) doctorCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:  "doctor",
		Usage: "find what containers that are gone have left on this host",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "fix", Usage: "remove what is found"},
			&cli.BoolFlag{Name: "kill", Usage: "with --fix: also where programs still run; they are killed"},
			&cli.BoolFlag{Name: "stopped", Usage: "also containers that have stopped and were not deleted"},
			cmdline.FormatFlag("text"),
		},
	}, 0, 0, func(c *cli.Context) error {
		o := doctor.Options{Fix: c.Bool("fix"), Kill: c.Bool("kill"), Stopped: c.Bool("stopped")}
		found, err := p.runtime(c).Doctor(o)
		if err != nil {
			return err
		}
		left, err := output.Findings(p.stdout, found, cmdline.IsJSON(c))
		if err == nil && left {
			return exitStatus(1) // the findings are the message
		}
		return err
	})
}
