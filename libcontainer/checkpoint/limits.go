package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"rt/internal/names"
	"rt/internal/sys"
	"rt/libcontainer/facts"
	"rt/libcontainer/stub"

	"golang.org/x/sys/unix"
)

// A bundle may be stricter than the images. What a process cannot undo is set again or compared: limits, OOM score, labels. The umask is
// neither, for a process can always set it.

// lowerRlimits lowers the limits of each process to the configured hard ones. Lower ones stay: a process may have lowered them itself.
func (r *restored) lowerRlimits() error {
	for i, l := range r.Spec.Process.Rlimits {
		number := names.Rlimit(l.Type)
		if number < 0 {
			return fmt.Errorf("/process/rlimits/%d/type: wrong rlimit value: %s", i, l.Type)
		}
		for _, pid := range r.pids {
			if err := lowerRlimit(pid, number, l.Hard); err != nil {
				return fmt.Errorf("lower %s of process %d: %w (/process/rlimits/%d)", l.Type, pid, err, i)
			}
		}
	}
	return nil
}

func lowerRlimit(pid, number int, hard uint64) error {
	var has unix.Rlimit
	if err := unix.Prlimit(pid, number, nil, &has); err != nil {
		return err
	}
	if has.Max <= hard {
		return nil
	}
	return unix.Prlimit(pid, number, &unix.Rlimit{Cur: min(has.Cur, hard), Max: hard}, nil)
}

// raiseOOMScore gives each process at least the configured score: with a lower one the kernel ends others first.
func (r *restored) raiseOOMScore() error {
	want := r.Spec.Process.OOMScoreAdj
	if want == nil {
		return nil
	}
	for _, pid := range r.pids {
		text, err := sys.ReadKernelFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", 64)
		if err != nil {
			return err
		}
		has, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return fmt.Errorf("read oom_score_adj of process %d: %.64q is no number", pid, text)
		}
		if has < *want {
			if err := stub.SetOOMScore(pid, r.Spec.Process); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkLabels compares the profile and the label of each thread of init with those configured, or with that of --lsm-profile.
func (r *restored) checkLabels() error {
	p := r.Spec.Process
	profile, label := p.ApparmorProfile, p.SelinuxLabel
	if none, err := facts.NoAppArmor(p); err != nil {
		return err
	} else if none {
		profile = ""
	}
	switch kind, name, _ := strings.Cut(r.LSMProfile, ":"); kind {
	case "apparmor":
		profile = name
	case "selinux":
		label = name
	}
	if profile == "" && label == "" {
		return nil
	}
	dirs, err := threads(r.init)
	if err != nil {
		return err
	}
	if _, err := labelOf("/proc/"+strconv.Itoa(r.init), "current"); r.LSMProfile != "" && errors.Is(err, unix.EINVAL) {
		return nil // this kernel has no labels: what the flag means is CRIU's to say, and labels of the configuration have been refused
	}
	for _, dir := range dirs {
		if profile != "" && profile != "unconfined" {
			has, err := labelOf(dir, "apparmor/current", "current")
			if err != nil {
				return err
			}
			if !isConfined(has, profile) {
				return fmt.Errorf("init has the AppArmor profile %q, not %q (/process/apparmorProfile)", has, profile)
			}
		}
		if label != "" {
			has, err := labelOf(dir, "current")
			if err != nil {
				return err
			}
			if has != label {
				return fmt.Errorf("init has the SELinux label %q, not %q (/process/selinuxLabel)", has, label)
			}
		}
	}
	return nil
}

// labelOf reads the first of some files that is there, below attr in the directory of a thread.
func labelOf(dir string, files ...string) (label string, err error) {
	for _, file := range files {
		var text []byte
		if text, err = sys.ReadKernelFile(dir+"/attr/"+file, 4096); !errors.Is(err, fs.ErrNotExist) {
			return strings.TrimRight(string(text), "\x00\n"), err
		}
	}
	return "", err
}

// isConfined says whether a label, NAME (MODE), is a profile, a child of it (NAME//CHILD), which it changes to itself, or a stack with one
// of these. The mode is that of the profile on this host.
func isConfined(label, profile string) bool {
	name, _, _ := strings.Cut(label, " (")
	for part := range strings.SplitSeq(name, "//&") {
		if part == profile || strings.HasPrefix(part, profile+"//") {
			return true
		}
	}
	return name == profile
}
