package integration

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	compatRows = "../runc/rows.txt" // below conformance's directory
	changeRows = "../runc/changes.txt"
	compatDoc  = "../../docs/runc-compat.md"
)

// compatRooms are the packages of whose tests the table may name some, besides conformance's.
var compatRooms = map[string]string{
	"libcontainer": "../../libcontainer", "state": "../../libcontainer/state", "stub": "../../libcontainer/stub", "facts": "../../libcontainer/facts", "namespaces": "../../libcontainer/namespaces", "console": "../../libcontainer/console", "nsenter": "../../nsenter",
	"security": "../security", "gorunc": "../gorunc", "notify": "../../libcontainer/notify", "arch": "../arch", "output": "../../output", "log": "../../internal/log", "names": "../../internal/names",
}

// compatParts are the parts of the table, in the order of the document.
var compatParts = [][2]string{
	{"global", "Global flags"}, {"verbs", "Commands and flags"}, {"callers", "How engines call it"}, {"strings", "Texts that somebody matches"},
	{"codes", "Exit codes"}, {"rules", "Rules"}, {"layouts", "JSON and tables"}, {"annotations", "Annotations"}, {"config", "Configuration"},
}

// A compatRow is a line of the table.
type compatRow struct{ part, what, verdict, why, tests string }

func compatTable(t *testing.T) (rows []compatRow) {
	t.Helper()
	for _, f := range table(t, compatRows, 4) {
		rows = append(rows, newRow(f))
	}
	return rows
}

// check finds what is wrong with a row by itself.
func (r compatRow) check(t *testing.T, known map[string]bool) {
	t.Helper()
	switch r.verdict {
	case "crun", "own":
	case "same":
		if _, since := r.since(); r.why != "" && !since {
			t.Errorf("%s: `same` has no reason but `since VERSION`", r.what)
		}
	case "differs", "absent":
		if r.why == "" {
			t.Errorf("%s: no reason", r.what)
		}
	default:
		t.Errorf("%s: verdict %q", r.what, r.verdict)
	}
	if !slices.ContainsFunc(compatParts, func(p [2]string) bool { return p[0] == r.part }) {
		t.Errorf("%s: part %q", r.what, r.part)
	}
	if r.tests == "-" {
		if r.verdict != "absent" {
			t.Errorf("%s: no test", r.what)
		}
		return
	}
	checkTests(t, known, r.what, r.tests)
}

