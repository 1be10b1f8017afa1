package bundle

import (
	"fmt"
	"strconv"
	"strings"

	"rt/internal/text"
)

// Errors is the error-level problems of one configuration, as one error.
type Errors []Problem

// Error lists every problem as `POINTER: text`, separated by semicolons.
func (e Errors) Error() string {
	var b strings.Builder
	for i, p := range e {
		if i > 0 {
			b.WriteString("; ")
		}
		if p.Pointer != "" {
			b.WriteString(printable(p.Pointer))
			b.WriteString(": ")
		}
		b.WriteString(p.Text)
	}
	return b.String()
}

// Hint lists each problem's hint once.
func (e Errors) Hint() string {
	var b strings.Builder
	for i, p := range e {
		if p.Hint != "" && !hinted(e[:i], p.Hint) {
			if b.Len() > 0 {
				b.WriteString("; ")
			}
			b.WriteString(p.Hint)
		}
	}
	return b.String()
}

func hinted(before []Problem, hint string) bool {
	for _, p := range before {
		if p.Hint == hint {
			return true
		}
	}
	return false
}

// Join makes one error, of type Errors, of the problems that are not warnings; nil if there are none.
func Join(problems []Problem) error {
	var e Errors
	for _, p := range problems {
		if !p.Warning {
			e = append(e, p)
		}
	}
	if e == nil {
		return nil
	}
	return e
}

// maxProblems is how many errors, and how many warnings, are listed: a hostile document can hold a
// million. They are counted apart, so that no number of warnings can hide an error.
const maxProblems = 100

// A checker collects problems. Pointers and texts are built only when something is wrong.
type checker struct {
	problems         []Problem
	errors, warnings int
}

// fail records an error: the container must not be made.
func (c *checker) fail(pointer, format string, args ...any) { c.failHint("", pointer, format, args...) }

// failHint is fail with the next step to take.
func (c *checker) failHint(hint, pointer, format string, args ...any) {
	if c.errors++; c.errors <= maxProblems {
		c.problems = append(c.problems, Problem{Pointer: pointer, Text: message(format, args), Hint: hint})
	}
}

// warn records something that the container runs in spite of.
func (c *checker) warn(pointer, format string, args ...any) {
	if c.warnings++; c.warnings <= maxProblems {
		c.problems = append(c.problems, Problem{Pointer: pointer, Text: message(format, args), Warning: true})
	}
}

// done returns what was found, in the order it was found.
func (c *checker) done() []Problem {
	if n := c.errors - maxProblems; n > 0 {
		c.problems = append(c.problems, Problem{Text: fmt.Sprintf("%d more errors are not shown", n)})
	}
	if n := c.warnings - maxProblems; n > 0 {
		c.problems = append(c.problems, Problem{Text: fmt.Sprintf("%d more warnings are not shown", n), Warning: true})
	}
	return c.problems
}

func message(format string, args []any) string {
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

// quote is for values from a configuration in a message: control characters escaped, length bounded.
func quote[T ~string](s T) string { return strconv.Quote(short(string(s))) }

// printable is s, escaped if it has a character that is not printed: messages go to terminals.
func printable(s string) string {
	return text.Quoted(s, func(r rune) bool { return !strconv.IsPrint(r) })
}

// short bounds a value in a message.
func short(s string) string { return text.Head(s, 128) }
