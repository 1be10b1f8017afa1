#!/bin/bash
# Pods of Podman 5, from a tree (TREE): kube files and pods with infra containers, whose /dev is a read-only tmpfs.
# shellcheck disable=SC2317,SC2154,SC2016 # functions are called by name; exits sets output; $ is for the shell in the container

export PODMAN_IGNORE_CGROUPSV1_WARNING=1

start_engine() {
	configure_containers
	configure /etc/containers/containers.conf
	podman load -i "$SCRATCH/box.tar"
	podman run --rm --net none box true
}
engine_version() { podman version --format 'Podman (pods) {{.Client.Version}}'; }
clean_up() {
	podman pod rm -fa -t 0
	podman rm -fa -t 0
	podman volume rm -fa
	podman secret rm -a
}

inspect() { podman inspect -f "$2" "$1"; }
infra_of() { podman pod inspect "$1" | jq -r '(if type == "array" then .[0] else . end).InfraContainerID'; }
status_is() { [[ $(inspect "$1" '{{.State.Status}}') == "$2" ]]; }

test_infra_container() {
	podman pod create --name pod --hostname pod --net none >/dev/null
	podman pod start pod
	podman run -d --pod pod --name one box httpd -f -p 80 -h /etc >/dev/null
	podman run -d --pod pod --name two box sleep 1000 >/dev/null
	local infra
	infra=$(infra_of pod)
	is "$(inspect "$infra" '{{.State.Status}} {{.OCIRuntime}}')" 'running rt'
	local pid
	pid=$(inspect "$infra" '{{.State.Pid}}')
	has "$(podman exec two wget -qO- http://127.0.0.1/passwd)" root
	is "$(podman exec two hostname)" pod
	for ns in net ipc uts; do
		is "$(podman exec one readlink /proc/self/ns/$ns)" "$(readlink "/proc/$pid/ns/$ns")"
	done
	podman pod pause pod
	is "$(inspect one '{{.State.Status}}')" paused
	podman pod unpause pod
	podman pod stop -t 0 pod
	is "$(inspect "$infra" '{{.State.Status}}')" exited
	podman pod start pod
	is "$(inspect two '{{.State.Status}}')" running
	podman pod stop -t 0 pod
	podman pod restart pod
	is "$(inspect two '{{.State.Status}}')" running
	podman pod kill pod
	podman pod rm -f -t 0 pod
}

test_pod_options() {
	podman pod create --name pod --share pid,net,ipc,uts --net none --memory 64m --cpus 0.5 --sysctl kernel.msgmax=4096 --shm-size 8m \
		--volume "$SCRATCH:/mnt" >/dev/null
	podman run -d --pod pod --name one box sleep 1234 >/dev/null
	is "$(podman run --rm --pod pod box cat /proc/sys/kernel/msgmax)" 4096
	has "$(podman run --rm --pod pod box ps)" 'sleep 1234'
	podman run --rm --pod pod box test -e /mnt/box.tar
	is "$(podman exec one df -k /dev/shm | awk 'NR == 2 { print $2 }')" 8192
	has "$(podman pod top pod args)" 'sleep 1234'
	has "$(podman pod stats --no-stream pod)" one
	podman pod rm -f -t 0 pod
}

test_pod_with_user_namespace() {
	podman pod create --name pod --net none --uidmap 0:100000:65536 --gidmap 0:100000:65536 >/dev/null
	podman run -d --pod pod --name one box sleep 1000 >/dev/null
	is "$(podman exec one cat /proc/self/uid_map | xargs)" '0 100000 65536'
	is "$(podman exec one id -u)" 0
	podman pod rm -f -t 0 pod
}

test_pod_exit_policy() {
	podman pod create --name pod --net none --exit-policy stop >/dev/null
	podman run --pod pod --name one box true
	pod_is() { [[ $(podman pod ps --filter name=pod --format '{{.Status}}') == "$1" ]]; }
	eventually pod_is Exited
	podman pod rm -f -t 0 pod
}

