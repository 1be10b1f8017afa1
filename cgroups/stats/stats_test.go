package stats

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fromFiles is a reading of files that are only in this map.
func fromFiles(files map[string]string, err *error) *reading {
	return &reading{err: err, read: func(name string) (string, error) {
		text, ok := files[name]
		switch {
		case !ok:
			return "", &os.PathError{Op: "open", Path: name, Err: unix.ENOENT}
		case text == "EOPNOTSUPP":
			return "", &os.PathError{Op: "read", Path: name, Err: unix.EOPNOTSUPP}
		case text == "EACCES":
			return "", &os.PathError{Op: "open", Path: name, Err: unix.EACCES}
		}
		return strings.TrimSuffix(text, "\n"), nil
	}}
}

const none = math.MaxUint64

// TestParseFiles: the content of one file, and what it becomes.
func TestParseFiles(t *testing.T) {
	for _, c := range []struct {
		file, text string
		read       func(*reading) any
		want       any
		err        string
	}{
		{"n", "42\n", func(r *reading) any { return r.number("n") }, uint64(42), ""},
		{"n", "max\n", func(r *reading) any { return r.number("n") }, uint64(none), ""},
		{"n", "-4096\n", func(r *reading) any { return r.number("n") }, uint64(0), ""},
		{"n", "18446744073709551615", func(r *reading) any { return r.number("n") }, uint64(none), ""},
		{"n", "18446744073709551616", func(r *reading) any { return r.number("n") }, uint64(none), `read n: "18446744073709551616" is not a number`},
		{"n", "x", func(r *reading) any { return r.number("n") }, uint64(0), `read n: "x" is not a number`},
		{"n", "EACCES", func(r *reading) any { return r.number("n") }, uint64(0), "open n: permission denied"},
		{"other", "1", func(r *reading) any { return r.number("n") }, uint64(0), ""},
		{"k", "a 1\nb 2\nbad\nlist 1 2\nneg -1\n", func(r *reading) any { return r.keyed("k") }, map[string]uint64{"a": 1, "b": 2}, ""},
		{"k", "", func(r *reading) any { return r.keyed("k") }, map[string]uint64{}, ""},
		{"l", "67390401 7952815 \n", func(r *reading) any { return r.list("l") }, []uint64{67390401, 7952815}, ""},
		{"cpu.pressure", "some avg10=1.25 avg60=0.50 avg300=99.99 total=123\nfull avg10=0.01 avg60=0.02 avg300=0.03 total=4\n",
			func(r *reading) any { return r.psi("cpu.pressure") },
			&PSI{Pressure{1.25, 0.5, 99.99, 123}, Pressure{0.01, 0.02, 0.03, 4}}, ""},
		{"cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", func(r *reading) any { return r.psi("cpu.pressure") }, &PSI{}, ""},
		{"cpu.pressure", "EOPNOTSUPP", func(r *reading) any { return r.psi("cpu.pressure") }, (*PSI)(nil), ""},
		{"cpu.pressure", "some avg10=NaN\n", func(r *reading) any { return r.psi("cpu.pressure") }, &PSI{},
			`read cpu.pressure: line "some avg10=NaN": "NaN" is not a percentage`},
		{"io", "8:0 Read 4096\n8:0 Write 8192\n253:16 Discard 1\nTotal 12289\n", func(r *reading) any { return r.blockIOTable("io") },
			[]BlockIOEntry{{8, 0, "Read", 4096}, {8, 0, "Write", 8192}, {253, 16, "Discard", 1}}, ""},
		{"io", "8:0 42\n", func(r *reading) any { return r.blockIOTable("io") }, []BlockIOEntry{{8, 0, "", 42}}, ""},
		{"io", "Total 0\n", func(r *reading) any { return r.blockIOTable("io") }, []BlockIOEntry(nil), ""},
		{"cpus", "0-2,7\n", func(r *reading) any { return r.cpus("cpus") }, []uint16{0, 1, 2, 7}, ""},
		{"cpus", "\n", func(r *reading) any { return r.cpus("cpus") }, []uint16(nil), ""},
		{"cpus", "3-1", func(r *reading) any { return r.cpus("cpus") }, []uint16(nil), `invalid list "3-1"`},
		{"cpus", "0-65535,0-65535", func(r *reading) any { return r.cpus("cpus") }, []uint16(nil), `invalid list "0-65535,0-65535"`},
	} {
		var err error
		if got := c.read(fromFiles(map[string]string{c.file: c.text}, &err)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %q: %#v, want %#v", c.file, c.text, got, c.want)
		}
		if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s %q: error %v, want %s", c.file, c.text, err, c.err)
		}
	}
}

