package plan

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"rt/internal/hint"
	"rt/internal/names"
	"rt/libcontainer/seccomp"
	"rt/nsenter"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// defaultUmask is what a container gets that asks for none, whatever the caller's own is.
const defaultUmask = 0o022

// Execution domains, linux/personality.h.
const (
	perLinux   = 0x0
	perLinux32 = 0x8
)

func (b *builder) console() error {
	if b.spec.Process.Terminal {
		b.add("/process/terminal", b.consoleStep(true))
	}
	return nil
}

func (b *builder) consoleStep(dev bool) nsenter.Console {
	c := nsenter.Console{UID: b.spec.Process.User.UID, DevConsole: dev}
	if size := b.spec.Process.ConsoleSize; size != nil {
		c.Rows, c.Cols = uint32(size.Height), uint32(size.Width)
	}
	return c
}

// beforeStart is what can be done, and can fail, while the container is being created.
func (b *builder) beforeStart() error {
	p := b.spec.Process
	if !p.Terminal || b.hook != nil {
		b.add("", nsenter.ChownStdio{UID: p.User.UID, GID: p.User.GID})
	}
	if p.User.Umask != nil {
		b.add("/process/user/umask", nsenter.Umask{Mask: *p.User.Umask & 0o777}) // umask(2)
	} else {
		b.add("", nsenter.Umask{Mask: defaultUmask})
	}
	if per := b.spec.Linux.Personality; per != nil {
		domain := uint64(perLinux)
		if per.Domain == specs.PerLinux32 {
			domain = perLinux32
		}
		b.add("/linux/personality", nsenter.Personality{Domain: domain})
	}
	if err := b.memoryPolicy(); err != nil {
		return err
	}
	b.add("/process/cwd", nsenter.Chdir{Path: filepath.Join("/", p.Cwd), Retry: true})
	if b.hook != nil {
		b.add("", nsenter.FindExec{Arg: b.hook.Path, Candidates: []string{b.hook.Path}})
		return nil
	}
	b.add("/process/args/0", nsenter.FindExec{Arg: p.Args[0], Candidates: Candidates(p.Args[0], p.Env)})
	return nil
}

// callerFiles gives the limit on open files of rt's caller back: so far the stub could open as many as the hard one allows. A
// created container has it, and process.rlimits comes later.
func (b *builder) callerFiles() error {
	if f := b.facts.Files; f.Soft < f.Hard {
		b.add("", nsenter.Rlimit{Type: "RLIMIT_NOFILE", Number: unix.RLIMIT_NOFILE, Soft: f.Soft, Hard: b.hard(unix.RLIMIT_NOFILE, f)})
	}
	return nil
}

// raiseLimits raises hard limits as long as the process has the rights of the host's root: that of a user namespace may not
// (setrlimit(2)). The soft ones stay until becomeProgram.
func (b *builder) raiseLimits() error {
	for _, l := range b.facts.Raised {
		b.add(b.pointer(l), l)
	}
	return nil
}

// hard is the hard limit that the process has before becomeProgram: that of rt's caller, or what raiseLimits has made of it.
func (b *builder) hard(number int, callers Limit) uint64 {
	for _, l := range b.facts.Raised {
		if l.Number == number {
			return l.Hard
		}
	}
	return callers.Hard
}

// Candidates are the files that args[0] may mean: itself if it holds a slash, else one for each directory of the
// PATH in env, the last one given.
func Candidates(arg string, env []string) []string {
	if strings.Contains(arg, "/") {
		return []string{arg}
	}
	path, _ := lookupEnv(env, "PATH")
	if path == "" {
		return []string{""} // found nowhere: an empty element is the working directory, no PATH is not
	}
	var all []string
	for _, dir := range strings.Split(path, ":") {
		if dir == "" {
			dir = "."
		}
		all = append(all, dir+"/"+arg)
	}
	return all
}

