package libcontainer

// An undo is what takes back the steps of a creation that fails.
type undo struct{ steps []func() }

// add notes how to take back what was done, or may have been done, last.
func (u *undo) add(step func()) { u.steps = append(u.steps, step) }

// run takes everything back, latest first. A step that panics is not repeated by another run.
func (u *undo) run() {
	for len(u.steps) > 0 {
		last := u.steps[len(u.steps)-1]
		u.steps = u.steps[:len(u.steps)-1]
		last()
	}
}
