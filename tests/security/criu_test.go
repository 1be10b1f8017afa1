package security

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// CRIU itself, for attacks by checkpoint and restore.

// realCriu is the CRIU to attack with, RT_CRIU or what scripts/criu gets, and why there is none that works.
var realCriu = sync.OnceValues(func() (program, why string) {
	if program = os.Getenv("RT_CRIU"); program == "" {
		out, err := exec.Command("../../scripts/criu").Output()
		if err != nil {
			var failed *exec.ExitError
			if errors.As(err, &failed) {
				err = fmt.Errorf("%w: %s", err, failed.Stderr)
			}
			return "", "scripts/criu: " + err.Error()
		}
		program = strings.TrimSpace(string(out))
	}
	if out, err := exec.Command(program, "check").CombinedOutput(); err != nil {
		return "", program + " check: " + strings.TrimSpace(string(out))
	}
	return program, ""
})

// criuDir is a directory for $PATH in which criu is CRIU, after script, a shell script, has been run.
func (v *victim) criuDir(script string) string {
	v.t.Helper()
	program, why := realCriu()
	if why != "" {
		v.t.Skip(why)
	}
	dir, err := os.MkdirTemp(v.dir, "criu-")
	must(v.t, err)
	v.file(filepath.Base(dir)+"/criu", "#!/bin/sh\n"+script+"\nexec "+program+" \"$@\"\n", 0o755)
	return dir
}

// checkpoint saves the container; script is run when rt has looked at it and starts CRIU.
func (v *victim) checkpoint(script string, flags ...string) result {
	v.t.Helper()
	return v.withCriu(script, append(append([]string{"checkpoint", "--image-path", v.dir + "/images"}, flags...), v.id)...)
}

// restore brings it back; script is run when rt starts CRIU.
func (v *victim) restore(script string) result {
	v.t.Helper()
	return v.withCriu(script, "restore", "-d", "--bundle", v.dir+"/bundle", "--image-path", v.dir+"/images", v.id)
}

func (v *victim) withCriu(script string, args ...string) result {
	v.t.Helper()
	return v.do(call{args: args, env: []string{"PATH=" + v.criuDir(script) + ":/usr/sbin:/usr/bin:/sbin:/bin"}})
}

// needsRealCriu skips where there is none.
func needsRealCriu(t *testing.T) {
	t.Helper()
	if _, why := realCriu(); why != "" {
		t.Skip(why)
	}
}