func TestCPUAcct(t *testing.T) {
	var err error
	var s CPUStats
	fromFiles(map[string]string{
		"cpuacct.usage": "75343216\n", "cpuacct.stat": "user 3\nsystem 7\n", "cpuacct.usage_percpu": "67390401 7952815 \n",
		"cpuacct.usage_all": "cpu user system\n0 0 72000000\n1 4000000 4000000\n",
	}, &err).cpuacct(&s)
	want := `{"usage":{"total":75343216,"percpu":[67390401,7952815],"percpu_kernel":[72000000,4000000],"percpu_user":[0,4000000],"kernel":70000000,"user":30000000},"throttling":{}}`
	if got := marshal(t, s); got != want || err != nil {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSwapLimit: what is added up never wraps around.
func TestSwapLimit(t *testing.T) {
	for _, c := range []struct{ swap, memory, want uint64 }{{none, 5, none}, {5, none, none}, {none, none, none}, {5, 6, 11}, {none - 5, 5, none}} {
		if got := withMemory(MemoryUsage{Limit: c.swap}, MemoryUsage{Limit: c.memory}).Limit; got != c.want {
			t.Errorf("%d + %d = %d", c.swap, c.memory, got)
		}
	}
}

func TestPageSize(t *testing.T) {
	for dir, want := range map[string]string{"hugepages-2048kB": "2MB", "hugepages-1048576kB": "1GB", "hugepages-64kB": "64KB",
		"hugepages-16777216kB": "16GB", "hugepages-0kB": "", "hugepages-kB": "", "2048kB": "", "hugepages-2048": ""} {
		if got, ok := pageSize(dir); got != want || ok != (want != "") {
			t.Errorf("%s: %q %v", dir, got, ok)
		}
	}
}

func TestHugetlbStats(t *testing.T) {
	var err error
	for _, c := range []struct {
		files map[string]string
		v2    bool
		want  HugetlbStat
	}{
		{map[string]string{"hugetlb.2MB.usage_in_bytes": "1", "hugetlb.2MB.max_usage_in_bytes": "2", "hugetlb.2MB.failcnt": "3"}, false, HugetlbStat{1, 2, 3}},
		{map[string]string{"hugetlb.2MB.usage_in_bytes": "1", "hugetlb.2MB.rsvd.usage_in_bytes": "4", "hugetlb.2MB.rsvd.max_usage_in_bytes": "5", "hugetlb.2MB.rsvd.failcnt": "6"}, false, HugetlbStat{4, 5, 6}},
		{map[string]string{"hugetlb.2MB.current": "1", "hugetlb.2MB.events": "max 2\n"}, true, HugetlbStat{1, 0, 2}},
		{map[string]string{"hugetlb.2MB.current": "1", "hugetlb.2MB.rsvd.current": "3", "hugetlb.2MB.events": "max 2\n"}, true, HugetlbStat{3, 0, 2}},
	} {
		r := fromFiles(c.files, &err)
		got, ok := r.hugetlbV1("hugetlb.2MB")
		if c.v2 {
			got, ok = r.hugetlbV2("hugetlb.2MB")
		}
		if got != c.want || !ok || err != nil {
			t.Errorf("%v: %+v %v %v", c.files, got, ok, err)
		}
	}
	if _, ok := (*reading)(nil).hugetlbV1("hugetlb.2MB"); ok {
		t.Error("a hierarchy that there is not has a file")
	}
}

// FuzzStats: no content of any file stops the reader, and what it makes of it is JSON.
func FuzzStats(f *testing.F) {
	f.Add("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=1e3")
	f.Add("8:0 Read 4096\nTotal 1")
	f.Add("8:0 rbytes=1 wbytes=18446744073709551615")
	f.Add("0-3,7\n")
	f.Add("max")
	f.Add("cpu user system\n0 1 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		var err error
		r := &reading{err: &err, read: func(string) (string, error) { return text, nil }}
		var s Stats
		r.cpuacct(&s.CPU)
		r.cpuset(&s.CPUSet)
		s.Memory.Usage, s.Memory.Raw = r.usage("x"), r.keyed("x")
		r.pids(&s.Pids)
		s.BlockIO.Serviced = r.blockIOTable("x")
		s.CPU.PSI, s.RDMA = r.psi("x"), r.rdma()
		if _, err := json.Marshal(s); err != nil {
			t.Error(err)
		}
		if len(s.CPUSet.CPUs) > 1<<16 {
			t.Errorf("%d cpus", len(s.CPUSet.CPUs))
		}
	})
}
