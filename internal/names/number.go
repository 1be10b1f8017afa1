package names

import (
	"fmt"
	"math"
	"strconv"
)

// Unsigned reads a whole number that is not negative and fits into bits. With an error it is the nearest that does, or 0.
func Unsigned(text string, bits int) (uint64, error) { return unsigned(text, 10, bits) }

// AnyUnsigned is Unsigned for a number that may be written as in C, 0x10.
func AnyUnsigned(text string, bits int) (uint64, error) { return unsigned(text, 0, bits) }

func unsigned(text string, base, bits int) (uint64, error) {
	n, err := strconv.ParseUint(text, base, bits)
	if err != nil {
		return n, fmt.Errorf("%.64q is not a number from 0 to %d", text, uint64(math.MaxUint64)>>(64-bits))
	}
	return n, nil
}

// Signed reads a whole number that fits into bits. With an error it is the nearest that does, or 0.
func Signed(text string, bits int) (int64, error) { return signed(text, 10, bits) }

// AnySigned is Signed for a number that may be written as in C, 0x10.
func AnySigned(text string, bits int) (int64, error) { return signed(text, 0, bits) }

func signed(text string, base, bits int) (int64, error) {
	n, err := strconv.ParseInt(text, base, bits)
	if err != nil {
		return n, fmt.Errorf("%.64q is not a number from %d to %d", text, int64(math.MinInt64)>>(64-bits), int64(math.MaxInt64)>>(64-bits))
	}
	return n, nil
}
