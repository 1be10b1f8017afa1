package usage

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseProcess(t *testing.T) {
	tail := " S 7 8 8 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 1000 4096 3 18446744073709551615 1 1 0"
	for _, name := range []string{"sh", "", ") S 1 2 3", "a b", "x\ny", "(("} {
		p, got, err := parseProcess("42 ("+name+")"+tail+"\n", 30*time.Second)
		if err != nil || got != name || p.Pid != 42 || p.Parent != 7 || p.CPUTime != 2*time.Second || p.Age != 20*time.Second {
			t.Errorf("%q: %q %+v %v", name, got, p, err)
		}
	}
	if p, _, err := parseProcess("42 (sh)"+tail, time.Second); err != nil || p.Age != 0 {
		t.Errorf("from the future: %+v %v", p, err)
	}
	for _, bad := range []string{"", "42", "42 (sh", ")(", "42 (sh) S 1", "x (sh)" + tail, "42 (sh)" + strings.Replace(tail, "150", "-1", 1)} {
		if p, _, err := parseProcess(bad, 0); err == nil {
			t.Errorf("%q: %+v", bad, p)
		}
	}
}

func TestReadProcess(t *testing.T) {
	p, err := readProcess(os.Getpid(), time.Hour)
	if err != nil || p.Pid != os.Getpid() || p.Parent != os.Getppid() || p.UID != os.Geteuid() || p.Command[0] != os.Args[0] || p.RSS == 0 {
		t.Errorf("%+v %v", p, err)
	}
}
