// Package nsenter is the border between rt and the inside of a container. The C files are the stub: it takes
// over a re-executed rt before the Go runtime starts (or runs as the small program embedded from image/), and
// executes a plan. The Go files, which run outside, are the types of the plan's steps, their encoding and the
// conversation with the stub. This is the only package that uses cgo.
package nsenter

// #cgo CFLAGS: -D_GNU_SOURCE -Os -Wall -Wextra -Werror -fstack-protector-strong -fstack-clash-protection
import "C"
