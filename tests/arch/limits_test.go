package arch

import (
	"go/ast"
	"regexp"
	"strconv"
	"testing"
)

// notSystemds are files of cgroups that package translate knows and for which systemd is told no property (systemd.resource-control(5)).
var notSystemds = map[string]bool{
	"cpu.max.burst": true, "cpu.cfs_burst_us": true, "cpu.rt_period_us": true, "cpu.rt_runtime_us": true,
	"memory.memsw.limit_in_bytes": true, "memory.soft_limit_in_bytes": true, "memory.swappiness": true, "memory.oom_control": true,
	"blkio.bfq.weight": true, "blkio.leaf_weight": true, "net_cls.classid": true, "net_prio.ifpriomap": true, "rdma.max": true, "misc.max": true,
	// Limits of single devices, which systemd has by the path of a device node.
	"blkio.bfq.weight_device": true, "blkio.leaf_weight_device": true, "blkio.weight_device": true,
	"blkio.throttle.read_bps_device": true, "blkio.throttle.read_iops_device": true,
	"blkio.throttle.write_bps_device": true, "blkio.throttle.write_iops_device": true, "io.latency": true, "io.max": true,
}

// TestSystemdKnowsLimits: a limit for which systemd has a property is one that package systemd tells it, or systemd would write its own
// idea of it at the next daemon-reload. So each file that package translate writes is in systemd/properties.go, or in notSystemds.
func TestSystemdKnowsLimits(t *testing.T) {
	rooms, _ := tree(t)
	limit := regexp.MustCompile(`^(cpu|cpuset|memory|pids|io|blkio|hugetlb|rdma|net_cls|net_prio|misc|dmem)\.[a-z_.]+$`)
	files := func(pkg string) map[string]string {
		found := map[string]string{}
		for file, f := range rooms[pkg] {
			ast.Inspect(f, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok {
					if text, err := strconv.Unquote(lit.Value); err == nil && limit.MatchString(text) {
						found[text] = file
					}
				}
				return true
			})
		}
		return found
	}
	written, told := files("rt/cgroups/translate"), files("rt/cgroups/systemd")
	if len(written) == 0 || len(told) == 0 {
		t.Fatalf("%d files are written, systemd is told of %d: what was read?", len(written), len(told))
	}
	for name, file := range written {
		if (told[name] == "") != notSystemds[name] {
			t.Errorf("%s writes %s: cgroups/systemd/properties.go has its property: %v; notSystemds says that there is none: %v", file, name, told[name] != "", notSystemds[name])
		}
	}
	for name := range notSystemds {
		if written[name] == "" {
			t.Errorf("notSystemds has %s, which package translate does not write", name)
		}
	}
}
