// Package arch holds tests of the source tree itself: the rooms of docs/architecture.md and the direction of imports
// between them.
package arch
