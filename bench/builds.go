package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// buildCases are what builds of rt are compared by: Go's start is most of the first and the last.
const buildCases = "version,run,exec,state"

// compareBuilds prints, as a Markdown table for docs/performance.md, what short commands cost with each target: medians of time, processor
// time and page faults, and how many processes and threads were started, of which strace counts the least of five runs.
func (l *lab) compareBuilds(ctx context.Context, w io.Writer, o options) error {
	for i := range l.targets {
		if err := l.rewrite(&l.targets[i]); err != nil {
			return err
		}
	}
	o.cases = buildCases
	results, err := l.speed(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s\n%d runs of each, in turns; medians.\n\n", l.describe(), o.n)
	fmt.Fprint(w, "| | | wall ms | to crun | CPU ms | to crun | page faults | clones |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		crun := find(r, "crun")
		for i, c := range r.contenders {
			started := ""
			if i < len(l.targets) {
				n, err := l.callsOf(ctx, c.commands)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", r.name, c.name, err)
				}
				started = fmt.Sprint(n.processes + n.threads)
			}
			wallRatio, cpuRatio := "", ""
			if crun != nil {
				wallRatio, cpuRatio = ratio(median(c), median(crun)), ratio(medianCPU(c), medianCPU(crun))
			}
			name := ""
			if i == 0 {
				name = r.name
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %d | %s |\n", name, c.name, ms(median(c)), wallRatio, ms(medianCPU(c)), cpuRatio,
				quantile(c.samples, 0.5, faults), started)
		}
	}
	return nil
}

// rewrite has a target's binary copied in one piece, and takes the copy: how a binary lies in the page cache alone makes a start
// a fifth slower or faster.
func (l *lab) rewrite(t *target) error {
	text, err := os.ReadFile(t.path)
	if err != nil {
		return err
	}
	path := filepath.Join(l.dir, "bin-"+t.name)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	t.path = path
	return f.Sync()
}
