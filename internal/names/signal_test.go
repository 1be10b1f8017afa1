package names

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestSignal(t *testing.T) {
	for s, want := range map[string]unix.Signal{
		"": unix.SIGTERM, "0": 0, "9": unix.SIGKILL, "15": unix.SIGTERM, "64": 64,
		"KILL": unix.SIGKILL, "kill": unix.SIGKILL, "SIGKILL": unix.SIGKILL, "sigkill": unix.SIGKILL, "SigUsr1": unix.SIGUSR1,
		"100": 100, "-1": -1, // which the container's state comes before
		"WINCH": unix.SIGWINCH, "STOP": unix.SIGSTOP, "CHLD": unix.SIGCHLD, "CLD": unix.SIGCHLD, "IO": unix.SIGIO, "POLL": unix.SIGIO,
		"IOT": unix.SIGABRT, "RTMIN": 34, "SIGRTMIN": 34, "rtmin+3": 37, "SIGRTMIN+30": 64, "RTMAX": 64, "RTMAX-1": 63, "sigrtmax-30": 34,
	} {
		if got, err := Signal(s); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{
		"FOO", "SIG", "SIGSIGKILL", "99999999999999999999", "1.5", " 9", "KILL ", "RTMIN+31", "RTMIN-1", "RTMIN+",
		"RTMIN++1", "RTMIN+-1", "RTMAX+1", "RTMAX-31", "RTMIN3", "RTMID", "\x00",
	} {
		if got, err := Signal(s); err == nil {
			t.Errorf("%q: signal %d", s, got)
		}
	}
}

func FuzzSignal(f *testing.F) {
	f.Add("RTMIN+1")
	f.Add("sigkill")
	f.Add("-0")
	f.Fuzz(func(t *testing.T, s string) {
		if sig, err := Signal(s); err == nil && (sig < 0 || sig > sigRTMax) {
			t.Errorf("%q is signal %d", s, sig)
		}
	})
}
