package arch

import (
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hardening are the compiler's flags that all C of rt is built with; docs/hardening.md says why these.
var hardening = []string{"-fstack-protector-strong", "-fstack-clash-protection"}

// stubCommand is the command that `make` builds the stub image with.
func stubCommand(t *testing.T) []string {
	t.Helper()
	const image = "nsenter/image/stub"
	cmd := exec.Command("make", "--dry-run", "--always-make", "--no-print-directory", image)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "MAKEFLAGS=", "MFLAGS=", "MAKELEVEL=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); slices.Contains(f, "-o") && slices.Contains(f, image) {
			return f
		}
	}
	t.Fatalf("make %s: no command has -o %s\n%s", image, image, out)
	return nil
}

// TestHardeningFlags: the stub image, the same C in rt, and runtime/cgo.
func TestHardeningFlags(t *testing.T) {
	list := func(env []string, format, pkg string) []string {
		cmd := exec.Command("go", "list", "-f", format, pkg)
		cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(strings.Trim(strings.TrimSpace(string(out)), "[]"))
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var cgo []string
	for line := range strings.Lines(string(makefile)) {
		if rest, ok := strings.CutPrefix(line, "export CGO_CFLAGS := "); ok {
			cgo = strings.Fields(rest)
		}
	}
	if i := slices.Index(cgo, "$(HARDENING)"); i >= 0 {
		cgo = append(cgo, hardening...)
	}
	for name, flags := range map[string][]string{
		"the stub image": stubCommand(t), "nsenter/nsenter.go": list([]string{"CGO_CFLAGS=-O2"}, "{{.CgoCFLAGS}}", "./nsenter"), "CGO_CFLAGS of the Makefile": cgo,
	} {
		for _, flag := range hardening {
			if !slices.Contains(flags, flag) {
				t.Errorf("%s: built without %s: %v", name, flag, flags)
			}
		}
	}
}

// TestSmashedStack: with the flags of the stub image, a function that has written past its buffer does not return; and the
// functions of the image have that check.
func TestSmashedStack(t *testing.T) {
	command := stubCommand(t)
	dir := t.TempDir()
	build := func(out string, replace func(string) string, sources ...string) string {
		t.Helper()
		var argv []string
		for i := 0; i < len(command); i++ {
			switch word := command[i]; {
			case word == "-o":
				i++
			case word == "-s" || sources != nil && strings.HasSuffix(word, ".c"):
			default:
				if word = replace(word); word != "" {
					argv = append(argv, word)
				}
			}
		}
		out = filepath.Join(dir, out)
		cmd := exec.Command(argv[0], slices.Concat(argv[1:], sources, []string{"-o", out})...)
		cmd.Dir = root
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, text)
		}
		return out
	}
	same := func(word string) string { return word }
	unprotected := func(word string) string {
		if strings.HasPrefix(word, "-fstack-protector") {
			return "-fno-stack-protector"
		}
		return word
	}
	// The program has a __stack_chk_fail of its own, which ends it with 42. With OWN=0 libc's ends it, by a signal.
	const smash = "tests/arch/testdata/smash.c"
	for _, c := range []struct {
		name    string
		program string
		arg     string
		code    int // -1: a signal
	}{
		{"nothing smashed", build("own", same, "-DOWN", smash), "8", 0},
		{"smashed", filepath.Join(dir, "own"), "24", 42},
		{"smashed, libc's answer", build("libc", same, smash), "24", -1},
	} {
		if code := exitCode(t, c.program, c.arg); code != c.code {
			t.Errorf("%s: exit code %d, want %d", c.name, code, c.code)
		}
	}
	if code := exitCode(t, build("weak", unprotected, "-DOWN", smash), "24"); code == 42 {
		t.Error("smashed without the flag: found as well: what does this test see?")
	}
	for _, source := range []string{"nsenter/stub.c", "nsenter/mounts.c", "nsenter/devices.c", "nsenter/process.c"} {
		if !hasSymbol(t, build("object", same, "-c", source), "__stack_chk_fail") {
			t.Errorf("%s: no function checks its stack", source)
		}
		if hasSymbol(t, build("object", unprotected, "-c", source), "__stack_chk_fail") {
			t.Errorf("%s: without the flag the check is there as well: what does this test see?", source)
		}
	}
}

// exitCode is -1 for a program that a signal has ended.
func exitCode(t *testing.T, program string, args ...string) int {
	t.Helper()
	err := exec.Command(program, args...).Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return 0
}

func hasSymbol(t *testing.T, file, name string) bool {
	t.Helper()
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == name })
}
