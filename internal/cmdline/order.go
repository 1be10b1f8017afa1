package cmdline

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// FlagsFirst returns a command line whose flags all stand where the library looks for them: those of a command before its arguments, and
// global ones before its name. runc and crun take the former behind the arguments as well (update ID --memory 1G), and runc 1.6 the latter
// behind the name. Behind the container of exec and ps everything belongs to another program, and so does what follows --. What is no
// flag of either stays where it is.
func FlagsFirst(app *cli.App, args []string) []string {
	at, dashes := 1, false
	for ; at < len(args) && len(args[at]) > 1 && args[at][0] == '-'; at++ {
		if args[at] == "--" {
			at, dashes = at+1, true
			break
		}
		if f := flagOf(app.Flags, args[at]); takesNext(f, args[at]) {
			at++
		}
	}
	if at >= len(args) {
		return args
	}
	i := slices.IndexFunc(app.Commands, func(c *cli.Command) bool { return c.Name == args[at] })
	if i < 0 {
		return args
	}
	p := permutation{own: app.Commands[i].Flags, all: app.Flags, leading: args[at] == "exec" || args[at] == "ps"}
	p.part(args[at+1:])
	before := args[:at]
	if len(p.global) > 0 && dashes { // the library would take them for commands
		before = before[:at-1]
	}
	if p.lacking {
		return slices.Concat(before, p.global)
	}
	return slices.Concat(before, p.global, args[at:at+1], p.flags, p.rest)
}

// A permutation parts what follows a command's name.
type permutation struct {
	own, all            []cli.Flag // the flags of the command, and the global ones
	leading             bool       // flags end at the first argument
	flags, global, rest []string   // the command's flags and the global ones, with their values, and all else
	lacking             bool       // the last of global has no value
}

func (p *permutation) part(args []string) {
	for i := 0; i < len(args); i++ {
		to, f := &p.flags, flagOf(p.own, args[i])
		if f == nil {
			to, f = &p.global, flagOf(p.all, args[i])
		}
		switch {
		case args[i] == "--" && !p.leading: // the library wants it before the first argument
			p.rest = slices.Concat([]string{"--"}, p.rest, args[i+1:])
			return
		case f == nil && p.leading && args[i] != "--" && i+1 < len(args) && args[i+1] == "--": // exec ID -- COMMAND
			p.rest = slices.Concat(args[i:i+1], args[i+2:])
			return
		case f == nil && (p.leading || len(p.rest) == 0 && strings.HasPrefix(args[i], "-")): // for exec the container; else a mistake that the library tells
			p.rest = append(p.rest, args[i:]...)
			return
		case f == nil:
			p.rest = append(p.rest, args[i])
		case takesNext(f, args[i]) && i+1 == len(args): // the library finds nothing behind it, and says so
			*to, p.rest = append(*to, args[i]), nil
			p.lacking = to == &p.global
			return
		case takesNext(f, args[i]):
			*to = append(*to, args[i], args[i+1])
			i++
		default:
			*to = append(*to, args[i])
		}
	}
}

// flagOf finds the flag that an argument names, with one dash or two, or nil.
func flagOf(known []cli.Flag, arg string) cli.Flag {
	name, dashed := strings.CutPrefix(arg, "-")
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "-"), "=")
	if !dashed || name == "" {
		return nil
	}
	known = append(slices.Clip(known), cli.HelpFlag)
	i := slices.IndexFunc(known, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if i < 0 {
		return nil
	}
	return known[i]
}

// takesNext says whether the value of a flag is the next argument.
func takesNext(f cli.Flag, arg string) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue() && !strings.Contains(arg, "=")
}
