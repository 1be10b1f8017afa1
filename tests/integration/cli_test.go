package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var commandLine = regexp.MustCompile(`(?m)^   ([a-z]+)(?:, [a-z]+)*  `)

// commands are those that --help lists.
func (c *container) commands() (names []string) {
	c.t.Helper()
	_, list, _ := strings.Cut(c.rt("--help").ok().stdout, "\nCOMMANDS:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for _, m := range commandLine.FindAllStringSubmatch(list, -1) {
		if m[1] != "help" {
			names = append(names, m[1])
		}
	}
	if len(names) < 15 {
		c.t.Fatalf("--help lists %v", names)
	}
	return names
}

// TestHelpOfCommands: -h, --help and `help COMMAND` show the same page on stdout, and do nothing else; containers may be named help.
func TestHelpOfCommands(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	page := c.rt("--help").ok().stdout
	if !strings.HasPrefix(page, "NAME:\n   "+machine.name+" - ") {
		t.Errorf("--help: %q", page)
	}
	for _, args := range [][]string{{"-h"}, {"-help"}, {"help"}, {"h"}, {}} {
		if r := c.rt(args...).ok(); r.stdout != page || r.stderr != "" {
			t.Errorf("%q shows another page than --help: %s", args, r)
		}
	}
	for _, verb := range c.commands() {
		page := c.rt("help", verb).ok().stdout
		if !strings.HasPrefix(page, "NAME:\n   "+machine.name+" "+verb+" - ") {
			t.Errorf("help %s: %q", verb, page)
		}
		for _, args := range [][]string{{verb, "--help"}, {verb, "-h"}, {verb, "-help"}, {"h", verb}} {
			if r := c.rt(args...).ok(); r.stdout != page || r.stderr != "" {
				t.Errorf("%q shows another page than help %s: %s", args, verb, r)
			}
		}
	}
	if !differs(t, "any command: -h, --help, help COMMAND") {
		c.rt("state", "help").fails("container does not exist")
	}
	c.rt("help", "no-such-verb").exits(3).says("no-such-verb")
}

// TestArgumentCounts: too few and too many arguments are exit 1, `Incorrect Usage.` and the command's help on stdout, and one
// error on stderr, also of exec.
func TestArgumentCounts(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	exactly := func(verb string, n int) string { return fmt.Sprintf("%q requires exactly %d argument(s)", verb, n) }
	type wrong struct {
		args []string
		text string
	}
	list := []wrong{
		{[]string{"kill"}, `"kill" requires a minimum of 1 argument(s)`}, {[]string{"kill", "a", "9", "x"}, `"kill" requires a maximum of 2 argument(s)`},
		{[]string{"exec"}, `"exec" requires a minimum of 1 argument(s)`}, {[]string{"exec", "--tty"}, `"exec" requires a minimum of 1 argument(s)`},
		{[]string{"ps"}, `"ps" requires a minimum of 1 argument(s)`},
	}
	for _, verb := range []string{"create", "run", "start", "delete", "state", "pause", "resume", "update", "events"} {
		list = append(list, wrong{[]string{verb}, exactly(verb, 1)}, wrong{[]string{verb, "a", "b"}, exactly(verb, 1)})
	}
	for _, verb := range []string{"list", "spec", "features"} {
		list = append(list, wrong{[]string{verb, "a"}, exactly(verb, 0)})
	}
	for _, w := range list {
		r := c.rt(w.args...).fails(w.text).oneError()
		if help := "Incorrect Usage.\n\n"; r.stdout == help && differs(t, "a wrong number of arguments") {
			continue
		}
		if !strings.HasPrefix(r.stdout, "Incorrect Usage.\n\nNAME:\n   "+machine.name+" "+w.args[0]+" - ") {
			t.Errorf("no help on stdout: %s", r)
		}
	}
	c.rt("create", "--no-such-flag", "a").fails("flag provided but not defined: -no-such-flag").oneError()
	c.do(call{global: []string{"--no-such-flag"}, args: []string{"list"}}).fails("flag provided but not defined: -no-such-flag").oneError()
	c.rt("create", "--bundle").fails("flag needs an argument: ", "-bundle").oneError()
	c.rt("create", "--no-pivot=perhaps", "a").fails(`"perhaps" for`, "-no-pivot").oneError().rtSays(`invalid boolean value "perhaps" for -no-pivot`)
	c.rt("run", "--preserve-fds", "x", "a").fails(`invalid value "x" for flag -`, "-preserve-fds").oneError()
	if entries, _ := os.ReadDir(c.root); len(entries) > 0 {
		t.Errorf("left in the root: %v", entries)
	}
}

