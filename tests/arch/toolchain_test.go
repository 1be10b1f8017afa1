package arch

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// patchLines is how many lines the patch to Go's runtime may change, old and new ones counted.
const patchLines = 60

// TestToolchainPatch: the patch is small, changes files of package runtime only, those whose hashes are written down, and its
// header explains each hunk.
func TestToolchainPatch(t *testing.T) {
	pinned := fileText(t, root+"/toolchain/version")
	minor := regexp.MustCompile(`^(go1\.\d+)\.\d+\n$`).FindStringSubmatch(pinned)
	if minor == nil {
		t.Fatalf("toolchain/version is %q, want one version of Go with its patch number", pinned)
	}
	patches, err := filepath.Glob(root + "/toolchain/*.patch")
	if err != nil || !slices.Contains(patches, root+"/toolchain/"+minor[1]+".patch") {
		t.Fatalf("patches are %q, %v, want one for %s", patches, err, minor[1])
	}
	for _, patch := range patches {
		problems := patchProblems(fileText(t, patch), fileText(t, strings.TrimSuffix(patch, ".patch")+".sums"))
		for _, p := range problems {
			t.Errorf("%s: %s", patch, p)
		}
	}
	const sums = "0 src/runtime/a.go\n"
	for _, bad := range []string{
		"1. x\n2. y\n--- a/src/runtime/a.go\n+++ b/src/runtime/a.go\n@@ -1 +1 @@ 1\n-x\n+y\n",
		"1. x\n--- a/src/runtime/a.go\n+++ b/src/runtime/a.go\n@@ -1 +1 @@ 1\n-x\n+y\n@@ -9 +9 @@ 2\n-x\n+y\n",
		"1. x\n--- a/src/runtime/a.go\n+++ b/src/runtime/a.go\n@@ -1 +1 @@\n-x\n+y\n",
		"1. x\n--- a/src/os/a.go\n+++ b/src/os/a.go\n@@ -1 +1 @@ 1\n-x\n+y\n",
		"1. x\n--- a/src/runtime/a.go\n+++ b/src/runtime/a.go\n@@ -1 +1 @@ 1\n" + strings.Repeat("+x\n", patchLines+1),
	} {
		if len(patchProblems(bad, sums)) == 0 {
			t.Errorf("no problem in %q", bad)
		}
	}
}

// patchProblems are what a patch has that it must not have. The header's paragraphs are numbered, and what stands behind the
// second @@ of a hunk is the number of the paragraph that explains it.
func patchProblems(patch, sums string) (problems []string) {
	var known, files, explained, used []string
	for line := range strings.Lines(sums) {
		known = append(known, strings.Fields(line)[1])
	}
	changed, begun := 0, false
	paragraph, hunk := regexp.MustCompile(`^(\d+)\. `), regexp.MustCompile(`^@@ .* @@ ?(\d*)`)
	for line := range strings.Lines(patch) {
		switch {
		case strings.HasPrefix(line, "--- a/"):
			begun = true
			files = append(files, strings.TrimSpace(strings.TrimPrefix(line, "--- a/")))
		case !begun:
			if m := paragraph.FindStringSubmatch(line); m != nil {
				explained = append(explained, m[1])
			}
		case strings.HasPrefix(line, "+++ b/"):
		case line[0] == '@':
			used = append(used, hunk.FindStringSubmatch(line)[1])
		case line[0] == '+', line[0] == '-':
			changed++
		}
	}
	if changed > patchLines {
		problems = append(problems, fmt.Sprintf("changes %d lines, at most %d", changed, patchLines))
	}
	slices.Sort(known)
	slices.Sort(files)
	if !slices.Equal(known, files) {
		problems = append(problems, fmt.Sprintf("changes %q, and the hashes are of %q", files, known))
	}
	for _, file := range files {
		if filepath.Dir(file) != "src/runtime" {
			problems = append(problems, file+" is not of package runtime")
		}
	}
	for _, n := range used {
		if !slices.Contains(explained, n) {
			problems = append(problems, fmt.Sprintf("a hunk names paragraph %q, the header has %q", n, explained))
		}
	}
	for _, n := range explained {
		if !slices.Contains(used, n) {
			problems = append(problems, "no hunk names paragraph "+n)
		}
	}
	return problems
}

