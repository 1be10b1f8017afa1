package facts

import (
	"fmt"
	"slices"
	"strings"

	"rt/internal/sys"

	"github.com/moby/sys/mountinfo"
)

// maxMountinfo bounds what is read of mountinfo.
const maxMountinfo = 64 << 20

// hostAPI are the mount points of whole procfs and sysfs outside of the rootfs, and of those below it, as the container's copy
// of rt's mount namespace will have them: what lies on top comes first.
func hostAPI(rootfs string) (outside, inside []string, err error) {
	text, err := sys.ReadKernelFile("/proc/self/mountinfo", maxMountinfo)
	if err != nil {
		return nil, nil, fmt.Errorf("look for the host's procfs and sysfs: %w", err)
	}
	list, err := mountinfo.GetMountsFromReader(strings.NewReader(string(text)), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("look for the host's procfs and sysfs: %w", err)
	}
	outside, inside = apiMounts(list, rootfs)
	return outside, inside, nil
}

func apiMounts(list []*mountinfo.Info, rootfs string) (outside, inside []string) {
	parent := make(map[int]int, len(list))
	for _, m := range list {
		parent[m.ID] = m.Parent
	}
	depth := func(id int) (n int) {
		for up, ok := parent[id]; ok && up != id && n < len(list); up, ok = parent[up] {
			n, id = n+1, up
		}
		return n
	}
	var api []*mountinfo.Info
	for _, m := range list {
		if (m.FSType == "proc" || m.FSType == "sysfs") && m.Root == "/" { // to the kernel a part of one is none
			api = append(api, m)
		}
	}
	slices.SortStableFunc(api, func(a, b *mountinfo.Info) int { return depth(b.ID) - depth(a.ID) })
	for _, m := range api {
		if m.Mountpoint == rootfs || strings.HasPrefix(m.Mountpoint, rootfs+"/") {
			inside = append(inside, m.Mountpoint)
		} else {
			outside = append(outside, m.Mountpoint)
		}
	}
	return outside, inside
}
