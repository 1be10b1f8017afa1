package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"rt/libcontainer/doctor"
)

func (p *program) doctorCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "doctor",
		Usage: "find what containers that are gone have left on this host",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "fix", Usage: "remove what is found"},
			&cli.BoolFlag{Name: "kill", Usage: "with --fix: also where programs still run; they are killed"},
			&cli.BoolFlag{Name: "stopped", Usage: "also containers that have stopped and were not deleted"},
			formatFlag("text"),
		},
	}, 0, 0, func(c *cli.Context) error {
		asJSON, err := isJSON(c, "text")
		if err != nil {
			return err
		}
		o := doctor.Options{Fix: c.Bool("fix"), Kill: c.Bool("kill"), Stopped: c.Bool("stopped")}
		found, err := p.runtime(c).Doctor(o)
		if err == nil && asJSON {
			err = newEncoder(p.stdout).Encode(append([]doctor.Finding{}, found...))
		} else if err == nil {
			err = printFindings(p.stdout, found)
		}
		if err == nil && unfixed(found) {
			return exitStatus(1) // the findings are the message
		}
		return err
	})
}

// unfixed says whether something is still there.
func unfixed(found []doctor.Finding) bool {
	for _, f := range found {
		if !f.Fixed {
			return true
		}
	}
	return false
}

func printFindings(w io.Writer, found []doctor.Finding) error {
	for _, f := range found {
		text := fmt.Sprintf("%s %s: %s; ", f.Kind, oneCell(strings.Join(f.Paths, " ")), oneCell(f.Why))
		switch {
		case f.Fixed:
			text += "fixed: " + oneCell(f.Fix)
		case f.Error != "":
			text += "not fixed: " + oneCell(f.Error)
		default:
			text += "--fix would " + oneCell(f.Fix)
		}
		if _, err := fmt.Fprintln(w, text); err != nil {
			return err
		}
	}
	return nil
}
