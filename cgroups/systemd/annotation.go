package systemd

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"rt/internal/dbus"
)

const annotation = "org.systemd.property."

// maxSignature is D-Bus's, whose length of a signature is a byte.
const maxSignature = 255

// Annotations are the properties that annotations ask for: `org.systemd.property.NAME` with a value in GVariant's
// text form (gvariant-text(5)). NAME is of letters, at least three. A time "NAMESec" in seconds is "NAMEUSec" in
// microseconds on D-Bus. Unit and process are rt's affair.
func Annotations(all map[string]string) ([]Property, error) {
	var list []Property
	for _, key := range slices.Sorted(maps.Keys(all)) {
		name, ok := strings.CutPrefix(key, annotation)
		if !ok {
			continue
		}
		p, err := property(name, all[key])
		if err != nil {
			return nil, fmt.Errorf("annotation %s=%q: %w (/annotations/%s)", key, all[key], err, key)
		}
		list = put(list, p)
	}
	return list, nil
}

// With is list with more, which replace those of the same name.
func With(list []Property, more ...Property) []Property {
	for _, p := range more {
		list = put(list, p)
	}
	return list
}

func property(name, text string) (Property, error) {
	if len(name) < 3 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return Property{}, errors.New("the name of a property is three letters or more, and nothing else")
	}
	if name == "PIDs" || name == "Slice" {
		return Property{}, errors.New("the property is set by linux.cgroupsPath and rt")
	}
	v, err := parseVariant(text)
	if err != nil {
		return Property{}, err
	}
	if len(v.Signature()) > maxSignature {
		return Property{}, fmt.Errorf("the value's type has more than %d letters", maxSignature)
	}
	if stem, ok := strings.CutSuffix(name, "Sec"); ok && !strings.HasSuffix(name, "USec") {
		us, err := microseconds(v)
		return Property{stem + "USec", us}, err
	}
	return Property{name, v}, nil
}

// microseconds of a number of seconds.
func microseconds(v dbus.Value) (dbus.Value, error) {
	seconds, ok := number(v)
	us := math.Round(seconds * 1e6)
	if !ok || !(us >= 0 && us < math.MaxUint64) {
		return nil, errors.New("a time is a number of seconds, not negative")
	}
	return dbus.Uint64(us), nil
}

func number(v dbus.Value) (float64, bool) {
	switch v := v.(type) {
	case dbus.Byte:
		return float64(v), true
	case dbus.Int16:
		return float64(v), true
	case dbus.Uint16:
		return float64(v), true
	case dbus.Int32:
		return float64(v), true
	case dbus.Uint32:
		return float64(v), true
	case dbus.Int64:
		return float64(v), true
	case dbus.Uint64:
		return float64(v), true
	case dbus.Double:
		return float64(v), true
	}
	return 0, false
}
