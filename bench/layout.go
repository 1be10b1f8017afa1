package main

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// layoutFile names Go functions, one on a line, that scripts/gobuild puts at the beginning of the program.
const layoutFile = "scripts/goruntime/layout.txt"

// writeLayout finds out which functions rt calls in the usual commands, in which order, and writes them down. rt must have its symbols.
func (l *lab) writeLayout(ctx context.Context) error {
	t := l.targets[0]
	functions, err := functionsOf(t.path)
	if err != nil {
		return err
	}
	if err := l.startLive(ctx); err != nil {
		return err
	}
	var called []string
	for _, name := range []string{"state", "engine", "run", "docker", "exec", "list"} {
		r, err := l.prepare(ctx, name, options{})
		if err != nil {
			return err
		}
		for _, argv := range r.contenders[0].commands {
			more, err := l.firstCalls(ctx, argv, functions)
			if err != nil {
				return fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
			}
			called = append(called, more...)
		}
	}
	fmt.Printf("%d of %d functions are called\n", len(called), len(functions))
	return os.WriteFile(layoutFile, []byte(strings.Join(called, "\n")+"\n"), 0o644)
}

// functionsOf are the functions of a program by address, those of C as well, which the linker will not find.
func functionsOf(path string) (map[uint64]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	functions := map[uint64]string{}
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC {
			functions[s.Value] = strings.TrimSuffix(s.Name, ".abi0")
		}
	}
	return functions, nil
}

// firstCalls runs a command with a breakpoint at each function and returns which were met, in that order. They are taken out of functions.
func (l *lab) firstCalls(ctx context.Context, argv []string, functions map[uint64]string) ([]string, error) {
	runtime.LockOSThread() // the one thread that may trace
	defer runtime.UnlockOSThread()
	text, err := newOutputPipe()
	if err != nil {
		return nil, err
	}
	defer text.close()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = text.w, text.w
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	// Wait would reap what the loop waits for; the process ends with its tracer if something fails.
	d := &debugger{pid: cmd.Process.Pid, functions: functions, original: map[uint64]byte{}}
	status, err := d.run()
	if err == nil && status.ExitStatus() != 0 {
		err = fmt.Errorf("exit status %d: %s", status.ExitStatus(), strings.TrimSpace(text.String()))
	}
	return d.called, err
}

// A debugger runs one process and the children that it has until their execve.
type debugger struct {
	pid       int
	functions map[uint64]string
	original  map[uint64]byte // what a breakpoint has replaced
	called    []string
}

const int3 = 0xcc

func (d *debugger) run() (unix.WaitStatus, error) {
	var status unix.WaitStatus
	if _, err := unix.Wait4(d.pid, &status, unix.WALL, nil); err != nil {
		return status, err
	}
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC
	if err := unix.PtraceSetOptions(d.pid, options); err != nil {
		return status, err
	}
	for address := range d.functions {
		b := make([]byte, 1)
		if _, err := unix.PtracePeekText(d.pid, uintptr(address), b); err != nil {
			return status, err
		}
		d.original[address] = b[0]
		if _, err := unix.PtracePokeText(d.pid, uintptr(address), []byte{int3}); err != nil {
			return status, err
		}
	}
	for pid := d.pid; ; {
		if err := d.resume(pid, status); err != nil {
			return status, err
		}
		var err error
		if pid, err = unix.Wait4(-1, &status, unix.WALL, nil); err != nil {
			return status, err
		}
		if pid == d.pid && (status.Exited() || status.Signaled()) {
			return status, nil
		}
	}
}

// resume lets a process go on from where it has stopped.
func (d *debugger) resume(pid int, status unix.WaitStatus) error {
	switch cause := status.TrapCause(); {
	case !status.Stopped():
		return nil
	case cause == unix.PTRACE_EVENT_EXEC:
		return unix.PtraceDetach(pid)
	case cause == 0:
		if err := d.meet(pid); err != nil {
			return err
		}
	}
	signal := status.StopSignal()
	if signal == unix.SIGTRAP || signal == unix.SIGSTOP { // the tracer's own
		signal = 0
	}
	return unix.PtraceCont(pid, int(signal))
}

// meet takes the breakpoint away at which a process has stopped, and notes its function.
func (d *debugger) meet(pid int) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	address := regs.PC() - 1
	was, ok := d.original[address]
	if !ok {
		return nil // the first stop, after its own execve
	}
	if _, err := unix.PtracePokeText(pid, uintptr(address), []byte{was}); err != nil {
		return err
	}
	if name, ok := d.functions[address]; ok {
		if !slices.Contains(d.called, name) {
			d.called = append(d.called, name)
		}
		delete(d.functions, address)
	}
	regs.SetPC(address)
	return unix.PtraceSetRegs(pid, &regs)
}
