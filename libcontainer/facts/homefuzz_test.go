package facts

import (
	"strings"
	"testing"
)

// FuzzHome: the container's passwd file is the container's. A home that is found in it can be put into an environment.
func FuzzHome(f *testing.F) {
	f.Add([]byte("root:x:0:0:root:/root:/bin/sh\n"), uint32(0))
	f.Add([]byte("a::00:0:::\nb:x:4294967296:0::/b:\n:x:0:0::/\x00x:\nc:x:-0:0::/c:"), uint32(0))
	f.Add([]byte(strings.Repeat("x", 70000)+"\nd:x:7:0::/d:"), uint32(7))
	f.Fuzz(func(t *testing.T, text []byte, uid uint32) {
		if home := homeIn(text, uid); home == "" || strings.ContainsAny(home, "\x00\n:") {
			t.Errorf("home %q", home)
		}
	})
}
