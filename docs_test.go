package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// A manual is a text with a part for the global flags and one for each command.
type manual struct {
	file   string
	text   string
	global *regexp.Regexp // where the global flags begin
	head   *regexp.Regexp // where a part begins
	verb   *regexp.Regexp // the commands in a part's first line
	flags  *regexp.Regexp // the lines that name flags, as others only mention them
}

func manuals(t *testing.T) []manual {
	read := func(file string) string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(data), `\-`, "-")
	}
	return []manual{
		{
			"docs/cli.md", read("docs/cli.md"), regexp.MustCompile(`(?m)^## Global flags$`),
			regexp.MustCompile("(?m)^(?:\\*\\*`rt |## )"), regexp.MustCompile("\\*\\*`rt ([a-z]+)"),
			regexp.MustCompile("(?m)^\\| `[^|]*\\||^\\*\\*`rt .*?\\*\\*(?:, \\*\\*.*?\\*\\*)?"),
		},
		{
			"man/rt.8", read("man/rt.8"), regexp.MustCompile(`(?m)^\.SH GLOBAL OPTIONS$`),
			regexp.MustCompile(`(?m)^\.S[SH] `), regexp.MustCompile(`^\.SS ([a-z]+)`),
			regexp.MustCompile(`(?m)^\.TP\n.*|^\.SS .*|^\.BR --console-socket .*`),
		},
	}
}

// parts are the parts by command, "" for the global flags; a command with two headings has both.
func (m manual) parts() map[string]string {
	heads := m.head.FindAllStringIndex(m.text, -1)
	parts := map[string]string{}
	for i, h := range heads {
		end := len(m.text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		part := m.text[h[0]:end]
		if m.global.MatchString(part) {
			parts[""] = part
		}
		line, _, _ := strings.Cut(part, "\n")
		for _, verb := range m.verb.FindAllStringSubmatch(line, -1) {
			parts[verb[1]] += part
		}
	}
	return parts
}

// named are the flags that the lines of a part name.
func (m manual) named(part string) (names []string) {
	for _, line := range m.flags.FindAllString(part, -1) {
		for _, f := range regexp.MustCompile(`(?:^|[^-a-z])--?([a-z][a-z0-9-]*)`).FindAllStringSubmatch(line, -1) {
			names = append(names, f[1])
		}
	}
	return names
}

// TestManuals: both manuals have every command with every flag that its --help shows, and no others.
func TestManuals(t *testing.T) {
	app := (&program{}).app(nil)
	app.Setup()
	shown := map[string][]cli.Flag{"": app.VisibleFlags()}
	all := map[string][]cli.Flag{"": app.Flags}
	for _, c := range app.Commands {
		if c.Name != "help" {
			shown[c.Name], all[c.Name] = c.VisibleFlags(), c.Flags
		}
	}
	for _, m := range manuals(t) {
		parts := m.parts()
		for verb := range parts {
			if _, there := shown[verb]; !there {
				t.Errorf("%s: there is no command %q", m.file, verb)
			}
		}
		for verb, flags := range shown {
			if parts[verb] == "" {
				t.Errorf("%s has nothing about %q", m.file, verb)
				continue
			}
			named := m.named(parts[verb])
			if verb == "run" { // it takes the flags of create
				named = append(named, m.named(parts["create"])...)
			}
			for _, name := range flagNames(flags) {
				if !slices.Contains(named, name) {
					t.Errorf("%s, %q: it lacks the flag %s", m.file, verb, name)
				}
			}
			for _, name := range named {
				if !slices.Contains(flagNames(all[verb]), name) && name != "help" && name != "h" {
					t.Errorf("%s, %q: there is no flag %s", m.file, verb, name)
				}
			}
		}
	}
}

// flagNames are those of the flags; every command has --help, whose own line is in no manual.
func flagNames(flags []cli.Flag) (all []string) {
	for _, f := range flags {
		for _, name := range f.Names() {
			if name != "help" && name != "h" {
				all = append(all, name)
			}
		}
	}
	return all
}
