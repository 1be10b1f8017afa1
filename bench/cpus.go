package main

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// cpusAtOnce is how many processors really work at the same time: in a virtual machine two may share one, by the host's choice of the
// moment. It measures bursts as short as a container's start, since a longer load may be spread in time.
func cpusAtOnce() float64 {
	const burst = 1500 * time.Microsecond
	rounds, kept := 0, uint32(0)
	for start := time.Now(); time.Since(start) < burst; rounds++ {
		kept ^= spin()
	}
	runtime.KeepAlive(kept)
	threads := runtime.NumCPU()
	var speedups []float64
	for range 21 {
		time.Sleep(5 * time.Millisecond) // the machine is idle before a start, too
		one := burstOf(1, rounds)
		all := burstOf(threads, rounds)
		speedups = append(speedups, float64(threads)*float64(one)/float64(all))
	}
	slices.Sort(speedups)
	return speedups[len(speedups)/2]
}

// burstOf is how long so many threads take for so many rounds each.
func burstOf(threads, rounds int) time.Duration {
	start := time.Now()
	var all sync.WaitGroup
	for range threads {
		all.Go(func() {
			x := uint32(0)
			for range rounds {
				x ^= spin()
			}
			runtime.KeepAlive(x)
		})
	}
	all.Wait()
	return time.Since(start)
}

// spin works for about a microsecond: each step needs the result of the one before.
func spin() (x uint32) {
	for i := range uint32(500) {
		x = x*1664525 + i
	}
	return x
}
