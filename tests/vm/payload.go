package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// slow is how many times longer than on the host something may take in a guest: the tests' RT_SLOW.
const slow = 25

// packages are those whose tests look at the machine that they run on, and which of their tests look at the sources.
var packages = []struct{ path, skip string }{
	{path: "tests/integration", skip: "^TestConformance$"}, {path: "tests/fault"}, {path: "cgroups"}, {path: "libcontainer"},
	{path: "nsenter", skip: "^Test(BothSides|KindsAreInTheSameOrder|Corpus)$"},
}

// build compiles into dir what the tests need, for there is no compiler in a guest.
func build(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, pkg := range packages {
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
	if err := command(ctx, "cp", "rt", dir); err != nil {
		return err
	}
	// musl, because the library of the guest is not the host's.
	return command(ctx, "musl-gcc", "-static", "-Os", "-o", filepath.Join(dir, "probe"), "tests/integration/testdata/probe.c")
}

// testScript is what the guest's shell does with what build has made.
func testScript(g guest, regexp string) string {
	env := append([]string{"RT=/run/rt-test/rt", "RT_PROBE=/run/rt-test/probe", fmt.Sprintf("RT_SLOW=%d", slow),
		"RT_DEBIAN=" + pick(g.disk, "/srv/debian", "none")}, g.env...)
	var s strings.Builder
	fmt.Fprintf(&s, "export %s\nstatus=0\n", strings.Join(env, " "))
	for _, p := range packages {
		fmt.Fprintf(&s, "echo '%s%s'\n(cd %s && exec ./test -test.v=test2json -test.timeout=60m -test.run=%s -test.skip=%s) || status=1\n",
			packageMark, p.path, p.path, quote(regexp), quote(p.skip))
	}
	s.WriteString("exit $status\n")
	return s.String()
}

// quote makes one word of the shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// pack writes the initrd of this run: the cached one, and after it, as the kernel allows, what is below dir.
func pack(ctx context.Context, cached, dir, to string) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	base, err := os.Open(cached)
	if err != nil {
		return err
	}
	defer base.Close()
	if _, err := f.ReadFrom(base); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", "find rt-test | cpio -o -H newc --quiet")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, f, os.Stderr
	return cmd.Run()
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
