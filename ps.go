package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

func (p *program) psCommand() *cli.Command {
	return command(&cli.Command{
		Name:      "ps",
		Usage:     "list the processes of a container",
		ArgsUsage: "<container-id> [ps option...]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: "table", Usage: "table or json"},
		},
	}, 1, -1, func(c *cli.Context) error {
		format := c.String("format")
		if format != "table" && format != "json" {
			return errors.New("invalid format option")
		}
		pids, err := p.runtime(c).Processes(c.Args().First())
		if err != nil {
			return err
		}
		if format == "json" {
			return json.NewEncoder(p.stdout).Encode(append([]int{}, pids...)) // [], not null, when empty
		}
		args := c.Args().Tail()
		if len(args) == 0 {
			args = []string{"-ef"}
		}
		table, err := p.ps(args)
		if err != nil {
			return err
		}
		return filterTable(p.stdout, string(table), pids)
	})
}

// hostPs runs the ps of the host and returns what it prints.
func hostPs(args []string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.Command("ps", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run ps %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// filterTable prints the header and those rows whose PID column is one of pids.
func filterTable(w io.Writer, table string, pids []int) error {
	header, rows, _ := strings.Cut(table, "\n")
	column := slices.Index(strings.Fields(header), "PID")
	if column < 0 {
		return errors.New("couldn't find PID field in ps output")
	}
	if _, err := fmt.Fprintln(w, header); err != nil {
		return err
	}
	for row := range strings.Lines(rows) {
		fields := strings.Fields(row)
		if len(fields) <= column {
			continue
		}
		pid, err := strconv.Atoi(fields[column])
		if err != nil || !slices.Contains(pids, pid) {
			continue
		}
		if _, err := io.WriteString(w, row); err != nil {
			return err
		}
	}
	return nil
}
