package main

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/urfave/cli/v2"

	"rt/internal/cmdline"
	"rt/internal/names"
)

func (p *program) killCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:      "kill",
		Usage:     "send a signal (default: SIGTERM) to a container's init process",
		ArgsUsage: "<container-id> [signal]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Hidden: true, Usage: "signal every process of the container"},
			regexFlag(),
		},
	}, 1, 2, func(c *cli.Context) error {
		sig, err := names.Signal(c.Args().Get(1))
		if err != nil {
			return err
		}
		return p.eachMatch(c, func(id string) error { return p.runtime(c).Kill(id, sig, c.Bool("all")) })
	})
}

func (p *program) deleteCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:      "delete",
		Usage:     "delete a stopped or created container and all that belongs to it",
		ArgsUsage: "<container-id>",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill it first if it still runs; a container that does not exist is no error"},
			regexFlag(),
		},
	}, 1, 1, func(c *cli.Context) error {
		if c.Bool("force") {
			p.log.Hold() // neither to open the log nor to write to it: it may be one that hangs
			defer p.log.Release()
		} else if err := p.log.Open(); err != nil {
			return err
		}
		p.begins("delete")
		return p.eachMatch(c, func(id string) error { return p.runtime(c).Delete(id, c.Bool("force")) })
	})
}

func regexFlag() cli.Flag {
	return &cli.BoolFlag{Name: "regex", Aliases: []string{"r"}, Usage: "<container-id> is a regular expression: act on every container whose id has a match"}
}

// eachMatch acts on the container that is named, or with --regex on all that match, in the order of their ids; what goes wrong
// with one does not keep it from the others.
func (p *program) eachMatch(c *cli.Context, act func(id string) error) error {
	id := c.Args().First()
	if !c.Bool("regex") {
		return act(id)
	}
	re, err := regexp.Compile(id)
	if err != nil {
		return fmt.Errorf("read regular expression: %w", err)
	}
	list, err := p.runtime(c).List()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	failed := []error{err}
	for _, s := range list {
		if !re.MatchString(s.ID) {
			continue
		}
		if err := act(s.ID); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.ID, err))
		}
	}
	return errors.Join(failed...)
}
