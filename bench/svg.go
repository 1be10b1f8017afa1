package main

import (
	"bytes"
	"fmt"
	"time"
)

// chart draws a group of horizontal bars for each case: the median wall time, and in it, darker, the CPU time. Each
// group has a scale of its own, since a list takes a hundredth of a run.
func chart(results []result) []byte {
	const (
		width, left, right = 760, 80, 150
		bar, gap, head     = 18, 6, 40
	)
	height := 30
	for _, r := range results {
		height += head + len(r.contenders)*(bar+gap)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	y := 10
	for _, r := range results {
		longest := time.Duration(1)
		for _, c := range r.contenders {
			longest = max(longest, median(c), medianCPU(c))
		}
		scale := func(d time.Duration) float64 { return float64(d) / float64(longest) * (width - left - right) }
		y += head
		fmt.Fprintf(&b, `<text x="10" y="%d" font-weight="bold">%s</text>`+"\n", y-10, r.title)
		for _, c := range r.contenders {
			light, dark := colours(c.name)
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-8, y+bar-5, c.name)
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", left, y, scale(median(c)), bar, light)
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", left, y+bar/3, scale(medianCPU(c)), bar/3, dark)
			fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s ms, CPU %s</text>`+"\n",
				left+6+max(scale(median(c)), scale(medianCPU(c))), y+bar-5, ms(median(c)), ms(medianCPU(c)))
			y += bar + gap
		}
	}
	fmt.Fprintf(&b, `<text x="10" y="%d" fill="#666">light: wall time, dark: user + system CPU time; medians</text>`+"\n</svg>\n", height-8)
	return b.Bytes()
}

func colours(name string) (light, dark string) {
	switch name {
	case "rt":
		return "#7fb4e6", "#1f5f9f"
	case "floor":
		return "#c8c8c8", "#707070"
	}
	return "#f0c48a", "#b06a10"
}
