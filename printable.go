package main

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

func newEncoder(w io.Writer) *json.Encoder { return json.NewEncoder(jsonWriter{w}) }
