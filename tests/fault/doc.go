// Package fault kills rt at every system call, lets every system call fail, races rt against itself, and takes away
// what it needs: `make test-fault`. docs/reliability.md says what is promised.
package fault