test_kube_play() {
	cat >"$SCRATCH/pod.yaml" <<-EOF
	apiVersion: v1
	kind: Pod
	metadata: {name: kube}
	spec:
	  terminationGracePeriodSeconds: 0
	  hostname: kube
	  containers:
	  - name: web
	    image: docker.io/library/box:latest
	    imagePullPolicy: Never
	    command: [httpd, -f, -p, "8080", -h, /etc]
	    livenessProbe: {exec: {command: [test, -e, /etc/passwd]}}
	    volumeMounts: [{name: shared, mountPath: /shared}]
	  - name: side
	    image: docker.io/library/box:latest
	    imagePullPolicy: Never
	    command: [sh, -c, "echo from side >/shared/file; exec sleep 1000"]
	    resources: {limits: {memory: 32Mi, cpu: 500m}}
	    securityContext: {runAsUser: 1000, runAsGroup: 5, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
	    env: [{name: A, value: b}]
	    volumeMounts: [{name: shared, mountPath: /shared}, {name: memory, mountPath: /memory}]
	  volumes:
	  - name: shared
	    emptyDir: {}
	  - name: memory
	    emptyDir: {medium: Memory}
	EOF
	podman kube play --log-driver k8s-file --network none "$SCRATCH/pod.yaml"
	is "$(podman pod ps --filter name=kube --format '{{.Status}} {{.NumberOfContainers}}')" 'Running 3'
	# Its infra container has a read-only tmpfs at /dev, in which is what the runtime makes there.
	local infra
	infra=/proc/$(inspect "$(infra_of kube)" '{{.State.Pid}}')
	has "$(awk '$5 == "/dev" { print $6 }' "$infra/mountinfo")" ro,
	test -c "$infra/root/dev/null"
	test -c "$infra/root/dev/pts/ptmx"
	is "$(readlink "$infra/root/dev/ptmx" "$infra/root/dev/fd" | xargs)" 'pts/ptmx /proc/self/fd'
	is "$(podman exec kube-side sh -c 'echo $(id -u):$(id -g) $A $(hostname)')" '1000:5 b kube'
	has "$(podman exec kube-side wget -qO- http://127.0.0.1:8080/passwd)" root
	is "$(podman exec kube-side grep CapBnd /proc/self/status | cut -f2)" 0000000000000000
	exits 1 podman exec kube-side touch /x
	has "$(podman exec kube-side grep ' /memory ' /proc/mounts)" tmpfs
	shared() { [[ $(podman exec kube-web cat /shared/file) == 'from side' ]]; }
	eventually shared
	is "$(inspect kube-side '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}')" "$((32 << 20)) 500000000"
	# Again, in its place; then away.
	podman kube play --replace --log-driver k8s-file --network none "$SCRATCH/pod.yaml"
	is "$(podman pod ps --filter name=kube --format '{{.Status}}')" Running
	podman kube down "$SCRATCH/pod.yaml"
	is "$(podman ps -aq; podman pod ps -q)" ''
}

test_kube_init_containers() {
	cat >"$SCRATCH/init.yaml" <<-EOF
	apiVersion: v1
	kind: Pod
	metadata: {name: kube}
	spec:
	  terminationGracePeriodSeconds: 0
	  initContainers:
	  - name: first
	    image: docker.io/library/box:latest
	    imagePullPolicy: Never
	    command: [sh, -c, "echo made >/shared/file"]
	    volumeMounts: [{name: shared, mountPath: /shared}]
	  containers:
	  - name: main
	    image: docker.io/library/box:latest
	    imagePullPolicy: Never
	    command: [sh, -c, "cat /shared/file; exec sleep 1000"]
	    volumeMounts: [{name: shared, mountPath: /shared}]
	  volumes: [{name: shared, emptyDir: {}}]
	EOF
	podman kube play --log-driver k8s-file --network none "$SCRATCH/init.yaml"
	is "$(podman exec kube-main cat /shared/file)" made
	podman kube down --force "$SCRATCH/init.yaml"
}

test_kube_configmap_and_secret() {
	cat >"$SCRATCH/config.yaml" <<-EOF
	apiVersion: v1
	kind: ConfigMap
	metadata: {name: config}
	data: {word: configured}
	---
	apiVersion: v1
	kind: Secret
	metadata: {name: secret}
	data: {word: aGlkZGVu}
	---
	apiVersion: v1
	kind: Pod
	metadata: {name: kube}
	spec:
	  terminationGracePeriodSeconds: 0
	  containers:
	  - name: main
	    image: docker.io/library/box:latest
	    imagePullPolicy: Never
	    command: [sleep, "1000"]
	    env: [{name: WORD, valueFrom: {configMapKeyRef: {name: config, key: word}}}]
	    volumeMounts: [{name: config, mountPath: /config}, {name: secret, mountPath: /secret}]
	  volumes:
	  - name: config
	    configMap: {name: config}
	  - name: secret
	    secret: {secretName: secret}
	EOF
	podman kube play --log-driver k8s-file --network none "$SCRATCH/config.yaml"
	is "$(podman exec kube-main sh -c 'echo $WORD $(cat /config/word) $(cat /secret/word)')" 'configured configured hidden'
	podman kube down --force "$SCRATCH/config.yaml"
}

test_kube_restart_and_errors() {
	sed 's/^\t//' >"$SCRATCH/template.yaml" <<-EOF
	apiVersion: v1
	kind: Pod
	metadata: {name: kube}
	spec:
	  terminationGracePeriodSeconds: 0
	  restartPolicy: POLICY
	  containers:
	  - name: main
	    image: docker.io/library/box:latest
	    imagePullPolicy: Never
	    command: COMMAND
	EOF
	kube() { sed -e "s|POLICY|$1|; s|COMMAND|$2|" "$SCRATCH/template.yaml" >"$SCRATCH/kube.yaml"; }
	kube OnFailure '[sh, -c, "exit 3"]'
	podman kube play --log-driver k8s-file --network none "$SCRATCH/kube.yaml"
	restarted() { [[ $(inspect kube-main '{{.RestartCount}}') -ge 2 ]]; }
	eventually restarted
	podman kube down "$SCRATCH/kube.yaml"
	# It fails to start, and everything can be taken away.
	kube Never '[/no/such/program]'
	podman kube play --log-driver k8s-file --network none "$SCRATCH/kube.yaml" && fail 'a program that is missing was started'
	podman kube down "$SCRATCH/kube.yaml"
	is "$(podman ps -aq; podman pod ps -q)" ''
}

test_kube_generate() {
	podman pod create --name pod --net none --hostname pod >/dev/null
	podman run -d --pod pod --name one --memory 32m --read-only --user 1000:5 --env A=b --cap-drop CHOWN box sleep 1000 >/dev/null
	podman kube generate pod >"$SCRATCH/pod.yaml"
	podman pod rm -f -t 0 pod
	podman kube play --log-driver k8s-file --network none "$SCRATCH/pod.yaml"
	is "$(podman exec pod-one sh -c 'echo $(id -u):$(id -g) $A $(hostname)')" '1000:5 b pod'
	exits 1 podman exec pod-one touch /x
	podman kube down "$SCRATCH/pod.yaml"
}

test_kube_deployment() {
	cat >"$SCRATCH/deployment.yaml" <<-EOF
	apiVersion: apps/v1
	kind: Deployment
	metadata: {name: many}
	spec:
	  replicas: 1
	  selector: {matchLabels: {app: many}}
	  template:
	    metadata: {labels: {app: many}}
	    spec:
	      terminationGracePeriodSeconds: 0
	      containers:
	      - name: main
	        image: docker.io/library/box:latest
	        imagePullPolicy: Never
	        command: [sleep, "1000"]
	EOF
	podman kube play --log-driver k8s-file --network none "$SCRATCH/deployment.yaml"
	is "$(podman exec many-pod-main echo in)" in
	podman kube down "$SCRATCH/deployment.yaml"
	is "$(podman ps -aq; podman pod ps -q)" ''
}

# counts NAME [COMMAND ...]: its counter goes on; by that podman.
counts() {
	local name=$1 before
	shift
	count() { "${@:-podman}" exec "$name" cat /tmp/n; }
	before=$(count "$@")
	[[ $before -gt ${at:-0} ]]
	moved() { [[ $(count "$@") -gt $before ]]; }
	eventually moved "$@"
	at=$before
}

# another_machine: a mount namespace, $machine, with a store and a state of its own, for what other NAME ... does.
another_machine() {
	mkdir -p "$SCRATCH/other" /run/containers /run/libpod "/run/$RUNTIME_NAME"
	unshare --mount --propagation private sh -c 'mount --bind "$1" /var/lib/containers
		for dir in /run/containers /run/libpod "/run/$2"; do mount -t tmpfs -o mode=0700 tmpfs "$dir"; done
		mount -t tmpfs tmpfs /dev/shm
		: >"$1/ready"; exec sleep 10000' sh "$SCRATCH/other" "$RUNTIME_NAME" >/dev/null 2>&1 &
	machine=$!
	eventually test -e "$SCRATCH/other/ready"
}
other() { nsenter --target "$machine" --mount podman "$@"; }

test_checkpoint_and_restore() {
	local at=0 saved archive=$SCRATCH/one.tar.zst
	podman run -d --net none --name one --memory 64m --env A=b box sh -c 'i=0; while :; do i=$((i + 1)); echo $i >/tmp/n; sleep 0.1; done' >/dev/null
	eventually podman exec one test -s /tmp/n
	counts one
	podman container checkpoint one
	is "$(inspect one '{{.State.Status}} {{.State.Checkpointed}}')" 'exited true'
	podman container restore one
	counts one
	# To another store, as on another machine, and on with it there.
	podman container checkpoint --export "$archive" one
	saved=$at
	podman rm one
	another_machine
	other load -i "$SCRATCH/box.tar"
	other container restore --import "$archive"
	counts one other
	is "$(other exec one cat /proc/1/environ | tr '\0' '\n' | grep ^A=)" A=b
	is "$(other inspect -f '{{.HostConfig.Memory}}' one)" $((64 << 20))
	other container restore --import "$archive" --name two --ignore-static-ip
	at=$saved
	counts two other
	other rm -f -t 0 one two
	kill "$machine"
	# One that runs on.
	podman run -d --net none --name three box sh -c 'i=0; while :; do i=$((i + 1)); echo $i >/tmp/n; sleep 0.1; done' >/dev/null
	eventually podman exec three test -s /tmp/n
	podman container checkpoint --leave-running --export "$archive" three
	at=0
	counts three
}

test_nothing_left() {
	clean_up
	local root=/run/$RUNTIME_NAME
	none_left() { [[ -z $(left_of_runtime "$root") ]]; }
	eventually none_left
	is "$(find /sys/fs/cgroup/ -type d -name 'libpod-*' 2>/dev/null)" ''
}
