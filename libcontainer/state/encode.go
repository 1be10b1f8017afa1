package state

import (
	"encoding/json"

	"rt/cgroups"
	"rt/internal/plain"
)

// The files that every command reads or writes are coded without encoding/json, which needs 0.2 ms in each process to inspect the
// types. The names are those of the struct tags (TestFields).

func (s *State) fields() [29]plain.Field {
	return [...]plain.Field{
		{Name: "ociVersion", Value: &s.OCIVersion},
		{Name: "id", Value: &s.ID},
		{Name: "pid", Value: &s.Pid},
		{Name: "startTime", Value: &s.StartTime},
		{Name: "pidInode", Value: &s.PidInode, OmitEmpty: true},
		{Name: "bundle", Value: &s.Bundle},
		{Name: "rootfs", Value: &s.Rootfs},
		{Name: "created", Value: &s.Created},
		{Name: "annotations", Value: &s.Annotations, OmitEmpty: true},
		{Name: "cgroups", Value: &s.Cgroups, OmitEmpty: true},
		{Name: "systemdCgroup", Value: &s.SystemdCgroup, OmitEmpty: true},
		{Name: "systemdUnit", Value: &s.Unit, OmitEmpty: true},
		{Name: "privatePid", Value: &s.PrivatePid, OmitEmpty: true},
		{Name: "noKeyring", Value: &s.NoKeyring, OmitEmpty: true},
		{Name: "keyring", Value: &s.Keyring, OmitEmpty: true},
		{Name: "init", Value: &s.Init, OmitEmpty: true},
		{Name: "rdtGroup", Value: &s.RdtGroup, OmitEmpty: true},
		{Name: "rdtMonitor", Value: &s.RdtMonitor, OmitEmpty: true},
		{Name: "rdtOwn", Value: &s.RdtOwn, OmitEmpty: true},
		{Name: "rdtTaken", Value: &s.RdtTaken, OmitEmpty: true},
		{Name: "pidNamespace", Value: &s.PidNamespace, OmitEmpty: true},
		{Name: "namespaces", Value: &s.Namespaces, OmitEmpty: true},
		{Name: "mountNamespaceId", Value: &s.MountNamespaceID, OmitEmpty: true},
		{Name: "mounts", Value: &s.Mounts, OmitEmpty: true},
		{Name: "bootId", Value: &s.BootID, OmitEmpty: true},
		{Name: "timeNamespace", Value: &s.TimeNamespace, OmitEmpty: true},
		{Name: "stdio", Value: &s.Stdio, OmitEmpty: true},
		{Name: "cgroupsTaken", Value: &s.Taken, OmitEmpty: true},
		{Name: "cgroupMark", Value: &s.Mark, OmitEmpty: true},
	}
}

func (j *journal) fields() []plain.Field {
	return []plain.Field{
		{Name: "cgroups", Value: &j.Cgroups, OmitEmpty: true},
		{Name: "systemdUnit", Value: &j.Unit, OmitEmpty: true},
		{Name: "rdtGroup", Value: &j.RdtGroup, OmitEmpty: true},
		{Name: "rdtMonitor", Value: &j.RdtMonitor, OmitEmpty: true},
		{Name: "rdtShared", Value: &j.RdtShared, OmitEmpty: true},
		{Name: "rdtTaken", Value: &j.RdtTaken, OmitEmpty: true},
		{Name: "bootId", Value: &j.BootID, OmitEmpty: true},
		{Name: "pidNamespace", Value: &j.PidNamespace, OmitEmpty: true},
		{Name: "cgroupsTaken", Value: &j.Taken, OmitEmpty: true},
		{Name: "cgroupMark", Value: &j.Mark, OmitEmpty: true},
		{Name: "privatePid", Value: &j.PrivatePid, OmitEmpty: true},
		{Name: "restored", Value: &j.Restored, OmitEmpty: true},
		{Name: "pid", Value: &j.Pid, OmitEmpty: true},
		{Name: "startTime", Value: &j.StartTime, OmitEmpty: true},
		{Name: "pidInode", Value: &j.PidInode, OmitEmpty: true},
		{Name: "helperPid", Value: &j.HelperPid, OmitEmpty: true},
		{Name: "helperStart", Value: &j.HelperStart, OmitEmpty: true},
		{Name: "helperInode", Value: &j.HelperInode, OmitEmpty: true},
	}
}

func (s *State) encode() []byte {
	fields := s.fields()
	return plain.Object(fields[:], "")
}

func (j *journal) encode() []byte { return plain.Object(j.fields(), "") }

// decode reads what encode has written. If brief, it does not keep what state and list do not need of the maps: to make these took more
// time than all other work of rt in a long list. If the file was edited, encoding/json reads it, and says what is wrong with it.
func (s *State) decode(data []byte, brief bool) error {
	*s = State{}
	fields := s.fields()
	for i := range fields {
		switch field, _ := fields[i].Value.(*map[string]string); {
		case !brief || field == nil || field == &s.Annotations:
		case field == &s.Cgroups:
			fields[i].Value = plain.Some{Map: field, Keys: cgroups.FreezerKeys()}
		default:
			fields[i].Value = plain.Some{Map: field}
		}
	}
	if plain.Read(data, fields[:]) {
		return nil
	}
	*s = State{}
	return json.Unmarshal(data, s)
}
