package translate

import "testing"

func TestRestored(t *testing.T) {
	for _, c := range []struct{ name, file, old, value, want string }{
		{"one value", "pids.max", "max", "7", "max\n"},
		{"two words", "cpu.max", "max 100000", "20000 50000", "max 100000\n"},
		{"limit of two words", "cpu.max", "20000 50000", "max 50000", "20000 50000\n"},
		{"empty", "cpuset.cpus", "", "0-1", "\n"},
		{"oom control", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3", "1", "0"},
		{"device that has a line", "io.max", "8:16 rbps=5 wbps=max riops=max wiops=max\n8:0 rbps=max wbps=7 riops=max wiops=max", "8:0 rbps=9", "8:0 rbps=max wbps=7 riops=max wiops=max"},
		{"device that has none", "io.max", "8:16 rbps=5 wbps=max riops=max wiops=max", "8:1 rbps=9", "8:1 rbps=max wbps=max riops=max wiops=max"},
		{"throttle", "blkio.throttle.read_bps_device", "", "8:0 1000", "8:0 0"},
		{"throttle that was there", "blkio.throttle.read_bps_device", "8:0 5", "8:0 1000", "8:0 5"},
		{"weight", "io.weight", "default 100", "default 5000", "default 100"},
		{"bfq weight", "io.bfq.weight", "default 100\n8:0 200", "300", "default 100\n"},
		{"weight of a device", "io.weight", "default 100", "8:0 200", "8:0 default"},
		{"rdma", "rdma.max", "", "mlx5_0 hca_handle=3", "mlx5_0 hca_handle=max hca_object=max"},
		{"misc", "misc.max", "sev max\nsev_es 5", "sev_es 7", "sev_es 5"},
		{"priority", "net_prio.ifpriomap", "lo 0\neth0 4", "eth0 5", "eth0 4"},
		{"not known", "io.cost.qos", "", "8:0 enable=1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := Restored("/x/"+c.file, c.old, c.value)
			if ok != (c.want != "") || ok && got != c.want {
				t.Errorf("%q %v, want %q", got, ok, c.want)
			}
		})
	}
}

// TestHoldsValue: what the kernel makes of a value is that value, and nothing else is.
func TestHoldsValue(t *testing.T) {
	for _, c := range []struct {
		name, value, have string
		want              bool
	}{
		{"pids.max", "42", "42\n", true},
		{"pids.max", "42", "43\n", false},
		{"pids.max", "max", "max\n", true},
		{"pids.max", "max", "42\n", false},
		{"memory.max", "5000", "4096\n", true},
		{"memory.max", "100M", "104857600\n", true},
		{"memory.max", "104857600", "max\n", false},
		{"memory.max", "104857600", "209715200\n", false},
		{"memory.limit_in_bytes", "-1", "9223372036854771712\n", true},
		{"memory.limit_in_bytes", "-1", "104857600\n", false},
		{"memory.oom_control", "1", "oom_kill_disable 1\nunder_oom 0\n", true},
		{"memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n", false},
		{"hugetlb.2MB.max", "3000000", "2097152\n", true},
		{"hugetlb.2MB.max", "6000000", "2097152\n", false},
		{"cpu.max", "50000", "50000 100000\n", true},
		{"cpu.max", "50000 100000", "50000 20000\n", false},
		{"cpu.max", "33333 100000", "34000 100000\n", true}, // by systemd
		{"cpu.max", "33333 100000", "max 100000\n", false},
		{"cpu.cfs_quota_us", "-1", "20000\n", false},
		{"cpu.shares", "1", "2\n", true},
		{"cpu.uclamp.max", "50", "50.00\n", true},
		{"cpuset.cpus", "0,1,2", "0-2\n", true},
		{"cpuset.cpus", "0,2", "0-2\n", false},
		{"net_cls.classid", "0x10001", "65537\n", true},
		{"io.max", "8:0 rbps=1000", "8:0 rbps=1000 wbps=max riops=max wiops=max\n", true},
		{"io.max", "8:0 rbps=1000", "8:0 rbps=2000 wbps=max riops=max wiops=max\n", false},
		{"io.max", "8:0 rbps=max", "", true},
		{"io.weight", "default 500", "default 500\n8:0 20\n", true},
		{"blkio.throttle.read_bps_device", "8:0 1000", "8:16 1000\n", false},
	} {
		if got := HoldsValue(c.name, c.have, c.value); got != c.want {
			t.Errorf("%s %q, written %q: %v", c.name, c.have, c.value, got)
		}
	}
}
