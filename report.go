package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rt/internal/bug"

	"github.com/urfave/cli/v2"
)

// exitStatus ends rt with this code and without a message: the status of a process that was waited for, or
// a failure that has been printed already.
type exitStatus int

func (s exitStatus) Error() string { return "exit status " + strconv.Itoa(int(s)) }

// An execError is a failure of exec that is not the process's own, or of a startContainer hook of run. It has an exit code that programs
// seldom use, so that callers can tell the two apart.
type execError struct{ error }

func (e execError) Unwrap() error { return e.error }

// A usageError is a command line that cannot be carried out.
type usageError struct{ text, hint string }

func (e *usageError) Error() string { return e.text }

func (e *usageError) Hint() string { return e.hint }

// report logs err, if there is something to log, and returns the exit code for it.
func (p *program) report(err error) int {
	if err == nil {
		return 0
	}
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	p.log.failure(err)
	if b := (*bug.Error)(nil); errors.As(err, &b) {
		for line := range strings.Lines(b.Trace) {
			p.log.debugf("%s", strings.TrimRight(line, "\n"))
		}
	}
	switch {
	case errors.As(err, new(execError)):
		return 255
	case errors.As(err, new(*unknownCommandError)):
		return 3
	}
	return 1
}

// exited turns the status of a process that was waited for into the result of a command.
func exited(status int) error {
	if status == 0 {
		return nil
	}
	return exitStatus(status)
}

// An unknownCommandError has an exit code of its own, as with runc.
type unknownCommandError struct{ usageError }

// unknownCommand runs when the first argument is no command. With no argument at all it shows the help.
func unknownCommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowAppHelp(c)
	}
	return newUnknownCommand(c.Args().First())
}

func newUnknownCommand(name string) error {
	text := "rt --help lists the commands"
	if near := nearCommands(name); len(near) > 0 {
		text = "did you mean " + strings.Join(near, " or ") + "? " + text
	}
	return &unknownCommandError{usageError{fmt.Sprintf("unknown command %.64q", name), text}}
}

// nearCommands are the commands with a name that is a slip of the keyboard or two away, the nearest only.
func nearCommands(name string) (near []string) {
	const longest, most = 16, 2
	if len(name) > longest {
		return nil
	}
	best := min(most, (len(name)+1)/3)
	for _, c := range new(program).allCommands() {
		switch d := distance(strings.ToLower(name), c.name); {
		case d < best:
			near, best = []string{c.name}, d
		case d == best:
			near, best = append(near, c.name), d
		}
	}
	return near
}

// distance counts the letters to add, to leave out, to change, and the pairs of neighbours to swap, that make b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := range len(a) {
		for j := range len(b) {
			change := rows[i][j]
			if a[i] != b[j] {
				change++
			}
			rows[i+1][j+1] = min(change, rows[i][j+1]+1, rows[i+1][j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				rows[i+1][j+1] = min(rows[i+1][j+1], rows[i-1][j-1]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// command fills in what all commands have in common: between low and high arguments (-1: any number), and
// no subcommand "help", which would shadow containers named help and h.
func command(cmd *cli.Command, low, high int, run func(c *cli.Context) error) *cli.Command {
	cmd.HideHelpCommand = true
	cmd.Flags = named(cmd.Flags)
	cmd.CustomHelpTemplate = cli.CommandHelpTemplate
	cmd.Action = func(c *cli.Context) error {
		if err := countArgs(c, low, high); err != nil {
			fmt.Fprint(c.App.Writer, "Incorrect Usage.\n\n")
			_ = cli.ShowCommandHelp(c, cmd.Name) // the error is worth more than a failure to print the help
			return err
		}
		return run(c)
	}
	return cmd
}

func countArgs(c *cli.Context, low, high int) error {
	n := c.NArg()
	switch {
	case low == high && n != low:
		return &usageError{fmt.Sprintf("%q requires exactly %d argument(s)", c.Command.Name, low), unknownFlag(c)}
	case n < low:
		return &usageError{fmt.Sprintf("%q requires a minimum of %d argument(s)", c.Command.Name, low), ""}
	case high >= 0 && n > high:
		return &usageError{fmt.Sprintf("%q requires a maximum of %d argument(s)", c.Command.Name, high), unknownFlag(c)}
	}
	return nil
}

// unknownFlag: what the command knows has been taken from among the arguments (flagsFirst), but for what follows --, which
// is no flag whatever it looks like.
func unknownFlag(c *cli.Context) string {
	for _, a := range c.Args().Tail() {
		if a == "--" {
			break
		}
		if strings.HasPrefix(a, "-") && a != "-" && flagOf(c.Command.Flags, a) == nil {
			return fmt.Sprintf("%s has no flag %s", c.Command.Name, a)
		}
	}
	return ""
}
