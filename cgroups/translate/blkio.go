package translate

import (
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// The weights belong to an I/O scheduler: blkio.weight to CFQ (before Linux 5.0) and vendor kernels,
// blkio.bfq.weight to BFQ, io.weight to blk-iocost. Whichever file exists is the one in force.

const atBlockIO = Resources + "/blockIO"

func (s *settings) blkioV1(b *specs.LinuxBlockIO) {
	if b == nil {
		return
	}
	withBFQ := func(f *Setting, alt string) { f.Alt, f.AltValue = alt, f.Value }
	if given(b.Weight) {
		s.weightRange(atBlockIO+"/weight", *b.Weight)
		withBFQ(s.add("blkio", "blkio.weight", atBlockIO+"/weight", utoa(uint64(*b.Weight))), "blkio.bfq.weight")
	}
	if given(b.LeafWeight) {
		s.add("blkio", "blkio.leaf_weight", atBlockIO+"/leafWeight", utoa(uint64(*b.LeafWeight)))
	}
	for i, d := range b.WeightDevice {
		at, dev := s.weightDevice(i, d)
		if given(d.Weight) {
			s.weightRange(at+"/weight", *d.Weight)
			withBFQ(s.add("blkio", "blkio.weight_device", at+"/weight", dev+utoa(uint64(*d.Weight))), "blkio.bfq.weight_device")
		}
		if given(d.LeafWeight) {
			s.add("blkio", "blkio.leaf_weight_device", at+"/leafWeight", dev+utoa(uint64(*d.LeafWeight)))
		}
	}
	for _, t := range throttles(b) {
		for i, d := range t.devices {
			at, dev := s.throttleDevice(t.field, i, d)
			s.add("blkio", t.v1, at+"/rate", dev+utoa(d.Rate)) // 0 takes the limit away
		}
	}
}

func (s *settings) ioV2(b *specs.LinuxBlockIO) {
	if b == nil {
		return
	}
	weight := func(pointer, dev, fallbackDev string, w uint16) {
		s.weightRange(pointer, w)
		f := s.add("io", "io.bfq.weight", pointer, dev+utoa(uint64(w)))
		// The v1 range 10 to 1000 onto io.weight's 1 to 10000.
		f.Alt, f.AltValue = "io.weight", fallbackDev+utoa(1+(max(uint64(w), 10)-10)*9999/990)
	}
	if given(b.Weight) {
		weight(atBlockIO+"/weight", "", "default ", *b.Weight)
	}
	if given(b.LeafWeight) {
		s.fail(atBlockIO+"/leafWeight", "cannot be applied: cgroup v2 has no leaf weight")
	}
	for i, d := range b.WeightDevice {
		at, dev := s.weightDevice(i, d)
		if given(d.Weight) {
			weight(at+"/weight", dev, dev, *d.Weight)
		}
		if given(d.LeafWeight) {
			s.fail(at+"/leafWeight", "cannot be applied: cgroup v2 has no leaf weight")
		}
	}
	for _, t := range throttles(b) {
		for i, d := range t.devices {
			at, dev := s.throttleDevice(t.field, i, d)
			rate := "max" // 0 takes the limit away on v1, and is refused on v2
			if d.Rate > 0 {
				rate = utoa(d.Rate)
			}
			s.add("io", "io.max", at+"/rate", dev+t.v2+"="+rate)
		}
	}
}

type throttle struct {
	field, v1, v2 string
	devices       []specs.LinuxThrottleDevice
}

func throttles(b *specs.LinuxBlockIO) []throttle {
	return []throttle{
		{"throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps", b.ThrottleReadBpsDevice},
		{"throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps", b.ThrottleWriteBpsDevice},
		{"throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops", b.ThrottleReadIOPSDevice},
		{"throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops", b.ThrottleWriteIOPSDevice},
	}
}

func (s *settings) weightRange(pointer string, w uint16) {
	if w > 1000 {
		s.fail(pointer, "invalid weight %d (10 to 1000)", w)
	}
}

func (s *settings) weightDevice(i int, d specs.LinuxWeightDevice) (pointer, dev string) {
	pointer = atBlockIO + "/weightDevice/" + strconv.Itoa(i)
	if d.Weight == nil && d.LeafWeight == nil {
		s.fail(pointer, "one of weight and leafWeight must be set")
	}
	return pointer, s.blockDevice(pointer, d.LinuxBlockIODevice)
}

func (s *settings) throttleDevice(field string, i int, d specs.LinuxThrottleDevice) (pointer, dev string) {
	pointer = atBlockIO + "/" + field + "/" + strconv.Itoa(i)
	return pointer, s.blockDevice(pointer, d.LinuxBlockIODevice)
}

// blockDevice is "major:minor " for the head of a line.
func (s *settings) blockDevice(pointer string, d specs.LinuxBlockIODevice) string {
	if d.Major < 0 || d.Minor < 0 {
		s.fail(pointer, "invalid device %d:%d", d.Major, d.Minor)
	}
	return itoa(d.Major) + ":" + itoa(d.Minor) + " "
}
