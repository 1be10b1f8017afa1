package bundle

import "errors"

// maxID is NAME_MAX: a container's state is in a directory of its name.
const maxID = 255

// CheckID checks a container id: one to 255 letters, digits and _ + . -, and neither "." nor "..",
// which as the name of a directory would be another container's or the root itself.
func CheckID(id string) error {
	ok := id != "" && len(id) <= maxID && id != "." && id != ".."
	for i := 0; ok && i < len(id); i++ {
		ok = idByte(id[i])
	}
	if !ok {
		return errors.New("invalid container ID format: " + quote(id))
	}
	return nil
}

func idByte(b byte) bool {
	switch b {
	case '_', '+', '.', '-':
		return true
	}
	return isAlnum(b)
}

func isAlnum(b byte) bool { return isDigit(b) || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' }
func isDigit(b byte) bool { return '0' <= b && b <= '9' }
