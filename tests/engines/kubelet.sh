#!/bin/bash
# A kubelet by itself, with static pods; KUBELET names it, for Debian has none. See docs/engines.md for how one is built.
# shellcheck disable=SC2317,SC2154,SC2016 # functions are called by name; exits sets output; $ is part of a message

export CONTAINERD_ADDRESS=/run/containerd/containerd.sock CONTAINERD_NAMESPACE=k8s.io
manifests=/etc/kubernetes/manifests

start_engine() {
	mkdir -p "$SCRATCH/etc" "$SCRATCH/lib" /var/lib/kubelet /etc/kubernetes /var/log/pods /var/log/containers
	mount --bind "$SCRATCH/etc" /etc/kubernetes
	mount --bind "$SCRATCH/lib" /var/lib/kubelet
	mkdir -p $manifests
	configure /etc/cni/net.d/10-pods.conflist
	configure /etc/containerd/config.toml
	# Without an API server there is no RuntimeClass: the handler is the default.
	sed -i '/"io.containerd.grpc.v1.cri"\]$/a sandbox_image = "pause.test/pause:latest"\nrestrict_oom_score_adj = true' \
		/etc/containerd/config.toml
	printf '[plugins."io.containerd.grpc.v1.cri".containerd]\ndefault_runtime_name = "rt"\n' >>/etc/containerd/config.toml
	containerd >"$SCRATCH/log" 2>&1 &
	ready() { ctr plugins ls | grep -qE ' cri .* ok *$'; }
	eventually ready
	ctr images import "$SCRATCH/pause.tar"
	ctr images import "$SCRATCH/box.tar"
	cat >/etc/kubernetes/kubelet.yaml <<-END
	apiVersion: kubelet.config.k8s.io/v1beta1
	kind: KubeletConfiguration
	staticPodPath: $manifests
	containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
	cgroupDriver: cgroupfs
	authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
	authorization: {mode: AlwaysAllow}
	address: 127.0.0.1
	readOnlyPort: 10255
	failSwapOn: false
	oomScoreAdj: 0
	evictionHard: {memory.available: 1Mi, nodefs.available: 1%, imagefs.available: 1%}
	fileCheckFrequency: 1s
	syncFrequency: 2s
	enableServer: true
	END
	"$KUBELET" --config /etc/kubernetes/kubelet.yaml --hostname-override node --v 2 >"$SCRATCH/log.kubelet" 2>&1 &
	healthy() { [[ $(busybox wget -qO- http://127.0.0.1:10248/healthz) == ok ]]; }
	eventually healthy
}
engine_version() { "$KUBELET" --version; }
clean_up() {
	rm -f $manifests/*
	gone() { [[ -z $(ctr tasks ls -q) ]]; }
	eventually gone
}

pods() { busybox wget -qO- http://127.0.0.1:10255/pods; }
# state POD FIELD: of its first container, by a jq expression
state() { pods | jq -r --arg name "$1-node" ".items[] | select(.metadata.name == \$name) | $2"; }
ready_is() { [[ $(state "$1" '.status.containerStatuses[0].ready') == "$2" ]]; }
# in_pod POD COMMAND ...: run in its first container, by the kubelet's own API
in_pod() {
	local pod=$1 id
	shift
	id=$(state "$pod" '.status.containerStatuses[0].containerID')
	ctr tasks exec --exec-id "e$RANDOM" "${id#containerd://}" "$@"
}

# manifest NAME: a pod; the fields of its container are standard input
manifest() {
	{
		printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: default}\nspec:\n' "$1"
		printf '  terminationGracePeriodSeconds: 1\n  containers:\n  - name: main\n    image: docker.io/library/box:latest\n    imagePullPolicy: Never\n'
		cat
	} >"$SCRATCH/manifest"
	mv "$SCRATCH/manifest" "$manifests/$1.yaml"
}

test_static_pod() {
	manifest web <<-'END'
	    command: [sh, -c, "mkdir /w; echo page >/w/index.html; exec httpd -f -p 80 -h /w"]
	    resources: {limits: {memory: 64Mi, cpu: 500m}}
	    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [MKNOD]}}
	    readinessProbe: {httpGet: {port: 80, path: /}, periodSeconds: 1}
	    livenessProbe: {exec: {command: [test, "!", -e, /tmp/sick]}, periodSeconds: 1, failureThreshold: 1}
	    volumeMounts: [{name: scratch, mountPath: /scratch}]
	  volumes: [{name: scratch, emptyDir: {medium: Memory}}]
	END
	eventually ready_is web true
	is "$(busybox wget -qO- "http://$(state web .status.podIP)/")" page
	is "$(in_pod web grep NoNewPrivs /proc/1/status | cut -f2)" 1
	is "$(in_pod web stat -fc %T /scratch)" tmpfs
	is "$(cat "/sys/fs/cgroup/memory/kubepods/pod$(state web .metadata.uid)/memory.limit_in_bytes")" $((64 << 20))
	has "$("$RUNTIME" --root /run/containerd/runc/k8s.io list -q)" "$(state web '.status.containerStatuses[0].containerID' | cut -d/ -f3)"
	# The exec probe fails: the container is started again.
	in_pod web touch /tmp/sick
	restarted() { [[ $(state web '.status.containerStatuses[0].restartCount') -ge 1 ]]; }
	eventually restarted
	eventually ready_is web true
	rm $manifests/web.yaml
	no_pod() { [[ -z $(state web .status.phase) && -z $(ctr tasks ls -q) ]]; }
	eventually no_pod
}

test_crash_loop() {
	manifest crash <<-'END'
	    command: [sh, -c, "exit 9"]
	END
	has_code() { [[ $(state crash '.status.containerStatuses[0].lastState.terminated.exitCode') == 9 ]]; }
	eventually has_code
	manifest missing <<-'END'
	    command: [no-such-program]
	END
	says() { [[ $(state missing '.status.containerStatuses[0] | .lastState.terminated.message, .state.waiting.message') == *'executable file not found in $PATH'* ]]; }
	eventually says
}

test_nothing_left() {
	clean_up
	none_left() { [[ -z $(left_of_runtime /run/containerd/runc/k8s.io) ]]; }
	eventually none_left
	is "$(left_of_runtime /run/containerd/runc/k8s.io)" ''
}
