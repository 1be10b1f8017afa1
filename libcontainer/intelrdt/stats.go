package intelrdt

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"rt/internal/sys"

	"golang.org/x/sys/unix"
)

// Stats are what resctrl knows of a group, by the names that runc's events have (resctrl in the kernel's
// Documentation/filesystems). What processor and kernel do not have is left out.
type Stats struct {
	L3CacheInfo       *L3CacheInfo `json:"l3_cache_info,omitempty"`
	L3CacheSchemaRoot string       `json:"l3_cache_schema_root,omitempty"`
	L3CacheSchema     string       `json:"l3_cache_schema,omitempty"`
	MemBwInfo         *MemBwInfo   `json:"mem_bw_info,omitempty"`
	MemBwSchemaRoot   string       `json:"mem_bw_schema_root,omitempty"`
	MemBwSchema       string       `json:"mem_bw_schema,omitempty"`
	Schemata          []string     `json:"schemata,omitempty"` // all lines of the class of service
	MBM               []MBM        `json:"mbm_stats,omitempty"`
	CMT               []CMT        `json:"cmt_stats,omitempty"`
}

// L3CacheInfo is what schemata for the cache may say.
type L3CacheInfo struct {
	CBMMask    string `json:"cbm_mask,omitempty"` // hexadecimal
	MinCBMBits uint64 `json:"min_cbm_bits,omitempty"`
	NumCLOSIDs uint64 `json:"num_closids,omitempty"`
}

// MemBwInfo is what schemata for memory bandwidth, in percent, may say.
type MemBwInfo struct {
	BandwidthGran uint64 `json:"bandwidth_gran,omitempty"`
	DelayLinear   uint64 `json:"delay_linear,omitempty"`
	MinBandwidth  uint64 `json:"min_bandwidth,omitempty"`
	NumCLOSIDs    uint64 `json:"num_closids,omitempty"`
}

// MBM is the memory traffic of one cache domain, in bytes since the group was made.
type MBM struct {
	Total uint64 `json:"mbm_total_bytes"`
	Local uint64 `json:"mbm_local_bytes"`
}

// CMT is what a cache domain holds of the group, in bytes.
type CMT struct {
	Occupancy uint64 `json:"llc_occupancy"`
}

// Stats reads the figures of a group; those of the zero group are empty. Traffic and occupancy are only there for a group
// that is the container's alone: those of a class of service that others made are not about this container.
func (g Group) Stats() (Stats, error) {
	var s Stats
	if g.Dir == "" {
		return s, nil
	}
	r := &reader{}
	root := g.Dir
	if !has(filepath.Join(root, "info")) {
		root = filepath.Dir(g.Dir)
	}
	s.Schemata = lines(r.text(filepath.Join(g.Dir, "schemata")))
	s.L3CacheSchema, s.MemBwSchema = line(s.Schemata, "L3:"), line(s.Schemata, "MB:")
	all := lines(r.optional(filepath.Join(root, "schemata")))
	s.L3CacheSchemaRoot, s.MemBwSchemaRoot = line(all, "L3:"), line(all, "MB:")
	s.L3CacheInfo, s.MemBwInfo = r.l3(filepath.Join(root, "info/L3")), r.memBw(filepath.Join(root, "info/MB"))
	switch {
	case g.Mon != "":
		r.monitored(filepath.Join(g.Mon, "mon_data"), &s)
	case g.Own:
		r.monitored(filepath.Join(g.Dir, "mon_data"), &s)
	}
	if r.err != nil {
		return Stats{}, fmt.Errorf("read resctrl group: %w", r.err)
	}
	return s, nil
}

// A reader keeps the first error.
type reader struct{ err error }

func (r *reader) text(path string) string {
	data, err := sys.ReadKernelFile(path, 1<<20)
	if err != nil && r.err == nil {
		r.err = err
	}
	return strings.TrimSpace(string(data))
}

// optional is a file that not every processor and kernel has.
func (r *reader) optional(path string) string {
	data, err := sys.ReadKernelFile(path, 1<<20)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && r.err == nil {
		r.err = err
	}
	return strings.TrimSpace(string(data))
}

// number is 0 for what the hardware has no figure for: the file says Unavailable or Error then.
func (r *reader) number(dir, file string) uint64 {
	n, _ := strconv.ParseUint(r.optional(filepath.Join(dir, file)), 10, 64)
	return n
}

func has(path string) bool { return unix.Access(path, unix.F_OK) == nil }

func (r *reader) l3(dir string) *L3CacheInfo {
	if !has(dir) {
		return nil
	}
	return &L3CacheInfo{r.optional(filepath.Join(dir, "cbm_mask")), r.number(dir, "min_cbm_bits"), r.number(dir, "num_closids")}
}

func (r *reader) memBw(dir string) *MemBwInfo {
	if !has(dir) {
		return nil
	}
	return &MemBwInfo{r.number(dir, "bandwidth_gran"), r.number(dir, "delay_linear"), r.number(dir, "min_bandwidth"), r.number(dir, "num_closids")}
}

// monitored reads the cache domains, in the order of their numbers.
func (r *reader) monitored(dir string, s *Stats) {
	entries, err := sys.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && r.err == nil {
		r.err = err
	}
	for _, e := range entries {
		d := filepath.Join(dir, e.Name())
		if !strings.HasPrefix(e.Name(), "mon_L3_") {
			continue
		}
		if has(filepath.Join(d, "mbm_total_bytes")) || has(filepath.Join(d, "mbm_local_bytes")) {
			s.MBM = append(s.MBM, MBM{r.number(d, "mbm_total_bytes"), r.number(d, "mbm_local_bytes")})
		}
		if has(filepath.Join(d, "llc_occupancy")) {
			s.CMT = append(s.CMT, CMT{r.number(d, "llc_occupancy")})
		}
	}
}

// lines are without the blanks by which the kernel aligns them.
func lines(text string) (list []string) {
	for l := range strings.SplitSeq(text, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			list = append(list, l)
		}
	}
	return list
}

func line(list []string, resource string) string {
	for _, l := range list {
		if strings.HasPrefix(l, resource) {
			return l
		}
	}
	return ""
}
