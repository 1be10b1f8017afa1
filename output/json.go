// Package output is what the commands print: tables, a screen that is kept up to date, and JSON. What others have written is harmless to
// a terminal in all of it.
package output

import (
	"encoding/json"
	"io"

	"rt/internal/text"
)

// A jsonWriter writes documents, each by one call, as text.PrintableJSON has them.
type jsonWriter struct{ io.Writer }

func (w jsonWriter) Write(document []byte) (int, error) {
	if _, err := w.Writer.Write(text.PrintableJSON(document)); err != nil {
		return 0, err
	}
	return len(document), nil
}

// NewEncoder returns an encoder of documents in which what would harm a terminal is escaped.
func NewEncoder(w io.Writer) *json.Encoder { return json.NewEncoder(jsonWriter{w}) }