// TestToolchainBuild runs the build's scripts with the installed Go, a patch of its own and a program that says what it is. Where the
// patch is not for that Go, or the Go cannot be had, the build says so in one line, and is stock.
func TestToolchainBuild(t *testing.T) {
	version, err := exec.Command("go", "env", "GOVERSION", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(version))
	if ok, _ := regexp.MatchString(`^go1\.\d+\.\d+$`, fields[0]); !ok || len(fields) != 2 {
		t.Skipf("the installed Go is %q, not a release", version)
	}
	pinned, goroot := fields[0], fields[1]
	const file = "src/container/ring/ring.go"
	original := fileText(t, filepath.Join(goroot, file))
	const old = "\tr.next = r\n"
	if strings.Count(original, old) != 1 {
		t.Skip("the installed Go has another container/ring")
	}
	before, _, _ := strings.Cut(original, old)
	lines := strings.Split(before, "\n")
	at := strings.Count(before, "\n") + 1
	last := lines[len(lines)-2]
	patch := fmt.Sprintf("--- a/%s\n+++ b/%s\n@@ -%d,2 +%d,3 @@ 1\n %s\n+\tprintln(\"patched\")\n %s", file, file, at-1, at-1, last, old)
	sum := fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(original)), file)
	minor := pinned[:strings.LastIndexByte(pinned, '.')]
	const unknown = ".4095"

	for _, r := range []struct {
		name, kind, version, patch, sums, says, build string
	}{
		{"patched", "patched", pinned, patch, sum, "", "patched"},
		{"stock", "stock", pinned, patch, sum, "", "stock"},
		{"another file", "patched", pinned, patch, strings.Repeat("0", 64) + "  " + file + "\n", "are not those of", "stock"},
		{"no such file", "patched", pinned, patch, sum + strings.Repeat("0", 64) + "  src/container/ring/x.go\n", "are not those of", "stock"},
		{"another context", "patched", pinned, strings.Replace(patch, last, last+" ", 1), sum, "does not apply", "stock"},
		{"no such Go", "patched", minor + unknown, patch, sum, "cannot be fetched", "stock"},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range map[string]string{
				"go.mod":                        "module m\n\ngo 1.24\n",
				"main.go":                       "package main\n\nimport \"container/ring\"\n\nvar build = \"stock\"\n\nfunc main() { println(build); new(ring.Ring).Next() }\n",
				"toolchain/version":             r.version + "\n",
				"toolchain/build":               fileText(t, root+"/toolchain/build"),
				"toolchain/overlay":             fileText(t, root+"/toolchain/overlay"),
				"toolchain/" + minor + ".patch": r.patch,
				"toolchain/" + minor + ".sums":  r.sums,
			} {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(dir+"/toolchain/build", r.kind, "-s", "-o", "program", ".")
			cmd.Env = append(os.Environ(), "GOPROXY=off", "CGO_ENABLED=0", "GOFLAGS=")
			said, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			if r.says == "" && len(said) > 0 || strings.Count(string(said), "\n") > 1 || !strings.Contains(string(said), r.says) {
				t.Errorf("the build says %q, want one line with %q", said, r.says)
			}
			out, err := exec.Command(dir + "/program").CombinedOutput()
			want := r.build + "\n"
			if r.build == "patched" {
				want += "patched\n"
			}
			if err != nil || string(out) != want {
				t.Errorf("the program says %q, %v, want %q", out, err, want)
			}
			if got := fileText(t, filepath.Join(goroot, file)); got != original {
				t.Errorf("%s of the installed Go has changed", file)
			}
		})
	}
}

func fileText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
