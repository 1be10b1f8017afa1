// Package console handles terminals on the outside of a container: the console socket, raw mode of the
// caller's terminal, copying, and window sizes.
package console
