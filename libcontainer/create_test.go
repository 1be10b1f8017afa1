package libcontainer

import (
	"testing"
)

func TestCheckKernel(t *testing.T) {
	for release, ok := range map[string]bool{"5.14.0": true, "5.13.19-generic": false, "4.18.0-553.el8": false, "3.10": false, "5.15": true, "6.1.0-25-amd64": true, "10.0": true, "": true, "x": true} {
		if err := CheckKernel(release); (err == nil) != ok {
			t.Errorf("%q: %v", release, err)
		}
	}
}
