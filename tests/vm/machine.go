package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// silence is how long a guest may say nothing: more than the longest that a test waits for something.
const silence = 12 * time.Minute

// A machine is one boot of a guest.
type machine struct {
	args    []string // of qemu
	console string   // file with what the kernel says
	status  string   // file with what the agent says
	out     io.Writer
	log     io.Writer // for what is not the guest's output
	verbose bool
}

// prepare makes the files of one boot in work/NAME.
func prepare(ctx context.Context, g guest, script, work string) (*machine, error) {
	initrd, err := image(ctx, "initrd", g.kernel)
	if err != nil {
		return nil, err
	}
	kernel, err := image(ctx, "kernel", g.kernel)
	if err != nil {
		return nil, err
	}
	parts := []string{initrd}
	if built := filepath.Join(work, "initrd.part"); exists(built) {
		parts = append(parts, built)
	}
	work = filepath.Join(work, g.name)
	dir := filepath.Join(work, "rt-test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("ROOT=%s AS=%s\n", pick(g.disk, "disk", "memory"), pick(g.user, "user", "root"))
	for name, text := range map[string]string{"conf": conf, "cmd": script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if err := archive(ctx, work); err != nil {
		return nil, err
	}
	packed := filepath.Join(work, "initrd")
	if err := join(packed, append(parts, filepath.Join(work, "initrd.part"))...); err != nil {
		return nil, err
	}
	m := &machine{console: filepath.Join(work, "console"), status: filepath.Join(work, "status")}
	m.args = qemuArgs(g, kernel+"/vmlinuz", packed, m.console, m.status)
	if !g.disk {
		return m, nil
	}
	disk, err := image(ctx, "disk")
	if err != nil {
		return nil, err
	}
	// Writes go to a temporary file that qemu has unlinked.
	m.args = append(m.args, "-drive", "file="+disk+",format=raw,if=virtio,snapshot=on,cache=unsafe")
	return m, nil
}

// qemuArgs: software emulation, because nested virtualization is rare where tests run. The CPUs take turns in one thread:
// with a thread for each, a kernel that patches its own code (static keys: the first cpuset, the first device program)
// now and then dies of an int3 that qemu has seen too late.
func qemuArgs(g guest, kernel, initrd, console, status string) []string {
	cmdline := "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic random.trust_cpu=on tsc=unstable no_timer_check mitigations=off hugepages=16 psi=1 " + g.append
	if g.user {
		cmdline += " systemd.wants=user@1000.service"
	}
	return []string{"-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot",
		"-machine", "pc,hpet=off", "-accel", "tcg,thread=single,tb-size=512", "-cpu", "max",
		"-smp", strconv.Itoa(min(runtime.NumCPU(), 4)), "-m", "2048",
		"-kernel", kernel, "-initrd", initrd, "-append", cmdline,
		"-serial", "file:" + console, "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
		"-chardev", "stdio,id=out,signal=off", "-device", "virtserialport,chardev=out,name=rt.out",
		"-chardev", "file,id=status,path=" + status, "-device", "virtserialport,chardev=status,name=rt.status"}
}

// run boots the machine and waits for its end. The error says what the agent did, or why it did not say.
func (m *machine) run(ctx context.Context, timeout time.Duration) error {
	runtime.LockOSThread() // the end of the thread that has started qemu ends qemu (PDEATHSIG)
	defer runtime.UnlockOSThread()
	for _, path := range []string{m.console, m.status} {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("ended after %s", timeout))
	defer cancel()
	watched, hung := context.WithCancelCause(ctx)
	defer hung(nil)
	cmd := exec.CommandContext(watched, "qemu-system-x86_64", m.args...)
	heard := &hearing{to: m.out}
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = heard, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// An input that never ends: at its end qemu would close the port of the output.
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	heard.last.Store(time.Now().UnixNano())
	go heard.watch(watched, hung)
	if err := cmd.Start(); err != nil {
		return err
	}
	err := cmd.Wait()
	if cause := context.Cause(watched); cause != nil {
		err = cause
	}
	return m.verdict(err, stderr.String())
}

// verdict is nil when the agent's command has succeeded. A guest that has ended without a word shows its console.
func (m *machine) verdict(ended error, stderr string) error {
	text, err := os.ReadFile(m.status)
	if err != nil {
		return err
	}
	var code int
	_, after, found := strings.Cut(string(text), "\nstatus ")
	if _, err := fmt.Sscan(after, &code); found && err == nil {
		if m.verbose {
			m.showConsole(1000)
		}
		if code != 0 {
			return fmt.Errorf("exit status %d", code)
		}
		return nil
	}
	m.showConsole(40)
	if ended == nil {
		ended = errors.New("the guest died")
	}
	if stderr = strings.TrimSpace(stderr); stderr != "" {
		return fmt.Errorf("%w: %s", ended, stderr)
	}
	return ended
}

// showConsole prints the last lines that the guest's kernel has said.
func (m *machine) showConsole(most int) {
	text, err := os.ReadFile(m.console)
	if err != nil {
		return
	}
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(text), "\r", ""), "\n"), "\n")
	lines = lines[max(0, len(lines)-most):]
	fmt.Fprintf(m.log, "-- console\n%s\n--\n", strings.Join(lines, "\n"))
}

// A hearing notes when the guest last said something.
type hearing struct {
	to   io.Writer
	last atomic.Int64 // Unix time in nanoseconds
}

func (h *hearing) Write(p []byte) (int, error) {
	h.last.Store(time.Now().UnixNano())
	return h.to.Write(p)
}

// watch ends a guest that has hung.
func (h *hearing) watch(ctx context.Context, hung context.CancelCauseFunc) {
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case now := <-tick.C:
			if now.Sub(time.Unix(0, h.last.Load())) > silence {
				hung(fmt.Errorf("silent for %s", silence))
			}
		}
	}
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}
