package main

import (
	"errors"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"rt/libcontainer/usage"
)

func (p *program) eventsCommand() *cli.Command {
	return command(&cli.Command{
		Name:      "events",
		Usage:     "print statistics and out-of-memory events of a container as JSON lines until it ends",
		ArgsUsage: "<container-id>",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", Value: 5 * time.Second, Usage: "`time` between statistics"},
			&cli.BoolFlag{Name: "stats", Usage: "print the statistics of now and exit"},
		},
	}, 1, 1, func(c *cli.Context) error {
		interval := c.Duration("interval")
		if interval <= 0 {
			return errors.New("duration interval must be greater than 0")
		}
		o := usage.EventsOptions{Interval: interval, Once: c.Bool("stats")}
		o.Reader, _ = p.stdout.(*os.File)
		p.keepCollecting()
		encoder := newEncoder(p.stdout)
		return p.runtime(c).Events(c.Args().First(), o, func(e *usage.Event) error { return encoder.Encode(e) })
	})
}
