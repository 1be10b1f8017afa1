package main

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/urfave/cli/v2"
)

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
