package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"rt/internal/sys"
	"rt/internal/text"
	"rt/libcontainer"
)

func (p *program) listCommand() *cli.Command {
	return command(&cli.Command{
		Name:  "list",
		Usage: "list the containers below the root",
		Flags: []cli.Flag{
			formatFlag("table"),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print container ids only"},
		},
	}, 0, 0, func(c *cli.Context) error {
		asJSON, err := isJSON(c, "table")
		if err != nil {
			return err
		}
		all, err := p.runtime(c).List()
		// The default root is made by the first container; one that was named by hand is more likely misspelt.
		if !c.IsSet("root") && errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		if err != nil && len(all) == 0 {
			return err
		}
		passwd, _ := sys.ReadNamed("/etc/passwd", sys.Regular, maxInput) // without it, owners are numbers
		for i := range all {
			all[i].Owner = userName(string(passwd), all[i].OwnerUID)
		}
		print := printTable
		if c.Bool("quiet") {
			print = printIDs
		} else if asJSON {
			print = printStates
		}
		return errors.Join(print(p.stdout, all), err)
	})
}

func printStates(w io.Writer, all []libcontainer.ContainerState) error {
	return newEncoder(w).Encode(all)
}

func printIDs(w io.Writer, all []libcontainer.ContainerState) error {
	for _, s := range all {
		if _, err := fmt.Fprintln(w, s.ID); err != nil {
			return err
		}
	}
	return nil
}

func printTable(w io.Writer, all []libcontainer.ContainerState) error {
	out := bufio.NewWriter(w) // the table is written in pieces of some bytes
	t := tabwriter.NewWriter(out, 12, 1, 3, ' ', 0)
	fmt.Fprint(t, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
	for _, s := range all {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.Pid, s.Status, oneCell(s.Bundle), s.Created.Format(time.RFC3339Nano), s.Owner)
	}
	return errors.Join(t.Flush(), out.Flush())
}

// oneCell keeps a path from ending its cell or its row.
func oneCell(s string) string {
	if s = text.Printable(s); !strings.ContainsAny(s, "\t\n\v\f") {
		return s
	}
	return strings.NewReplacer("\t", `\t`, "\n", `\n`, "\v", `\v`, "\f", `\f`).Replace(s)
}

// userName looks a user up in the text of passwd(5). os/user would do the same, or call the C library, which
// a static binary cannot do.
func userName(passwd string, uid int) string {
	id := strconv.Itoa(uid)
	for line := range strings.Lines(passwd) {
		if f := strings.Split(line, ":"); len(f) >= 3 && f[0] != "" && f[2] == id {
			return f[0]
		}
	}
	return "#" + id
}
