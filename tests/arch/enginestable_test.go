package arch

import (
	"os"
	"os/exec"
	"testing"
)

// TestEnginesTable: results of some suites and runtimes replace theirs in docs/engines.md, and the others stay.
func TestEnginesTable(t *testing.T) {
	dir := t.TempDir()
	page := dir + "/page.md"
	files := map[string]string{
		page: "text\n\n## Last results\n\n-: not run. Versions: Docker 1, crun version 1, rt version 1.\n\n" +
			"| docker | rt | runc | crun |\n|---|---|---|---|\n| exit codes | ok | **fails** | ok |\n| old one | ok | ok | ok |\n\n" +
			"| podman | rt | runc | crun |\n|---|---|---|---|\n| run it | ok | - | **fails** |\n",
		dir + "/results/docker.rt": "Docker 1\nrt version 2\nexit_codes\tfails\t3\nnew_one\tok\t1\n",
	}
	if err := os.Mkdir(dir+"/results", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("../engines/table")
	cmd.Env = append(os.Environ(), "RESULTS="+dir+"/results", "PAGE="+page)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := "text\n\n## Last results\n\n-: not run. Versions: Docker 1, crun version 1, rt version 2.\n\n" +
		"| docker | rt | runc | crun |\n|---|---|---|---|\n| exit codes | **fails** | **fails** | ok |\n| new one | ok | - | - |\n\n" +
		"| podman | rt | runc | crun |\n|---|---|---|---|\n| run it | ok | - | **fails** |\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
