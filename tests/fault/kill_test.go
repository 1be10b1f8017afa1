package fault

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func pausing() { time.Sleep(3 * time.Millisecond) }

// seed decides what a sample is; it is printed.
var seed = func() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("RT_FAULT_SEED"), 10, 64); err == nil {
		return n
	}
	return uint64(time.Now().UnixNano())
}()

// every is RT_FAULT_EVERY: with RT_FAULT=full, only every n-th point.
func every() int {
	n, _ := strconv.Atoi(os.Getenv("RT_FAULT_EVERY"))
	return max(1, n)
}

// points are the system calls, 1 to n and some more since no two runs are the same, at which something is done: all, or a
// sample of at most few.
func points(t *testing.T, n, few int) (list []int) {
	t.Helper()
	if slow(1) > 1 {
		few = 2 // a guest
	}
	step := max(1, n/few)
	if full() {
		step = every()
	}
	t.Logf("seed %d, every %d. of %d calls", seed, step, n)
	for i := 1 + int(rand.New(rand.NewPCG(seed, 1)).Uint64N(uint64(step))); i <= n; i += step {
		list = append(list, i)
	}
	return list
}

// workers do a job for each point, each with a lab of its own. After the first few failures they stop.
func workers(t *testing.T, list []int, v *verb, do func(l *lab, at int) error) {
	t.Helper()
	var wg sync.WaitGroup
	var next, failed atomic.Int64
	for range 3 {
		l := newLab(t, v.edits...)
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				i := int(next.Add(1)) - 1
				if i >= len(list) || failed.Load() > 20 {
					return
				}
				if err := do(l, list[i]); err != nil {
					failed.Add(1)
					t.Errorf("%v", err)
					l.rt("delete", "--force", l.id)
				}
			}
		}()
	}
	wg.Wait()
}

// TestKilled: SIGKILL to rt, and to what it has started on its way into the container, before each of their system calls.
func TestKilled(t *testing.T) {
	for _, v := range verbs() {
		for _, who := range []string{inRt, inStub} {
			if who == inStub && (v.name == "pause" || v.name == "resume" || v.name == "update" || v.name == "kill" || v.name == "delete") {
				continue // there is none
			}
			t.Run(v.name+" "+who, func(t *testing.T) { killEverywhere(t, &v, who) })
		}
	}
}

func killEverywhere(t *testing.T, v *verb, who string) {
	list := points(t, v.calls(t, who), 8)
	var hits atomic.Int64
	workers(t, list, v, func(l *lab, at int) error {
		l.bring(v.prepare)
		j := v.job(l, who)
		j.Do, j.At = doKill, at
		r := l.inject(j, v.args(l)...)
		if !r.Hit {
			return l.sound(nil)
		}
		hits.Add(1)
		if r.Late {
			return fmt.Errorf("%s: rt hangs: %s", r.point(), r)
		}
		if err := l.sound(v.after); err != nil {
			return fmt.Errorf("killed before %s: %w\nIt had said: %s", r.point(), err, r)
		}
		return nil
	})
	t.Logf("%s: SIGKILL to %s at %d points", v.name, who, hits.Load())
}
