package bundle

import (
	"encoding/json"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// inherit gives a process what confines and limits the container's own, where its document, raw, says nothing of it. Who it is,
// what it does and what it may do stays as it is there: without capabilities it has none.
func inherit(p, own *specs.Process, raw []byte) {
	if p.SelinuxLabel == "" {
		p.SelinuxLabel = own.SelinuxLabel
	}
	if p.ApparmorProfile == "" {
		p.ApparmorProfile = own.ApparmorProfile
	}
	if own.NoNewPrivileges && !p.NoNewPrivileges && !has(raw, "noNewPrivileges") {
		p.NoNewPrivileges = true
	}
	if len(p.Rlimits) == 0 {
		p.Rlimits = own.Rlimits
	}
	if p.OOMScoreAdj == nil {
		p.OOMScoreAdj = own.OOMScoreAdj
	}
	if p.User.Umask == nil {
		p.User.Umask = own.User.Umask
	}
	if p.Scheduler == nil {
		p.Scheduler = own.Scheduler
	}
	if p.IOPriority == nil {
		p.IOPriority = own.IOPriority
	}
	if a := p.ExecCPUAffinity; a == nil || a.Initial == "" && a.Final == "" {
		p.ExecCPUAffinity = own.ExecCPUAffinity
	}
}

// has says whether an object that could be decoded has a property.
func has(raw []byte, name string) bool {
	var all map[string]json.RawMessage
	_ = json.Unmarshal(raw, &all)
	_, there := all[name]
	return there
}
