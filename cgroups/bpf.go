package cgroups

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What rt needs of bpf(2): programs for devices, loaded, attached to a cgroup and found there.

// bpfObject is the descriptor of a program.
type bpfObject struct{ fd int }

func (o *bpfObject) close() { _ = unix.Close(o.fd) }

// pointer64 is an __aligned_u64 that holds a pointer, and is one for the garbage collector and moving stacks. (On
// 32 bits it is two, of which the first is used: right for little-endian machines only.)
type pointer64 [8 / unsafe.Sizeof(uintptr(0))]unsafe.Pointer

// bpf is the system call. Every attribute ends where its struct does: the kernel takes what is missing as zero.
func bpf(command int, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attr), size)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR, unix.EAGAIN: // EAGAIN: the verifier was interrupted by a signal
			continue
		}
		return -1, errno
	}
}

// loadProgram loads a program. Since Linux 5.11 its memory is charged to rt's cgroup: RLIMIT_MEMLOCK has no say.
func loadProgram(code []byte, name string) (*bpfObject, error) {
	license := []byte("Apache-2.0\x00")
	attr := struct {
		progType, count       uint32
		code, license         pointer64
		logLevel, logSize     uint32
		log                   pointer64
		kernVersion, flags    uint32
		name                  [16]byte
		ifindex, expectedType uint32
	}{
		progType: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(code) / 8), expectedType: unix.BPF_CGROUP_DEVICE,
		code: pointer64{unsafe.Pointer(&code[0])}, license: pointer64{unsafe.Pointer(&license[0])},
	}
	copy(attr.name[:len(attr.name)-1], name)
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return nil, err
	}
	return &bpfObject{fd}, nil
}

// attachment is the part of union bpf_attr for BPF_PROG_ATTACH and BPF_PROG_DETACH.
type attachment struct{ target, program, attachType, flags, replace uint32 }

func attachProgram(cgroup int, p, replaced *bpfObject, flags uint32) error {
	attr := attachment{target: uint32(cgroup), program: uint32(p.fd), attachType: unix.BPF_CGROUP_DEVICE, flags: flags}
	if replaced != nil {
		attr.flags |= unix.BPF_F_REPLACE
		attr.replace = uint32(replaced.fd)
	}
	_, err := bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

func detachProgram(cgroup int, p *bpfObject) error {
	attr := attachment{target: uint32(cgroup), program: uint32(p.fd), attachType: unix.BPF_CGROUP_DEVICE}
	_, err := bpf(unix.BPF_PROG_DETACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// query is the part of union bpf_attr for BPF_PROG_QUERY, all of it: Linux 6.17 to 7.1 write the revision whatever size they are
// given, and so beyond the end of a shorter one.
type query struct {
	target, attachType, queryFlags, attachFlags uint32
	ids                                         pointer64
	count, _                                    uint32
	attachFlagsOf, linkIDs, linkAttachFlags     pointer64
	revision                                    uint64
}

// attachedPrograms are the ids of the device programs attached to the cgroup itself, not to those above it. The
// kernel takes up to 64 (BPF_CGROUP_MAX_PROGS).
func attachedPrograms(cgroup int) ([]uint32, error) {
	var ids [64]uint32
	attr := query{target: uint32(cgroup), attachType: unix.BPF_CGROUP_DEVICE, count: uint32(len(ids)), ids: pointer64{unsafe.Pointer(&ids)}}
	_, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return nil, err
	}
	return append([]uint32(nil), ids[:min(int(attr.count), len(ids))]...), nil
}

func programByID(id uint32) (*bpfObject, error) {
	attr := struct{ id, next, flags uint32 }{id: id}
	fd, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return nil, err
	}
	return &bpfObject{fd}, nil
}

// name is from struct bpf_prog_info, whose beginning is 64 bytes and then the name.
func (o *bpfObject) name() (string, error) {
	var info struct {
		_    [64]byte
		name [16]byte
	}
	attr := struct {
		fd, size uint32
		info     pointer64
	}{uint32(o.fd), uint32(unsafe.Sizeof(info)), pointer64{unsafe.Pointer(&info)}}
	_, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	name, _, _ := bytes.Cut(info.name[:], []byte{0})
	return string(name), err
}
