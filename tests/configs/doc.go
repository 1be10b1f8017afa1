// Package configs has tests that give rt configurations nobody would write: those of engines, with properties deleted, repeated,
// swapped and replaced by chance. Nothing of the host is in their reach: each worker is PID 1 of namespaces of its own, of every
// kind but the user's, its root is a tmpfs with rt and busybox, its cgroups are below one of its own, and it lacks the capabilities by
// which root changes a machine.
package configs
