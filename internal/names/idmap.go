package names

import (
	"errors"
	"fmt"
	"strings"
)

// An IDRange is one range of the mapping in a mount option.
type IDRange struct {
	OnDisk, Host, Size uint32
	Relative           bool // Host is an id of the container's user namespace
}

// An OptionMap is the mapping in a mount option, crun's idmap=uids=DISK-HOST-SIZE#...;gids=..., with @ in front of ranges that
// are relative to the container's user namespace.
type OptionMap struct{ UIDs, GIDs []IDRange }

// MapOf reads the mapping in an option of kind IDMap; nil if it has none.
func MapOf(option string) (*OptionMap, error) {
	_, text, ok := strings.Cut(option, "=")
	if !ok {
		return nil, nil
	}
	uids, gids, ok := strings.Cut(strings.TrimPrefix(text, "uids="), ";gids=")
	if !ok {
		return nil, errors.New("a mapping has the form uids=DISK-HOST-SIZE;gids=DISK-HOST-SIZE")
	}
	var m OptionMap
	var err error
	if m.UIDs, err = idRanges(uids); err == nil {
		m.GIDs, err = idRanges(gids)
	}
	return &m, err
}

func idRanges(text string) (list []IDRange, err error) {
	for _, part := range strings.Split(text, "#") {
		var r IDRange
		numbers, relative := strings.CutPrefix(part, "@")
		fields := strings.Split(numbers, "-")
		if len(fields) != 3 {
			return nil, fmt.Errorf("%q is not DISK-HOST-SIZE", part)
		}
		for i, to := range []*uint32{&r.OnDisk, &r.Host, &r.Size} {
			n, err := Unsigned(fields[i], 32)
			if err != nil {
				return nil, fmt.Errorf("%q is not DISK-HOST-SIZE: %w", part, err)
			}
			*to = uint32(n)
		}
		if r.Relative = relative; relative != (text[0] == '@') {
			return nil, fmt.Errorf("%q: either all ranges are relative, each with its @, or none", text)
		}
		list = append(list, r)
	}
	return list, nil
}
