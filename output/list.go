package output

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"rt/internal/sys"
	"rt/internal/text"
	"rt/libcontainer"
)

// List writes states of containers: their ids only, or as JSON, or as a table. Their owners get names.
func List(w io.Writer, all []libcontainer.ContainerState, idsOnly, asJSON bool) error {
	passwd := readPasswd()
	for i := range all {
		all[i].Owner = userName(passwd, all[i].OwnerUID)
	}
	switch {
	case idsOnly:
		return printIDs(w, all)
	case asJSON:
		return NewEncoder(w).Encode(all)
	}
	return printTable(w, all)
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

// readPasswd is the text of passwd(5). Without it, owners are numbers.
func readPasswd() string {
	passwd, _ := sys.ReadNamed("/etc/passwd", sys.Regular, 16<<20)
	return string(passwd)
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
