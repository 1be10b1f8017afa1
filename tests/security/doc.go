// Package security attacks the runtime as a container, an image, a configuration or a neighbour can: one test for each
// class of hole that runtimes have had. RT names the binary under test (default ./rt); an attack that succeeds fails
// its test, on any runtime. docs/hardening.md says which defence each test is about, and against what it was seen to succeed.
//
// RT_SECURITY=full makes the races long (make test-security); without it they are short enough for make test.
package security
