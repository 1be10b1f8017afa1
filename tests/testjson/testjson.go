// Package testjson reads what `go test -json` writes (go doc test2json).
package testjson

import (
	"bufio"
	"encoding/json"
	"io"
)

// How a test ends, and what it does before that.
const (
	Run  = "run"
	Pass = "pass"
	Skip = "skip"
	Fail = "fail"
)

// An Event is one line. Test is empty for what the package as a whole does.
type Event struct{ Action, Package, Test, Output string }

// Read calls each with every event until the input ends. Lines that are not JSON belong to the build and are left out.
func Read(from io.Reader, each func(Event)) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e Event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			each(e)
		}
	}
	return lines.Err()
}
