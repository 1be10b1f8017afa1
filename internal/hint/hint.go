// Package hint attaches to an error what the person who reads it can do about it. The error's own text stays
// free of it: engines parse the one, people read the other.
package hint

type hinted struct {
	error
	text string
}

// With returns err with a hint, which is printed on a line of its own below the error.
func With(err error, text string) error {
	if err == nil || text == "" {
		return err
	}
	return hinted{err, text}
}

func (h hinted) Unwrap() error { return h.error }

// Hint is what package log prints on that line.
func (h hinted) Hint() string { return h.text }
