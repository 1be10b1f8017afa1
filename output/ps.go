package output

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// Ps writes those rows of the ps program's table that are about some processes. pids are sorted.
func Ps(w io.Writer, ps func(args []string, row func(text string) error) error, args []string, pids []int) error {
	out := bufio.NewWriter(w)
	if err := ps(args, filterTable(out, pids)); err != nil {
		return err
	}
	return out.Flush()
}

// HostPs runs the ps of the host and hands out what it prints, row by row.
func HostPs(args []string, row func(text string) error) error {
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
