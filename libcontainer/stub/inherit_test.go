package stub

import (
	"fmt"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestSetOOMScore(t *testing.T) {
	pid := startChild(t).Process.Pid
	score := 555
	if err := SetOOMScore(pid, &specs.Process{OOMScoreAdj: &score}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid)); err != nil || string(got) != "555\n" {
		t.Errorf("%q, %v", got, err)
	}
	if err := SetOOMScore(4194303, &specs.Process{}); err != nil {
		t.Errorf("none asked for: %v", err)
	}
	score = 5000
	if err := SetOOMScore(pid, &specs.Process{OOMScoreAdj: &score}); err == nil || !strings.Contains(err.Error(), "/process/oomScoreAdj") {
		t.Error(err)
	}
}
