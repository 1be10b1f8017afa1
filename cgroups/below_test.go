package cgroups

import "testing"

func TestBelow(t *testing.T) {
	h := &Host{Mode: Hybrid, V1: map[string]string{"cpu": "/c/cpu,cpuacct", "cpuacct": "/c/cpu,cpuacct", "pids": "/c/pids"}, Unified: "/c/unified"}
	c, err := New(h, "/pod/ct", "id")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"3:cpu,cpuacct:/pod/ct\n2:pids:/pod/ct\n0::/pod/ct":           "/",
		"3:cpu,cpuacct:/pod/ct/a/b\n2:pids:/pod/ct\n0::/pod/ct":       "/a/b",
		"3:cpu,cpuacct:/pod/ct\n2:pids:/pod/ct\n0::/pod/ct/x:y":       "/x:y",
		"2:pids:/pod/ct2\n0::/":                                       "",
		"9:name=other:/pod/ct/a\n2:pids:/pod/ct":                      "/",
		"":                                                            "",
		"2:pids:/pod/ct/../ct2\n0::/pod/ct/sub (deleted)\n1:x:broken": "/sub (deleted)",
	} {
		if got := c.below(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
