package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// yardsticks are the contenders that ratios are given against, when they take part.
var yardsticks = [...]string{"crun", "runc", "floor"}

func writeTables(w io.Writer, results []result) {
	for _, r := range results {
		fmt.Fprintf(w, "\n%s (%d runs each)\n", r.title, len(r.contenders[0].samples))
		tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(tab, "\twall ms\tp99\tmin\tCPU ms\tfaults\tRSS KiB\t")
		for _, y := range yardsticks {
			if find(r, y) != nil {
				fmt.Fprintf(tab, "wall/%s\tCPU/%s\t", y, y)
			}
		}
		fmt.Fprintln(tab)
		for _, c := range r.contenders {
			fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t", c.name, ms(median(c)), ms(quantile(c.samples, 0.99, wall)),
				ms(quantile(c.samples, 0, wall)), ms(medianCPU(c)), quantile(c.samples, 0.5, faults), quantile(c.samples, 0.5, rss))
			for _, y := range yardsticks {
				if other := find(r, y); other != nil {
					fmt.Fprintf(tab, "%s\t%s\t", ratio(median(c), median(other)), ratio(medianCPU(c), medianCPU(other)))
				}
			}
			fmt.Fprintln(tab)
		}
		tab.Flush()
	}
}

func find(r result, name string) *contender {
	for _, c := range r.contenders {
		if c.name == name {
			return c
		}
	}
	return nil
}

func median(c *contender) time.Duration    { return quantile(c.samples, 0.5, wall) }
func medianCPU(c *contender) time.Duration { return quantile(c.samples, 0.5, cpu) }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/1e6) }

func ratio(a, b time.Duration) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(a)/float64(b))
}

// save writes latest.txt and latest.svg, and the results section of the document.
func save(o options, text string, results []result) error {
	var errs []error
	if o.out != "" {
		errs = append(errs, os.MkdirAll(o.out, 0o755), replace(filepath.Join(o.out, "latest.txt"), []byte(text)))
		if len(results) > 0 {
			errs = append(errs, replace(filepath.Join(o.out, "latest.svg"), chart(results)))
		}
	}
	if o.doc != "" {
		errs = append(errs, updateDoc(o.doc, text))
	}
	return errors.Join(errs...)
}

// replace writes by temporary file and rename: an interrupted benchmark leaves the last results whole.
func replace(path string, text []byte) error {
	if err := os.WriteFile(path+".tmp", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

func updateDoc(path, text string) error {
	const begin, end = "<!-- results: written by make bench -->\n", "<!-- end of results -->"
	doc, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(doc, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return fmt.Errorf("%s: no results markers", path)
	}
	section := "\n```text\n" + strings.TrimSpace(text) + "\n```\n\n"
	return replace(path, bytes.Join([][]byte{before, []byte(begin), []byte(section), []byte(end), after}, nil))
}
