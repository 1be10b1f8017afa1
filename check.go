package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"rt/internal/text"
	"rt/libcontainer/bundle"
)

func (p *program) checkCommand() *cli.Command {
	return command(&cli.Command{
		Name:      "check",
		Usage:     "list everything that is wrong with a bundle, without running it",
		ArgsUsage: "<bundle>",
		Flags:     []cli.Flag{formatFlag("text")},
	}, 1, 1, func(c *cli.Context) error {
		asJSON, err := isJSON(c, "text")
		if err != nil {
			return err
		}
		problems, host, err := p.check(c.Args().First())
		if err != nil {
			return err
		}
		r := findings{append([]bundle.Problem{}, problems...), append([]bundle.Problem{}, host...)}
		if asJSON {
			e := newEncoder(p.stdout)
			e.SetIndent("", "  ")
			err = e.Encode(r)
		} else {
			err = r.print(p.stdout, c.Args().First())
		}
		if err == nil && r.fatal() {
			return exitStatus(1) // the problems are the message
		}
		return err
	})
}

// findings is what rt check prints; the JSON layout is in docs/cli.md.
type findings struct {
	Problems []bundle.Problem `json:"problems"` // of the configuration, wherever it runs
	Host     []bundle.Problem `json:"host"`     // only on this host
}

func (r findings) fatal() bool {
	for _, list := range [][]bundle.Problem{r.Problems, r.Host} {
		for _, p := range list {
			if !p.Warning {
				return true
			}
		}
	}
	return false
}

func (r findings) print(w io.Writer, dir string) error {
	if len(r.Problems)+len(r.Host) == 0 {
		_, err := fmt.Fprintf(w, "%s: no problems\n", text.Printable(dir))
		return err
	}
	for _, p := range r.Problems {
		if err := printProblem(w, p, ""); err != nil {
			return err
		}
	}
	for _, p := range r.Host {
		if err := printProblem(w, p, " (on this host)"); err != nil {
			return err
		}
	}
	return nil
}

func printProblem(w io.Writer, p bundle.Problem, where string) error {
	kind := "error"
	if p.Warning {
		kind = "warning"
	}
	at := p.Pointer
	if at == "" {
		at = "config.json"
	}
	line := fmt.Sprintf("%s%s: %s: %s\n", kind, where, at, p.Text)
	if p.Hint != "" {
		line += "  hint: " + p.Hint + "\n"
	}
	_, err := io.WriteString(w, text.Printable(line))
	return err
}
