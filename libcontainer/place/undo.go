package place

// An Undo is what takes back the steps of a setup that fails.
type Undo struct {
	Process func()                           // ends the process; what it is in is taken back afterwards
	Warn    func(format string, args ...any) // gets the warnings

	steps []func()
	left  bool // something could not be taken back
}

// Add notes how to take back what was done, or may have been done, last.
func (u *Undo) Add(step func()) { u.steps = append(u.steps, step) }

// Run takes everything back, latest first. A step that panics is not repeated by another Run.
func (u *Undo) Run() {
	if end := u.Process; end != nil {
		u.Process = nil
		end()
	}
	for len(u.steps) > 0 {
		last := u.steps[len(u.steps)-1]
		u.steps = u.steps[:len(u.steps)-1]
		last()
	}
}

// Result notes whether a step has failed to take back what it should.
func (u *Undo) Result(err error) {
	if err != nil {
		u.left = true
		u.Warn("%v; delete --force tries again", err)
	}
}
