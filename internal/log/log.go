// Package log writes the messages of rt, in the layouts of logrus, which engines read.
package log

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"rt/internal/sys"
	"rt/internal/text"
)

type level int

const (
	levelError level = iota
	levelWarning
	levelInfo
	levelDebug
)

func (l level) String() string { return [...]string{"error", "warning", "info", "debug"}[l] }

func parseLevel(s string) (level, error) {
	for l := levelError; l <= levelDebug; l++ {
		if l.String() == s {
			return l, nil
		}
	}
	return 0, fmt.Errorf("invalid log-level: %s", s)
}

// A Logger writes the messages of rt. With a file, everything goes there and only errors to standard error
// as well, because engines read one or the other and a container may share the second.
type Logger struct {
	stderr io.Writer
	path   string // absolute; "" is none
	json   bool
	max    level // what is above is dropped
	file   *os.File
	holds  bool // messages wait for Release
	held   []held
	now    func() time.Time
}

// New returns a log at standard error, for levels up to info.
func New(stderr io.Writer, now func() time.Time) *Logger {
	return &Logger{stderr: stderr, max: levelInfo, now: now}
}

// A held message is one that is written later.
type held struct {
	at   level
	text string
}

// Hold keeps messages until Release: the file, or the pipe at standard error, may be one that hangs, and what is done under a lock
// does not wait for it.
func (l *Logger) Hold() { l.holds = true }

// Release writes what was held.
func (l *Logger) Release() {
	l.holds = false
	for _, m := range l.held {
		l.emit(m.at, m.text)
	}
	l.held = nil
}

// Configure takes the values of --log, --log-format, --log-level and --debug. It opens nothing.
func (l *Logger) Configure(path, format, max string, debug bool) (err error) {
	if format != "text" && format != "json" {
		return fmt.Errorf("invalid log-format: %s", format)
	}
	if l.max, err = parseLevel(max); err != nil {
		return err
	}
	if debug {
		l.max = levelDebug
	}
	if path != "" {
		if path, err = filepath.Abs(path); err != nil {
			return fmt.Errorf("resolve --log: %w", err)
		}
	}
	l.path, l.json = path, format == "json"
	return nil
}

// Open makes the file, or finds it. A file that cannot be used is an error before anything is done, as with runc: what rt says later
// would be lost.
func (l *Logger) Open() (err error) {
	if l.path == "" || l.file != nil {
		return nil
	}
	if l.file, err = sys.AppendFile(l.path, 0o644); err != nil {
		return l.unusable(err)
	}
	return nil
}

// unusable leaves standard error for what is to be said.
func (l *Logger) unusable(err error) error {
	l.path = ""
	return fmt.Errorf("option --log: %w", err)
}

// Warnf writes a warning.
func (l *Logger) Warnf(format string, args ...any) { l.message(levelWarning, format, args) }

// Debugf writes a message for who looks into rt.
func (l *Logger) Debugf(format string, args ...any) { l.message(levelDebug, format, args) }

func (l *Logger) message(at level, format string, args []any) {
	if at > l.max {
		return
	}
	message := fmt.Sprintf(format, args...)
	if l.holds {
		l.held = append(l.held, held{at, message})
		return
	}
	l.emit(at, message)
}

func (l *Logger) emit(at level, message string) {
	switch {
	case l.path != "":
		l.append(at, message)
	case l.json:
		_, _ = l.stderr.Write(l.record(at, message))
	default:
		fmt.Fprintf(l.stderr, "rt: %s: %s\n", at, text.Printable(message))
	}
}

// Failure reports the error that ends rt. A hint is for people, so it is not in the file.
func (l *Logger) Failure(err error) {
	message := err.Error()
	var hinted interface{ Hint() string }
	hint := ""
	if errors.As(err, &hinted) {
		hint = hinted.Hint()
	}
	if l.path != "" {
		l.append(levelError, message)
	} else if l.json {
		_, _ = l.stderr.Write(l.record(levelError, message))
		return
	}
	fmt.Fprintf(l.stderr, "rt: %s\n", text.Printable(message))
	if hint != "" {
		fmt.Fprintf(l.stderr, "hint: %s\n", text.Printable(hint))
	}
}

// append writes one record with one write call, so that records of processes that share the file stay whole.
func (l *Logger) append(at level, message string) {
	var err error
	if l.file == nil {
		l.file, err = sys.AppendFile(l.path, 0o644)
	}
	if err == nil {
		_, err = l.file.Write(l.record(at, message))
	}
	if err != nil {
		fmt.Fprintf(l.stderr, "rt: warning: log: %s\n", text.Printable(err.Error()))
	}
}

// record formats one line with the keys and levels of logrus, which engines parse.
func (l *Logger) record(at level, message string) []byte {
	now := l.now().UTC().Format(time.RFC3339)
	if !l.json {
		return fmt.Appendf(nil, "time=%q level=%s msg=%s\n", now, at, strconv.Quote(message))
	}
	line, _ := json.Marshal(struct { // three strings: cannot fail
		Level string `json:"level"`
		Msg   string `json:"msg"`
		Time  string `json:"time"`
	}{at.String(), message, now})
	return append(text.PrintableJSON(line), '\n')
}
