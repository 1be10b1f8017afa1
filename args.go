package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagsFirst is a command line whose flags all stand where the library looks for them, before the arguments: runc and crun
// take them behind as well (update ID --memory 1G). Behind the container of exec and ps everything is somebody else's, and so is
// what follows --. What is no flag of the command stays where it is.
func flagsFirst(app *cli.App, args []string) []string {
	at := 1
	for ; at < len(args) && len(args[at]) > 1 && args[at][0] == '-'; at++ {
		if args[at] == "--" {
			at++
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
	if i < 0 || args[at] == "exec" || args[at] == "ps" {
		return args
	}
	flags, rest := permute(app.Commands[i].Flags, args[at+1:])
	return slices.Concat(args[:at+1], flags, rest)
}

// permute parts the flags, with their values, from the rest.
func permute(known []cli.Flag, args []string) (flags, rest []string) {
	for i := 0; i < len(args); i++ {
		f := flagOf(known, args[i])
		switch {
		case args[i] == "--":
			return flags, append(rest, args[i:]...)
		case f == nil && len(rest) == 0 && strings.HasPrefix(args[i], "-"): // a mistake that the library tells
			return flags, append(rest, args[i:]...)
		case f == nil:
			rest = append(rest, args[i])
		case takesNext(f, args[i]) && i+1 == len(args): // the library finds nothing behind it, and says so
			return append(flags, args[i]), nil
		case takesNext(f, args[i]):
			flags = append(flags, args[i], args[i+1])
			i++
		default:
			flags = append(flags, args[i])
		}
	}
	return flags, rest
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
