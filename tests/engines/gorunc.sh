#!/bin/bash
# The client library of containerd, github.com/containerd/go-runc: the tests are those of tests/gorunc, a program in Go.
# shellcheck disable=SC2317,SC2154 # functions are called by name; here is where the suites are

start_engine() { [[ -x $SCRATCH/gorunc.test ]]; }
engine_version() { awk '/go-runc v/ { print "go-runc", $NF }' "$here/../gorunc/go.mod"; }
clean_up() { :; }

list_tests() { "$SCRATCH/gorunc.test" -test.list . | go_names; echo nothing_left; }
run_test() {
	if [[ $1 == nothing_left ]]; then is "$(left_of_runtime "/run/$RUNTIME_NAME")" ''; return; fi
	RT=$RUNTIME "$SCRATCH/gorunc.test" -test.v -test.run "^$(go_test "$1")\$"
}
