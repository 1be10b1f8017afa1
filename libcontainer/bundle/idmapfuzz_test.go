package bundle

import (
	"encoding/binary"
	"math"
	"os"
	"strconv"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// FuzzIDMappings: what is refused is what map_write of the kernel refuses, said again in the plainest way, and what
// passes means the same for every id, however it is asked. Twelve bytes are a mapping.
func FuzzIDMappings(f *testing.F) {
	seed := func(numbers ...uint32) {
		var b []byte
		for _, n := range numbers {
			b = binary.LittleEndian.AppendUint32(b, n)
		}
		f.Add(b, uint32(0))
	}
	seed(0, 1000, 1, 1, 100000, 65536)
	seed(0, 0, math.MaxUint32)
	seed(0, 1, math.MaxUint32)
	seed(0, 0, 10, 5, 20, 10)
	seed(0, 0, 10, 10, 9, 10)
	seed(math.MaxUint32-1, math.MaxUint32-1, 1)
	f.Fuzz(func(t *testing.T, raw []byte, id uint32) {
		var list []specs.LinuxIDMapping
		for ; len(raw) >= 12; raw = raw[12:] {
			list = append(list, specs.LinuxIDMapping{ContainerID: binary.LittleEndian.Uint32(raw),
				HostID: binary.LittleEndian.Uint32(raw[4:]), Size: binary.LittleEndian.Uint32(raw[8:])})
		}
		var c checker
		c.mappingList(list, "/linux/uidMappings")
		refused := Join(c.problems) != nil
		if want := !kernelTakes(list); refused != want {
			t.Fatalf("%v: refused %v, by the kernel %v: %v", list, refused, want, c.problems)
		}
		if refused || len(list) == 0 {
			return
		}
		in := false
		for _, m := range list {
			in = in || uint64(id) >= uint64(m.ContainerID) && uint64(id) < uint64(m.ContainerID)+uint64(m.Size)
		}
		if mapped(list, id) != in {
			t.Errorf("%v: id %d mapped %v", list, id, !in)
		}
	})
}

// kernelTakes: at most 340 extents in less than a page of text, none empty, none that holds 4294967295 or wraps, no two
// that overlap on either side.
func kernelTakes(list []specs.LinuxIDMapping) bool {
	text := 0
	for i, m := range list {
		text += len(strconv.Itoa(int(m.ContainerID))+strconv.Itoa(int(m.HostID))+strconv.Itoa(int(m.Size))) + 3
		if m.Size == 0 || last(m.ContainerID, m.Size) >= math.MaxUint32 || last(m.HostID, m.Size) >= math.MaxUint32 {
			return false
		}
		for _, o := range list[:i] {
			if meet(m.ContainerID, m.Size, o.ContainerID, o.Size) || meet(m.HostID, m.Size, o.HostID, o.Size) {
				return false
			}
		}
	}
	return len(list) <= 340 && text < os.Getpagesize()
}

func last(first, size uint32) uint64 { return uint64(first) + uint64(size) - 1 }

func meet(a, n, b, m uint32) bool { return uint64(a) <= last(b, m) && uint64(b) <= last(a, n) }
