package bundle

import (
	"rt/internal/plain"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

//go:generate go run ./internal/gen

// plainSpec decodes a config.json that is plainly valid and has no section of another platform.
func plainSpec(raw []byte) (s *specs.Spec, ok bool) {
	p, s := plain.New(raw), new(specs.Spec)
	decodeSpec(p, s)
	return s, p.End()
}

// plainProcess does the same for a process.json.
func plainProcess(raw []byte) (v *specs.Process, ok bool) {
	p, v := plain.New(raw), new(specs.Process)
	decodeProcess(p, v)
	return v, p.End()
}
