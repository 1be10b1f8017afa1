package output

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"rt/internal/text"
	"rt/libcontainer/bundle"
	"rt/libcontainer/doctor"
)

// Problems are those of a bundle; the JSON layout is in docs/cli.md.
type Problems struct {
	Problems []bundle.Problem `json:"problems"` // of the configuration, wherever it runs
	Host     []bundle.Problem `json:"host"`     // only on this host
}

// Fatal says whether one of them is an error.
func (r Problems) Fatal() bool {
	return slices.ContainsFunc(slices.Concat(r.Problems, r.Host), func(p bundle.Problem) bool { return !p.Warning })
}

// Print writes them as JSON or as text.
func (r Problems) Print(w io.Writer, dir string, asJSON bool) error {
	if asJSON {
		e := NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(Problems{append([]bundle.Problem{}, r.Problems...), append([]bundle.Problem{}, r.Host...)}) // [], not null
	}
	if len(r.Problems)+len(r.Host) == 0 {
		_, err := fmt.Fprintf(w, "%s: no problems\n", text.Printable(dir))
		return err
	}
	for _, p := range r.Problems {
		if err := printProblem(w, p, ""); err != nil {
			return err
		}
	}
	for _, p := range r.Host {
		if err := printProblem(w, p, " (on this host)"); err != nil {
			return err
		}
	}
	return nil
}

func printProblem(w io.Writer, p bundle.Problem, where string) error {
	kind := "error"
	if p.Warning {
		kind = "warning"
	}
	at := p.Pointer
	if at == "" {
		at = "config.json"
	}
	line := fmt.Sprintf("%s%s: %s: %s\n", kind, where, at, p.Text)
	if p.Hint != "" {
		line += "  hint: " + p.Hint + "\n"
	}
	_, err := io.WriteString(w, text.Printable(line))
	return err
}

// Findings writes what doctor has found, as JSON or as text, and says whether something of it is still there.
func Findings(w io.Writer, found []doctor.Finding, asJSON bool) (left bool, err error) {
	if asJSON {
		err = NewEncoder(w).Encode(append([]doctor.Finding{}, found...))
	} else {
		err = printFindings(w, found)
	}
	return slices.ContainsFunc(found, func(f doctor.Finding) bool { return !f.Fixed }), err
}

func printFindings(w io.Writer, found []doctor.Finding) error {
	for _, f := range found {
		text := fmt.Sprintf("%s %s: %s; ", f.Kind, oneCell(strings.Join(f.Paths, " ")), oneCell(f.Why))
		switch {
		case f.Fixed:
			text += "fixed: " + oneCell(f.Fix)
		case f.Error != "":
			text += "not fixed: " + oneCell(f.Error)
		default:
			text += "--fix would " + oneCell(f.Fix)
		}
		if _, err := fmt.Fprintln(w, text); err != nil {
			return err
		}
	}
	return nil
}
