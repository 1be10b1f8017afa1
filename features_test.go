package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go/features"
)

func TestFeatures(t *testing.T) {
	r := rt(&fake{}, "features")
	var got features.Features
	d := json.NewDecoder(strings.NewReader(r.stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil || r.code != 0 {
		t.Fatalf("code %d, %v", r.code, err)
	}
	if !strings.HasPrefix(r.stdout, "{\n    \"ociVersionMin\": \"1.0.0\",\n    \"ociVersionMax\": \"1.3.0\",\n    \"hooks\": [\n        \"prestart\",\n") {
		t.Errorf("layout: %.120s", r.stdout)
	}
	s := got.Linux.Seccomp
	for name, list := range map[string][]string{
		"mountOptions": got.MountOptions, "namespaces": got.Linux.Namespaces, "actions": s.Actions, "operators": s.Operators, "archs": s.Archs,
	} {
		if len(list) == 0 || !slices.IsSorted(list) {
			t.Errorf("%s is empty or not sorted: %q", name, list)
		}
	}
	if len(s.KnownFlags) == 0 || len(s.SupportedFlags) == 0 {
		t.Errorf("seccomp flags: %q, %q", s.KnownFlags, s.SupportedFlags)
	}
	// By number: what is at index 21 is capability 21 (linux/capability.h).
	if c := got.Linux.Capabilities; len(c) < 41 || c[0] != "CAP_CHOWN" || c[21] != "CAP_SYS_ADMIN" || c[40] != "CAP_CHECKPOINT_RESTORE" {
		t.Errorf("capabilities: %q", c)
	}
	if v := got.Annotations["rt.build"]; v != "stock" {
		t.Errorf("rt.build is %q in a program that toolchain/build has not built", v)
	}
	for k, v := range got.Annotations {
		if v != strings.TrimSpace(v) {
			t.Errorf("annotation %s: %q", k, v)
		}
	}
}

// The parts that are decided here, as engines read them.
func TestFeaturesGolden(t *testing.T) {
	f := supported(false)
	f.MountOptions, f.Linux.Capabilities, f.Annotations = nil, nil, nil
	f.Linux.Seccomp.Actions, f.Linux.Seccomp.Operators, f.Linux.Seccomp.Archs = nil, nil, nil
	f.Linux.Seccomp.KnownFlags, f.Linux.Seccomp.SupportedFlags = nil, nil
	got, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"ociVersionMin":"1.0.0","ociVersionMax":"1.3.0",` +
		`"hooks":["prestart","createRuntime","createContainer","startContainer","poststart","poststop"],` +
		`"linux":{"namespaces":["cgroup","ipc","mount","network","pid","time","user","uts"],` +
		`"cgroup":{"v1":true,"v2":true,"systemd":true,"systemdUser":true,"rdma":true},` +
		`"seccomp":{"enabled":true},"apparmor":{"enabled":true},"selinux":{"enabled":true},` +
		`"intelRdt":{"enabled":true,"schemata":true,"monitoring":true},` +
		`"memoryPolicy":{"modes":["MPOL_DEFAULT","MPOL_PREFERRED","MPOL_BIND","MPOL_INTERLEAVE","MPOL_LOCAL",` +
		`"MPOL_PREFERRED_MANY","MPOL_WEIGHTED_INTERLEAVE"],` +
		`"flags":["MPOL_F_NUMA_BALANCING","MPOL_F_RELATIVE_NODES","MPOL_F_STATIC_NODES"]},` +
		`"mountExtensions":{"idmap":{"enabled":true}},"netDevices":{"enabled":true}},` +
		`"potentiallyUnsafeConfigAnnotations":["bundle","org.systemd.property.","org.criu.config"]}`
	if string(got) != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}
