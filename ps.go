package main

import (
	"bufio"
	"bytes"
	"cmp"
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
			formatFlag("table"),
		},
	}, 1, -1, func(c *cli.Context) error {
		asJSON, err := isJSON(c, "table")
		if err != nil {
			return err
		}
		pids, err := p.runtime(c).Processes(c.Args().First())
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(p.stdout).Encode(append([]int{}, pids...)) // [], not null, when empty
		}
		args := c.Args().Tail()
		if len(args) == 0 {
			args = []string{"-ef"}
		}
		p.keepCollecting() // processes can share megabytes of arguments, each of which is a row
		out := bufio.NewWriter(p.stdout)
		if err := p.ps(args, filterTable(out, pids)); err != nil {
			return err
		}
		return out.Flush()
	})
}

// hostPs runs the ps of the host and hands out what it prints, row by row.
func hostPs(args []string, row func(text string) error) error {
	var stderr bytes.Buffer
	cmd := exec.Command("ps", args...)
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("run ps %s: %w", strings.Join(args, " "), err)
	}
	rows := bufio.NewReader(out)
	for err == nil {
		text, readErr := rows.ReadString('\n')
		if err = readErr; text != "" {
			err = cmp.Or(row(text), readErr)
		}
	}
	_ = out.Close() // a ps that still writes ends by it
	ended := cmd.Wait()
	if err != io.EOF {
		return err
	}
	if ended != nil {
		return fmt.Errorf("run ps %s: %w: %s", strings.Join(args, " "), ended, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}

// filterTable is for the rows of a table, of which it prints the header and those whose PID column is one of pids.
func filterTable(w io.Writer, pids []int) func(row string) error {
	column := -1
	return func(row string) error {
		fields := strings.Fields(row)
		if column < 0 {
			if column = slices.Index(fields, "PID"); column < 0 {
				return errors.New("couldn't find PID field in ps output")
			}
		} else {
			if len(fields) <= column {
				return nil
			}
			pid, err := strconv.Atoi(fields[column])
			if _, is := slices.BinarySearch(pids, pid); err != nil || !is {
				return nil
			}
		}
		_, err := io.WriteString(w, strings.TrimSuffix(row, "\n")+"\n")
		return err
	}
}
