package cmdline

import (
	"errors"
	"flag"
	"strings"

	"github.com/urfave/cli/v2"
)

// Named gives flags their names at hand. The library works a flag's names out by a regular expression each time that it
// asks for them, some four times a flag: 0.1 ms of every command, and as much for the first. For the rest they stay what they are.
func Named(flags []cli.Flag) []cli.Flag {
	out := make([]cli.Flag, len(flags))
	for i, f := range flags {
		switch f := f.(type) {
		case *cli.StringFlag:
			out[i] = &stringFlag{f, allNames(f.Name, f.Aliases)}
		case *cli.BoolFlag:
			out[i] = &boolFlag{f, allNames(f.Name, f.Aliases)}
		case *cli.IntFlag:
			out[i] = &intFlag{f, allNames(f.Name, f.Aliases)}
		case *cli.GenericFlag:
			out[i] = &genericFlag{f, allNames(f.Name, f.Aliases)}
		default:
			out[i] = f
		}
	}
	return out
}

func allNames(name string, aliases []string) []string { return append([]string{name}, aliases...) }

type stringFlag struct {
	*cli.StringFlag
	names []string
}

func (f *stringFlag) Names() []string { return f.names }

// Apply is the library's for a flag that neither an environment variable nor a file sets.
func (f *stringFlag) Apply(set *flag.FlagSet) error {
	value := new(string)
	for _, name := range f.names {
		set.StringVar(value, name, f.Value, f.Usage)
	}
	return nil
}

type boolFlag struct {
	*cli.BoolFlag
	names []string
}

func (f *boolFlag) Names() []string { return f.names }

func (f *boolFlag) Apply(set *flag.FlagSet) error {
	value := new(bool)
	for _, name := range f.names {
		set.BoolVar(value, name, f.Value, f.Usage)
	}
	return nil
}

type intFlag struct {
	*cli.IntFlag
	names []string
}

func (f *intFlag) Names() []string { return f.names }

func (f *intFlag) Apply(set *flag.FlagSet) error {
	value := new(int)
	for _, name := range f.names {
		set.IntVar(value, name, f.Value, f.Usage)
	}
	return nil
}

type genericFlag struct {
	*cli.GenericFlag
	names []string
}

func (f *genericFlag) Names() []string { return f.names }

func (f *genericFlag) Apply(set *flag.FlagSet) error {
	for _, name := range f.names {
		set.Var(f.Value, name, f.Usage)
	}
	return nil
}

// A StringList collects the values of a flag that can be repeated, byte for byte. The library's own slice
// flag trims spaces, splits at commas, and passes values through JSON when the short name is used, which
// changes environment variables that are not UTF-8.
type StringList []string

// Set adds a value.
func (l *StringList) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// String returns the values with spaces between.
func (l *StringList) String() string { return strings.Join(*l, " ") }

// ListFlags are the long and the short name of one list; two flags, because the library refuses a command line
// that has both names of a single one.
func ListFlags(l cli.Generic, long, short, usage string) []cli.Flag {
	return []cli.Flag{
		&cli.GenericFlag{Name: long, Value: l, Usage: usage + "; short: -" + short},
		&cli.GenericFlag{Name: short, Value: l, Hidden: true},
	}
}

// FormatFlag is --format of a command whose other format than json is usual: text or table.
func FormatFlag(usual string) cli.Flag {
	return &cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: usual, Usage: usual + " or json"}
}

// IsJSON says whether --format asks for json.
func IsJSON(c *cli.Context) bool { return c.String("format") == "json" }

// checkFormat refuses another --format than json and the usual one.
func checkFormat(c *cli.Context) error {
	f, ok := flagOf(c.Command.Flags, "--format").(*stringFlag)
	if ok && !IsJSON(c) && c.String("format") != f.Value {
		return errors.New("invalid format option")
	}
	return nil
}
