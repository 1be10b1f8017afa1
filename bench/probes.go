package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

// probe execs static true in each target's container a hundred times a second, as kubelets do in all to their pods, and prints how long
// one took from when it was due, and how much of a processor they took.
func (l *lab) probe(ctx context.Context, w io.Writer, seconds int) error {
	if seconds == 0 {
		return nil
	}
	const rate = 100
	fmt.Fprintf(w, "\nprobes: %d execs a second for %d s\n", rate, seconds)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "\twall ms\tp99\tlongest\tof one CPU\t")
	for _, t := range l.targets {
		fmt.Fprintf(os.Stderr, "bench: probes of %s, %d s\n", t.name, seconds)
		walls, cpu, err := l.probesOf(ctx, t, rate*seconds, time.Second/rate)
		if err != nil {
			return fmt.Errorf("probes, %s: %w", t.name, err)
		}
		slices.Sort(walls)
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%.0f %%\t\n", t.name, ms(walls[len(walls)/2]), ms(walls[len(walls)*99/100]), ms(walls[len(walls)-1]),
			100*cpu.Seconds()/float64(seconds))
	}
	return tab.Flush()
}

// probesOf starts n execs, one each interval, whether or not those before have ended, but at most 200 at once.
func (l *lab) probesOf(ctx context.Context, t target, n int, interval time.Duration) (walls []time.Duration, cpu time.Duration, err error) {
	var (
		lock  sync.Mutex
		all   sync.WaitGroup
		slots = make(chan struct{}, 200)
	)
	argv := l.argv(t, "exec", "live", "/bin/true")
	begin := time.Now()
	for i := range n {
		due := begin.Add(time.Duration(i) * interval)
		time.Sleep(time.Until(due))
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			cmd := command(ctx, argv[0], argv[1:]...)
			failed := cmd.Run()
			lock.Lock()
			defer lock.Unlock()
			if failed != nil {
				err = errors.Join(failed)
				return
			}
			// Of the command and of those children that it has waited for.
			ru := cmd.ProcessState.SysUsage().(*syscall.Rusage)
			walls, cpu = append(walls, time.Since(due)), cpu+time.Duration(ru.Utime.Nano()+ru.Stime.Nano())
		})
	}
	all.Wait()
	return walls, cpu, err
}
