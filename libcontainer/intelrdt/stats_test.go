package intelrdt

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// measuring is a fake with what a processor tells of itself, the container's class of service and another's, and
// monitoring groups in both.
func measuring(t *testing.T) fake {
	f := newFake(t)
	for path, text := range map[string]string{
		"info/L3/cbm_mask": "fffff\n", "info/L3/min_cbm_bits": "1\n", "info/L3/num_closids": "16\n",
		"info/MB/bandwidth_gran": "10\n", "info/MB/delay_linear": "1\n", "info/MB/min_bandwidth": "20\n", "info/MB/num_closids": "8\n",
		"box/schemata": "    MB:0= 50;1=100\n    L3:0=000ff;1=fffff\nL2:0=f\n", "gold/schemata": "    L3:0=f;1=f\n",
		"box/mon_data/mon_L3_00/mbm_total_bytes": "1001\n", "box/mon_data/mon_L3_00/mbm_local_bytes": "1002\n", "box/mon_data/mon_L3_00/llc_occupancy": "1003\n",
		"box/mon_data/mon_L3_01/mbm_total_bytes": "Unavailable\n", "box/mon_data/mon_L3_01/mbm_local_bytes": "2002\n", "box/mon_data/mon_L3_01/llc_occupancy": "2003\n",
		"gold/mon_data/mon_L3_00/llc_occupancy": "9999\n", "gold/mon_groups/box/mon_data/mon_L3_00/llc_occupancy": "7\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(f.root, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		f.write(path, text)
	}
	return f
}

// TestStats: runc's names, and only figures that are about the container.
func TestStats(t *testing.T) {
	const info = `{"l3_cache_info":{"cbm_mask":"fffff","min_cbm_bits":1,"num_closids":16},"l3_cache_schema_root":"L3:0=fffff;1=fffff",`
	const bandwidth = `"mem_bw_info":{"bandwidth_gran":10,"delay_linear":1,"min_bandwidth":20,"num_closids":8},"mem_bw_schema_root":"MB:0=100;1=100",`
	const gold = info + `"l3_cache_schema":"L3:0=f;1=f",` + bandwidth + `"schemata":["L3:0=f;1=f"]`
	f := measuring(t)
	for name, c := range map[string]struct {
		group Group
		want  string
	}{
		"none": {Group{}, `{}`},
		"the container's own": {Group{Dir: f.root + "/box", Own: true}, info + `"l3_cache_schema":"L3:0=000ff;1=fffff",` + bandwidth +
			`"mem_bw_schema":"MB:0= 50;1=100","schemata":["MB:0= 50;1=100","L3:0=000ff;1=fffff","L2:0=f"],` +
			`"mbm_stats":[{"mbm_total_bytes":1001,"mbm_local_bytes":1002},{"mbm_total_bytes":0,"mbm_local_bytes":2002}],` +
			`"cmt_stats":[{"llc_occupancy":1003},{"llc_occupancy":2003}]}`},
		"another's":            {Group{Dir: f.root + "/gold"}, gold + `}`},
		"another's, monitored": {Group{Dir: f.root + "/gold", Mon: f.root + "/gold/mon_groups/box"}, gold + `,"cmt_stats":[{"llc_occupancy":7}]}`},
		"the root": {Group{Dir: f.root}, info + `"l3_cache_schema":"L3:0=fffff;1=fffff",` + bandwidth +
			`"mem_bw_schema":"MB:0=100;1=100","schemata":["MB:0=100;1=100","L3:0=fffff;1=fffff"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := c.group.Stats()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := json.Marshal(s); err != nil || string(got) != c.want {
				t.Errorf("%v\n got %s\nwant %s", err, got, c.want)
			}
		})
	}
	if s, err := (Group{Dir: f.root + "/gone"}).Stats(); err == nil || !strings.Contains(err.Error(), "read resctrl group: ") {
		t.Errorf("of a group that is gone: %+v, %v", s, err)
	}
}
