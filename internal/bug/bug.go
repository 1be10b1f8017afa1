// Package bug makes an error of a panic: one line, with the trace for --debug. The caller that gets the error undoes what was done
// before the panic.
package bug

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// An Error is a panic that was caught.
type Error struct {
	Text  string
	Trace string // of the goroutine that panicked
}

func (e *Error) Error() string { return "a bug in rt: " + e.Text }

// Hint is what package main looks for.
func (e *Error) Hint() string {
	return "report it with the configuration; rt --debug shows where it happened"
}

// Catch is deferred: it ends a panic, and makes err an error that says so. A goroutine without it ends the whole process with a
// trace, and nothing is undone.
func Catch(err *error) {
	if v := recover(); v != nil {
		*err = caught(v)
	}
}

// Then is Catch with something to do about it.
func Then(do func(error)) {
	if v := recover(); v != nil {
		do(caught(v))
	}
}

func caught(v any) error {
	return &Error{Text: strings.Join(strings.Fields(fmt.Sprint(v)), " "), Trace: string(debug.Stack())}
}
