package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// slow is how many times longer than on the host something may take in a guest: the tests' RT_SLOW.
const slow = 25

// A suite is a package of tests.
type suite struct {
	path, skip string
	root       bool
}

// packages are those whose tests look at the machine that they run on, which of their tests look at the sources, and
// whether all of them are root's.
var packages = []suite{
	{path: "tests/integration", skip: "^Test(Conformance|RuncCompat)$"}, {path: "tests/fault", root: true}, {path: "cgroups"}, {path: "libcontainer"},
	{path: "nsenter", skip: "^Test(BothSides|KindsAreInTheSameOrder|Corpus|FuzzTargetBuilds)$"},
	{path: "tests/security", root: true, skip: "^Test(FlawsAreInTheSource|Weakened)$"},
}

// ownRuntime is the one of this source.
const ownRuntime = "./rt"

// suites are the packages that are tested with a runtime: with another one than rt, only that which sees it as a black box.
func suites(runtime string) []suite {
	path, err := filepath.Abs(runtime)
	if mine, _ := filepath.Abs(ownRuntime); err == nil && path != mine {
		return packages[:1]
	}
	return packages
}

// build compiles what the tests need, for there is no compiler in a guest, and packs it: work/initrd.part. Of a script's
// machine it is the runtime only.
func build(ctx context.Context, work string, o options) error {
	runtime := cmp.Or(o.runtime, ownRuntime)
	compiled := suites(runtime)
	if o.script != "" {
		compiled = nil
	}
	dir := filepath.Join(work, "rt-test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, pkg := range compiled {
		p := pkg.path
		at := filepath.Join(dir, p)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := command(ctx, "go", "test", "-c", "-tags", os.Getenv("RT_TAGS"), "-ldflags", `-s -w -linkmode external -extldflags "-static"`,
			"-o", filepath.Join(at, "test"), "./"+p); err != nil {
			return err
		}
		if data := filepath.Join(p, "testdata"); exists(data) {
			if err := os.CopyFS(filepath.Join(at, "testdata"), os.DirFS(data)); err != nil {
				return err
			}
		}
	}
	if err := command(ctx, "cp", "-L", runtime, dir); err != nil {
		return err
	}
	if err := copyLibraries(ctx, runtime, filepath.Join(dir, libraries)); err != nil {
		return err
	}
	// TestCheckpointTable reads it.
	if err := command(ctx, "install", "-D", "-t", filepath.Join(dir, "docs"), "docs/checkpoint.md"); err != nil {
		return err
	}
	// musl, because the library of the guest is not the host's.
	for program, source := range map[string]string{"probe": "tests/integration/testdata/probe.c", "attack": "tests/security/testdata/attack.c"} {
		if err := command(ctx, "musl-gcc", "-static", "-Os", "-o", filepath.Join(dir, program), source); err != nil {
			return err
		}
	}
	if err := copyCriu(ctx, filepath.Join(dir, "criu")); err != nil {
		fmt.Fprintf(os.Stderr, "vm: the guests have Debian 12's CRIU only: %v\n", err)
	}
	return archive(ctx, work)
}

// libraries is where the runtime's own ones are in a guest, below it as they are below the host's root.
const libraries = "libraries"

// copyLibraries copies the shared libraries of a program that is not static.
func copyLibraries(ctx context.Context, program, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "ldd", program).Output()
	if err != nil {
		return nil // "not a dynamic executable"
	}
	for _, word := range strings.Fields(string(out)) {
		if !strings.HasPrefix(word, "/") {
			continue
		}
		if err := command(ctx, "cp", "-L", "--parents", word, to); err != nil {
			return err
		}
	}
	return nil
}

// installLibraries gives the guest those libraries that it lacks: the runtime executes itself with an environment of its
// own, so that they must be where its loader looks.
const installLibraries = `cd /run/rt-test/libraries 2>/dev/null && find . -type f | while read -r f; do
	[ -e "/$f" ] || { mkdir -p "/${f%/*}" && cp "$f" "/$f"; }
done
cd /run/rt-test || exit
`

// copyCriu copies what scripts/criu gets: a program with its libraries, in a directory that can be anywhere.
func copyCriu(ctx context.Context, to string) error {
	cmd := exec.CommandContext(ctx, "scripts/criu")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("scripts/criu: %w", err)
	}
	return command(ctx, "cp", "-a", filepath.Dir(strings.TrimSpace(string(out))), to)
}

// testScript is what the guest's shell does with what build has made.
func testScript(g guest, runtime, regexp, skip string) string {
	env := append([]string{"RT=/run/rt-test/" + filepath.Base(runtime), "RT_PROBE=/run/rt-test/probe", "RT_ATTACK=/run/rt-test/attack", fmt.Sprintf("RT_SLOW=%d", slow),
		fmt.Sprintf("RT_SECURITY_PATIENCE=%dm", 2*slow),
		"RT_DEBIAN=" + pick(g.disk, "/srv/debian", "none")}, g.env...)
	var s strings.Builder
	fmt.Fprintf(&s, "export %s\nstatus=0\n", strings.Join(env, " "))
	// The other guests lack what CRIU calls, such as GNU tar.
	s.WriteString("if command -v criu >/dev/null && [ -x /run/rt-test/criu/criu ]; then export RT_CRIU=/run/rt-test/criu/criu; fi\n")
	s.WriteString(installLibraries)
	for _, p := range suites(runtime) {
		if p.root && g.user {
			continue
		}
		not := strings.Trim(p.skip+"|"+skip, "|")
		fmt.Fprintf(&s, "echo '%s%s'\n(cd %s && exec ./test -test.v=test2json -test.timeout=85m -test.run=%s -test.skip=%s) || { status=1; echo %s failed; }\n",
			packageMark, p.path, p.path, quote(regexp), quote(not), p.path)
	}
	s.WriteString("exit $status\n")
	return s.String()
}

// quote makes one word of the shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// archive packs dir/rt-test for the kernel's initial file system, dir/initrd.part.
func archive(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", "find rt-test | cpio -o -H newc --quiet > initrd.part")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	return cmd.Run()
}

// join writes the initrd of a guest: the kernel unpacks archives that follow each other.
func join(to string, parts ...string) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, name := range parts {
		part, err := os.Open(name)
		if err != nil {
			return err
		}
		_, err = f.ReadFrom(part)
		part.Close()
		if err != nil {
			return err
		}
	}
	return f.Close()
}

// image calls the script of that name and gives the path that it prints.
func image(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "tests/vm/image", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("tests/vm/image %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func command(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }
