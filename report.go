package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rt/internal/bug"
	"rt/internal/cmdline"
	"rt/internal/hint"

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

// report logs err, if there is something to log, and returns the exit code for it.
func (p *program) report(err error) int {
	if err == nil {
		return 0
	}
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	p.log.Failure(err)
	if b := (*bug.Error)(nil); errors.As(err, &b) {
		for line := range strings.Lines(b.Trace) {
			p.log.Debugf("%s", strings.TrimRight(line, "\n"))
		}
	}
	switch {
	case errors.As(err, new(execError)):
		return 255
	case errors.As(err, new(unknownCommandError)):
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
type unknownCommandError struct{ error }

func (e unknownCommandError) Unwrap() error { return e.error }

// unknownCommand runs when the first argument is no command. With no argument at all it shows the help.
func unknownCommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowAppHelp(c)
	}
	return newUnknownCommand(c.Args().First())
}

func newUnknownCommand(name string) error {
	var names []string
	for _, c := range new(program).allCommands() {
		names = append(names, c.name)
	}
	text := "rt --help lists the commands"
	if near := cmdline.Near(name, names); len(near) > 0 {
		text = "did you mean " + strings.Join(near, " or ") + "? " + text
	}
	return unknownCommandError{hint.With(fmt.Errorf("unknown command %.64q", name), text)}
}
