// Package integration drives a built runtime binary as root and looks at what it did, from the host and from
// inside running containers. RT names the binary (default: ../../rt); with RT=runc the same expectations are
// checked against Debian's runc, and each test says where the two differ and why.
package integration