func lookupEnv(env []string, name string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(env[i], name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// becomeProgram gives the process the rights of the program, as early as can be: before the wait for start, where there is one.
// What the filter forbids, and the limit on open files, would be in the way of the wait.
func (b *builder) becomeProgram() error {
	if err := b.scheduling(); err != nil {
		return err
	}
	rights, err := b.rights()
	if err != nil {
		return err
	}
	b.addProgram(rights, b.beforeFilter())
	if b.opts.Init {
		b.stayAsInit(rights)
	}
	return nil
}

// user is who the program is. Groups that the process has stay only if that was asked for, or if the stub finds that its user
// namespace denies setgroups(2): what rt knows of that was another process's, or is a guess.
func (b *builder) user() (user nsenter.Credentials, err error) {
	u := b.spec.Process.User
	user = nsenter.Credentials{UID: u.UID, GID: u.GID, Groups: u.AdditionalGids, TryGroups: b.facts.KeepGroups}
	if b.facts.OriginalGroups {
		user.Groups, user.KeepGroups, user.TryGroups = nil, true, false
	}
	if user.TryGroups && len(user.Groups) > 0 {
		err = hint.With(errors.New("/process/user/additionalGids: cannot set any additional groups in a rootless container: its user namespace denies setgroups(2)"),
			"a gid mapping with a range of /etc/subgid allows it")
	}
	return user, err
}

func (b *builder) rlimits() (steps []nsenter.Rlimit, err error) {
	for i, l := range b.spec.Process.Rlimits {
		n := names.Rlimit(l.Type)
		if n < 0 {
			return nil, fmt.Errorf("/process/rlimits/%d/type: wrong rlimit value: %s", i, l.Type)
		}
		steps = append(steps, nsenter.Rlimit{Type: l.Type, Number: n, Soft: l.Soft, Hard: l.Hard})
	}
	return steps, nil
}

// addProgram adds the steps of a program with the places in the configuration that they come from.
func (b *builder) addProgram(rights nsenter.Rights, between []nsenter.Step) {
	for _, s := range rights.Program(between, b.arguments(), b.environment()) {
		b.add(b.pointer(s), s)
	}
}

func (b *builder) pointer(s nsenter.Step) string {
	switch s := s.(type) {
	case nsenter.Rlimit:
		for i, l := range b.spec.Process.Rlimits {
			if names.Rlimit(l.Type) == s.Number {
				return fmt.Sprintf("/process/rlimits/%d", i)
			}
		}
	case nsenter.NoNewPrivs:
		return "/process/noNewPrivileges"
	case nsenter.Seccomp:
		return "/linux/seccomp"
	case nsenter.Bounding:
		return "/process/capabilities/bounding"
	case nsenter.Credentials:
		return "/process/user"
	case nsenter.Chdir:
		return "/process/cwd"
	case nsenter.Capabilities, nsenter.Capset:
		return "/process/capabilities"
	case nsenter.Exec:
		if b.hook == nil {
			return "/process/args"
		}
	}
	return ""
}

// rights are those of the configured process.
func (b *builder) rights() (r nsenter.Rights, err error) {
	p, caps := b.spec.Process, b.capabilities()
	r = nsenter.Rights{Bounding: caps.bounding, Caps: caps.Capabilities, NoNewPrivs: p.NoNewPrivileges,
		Cwd: filepath.Join("/", p.Cwd), Filter: b.filter(), Waits: b.opts.WaitFIFO != "", Failure: b.failure()}
	if r.Limits, r.LateLimits, err = b.limits(); err != nil {
		return r, err
	}
	r.User, err = b.user()
	return r, err
}

// filesToWait is a limit on open files with which a process can wait for its start, and take part in the start.
const filesToWait = 64

// limits are process.rlimits. Hard limits are raised while there are privileges. A small number of open files keeps the process
// from waiting: it has as many as it needs, within its caller's limit, and the configured one comes later, which lowers it.
func (b *builder) limits() (early, late []nsenter.Rlimit, err error) {
	all, err := b.rlimits()
	for _, step := range all {
		if b.waits && step.Number == unix.RLIMIT_NOFILE && step.Soft < filesToWait {
			late = append(late, step)
			least := min(uint64(filesToWait+b.opts.ExtraFds), b.facts.Files.Hard)
			step.Soft, step.Hard = max(step.Soft, least), max(step.Hard, least)
		}
		early = append(early, step)
	}
	return early, late, err
}

// beforeFilter is done with the program's user and capabilities: create waits there.
func (b *builder) beforeFilter() []nsenter.Step {
	var steps []nsenter.Step
	if b.opts.WaitFIFO != "" {
		steps = append(steps, nsenter.Gate{FIFO: b.input(Input{Kind: FIFO, Path: b.opts.WaitFIFO}), Path: b.opts.WaitFIFO})
	}
	steps = append(steps, b.ready()...)
	if b.opts.Init {
		steps = append(steps, nsenter.Init{Terminal: b.spec.Process.Terminal})
	}
	return append(steps, nsenter.CloseFds{First: 3 + b.opts.ExtraFds}, nsenter.Sync{Point: nsenter.SyncExec, GoOn: true})
}

// failure: that a program of the image cannot be executed is its own end, as with runc. Of what the filter denies, and of a hook, rt
// says that it failed. An agent or a tracer may let the call fail as the kernel does; without them it is ENOSYS (seccomp(2)).
func (b *builder) failure() nsenter.Failure {
	if b.hook != nil {
		return nsenter.Failure{}
	}
	if b.opts.Filter == nil {
		return nsenter.Failure{OwnEnd: true}
	}
	action := b.opts.Filter.Denies("execve")
	switch {
	case action == "":
		return nsenter.Failure{OwnEnd: true}
	case seccomp.OthersDecide(action):
		return nsenter.Failure{OwnEnd: true, But: unix.ENOSYS}
	}
	return nsenter.Failure{}
}

func (b *builder) filter() *nsenter.Seccomp {
	if f := b.opts.Filter; f != nil {
		return &nsenter.Seccomp{Program: f.Bytes(), Flags: f.Flags, Notify: f.Notify, Send: f.Notify && b.facts.HandOut}
	}
	return nil
}

func (b *builder) scheduling() error {
	p := b.spec.Process
	if s := p.Scheduler; s != nil {
		step, err := schedulerStep(s)
		if err != nil {
			return err
		}
		b.add("/process/scheduler", step)
	}
	if io := p.IOPriority; io != nil {
		step, err := IOPriority(io)
		if err != nil {
			return err
		}
		b.add("/process/ioPriority", step)
	}
	return nil
}

// arguments are the program's, or the hook's.
func (b *builder) arguments() []string {
	switch {
	case b.hook == nil:
		return b.spec.Process.Args
	case len(b.hook.Args) == 0:
		return []string{b.hook.Path}
	}
	return b.hook.Args
}

// environment is the configured one without the earlier of duplicates, plus HOME, and what the caller's sockets need; or the
// hook's own, as it is, unless that is empty, as with runc.
func (b *builder) environment() []string {
	if b.hook != nil && len(b.hook.Env) > 0 {
		return b.hook.Env
	}
	var env []string
	seen := make(map[string]int, len(b.spec.Process.Env))
	set := func(kv string) {
		name, _, _ := strings.Cut(kv, "=")
		if i, ok := seen[name]; ok {
			env[i] = kv
			return
		}
		seen[name] = len(env)
		env = append(env, kv)
	}
	for _, kv := range b.spec.Process.Env {
		set(kv)
	}
	if home, _ := lookupEnv(env, "HOME"); home == "" {
		set("HOME=" + b.facts.Home)
	}
	if b.opts.ListenFds > 0 {
		set(fmt.Sprintf("LISTEN_FDS=%d", b.opts.ListenFds))
		set("LISTEN_PID=1")
	}
	if b.opts.NotifyDir != "" && b.has(specs.MountNamespace) {
		set("NOTIFY_SOCKET=" + notifyTarget + "/notify.sock")
	}
	return env
}

// notifyTarget is where the NOTIFY_SOCKET proxy's directory is seen in the container.
const notifyTarget = "/run/notify"

// IOPriority is the step that sets a priority, and what is in it that of ioprio_set(2).
func IOPriority(io *specs.LinuxIOPriority) (nsenter.IOPriority, error) {
	class, ok := ioClass(io.Class)
	if !ok {
		return nsenter.IOPriority{}, fmt.Errorf("/process/ioPriority/class: unknown class %q", io.Class)
	}
	return nsenter.IOPriority{Class: class, Level: uint32(io.Priority)}, nil
}

func ioClass(c specs.IOPriorityClass) (uint32, bool) {
	switch c {
	case specs.IOPRIO_CLASS_RT:
		return 1, true
	case specs.IOPRIO_CLASS_BE:
		return 2, true
	case specs.IOPRIO_CLASS_IDLE:
		return 3, true
	}
	return 0, false
}

func schedulerStep(s *specs.Scheduler) (nsenter.Scheduler, error) {
	step := nsenter.Scheduler{Nice: s.Nice, Priority: uint32(s.Priority), Runtime: s.Runtime, Deadline: s.Deadline, Period_: s.Period}
	switch s.Policy {
	case specs.SchedOther:
	case specs.SchedFIFO:
		step.Policy = unix.SCHED_FIFO
	case specs.SchedRR:
		step.Policy = unix.SCHED_RR
	case specs.SchedBatch:
		step.Policy = unix.SCHED_BATCH
	case specs.SchedIdle:
		step.Policy = unix.SCHED_IDLE
	case specs.SchedDeadline:
		step.Policy = unix.SCHED_DEADLINE
	default:
		return step, fmt.Errorf("/process/scheduler/policy: unknown policy %q", s.Policy)
	}
	for i, f := range s.Flags {
		switch f {
		case specs.SchedFlagResetOnFork:
			step.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
		case specs.SchedFlagReclaim:
			step.Flags |= unix.SCHED_FLAG_RECLAIM
		case specs.SchedFlagDLOverrun:
			step.Flags |= unix.SCHED_FLAG_DL_OVERRUN
		case specs.SchedFlagKeepPolicy:
			step.Flags |= unix.SCHED_FLAG_KEEP_POLICY
		case specs.SchedFlagKeepParams:
			step.Flags |= unix.SCHED_FLAG_KEEP_PARAMS
		case specs.SchedFlagUtilClampMin:
			step.Flags |= unix.SCHED_FLAG_UTIL_CLAMP_MIN
		case specs.SchedFlagUtilClampMax:
			step.Flags |= unix.SCHED_FLAG_UTIL_CLAMP_MAX
		default:
			return step, fmt.Errorf("/process/scheduler/flags/%d: unknown flag %q", i, f)
		}
	}
	return step, nil
}