// TestUnknownCommand: an error, and not the help.
func TestUnknownCommand(t *testing.T) {
	t.Parallel()
	newContainer(t).rt("no-such-verb").exits(3).says("no-such-verb").prints("").rtError(`unknown command "no-such-verb"`)
}

// TestFlagSpellings: one or two dashes, an equals sign or a word of its own, the alias; -- ends the flags, and so does the first argument.
func TestFlagSpellings(t *testing.T) {
	t.Parallel()
	c := newContainer(t, script("exit 4"))
	for _, flags := range [][]string{
		{"--bundle", c.bundle}, {"--bundle=" + c.bundle}, {"-bundle", c.bundle}, {"-bundle=" + c.bundle}, {"-b", c.bundle}, {"-b=" + c.bundle}, {"--b", c.bundle},
		{"-b", "/nothing", "-bundle", c.bundle, "--no-pivot=false", "-no-new-keyring=true", "--keep=0"},
	} {
		if slices.Contains(flags, "/nothing") {
			if !differs(t, "any command: a flag by two of its names") {
				c.rt(append(append([]string{"run"}, flags...), c.id)...).exits(1).says("Cannot use two forms of the same flag")
			}
			flags = flags[2:]
		}
		c.rt(append(append([]string{"run"}, flags...), c.id)...).exits(4)
		c.rt(append(append([]string{"run"}, flags...), "--", c.id)...).exits(4)
	}
	c.rt("run", c.id, "--bundle", c.bundle).exits(4)
	c.rt("run", "--keep=false", c.id, "-b", c.bundle, "--no-pivot").exits(4)
	c.rt("run", c.id, "--nothing", "x").fails().rtSays(`"run" requires exactly 1 argument(s)`, "hint: run has no flag --nothing")
	c.do(call{bare: true, global: []string{"-root", c.root, "-log-format", "text", "-debug=false"}, args: []string{"run", "-bundle", c.bundle, c.id}}).exits(4)

	c = newContainer(t).up()
	if behind := (call{bare: true, args: []string{"list", "--root", c.root, "-q"}}); differs(t, "any command: global flags behind") {
		c.do(behind).fails("flag provided but not defined: -root")
	} else {
		c.do(behind).ok().prints(c.id)
		c.do(call{bare: true, global: []string{"--root", "/nothing"}, args: []string{"state", "--root=" + c.root, c.id, "--debug=false"}}).ok()
		c.do(call{bare: true, args: []string{"exec", "--root", c.root, "--cwd", "/tmp", c.id, "echo", "--root", "/"}}).ok().prints("--root /")
		c.do(call{bare: true, args: []string{"ps", "--root", c.root, "--format", "json", c.id}}).ok()
		c.do(call{bare: true, args: []string{"list", "--root", "/nothing"}}).fails("/nothing: no such file or directory")
		c.do(call{bare: true, args: []string{"list", "--root"}}).fails("flag needs an argument: ")
	}
	// -- behind the container ends the flags, and is no argument itself.
	c.rt("kill", c.id, "--", "0").ok()
	c.rt("kill", c.id, "--", "-5").fails("unable to signal init: invalid argument")
	c.rt("kill", c.id, "--", "-KILL").fails(`unknown signal "-KILL"`)
	// What follows the id of exec is the command's, a -- included; one before the id ends the flags.
	c.exec("echo", "-t", "--user", "x", "--", "-d").ok().prints("-t --user x -- -d")
	c.rt("exec", "--", c.id, "echo", "-t").ok().prints("-t")
	c.rt("exec", "-env", "A=1", "-cwd=/tmp", "-user", "0:0", c.id, "sh", "-c", "echo $A $PWD").ok().prints("1 /tmp")
	c.rt("ps", "-format", "json", c.id).ok().prints("[" + pidText(c.pid()) + "]")
	c.rt("exec", c.id, "echo", "--cwd", "/tmp").ok().prints("--cwd /tmp")
	c.rt("kill", "--", c.id, "0").ok()
	c.rt("update", c.id, "--pids-limit", "55").ok()
	c.check("update", limitFile{"pids/pids.max", "55", "pids.max", "55"})
	c.rt("update", c.id, "--pids-limit", "-1").ok()
	c.check("update", limitFile{"pids/pids.max", "max", "pids.max", "max"})
	c.rt("events", c.id, "--stats").ok()
	c.rt("delete", "-force", "--", c.id).ok()
}

