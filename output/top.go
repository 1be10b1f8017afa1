package output

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"rt/libcontainer/usage"
)

// A topProcess is what top prints as JSON.
type topProcess struct {
	Pid        int      `json:"pid"`
	Parent     int      `json:"ppid"`
	UID        int      `json:"uid"`
	User       string   `json:"user"`
	CPUPercent float64  `json:"cpuPercent"`
	CPUTime    int64    `json:"cpuTime"` // nanoseconds
	RSS        uint64   `json:"rss"`     // bytes
	Cgroup     string   `json:"cgroup"`
	Command    []string `json:"command"`
	Cut        bool     `json:"commandCut,omitempty"` // there is more of it
}

// Top writes the processes that each tells about, as JSON or as a table.
func Top(w io.Writer, asJSON bool, each func(tell func(*usage.Process) error) error) error {
	passwd := readPasswd()
	if asJSON {
		return topJSON(w, each, passwd)
	}
	var rows [][]string
	err := each(func(l *usage.Process) error {
		rows = append(rows, topRow(topOf(l, passwd)))
		return nil
	})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	eachLine(topColumns, rows, width(w), len(topColumns)-1, func(line string) { out.WriteString(line + "\n") })
	return out.Flush()
}

// topJSON is an array that is written element by element.
func topJSON(w io.Writer, each func(func(*usage.Process) error) error, passwd string) error {
	out := bufio.NewWriter(w)
	before := "["
	err := each(func(l *usage.Process) error {
		data, err := json.Marshal(topOf(l, passwd))
		if err == nil {
			_, err = out.WriteString(before + string(data))
		}
		before = ","
		return err
	})
	if err != nil && before == "[" { // nothing is written yet
		return err
	}
	if before == "[" {
		out.WriteString(before)
	}
	out.WriteString("]\n")
	return errors.Join(err, out.Flush())
}

// maxCell is how much of a command a table has: its rows are kept until the widest is known.
const maxCell = 1024

func shortCommand(text string, more bool) string {
	if len(text) > maxCell {
		text, more = strings.Clone(text[:maxCell]), true
	}
	if more {
		text += "..."
	}
	return text
}

func topOf(l *usage.Process, passwd string) topProcess {
	t := topProcess{
		Pid: l.Pid, Parent: l.Parent, UID: l.UID, User: userName(passwd, l.UID), CPUTime: int64(l.CPUTime),
		RSS: l.RSS, Cgroup: l.Cgroup, Command: l.Command, Cut: l.Cut,
	}
	if l.Age > 0 { // of its whole life, as in ps
		t.CPUPercent = rounded(float64(l.CPUTime) / float64(l.Age) * 100)
	}
	return t
}

var topColumns = []column{
	{title: "PID"}, {title: "PPID"}, {title: "USER", left: true}, {title: "CPU%"}, {title: "TIME"}, {title: "RSS"},
	{title: "CGROUP", left: true}, {title: "COMMAND", left: true},
}

func topRow(t topProcess) []string {
	return []string{
		strconv.Itoa(t.Pid), strconv.Itoa(t.Parent), t.User, fmt.Sprintf("%.1f", t.CPUPercent), clock(time.Duration(t.CPUTime)),
		human(t.RSS), oneCell(t.Cgroup), oneCell(shortCommand(strings.Join(t.Command, " "), t.Cut)),
	}
}

// clock is a time as in ps: [days-]hours:minutes:seconds.
func clock(d time.Duration) string {
	s := int64(d / time.Second)
	text := fmt.Sprintf("%02d:%02d:%02d", s/3600%24, s/60%60, s%60)
	if days := s / 86400; days > 0 {
		text = strconv.FormatInt(days, 10) + "-" + text
	}
	return text
}
