#!/bin/bash
# containerd's CRI plugin, by its gRPC API: most tests are those of cri/, a test program in Go.
# shellcheck disable=SC2317 # functions are called by name

export CONTAINERD_ADDRESS=/run/containerd/containerd.sock CONTAINERD_NAMESPACE=k8s.io

start_engine() {
	configure /etc/cni/net.d/10-pods.conflist
	configure /etc/containerd/config.toml
	# The pause image would come from a registry; a negative OOM score needs CAP_SYS_RESOURCE.
	sed -i '/"io.containerd.grpc.v1.cri"\]$/a sandbox_image = "pause.test/pause:latest"\nrestrict_oom_score_adj = true' \
		/etc/containerd/config.toml
	iptables -P FORWARD ACCEPT
	sysctl -qw net.ipv4.ip_forward=1
	daemon &
	ready() { ctr plugins ls | grep -qE ' cri .* ok *$'; }
	eventually ready
	ctr images import "$SCRATCH/pause.tar"
	ctr images import "$SCRATCH/box.tar"
}
engine_version() { printf 'containerd %s\n' "$(containerd --version | cut -d' ' -f3)"; }

# daemon: containerd, anew whenever it has ended and nobody holds it; cri/ kills it.
daemon() {
	while :; do
		containerd >>"$SCRATCH/log" 2>&1 &
		echo $! >"$SCRATCH/containerd.pid"
		wait $! || true
		while [[ -e $SCRATCH/hold ]]; do sleep 0.1; done
	done
}

# A test that was cut off leaves its pods.
clean_up() {
	rm -f "$SCRATCH/hold"
	eventually ctr version
	"$SCRATCH/cri.test" -test.run '^$' -remove
}

list_tests() { "$SCRATCH/cri.test" -test.list . | go_names; echo nothing_left; }
run_test() {
	if [[ $1 == nothing_left ]]; then nothing_left; return; fi
	"$SCRATCH/cri.test" -test.v -test.run "^$(go_test "$1")\$"
}

nothing_left() {
	none_left() { [[ -z $(left_of_runtime /run/containerd/runc/k8s.io) ]]; }
	eventually none_left
	is "$(left_of_runtime /run/containerd/runc/k8s.io)" ''
	is "$(groups_below kubepods/*)" ''
	is "$(find /var/lib/cni/networks/pods -name '10.*')" ''
}
