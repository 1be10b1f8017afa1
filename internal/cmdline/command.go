// Package cmdline is what the commands have in common: flags that cost little and may stand behind the arguments, counted arguments, names
// that are misspelt.
package cmdline

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"rt/internal/hint"
)

// Command fills in what all commands have in common: between low and high arguments (-1: any number), and
// no subcommand "help", which would shadow containers named help and h.
func Command(cmd *cli.Command, low, high int, run func(c *cli.Context) error) *cli.Command {
	cmd.HideHelpCommand = true
	cmd.Flags = Named(cmd.Flags)
	cmd.CustomHelpTemplate = cli.CommandHelpTemplate
	cmd.Action = func(c *cli.Context) error {
		if err := countArgs(c, low, high); err != nil {
			fmt.Fprint(c.App.Writer, "Incorrect Usage.\n\n")
			_ = cli.ShowCommandHelp(c, cmd.Name) // the error is worth more than a failure to print the help
			return err
		}
		if err := checkFormat(c); err != nil {
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
		return hint.With(fmt.Errorf("%q requires exactly %d argument(s)", c.Command.Name, low), UnknownFlag(c))
	case n < low:
		return fmt.Errorf("%q requires a minimum of %d argument(s)", c.Command.Name, low)
	case high >= 0 && n > high:
		return hint.With(fmt.Errorf("%q requires a maximum of %d argument(s)", c.Command.Name, high), UnknownFlag(c))
	}
	return nil
}

// UnknownFlag is a hint that an argument looks like a flag and is none of the command; "" if there is none. What the command knows has been
// taken from among the arguments (FlagsFirst), but for what follows --, which is no flag whatever it looks like.
func UnknownFlag(c *cli.Context) string {
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

// Near returns those of names that are a slip of the keyboard or two away from a misspelt one, the nearest only.
func Near(misspelt string, names []string) (near []string) {
	const longest, most = 16, 2
	if len(misspelt) > longest {
		return nil
	}
	best := min(most, (len(misspelt)+1)/3)
	for _, name := range names {
		switch d := distance(strings.ToLower(misspelt), name); {
		case d < best:
			near, best = []string{name}, d
		case d == best:
			near, best = append(near, name), d
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