// TestRuncCompat: each row of the table has tests that exist, its flags are there, or are not, as it says, no command and
// no flag is without a row, and the document says what the table does.
func TestRuncCompat(t *testing.T) {
	known := knownTests(t)
	for room, dir := range compatRooms {
		readTests(t, known, room+".", dir)
	}
	for _, script := range []string{"docker", "podman", "containerd", "buildah"} {
		known["engines/"+script+".sh"] = exists("../engines/" + script + ".sh")
	}
	rows := compatTable(t)
	for _, r := range rows {
		r.check(t, known)
	}
	text := compatText(rows) + changesText(t, known)
	if *updateDoc {
		if err := os.WriteFile(compatDoc, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if readAllOf(t, compatDoc) != text {
		t.Error("docs/runc-compat.md is stale: run the test with -update")
	}
	if machine.peer.isRt() {
		compatFlags(t, rows)
	} else {
		peerFlags(t, rows)
	}
}

// flagOfRow is a flag, or a command, in the first words of a row.
var flagOfRow = regexp.MustCompile(`^--?[a-z][a-z0-9-]*$`)

// flagsOf are the command and the flags that a row of global or verbs begins with.
func (r compatRow) flagsOf() (verb string, flags []string) {
	head, _, _ := strings.Cut(r.what, ":")
	words := strings.Fields(strings.ReplaceAll(head, ",", " "))
	for _, w := range words[1:] {
		if flagOfRow.MatchString(w) {
			flags = append(flags, w)
		}
	}
	return words[0], flags
}

// shownFlag is a flag in a line of a help page.
var shownFlag = regexp.MustCompile(`(?m)^   (--?[a-z0-9-]+)[^,\n]*?(?:, (--?[a-z0-9]+))?(?:  | [a-zA-Z\[])`)

// tabledFlags are the commands and flags that the rows have, by has, and those of every help page; check is called for each flag of a row.
func tabledFlags(rows []compatRow, has func(compatRow) bool, check func(r compatRow, verb, flag string)) map[string]bool {
	tabled := map[string]bool{"global --help": true, "global --version": true}
	for _, r := range rows {
		verb, flags := r.flagsOf()
		if r.part != "global" && r.part != "verbs" || verb == "any" || verb == "the" {
			continue
		}
		tabled[verb] = tabled[verb] || has(r)
		for _, flag := range flags {
			tabled[verb+" "+flag] = tabled[verb+" "+flag] || has(r)
			check(r, verb, flag)
		}
	}
	return tabled
}

// compatFlags: what the table says of a flag is so with rt.
func compatFlags(t *testing.T, rows []compatRow) {
	c := newContainer(t)
	there := func(r compatRow) bool { return r.verdict != "absent" }
	c.shownFlags(tabledFlags(rows, there, func(r compatRow, verb, flag string) {
		if got := c.accepts(verb, flag); got != there(r) {
			t.Errorf("row %q: %s %s is accepted: %v", r.what, verb, flag, got)
		}
	}))
}

// shownFlags: every command and flag that the help of the runtime shows has a row.
func (c *container) shownFlags(tabled map[string]bool) {
	t := c.t
	t.Helper()
	pages := map[string]string{"global": c.rt("--help").ok().stdout}
	for _, verb := range c.commands() {
		pages[verb], _, _ = strings.Cut(c.rt(verb, "--help").ok().stdout, "GLOBAL OPTIONS:") // which runc 1.6 repeats there
		if !tabled[verb] {
			t.Errorf("the command %s has no row", verb)
		}
	}
	for verb, page := range pages {
		shown := 0
		for _, m := range shownFlag.FindAllStringSubmatch(page, -1) {
			for _, flag := range m[1:] {
				if flag == "" || flag == "--help" || flag == "-h" {
					continue
				}
				shown++
				if !tabled[verb+" "+flag] {
					t.Errorf("%s %s has no row", verb, flag)
				}
			}
		}
		if shown == 0 && strings.Count(page, "\n   -") > 1 {
			t.Errorf("no flag is found in the help of %s", verb)
		}
	}
}

// peerFlags: what the table says of a flag of runc's is so with the runc under test.
func peerFlags(t *testing.T, rows []compatRow) {
	c := newContainer(t)
	c.shownFlags(tabledFlags(rows, func(compatRow) bool { return true }, func(r compatRow, verb, flag string) {
		if r.verdict == "absent" {
			return
		}
		if got, want := c.accepts(verb, flag), !r.holdsFor(machine.peer) || r.verdict == "differs"; got != want {
			t.Errorf("row %q: %s %s is accepted by %s: %v", r.what, verb, flag, machine.name, got)
		}
	}))
}

// accepts says whether a command knows a flag, without doing anything.
func (c *container) accepts(verb, flag string) bool {
	c.t.Helper()
	value := "1"
	switch flag {
	case "--interval":
		value = "1s"
	case "--help", "-h", "--version", "-v":
		return c.do(call{bare: true, args: []string{flag}}).ok().stdout != ""
	}
	args := []string{verb, flag + "=" + value, "--help"}
	if verb == "global" {
		args = []string{flag + "=" + value, "--help"}
	}
	r := c.rt(args...)
	if r.code == 3 && !machine.peer.isRt() {
		return false // it has no such command
	}
	if r.code != 0 && !strings.Contains(r.stderr, "flag provided but not defined") {
		c.t.Errorf("%s %s: %s", verb, flag, r)
	}
	return r.code == 0
}

func compatText(rows []compatRow) string {
	var b strings.Builder
	b.WriteString("# rt beside runc and crun\n\n" +
		"What runc 1.5 has on its command line and what engines rely on, and what rt makes of it. Generated from\n" +
		"tests/integration/testdata/runc/rows.txt, where each row has the tests that show it, by\n" +
		"`go test ./tests/integration -run TestRuncCompat -update`. The test fails when a row has no test, when a flag is not as its row\n" +
		"says, or when a command or a flag of rt has no row.\n\n")
	counts := map[string]int{}
	for _, r := range rows {
		counts[r.verdict]++
	}
	fmt.Fprintf(&b, "%d rows: %d are as in runc, %d differ, %d are as in crun, %d are rt's own, and %d are not there.\n",
		len(rows), counts["same"], counts["differs"], counts["crun"], counts["own"], counts["absent"])
	b.WriteString("\n## What differs\n")
	compatList(&b, rows, "differs", func(r compatRow) string { return "- " + r.what + " — " + r.why + "\n" })
	b.WriteString("\n## What rt does not have\n")
	compatList(&b, rows, "absent", func(r compatRow) string { return "- " + r.what + " — " + r.why + "\n" })
	b.WriteString("\n## What runc does not have\n\nAs in crun:\n")
	for _, r := range rows {
		if r.verdict == "crun" {
			b.WriteString("- " + r.what + "\n")
		}
	}
	b.WriteString("\nrt's own:\n")
	for _, r := range rows {
		if r.verdict == "own" {
			b.WriteString("- " + r.what + "\n")
		}
	}
	b.WriteString("\n## What is the same\n")
	compatList(&b, rows, "same", func(r compatRow) string {
		if version, since := r.since(); since {
			return "- " + r.what + " (runc does so since " + version + ")\n"
		}
		return "- " + r.what + "\n"
	})
	return b.String()
}

// changesText is what runc's CHANGELOG says, and where rt stands.
func changesText(t *testing.T, known map[string]bool) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("\n## runc's changes since 1.5.0-rc.1\n\n" +
		"Each entry of runc's CHANGELOG from 1.5.0-rc.1 to 1.6.0-rc.1, and of 1.4.1 and 1.4.2, which these include. Generated from\n" +
		"tests/integration/testdata/runc/changes.txt. *none*: rt has nothing of the kind.\n\n" +
		"| runc | change | rt | shown by |\n|---|---|---|---|\n")
	for _, f := range table(t, changeRows, 4) {
		verdict, why, _ := strings.Cut(f[2], ": ")
		switch {
		case verdict == "same" && why == "", (verdict == "differs" || verdict == "none") && why != "":
		default:
			t.Errorf("%s, %s: verdict %q", f[0], f[1], f[2])
		}
		if verdict == "none" != (f[3] == "-") {
			t.Errorf("%s, %s: %s, and the tests are %q", f[0], f[1], verdict, f[3])
		} else if f[3] != "-" {
			checkTests(t, known, f[1], f[3])
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f[0], f[1], f[2], f[3])
	}
	return b.String()
}

// compatList writes the rows of one verdict, by part.
func compatList(b *strings.Builder, rows []compatRow, verdict string, line func(compatRow) string) {
	for _, part := range compatParts {
		head := "\n" + part[1] + ":\n"
		for _, r := range rows {
			if r.part == part[0] && r.verdict == verdict {
				b.WriteString(head + line(r))
				head = ""
			}
		}
	}
}
