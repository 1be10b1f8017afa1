package output

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	columns := []column{{title: "ID", left: true}, {title: "N", least: 3}, {title: "SIZE", drop: 1}, {title: "TEXT", left: true, drop: 2}}
	rows := [][]string{{"short", "1", "10", "é"}, {"0123456789abcdefghij", "1234", "2", "long text"}}
	for _, c := range []struct {
		width int
		want  string
	}{
		{0, `
ID                       N  SIZE  TEXT
short                    1    10  é
0123456789abcdefghij  1234     2  long text`},
		{43, `
ID                       N  SIZE  TEXT
short                    1    10  é
0123456789abcdefghij  1234     2  long text`},
		{42, `
ID                      N  SIZE  TEXT
short                   1    10  é
0123456789abcdefgh…  1234     2  long text`},
		{35, `
ID               N  SIZE  TEXT
short            1    10  é
0123456789a…  1234     2  long text`},
		{34, `
ID                       N  SIZE
short                    1    10
0123456789abcdefghij  1234     2`},
		{18, `
ID               N
short            1
0123456789a…  1234`},
		{15, `
ID            …
short         …
0123456789a…  …`},
		{1, "\n…\n…\n…"},
	} {
		if got := "\n" + strings.Join(table(columns, rows, c.width, 0), "\n"); got != c.want {
			t.Errorf("width %d: got%s\nwant%s", c.width, got, c.want)
		}
	}
	if got := table(columns, nil, 0, 0); len(got) != 1 || got[0] != "ID    N  SIZE  TEXT" {
		t.Errorf("no rows: %q", got)
	}
}

func TestClip(t *testing.T) {
	lines := []string{"head", "1", "2", "3"}
	for rows, want := range map[int]string{9: "head 1 2 3", 4: "head 1 2 3", 3: "head 1 ... 2 more", 2: "head 1", 1: "head", 0: ""} {
		if got := strings.Join(clip(lines, rows), " "); got != want {
			t.Errorf("%d rows: %q, want %q", rows, got, want)
		}
	}
}