// TestHiddenFlags: what callers of runc pass and nobody needs to know is accepted, and not in the help.
func TestHiddenFlags(t *testing.T) {
	t.Parallel()
	c := newContainer(t).up()
	if help := c.rt("kill", "--help").ok().stdout; strings.Contains(help, "--all") {
		t.Errorf("kill --help: %s", help)
	}
	c.kill("--all", "0").ok()
	c.kill("-a", "0").ok()
	c.do(call{global: []string{"--rootless", "auto"}, args: []string{"state", c.id}}).ok()
	if !differs(t, "global --criu PATH") {
		c.do(call{global: []string{"--criu", "/nothing"}, args: []string{"state", c.id}}).ok()
	}
}

// TestDefaultRoot: /run/rt for root; it need not be there, while one that is given by hand must, and a relative one is made absolute.
func TestDefaultRoot(t *testing.T) {
	needRoot(t, "the root's own directory")
	if underSystemd() {
		t.Skip("systemd is spoken to below /run, which this test hides")
	}
	t.Parallel()
	c := newContainer(t)
	// A /run of its own, but for what the guests of tests/vm have there.
	fresh := fmt.Sprintf(`mkdir -p %[1]s/run && mount --bind /run %[1]s/run && mount -t tmpfs tmpfs /run && `+
		`if test -d %[1]s/run/rt-test; then mkdir /run/rt-test && mount --bind %[1]s/run/rt-test /run/rt-test; fi && `, c.dir)
	c.prefix = []string{"unshare", "-m", "sh", "-c", fresh + `exec "$@"`, "sh"}
	list := func(args ...string) call { return call{bare: true, args: append([]string{"list"}, args...)} }
	c.do(list("--format", "json")).ok().prints("null")
	if got := strings.Fields(c.do(list()).ok().out()); strings.Join(got, " ") != "ID PID STATUS BUNDLE CREATED OWNER" {
		t.Errorf("an empty list: %q", got)
	}
	c.do(list("-q")).ok().prints("")
	dir := "/run/" + machine.name
	c.do(call{bare: true, global: []string{"--root", dir}, args: []string{"state", c.id}}).fails("does not exist")
	c.do(call{bare: true, global: []string{"--root", dir}, args: []string{"list"}}).fails("no such file or directory").oneError()
	c.prefix[4] = fresh + `"$@" && stat -c '%a %n' ` + dir + ` && "$1" list -q && "$1" delete --force ` + c.id
	c.do(call{bare: true, args: c.with("create")}).ok().prints("700 " + dir + "\n" + c.id)
	c.prefix = nil
	r := c.do(call{bare: true, dir: c.dir, global: []string{"--root", "r/../r"}, args: c.with("create")}).ok()
	if got := c.rt("list", "-q").ok().out(); got != c.id {
		t.Errorf("list after %s: %s", r, got)
	}
}

// TestDockerWrapper: dockerd calls a runtime that has arguments through a shell script.
func TestDockerWrapper(t *testing.T) {
	t.Parallel()
	c := newContainer(t, args("echo", "a b", "$x", "*"))
	wrapper := c.file("wrapper", "#!/bin/sh\n\nexec "+machine.rt+" --debug=false $@\n", 0o755)
	c.prefix = []string{wrapper}
	// The runtime's own path comes first then, which the wrapper must not see.
	c.prefix = []string{"sh", "-c", `shift; exec "$0" "$@"`, wrapper}
	c.do(call{args: c.with("run")}).ok().prints("a b $x *")
}

// TestLogFile is appended to, of mode 0644, and written through.
func TestLogFile(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	log := filepath.Join(c.dir, "log")
	trace := filepath.Join(c.dir, "trace")
	_, untraced := exec.LookPath("strace")
	if untraced == nil {
		c.prefix = []string{"strace", "-f", "-qq", "-o", trace, "-e", "trace=openat"}
	}
	for range 2 {
		c.do(call{global: []string{"--log", log}, args: []string{"state", c.id}}).fails("container does not exist")
	}
	st, err := os.Stat(log)
	c.must(err)
	if st.Mode() != 0o644 || strings.Count(c.read("log"), "\n") != 2 {
		t.Errorf("mode %v, %q", st.Mode(), c.read("log"))
	}
	if untraced != nil {
		t.Skip("no strace here, as in a guest: whether the log is written through is not looked at")
	}
	if line := regexp.MustCompile(`openat\(.*/log".*`).FindString(c.read("trace")); !strings.Contains(line, "O_SYNC") || !strings.Contains(line, "O_APPEND") {
		t.Errorf("opened by %s", line)
	}
}
