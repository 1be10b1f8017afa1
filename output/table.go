package output

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// A column of a table that is printed for people.
type column struct {
	title string
	left  bool // aligned; numbers are to the right
	least int  // width, so that a table that is shown again and again does not jump
	drop  int  // the larger the earlier it is left out when the table is too wide; 0: never
}

// table lays out rows, one string a line, the header first. With a width it fits: the flexible column is cut
// down to its title or 12 characters, whole columns go, and what is then still too long is cut off.
func table(columns []column, rows [][]string, width, flexible int) (lines []string) {
	eachLine(columns, rows, width, flexible, func(line string) { lines = append(lines, line) })
	return lines
}

// eachLine is table for one that may be long: it hands out one line after the other.
func eachLine(columns []column, rows [][]string, width, flexible int, do func(line string)) {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = max(c.least, utf8.RuneCountInString(c.title))
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	if width > 0 {
		fit(columns, widths, width, flexible)
	}
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.title
	}
	do(tableLine(columns, widths, titles, width))
	for _, row := range rows {
		do(tableLine(columns, widths, row, width))
	}
}

const between = "  "

// gone is the width of a column that is left out.
const gone = -len(between)

func fit(columns []column, widths []int, width, flexible int) {
	least := min(widths[flexible], max(12, len(columns[flexible].title)))
	for {
		total := -len(between)
		for _, w := range widths {
			total += len(between) + w
		}
		if total <= width {
			return
		}
		if spare := widths[flexible] - least; spare >= total-width {
			widths[flexible] -= total - width
			return
		}
		worst := 0
		for i, c := range columns {
			if widths[i] != gone && c.drop > columns[worst].drop {
				worst = i
			}
		}
		// Columns go one after the other; the flexible one takes what is left.
		if columns[worst].drop == 0 {
			widths[flexible] = least
			return
		}
		widths[worst] = gone
		columns = slices.Clone(columns)
		columns[worst].drop = 0
	}
}

func tableLine(columns []column, widths []int, row []string, width int) string {
	var b strings.Builder
	for i, cell := range row {
		if widths[i] == gone {
			continue
		}
		if i > 0 {
			b.WriteString(between)
		}
		cell = cut(cell, widths[i])
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if columns[i].left {
			b.WriteString(cell + pad)
		} else {
			b.WriteString(pad + cell)
		}
	}
	line := strings.TrimRight(b.String(), " ")
	if width > 0 {
		line = cut(line, width)
	}
	return line
}

// cut shortens s to n characters and says so with its last.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	if n < 1 {
		return ""
	}
	return string([]rune(s)[:n-1]) + "…"
}

func printLines(w io.Writer, lines []string) error {
	_, err := fmt.Fprint(w, strings.Join(lines, "\n")+"\n")
	return err
}
