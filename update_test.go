package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// updated is the resources that a command line asks for, as JSON without what is empty.
func updated(t *testing.T, f *fake, args ...string) (string, result) {
	t.Helper()
	r := rt(f, append([]string{"update"}, args...)...)
	if len(f.calls) == 0 {
		return "", r
	}
	b, err := json.Marshal(f.calls[2].(specs.LinuxResources))
	if err != nil {
		t.Fatal(err)
	}
	return string(b), r
}

func TestUpdateFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--blkio-weight 500":                `"blockIO":{"weight":500}`,
		"--cpu-period 100000":               `"cpu":{"period":100000}`,
		"--cpu-quota 50000":                 `"cpu":{"quota":50000}`,
		"--cpu-quota -1":                    `"cpu":{"quota":-1}`,
		"--cpu-quota=-1":                    `"cpu":{"quota":-1}`,
		"--cpu-burst 0":                     `"cpu":{"burst":0}`,
		"--cpu-share 512":                   `"cpu":{"shares":512}`,
		"--cpu-rt-period 1000":              `"cpu":{"realtimePeriod":1000}`,
		"--cpu-rt-runtime 100":              `"cpu":{"realtimeRuntime":100}`,
		"--cpuset-cpus 0-1 --cpuset-mems 0": `"cpu":{"cpus":"0-1","mems":"0"}`,
		"--cpu-idle 1":                      `"cpu":{"idle":1}`,
		"--memory 100M":                     `"memory":{"limit":104857600}`,
		"--memory 1.5GiB":                   `"memory":{"limit":1610612736}`,
		"--memory 4096":                     `"memory":{"limit":4096}`,
		"--memory -1 --memory-swap=-1":      `"memory":{"limit":-1,"swap":-1}`,
		"--memory-reservation 10mb":         `"memory":{"reservation":10485760}`,
		"--memory-swap 1g":                  `"memory":{"swap":1073741824}`,
		"--kernel-memory 1k":                `"memory":{"kernel":1024}`,
		"--kernel-memory-tcp 1k":            `"memory":{"kernelTCP":1024}`,
		"--pids-limit -1":                   `"pids":{"limit":-1}`,
		"--memory= --cpu-share=":            ``,
	} {
		got, r := updated(t, &fake{}, append(strings.Split(args, " "), "c")...)
		all := map[string]string{"blockIO": "{}", "cpu": "{}", "memory": "{}", "pids": "{}"}
		section, value, _ := strings.Cut(strings.Trim(want, `"`), `":`)
		if want != "" {
			all[section] = value
		}
		full := `{"memory":` + all["memory"] + `,"cpu":` + all["cpu"] + `,"pids":` + all["pids"] + `,"blockIO":` + all["blockIO"]
		if all["unified"] != "" {
			full += `,"unified":` + all["unified"]
		}
		full += `}`
		if got != full || r.code != 0 || r.stderr != "" {
			t.Errorf("%s: code %d, stderr %q\n got %s\nwant %s", args, r.code, r.stderr, got, full)
		}
	}
}

func TestUpdateRefused(t *testing.T) {
	for args, want := range map[string]string{
		"--memory 1x":              "invalid value for memory: ",
		"--memory -2":              "invalid value for memory: ",
		"--memory 99999999999999g": "invalid value for memory: value out of range",
		"--cpu-period -1":          "invalid value for cpu-period: ",
		"--cpu-quota much":         "invalid value for cpu-quota: ",
		"--blkio-weight 70000":     "invalid value for blkio-weight: ",
		"--pids-limit 1.5":         "invalid value for pids-limit: ",
		"--cpu-idle 2":             "/cpu/idle: 2 is neither 0 nor 1",
		"--cpuset-cpus a":          "/cpu/cpus: ",
		"-r /nonexistent":          "read resources: open /nonexistent: no such file or directory",
		"-r /":                     "read resources: ",
	} {
		f := &fake{}
		if _, r := updated(t, f, append(strings.Split(args, " "), "c")...); r.code != 1 || !strings.HasPrefix(r.stderr, "rt: "+want) || f.calls != nil {
			t.Errorf("%s: code %d, stderr %q, calls %v; want %s", args, r.code, r.stderr, f.calls, want)
		}
	}
}

func TestUpdateResources(t *testing.T) {
	const doc = `{"memory":{"limit":4096},"pids":{"limit":5},"unified":{"io.weight":"7"}}`
	file := filepath.Join(t.TempDir(), "r.json")
	if err := os.WriteFile(file, []byte(doc), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-r", "-"}, {"--resources", "-"}, {"--resources=-"}, {"-r", file}} {
		if got, r := updated(t, &fake{stdin: doc}, append(args, "c")...); got != doc || r.code != 0 || r.stderr != "" {
			t.Errorf("%v: %s %+v", args, got, r)
		}
	}
	got, r := updated(t, &fake{stdin: `{"pids":{"limit":9}}`}, "--resources", "-", "--memory", "bad", "--pids-limit", "3", "c")
	if got != `{"pids":{"limit":9}}` || r.code != 0 || r.stderr != "rt: warning: --memory, --pids-limit: ignored, because of --resources\n" {
		t.Errorf("with flags: %s %+v", got, r)
	}
	for in, want := range map[string]string{
		"":                           "rt: decode resources: line 1 column 1 (byte 0): the file is empty\n",
		"null":                       "rt: decode resources: line 1 column 1 (byte 0): the document must be an object\n",
		`{"memory":{"limit":"1M"}}`:  "rt: decode resources: line 1 column 23 (byte 22): /memory/limit: is a string, must be a whole number from -9223372036854775808 to 9223372036854775807\n",
		`{"cpu":{"shares":-1}}`:      "rt: decode resources: line 1 column 19 (byte 18): /cpu/shares: is a number -1, must be a whole number from 0 to 18446744073709551615\n",
		`{"memory":{"limit":-2}}`:    "rt: /memory/limit: -2 is neither a number of bytes nor -1 for no limit\n",
		`{"unified":{"../x.y":"1"}}`: "rt: /unified/..~1x.y: \"../x.y\" is not the name of a cgroup v2 file, CONTROLLER.PARAMETER\n",
	} {
		f := &fake{stdin: in}
		if _, r := updated(t, f, "-r", "-", "c"); r.code != 1 || r.stderr != want || f.calls != nil {
			t.Errorf("%s:\n got %q\nwant %q", in, r.stderr, want)
		}
	}
	if _, r := updated(t, &fake{stdin: `{"memroy":{}}`}, "-r", "-", "c"); r.code != 0 || r.stderr != "rt: warning: resources: /memroy: unknown property \"memroy\" is ignored\n" {
		t.Errorf("misspelt: %+v", r)
	}
}
