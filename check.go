package main

import (
	"io"

	"github.com/urfave/cli/v2"

	"rt/internal/cmdline"
	"rt/internal/text"
	"rt/libcontainer"
	"rt/libcontainer/plan"
	"rt/output"
)

func (p *program) checkCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:      "check",
		Usage:     "list everything that is wrong with a bundle, without running it",
		ArgsUsage: "<bundle>",
		Flags:     []cli.Flag{cmdline.FormatFlag("text")},
	}, 1, 1, func(c *cli.Context) error {
		problems, host, err := p.check(c.Args().First())
		if err != nil {
			return err
		}
		found := output.Problems{Problems: problems, Host: host}
		if err := found.Print(p.stdout, c.Args().First(), cmdline.IsJSON(c)); err != nil {
			return err
		}
		if found.Fatal() {
			return exitStatus(1) // the problems are the message
		}
		return nil
	})
}

func (p *program) planCommand() *cli.Command {
	return cmdline.Command(&cli.Command{
		Name:      "plan",
		Usage:     "print the steps that would make a bundle's container, without making it",
		ArgsUsage: "<bundle>",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "exec", Usage: "the steps of exec --process `process.json` in that container instead"},
			cmdline.FormatFlag("text"),
			&cli.BoolFlag{Name: "no-pivot", Usage: "as in create"},
			&cli.BoolFlag{Name: "no-new-keyring", Usage: "as in create"},
			&cli.BoolFlag{Name: "init", Usage: "as in create"},
		},
	}, 1, 1, func(c *cli.Context) error {
		steps, err := p.compile(c)
		if err != nil {
			return err
		}
		if cmdline.IsJSON(c) {
			e := output.NewEncoder(p.stdout)
			e.SetIndent("", "  ")
			return e.Encode(steps)
		}
		_, err = io.WriteString(p.stdout, text.Printable(steps.Text()))
		return err
	})
}

func (p *program) compile(c *cli.Context) (*plan.Plan, error) {
	if c.IsSet("exec") {
		return p.runtime(c).PlanExec(c.Args().First(), c.String("exec"))
	}
	return p.runtime(c).Plan(libcontainer.CreateOptions{
		Bundle:       c.Args().First(),
		NoPivot:      c.Bool("no-pivot"),
		NoNewKeyring: c.Bool("no-new-keyring"),
		Init:         c.Bool("init"),
	})
}
