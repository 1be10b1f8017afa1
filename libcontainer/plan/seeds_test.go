package plan

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rt/nsenter"
)

var seedDir = flag.String("seeds", "", "the directory to which TestSeeds writes the plans of testdata, for nsenter/fuzz")

// TestSeeds: the seeds of the stub's fuzz targets (nsenter/fuzz) are the plans of testdata, and the stub takes each of them. For each
// plan there is a list of what its descriptors are.
func TestSeeds(t *testing.T) {
	dir := *seedDir
	if dir == "" {
		dir = t.TempDir()
	}
	for _, d := range []string{"plans", "inputs"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var files []string
	for _, s := range samples(t) {
		p := s.compile(t)
		data, err := nsenter.Encode(p.Steps(), len(p.Inputs))
		if err != nil {
			t.Fatal(err)
		}
		var inputs strings.Builder
		for _, in := range p.Inputs {
			fmt.Fprintf(&inputs, "%s %d %s\n", in.Kind, in.Type, in.Path)
		}
		for _, f := range []struct{ dir, text string }{{"plans", string(data)}, {"inputs", inputs.String()}} {
			if err := os.WriteFile(filepath.Join(dir, f.dir, filepath.Base(s.dir)), []byte(f.text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		files = append(files, filepath.Join(dir, "plans", filepath.Base(s.dir)))
	}
	check := filepath.Join(t.TempDir(), "check")
	if out, err := exec.Command("musl-gcc", "-idirafter", "/usr/include", "-Wall", "-Wextra", "-Werror", "-I", "../../nsenter", "-o", check, "../../nsenter/testdata/check_plan.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(check, files...).CombinedOutput(); err != nil {
		t.Errorf("plan_check refuses plans: %v\n%s", err, out)
	}
	for _, refused := range []string{filepath.Join(dir, "inputs", filepath.Base(files[0])), "../../nsenter/wire.c"} {
		if exec.Command(check, refused).Run() == nil {
			t.Errorf("plan_check takes %s", refused)
		}
	}
}
