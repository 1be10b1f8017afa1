package main

import (
	"errors"

	"github.com/urfave/cli/v2"
)

// formatFlag is --format of a command whose other format than json is usual: text or table.
func formatFlag(usual string) cli.Flag {
	return &cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: usual, Usage: usual + " or json"}
}

// isJSON says whether --format asks for json. usual is the other one.
func isJSON(c *cli.Context, usual string) (bool, error) {
	switch c.String("format") {
	case "json":
		return true, nil
	case usual:
		return false, nil
	}
	return false, errors.New("invalid format option")
}
