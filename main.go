//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// The two settings above keep the Go runtime from watching cgroup limits: rt runs for milliseconds and needs no tuned
// GOMAXPROCS. Go 1.26 still looks once at start, whatever they say, unless it is patched (toolchain/README.md).

// Command rt creates and runs containers from OCI bundles. Its files are its commands: flags become
// options, options go to one call into libcontainer, and the result becomes an exit code.
package main

import (
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"rt/internal/bug"
	"rt/internal/cmdline"
	"rt/internal/log"
	"rt/libcontainer"
	"rt/libcontainer/bundle"
	"rt/output"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"
)

// The linker sets them (-X main.version=... -X main.commit=... -X main.build=...); nothing else writes them.
var (
	version = "0.0.0-dev"
	commit  = "unknown"
	build   = "stock" // toolchain/build sets "patched" when it has patched Go's runtime
)

// A program is one call of rt: where its output goes and what it calls.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *log.Logger
	open           func(*libcontainer.Runtime) libcontainer.Verbs
	check          func(bundleDir string) (problems, host []bundle.Problem, err error)
	ps             func(args []string, row func(text string) error) error // the host's ps
	unknownHelp    string                                                 // NAME of `rt help NAME`, if that is no command
	keepCollecting func()                                                 // turns garbage collection on again
}

// collectedLimit is for verbs whose garbage is collected: what makes the collector work harder, not a limit on what they can have.
const collectedLimit = 32 << 20

func main() {
	runtime.Gosched() // runs the sweeper and the scavenger once: the patched runtime does not wait for them (toolchain/README.md)
	// The process is gone before a collection would pay for itself. A configuration that is absurdly
	// large still meets the collector, at the limit.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(256 << 20)
	p := &program{
		stdin:          os.Stdin,
		stdout:         os.Stdout,
		stderr:         os.Stderr,
		log:            log.New(os.Stderr, time.Now),
		open:           func(r *libcontainer.Runtime) libcontainer.Verbs { return r },
		check:          libcontainer.Check,
		ps:             output.HostPs,
		keepCollecting: func() { debug.SetGCPercent(100); debug.SetMemoryLimit(collectedLimit) },
	}
	builtin := cmdline.Named([]cli.Flag{cli.HelpFlag, cli.VersionFlag})
	cli.HelpFlag, cli.VersionFlag = builtin[0], builtin[1]
	os.Exit(p.run(os.Args))
}

// run carries out one command line and returns the exit code.
func (p *program) run(args []string) int {
	return p.report(p.call(args))
}

// call is the command. A panic is an error of it.
func (p *program) call(args []string) (err error) {
	defer bug.Catch(&err)
	app := p.app(args)
	err = app.Run(cmdline.FlagsFirst(app, args))
	if p.unknownHelp != "" {
		err = newUnknownCommand(p.unknownHelp)
	}
	return err
}

// app is the command line.
func (p *program) app(args []string) *cli.App {
	return &cli.App{
		Name:    "rt",
		Usage:   "run containers from OCI bundles",
		Version: version + "\ncommit: " + commit + "\nspec: " + specs.Version + "\ngo: " + runtime.Version() + "\nbuild: " + build,
		// Any set time will do: left empty, the library calls stat on the binary at every start.
		Compiled:  time.Unix(1, 0),
		Writer:    p.stdout,
		ErrWriter: p.stderr,
		Flags:     cmdline.Named(globalFlags()),
		Before:    p.setUp,
		Action:    unknownCommand,
		// Of `rt help NAME`.
		CommandNotFound: func(_ *cli.Context, name string) { p.unknownHelp = name },
		// The library's own handler exits for every error that has an ExitCode method, which a wrapped
		// *exec.ExitError has: the error would never reach the log.
		ExitErrHandler: func(*cli.Context, error) {},
		Commands:       p.commands(args),
	}
}

// commands are those whose name occurs in the command line: to make a command costs 10 to 20 µs. Where the library may
// want to list them, for help or because none is named, it has them all.
func (p *program) commands(args []string) []*cli.Command {
	all := p.allCommands()
	var some, every []*cli.Command
	for _, c := range all {
		if slices.Contains(args, c.name) {
			some = append(some, c.command())
		}
	}
	if len(some) > 0 && !slices.ContainsFunc(args, asksForHelp) {
		return some
	}
	for _, c := range all {
		every = append(every, c.command())
	}
	return every
}

// A namedCommand is a command that is made when it is needed.
type namedCommand struct {
	name    string
	command func() *cli.Command
}

func (p *program) allCommands() []namedCommand {
	return []namedCommand{
		{"create", p.createCommand}, {"run", p.runCommand}, {"start", p.startCommand}, {"exec", p.execCommand},
		{"kill", p.killCommand}, {"delete", p.deleteCommand}, {"state", p.stateCommand}, {"list", p.listCommand},
		{"ps", p.psCommand}, {"pause", p.pauseCommand}, {"resume", p.resumeCommand}, {"spec", p.specCommand},
		{"features", p.featuresCommand}, {"check", p.checkCommand}, {"plan", p.planCommand}, {"update", p.updateCommand},
		{"events", p.eventsCommand}, {"stats", p.statsCommand}, {"top", p.topCommand}, {"doctor", p.doctorCommand}, {"mounts", p.mountsCommand},
		{"checkpoint", p.checkpointCommand}, {"restore", p.restoreCommand},
	}
}

func asksForHelp(arg string) bool {
	switch strings.TrimLeft(arg, "-") {
	case "h", "help", "generate-bash-completion":
		return true
	}
	return false
}
