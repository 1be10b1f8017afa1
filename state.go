package main

import (
	"encoding/json"
	"errors"
	"os"

	"github.com/urfave/cli/v2"

	"rt/internal/cmdline"
	"rt/internal/text"
	"rt/output"
)

func (p *program) stateCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
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

func (p *program) listCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:  "list",
		Usage: "list the containers below the root",
		Flags: []cli.Flag{
			cmdline.FormatFlag("table"),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print container ids only"},
		},
	}, 0, 0, func(c *cli.Context) error {
		all, err := p.runtime(c).List()
		// The default root is made by the first container; one that was named by hand is more likely misspelt.
		if !c.IsSet("root") && errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		if err != nil && len(all) == 0 {
			return err
		}
		return errors.Join(output.List(p.stdout, all, c.Bool("quiet"), cmdline.IsJSON(c)), err)
	})
}

func (p *program) psCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:      "ps",
		Usage:     "list the processes of a container",
		ArgsUsage: "<container-id> [ps option...]",
		Flags: []cli.Flag{
			cmdline.FormatFlag("table"),
		},
	}, 1, -1, func(c *cli.Context) error {
		pids, err := p.runtime(c).Processes(c.Args().First())
		if err != nil {
			return err
		}
		if cmdline.IsJSON(c) {
			return json.NewEncoder(p.stdout).Encode(append([]int{}, pids...)) // [], not null, when empty
		}
		args := c.Args().Tail()
		if len(args) == 0 {
			args = []string{"-ef"}
		}
		p.keepCollecting() // processes can share megabytes of arguments, each of which is a row
		return output.Ps(p.stdout, p.ps, args, pids)
	})
}
