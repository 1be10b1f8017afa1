package main

import (
	"errors"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"rt/internal/cmdline"
	"rt/internal/hint"
	"rt/libcontainer/usage"
	"rt/output"
)

func (p *program) statsCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:      "stats",
		Usage:     "show what containers use, in a table that is kept up to date",
		ArgsUsage: "[container-id...]",
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", Value: time.Second, Usage: "`time` between updates"},
			&cli.BoolFlag{Name: "no-stream", Usage: "show once and exit"},
			&cli.StringFlag{Name: "sort", Value: "id", Usage: "id, cpu, memory, pids or io"},
			cmdline.FormatFlag("table"),
		},
	}, 0, -1, func(c *cli.Context) error {
		s := output.Stats{Out: p.stdout, Named: c.NArg() > 0, Interval: c.Duration("interval"), Once: c.Bool("no-stream"), JSON: cmdline.IsJSON(c)}
		if s.Interval <= 0 {
			return errors.New("duration interval must be greater than 0")
		}
		if err := s.Sort(c.String("sort")); err != nil {
			return err
		}
		s.Look = p.runtime(c).Usages(c.Args().Slice())
		// The default root is made by the first container.
		var err error
		if s.First, err = s.Look(); err != nil && (c.IsSet("root") || !errors.Is(err, os.ErrNotExist)) {
			return hint.With(err, cmdline.UnknownFlag(c))
		}
		p.keepCollecting()
		end, err := s.Run()
		if err == nil && end != 0 {
			return exitStatus(128 + int(end))
		}
		return err
	})
}

func (p *program) topCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:      "top",
		Usage:     "show the processes of a container and which of its cgroups they are in",
		ArgsUsage: "<container-id>",
		Flags:     []cli.Flag{cmdline.FormatFlag("table")},
	}, 1, 1, func(c *cli.Context) error {
		p.keepCollecting() // ten thousand processes are as many files and texts
		return output.Top(p.stdout, cmdline.IsJSON(c), func(tell func(*usage.Process) error) error { return p.runtime(c).Top(c.Args().First(), tell) })
	})
}

func (p *program) eventsCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
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
		encoder := output.NewEncoder(p.stdout)
		return p.runtime(c).Events(c.Args().First(), o, func(e *usage.Event) error { return encoder.Encode(e) })
	})
}
