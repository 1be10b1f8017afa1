#!/bin/bash
# buildah as root, with --isolation oci: the only one of the callers that asks for `state`.
# shellcheck disable=SC2317,SC2154,SC2016 # functions are called by name; exits sets output; $ is for the shell in the container

start_engine() {
	configure_containers
	buildah pull "docker-archive:$SCRATCH/box.tar"
	mkdir "$SCRATCH/build"
}
engine_version() { buildah --version | cut -d' ' -f1-3; }
clean_up() { buildah rm -a; }

from() { c=$(buildah from --pull-never docker.io/library/box); }
# shellcheck disable=SC2046 # commands with their arguments
{
run() { $(documented line 'buildah run') --network none "$@"; }
bud() { $(documented line 'buildah bud') --network none "$@" "$SCRATCH/build"; }
}

test_run() {
	from
	is "$(run "$c" echo hello)" hello
	is "$(echo from outside | run "$c" cat)" 'from outside'
	exits 7 run "$c" sh -c 'exit 7'
	is "$(run --user 1000:1000 "$c" id -u)" 1000
	is "$(run -v "$SCRATCH/build:/mnt:ro" "$c" sh -c 'touch /mnt/x 2>/dev/null || echo refused')" refused
	is "$(run --cap-add CAP_SYS_ADMIN --env A=b "$c" sh -c 'echo $A')" b
	run "$c" touch /made
	run "$c" test -e /made
}

test_errors() {
	from
	exits 1 run "$c" no-such-program
	has "${output,,}" 'not found'
	exits 1 run "$c" /etc/passwd
	has "${output,,}" 'permission denied'
}

test_terminal() {
	from
	exits 3 script -qefc "buildah run -t --runtime $RUNTIME --isolation oci --network none $c sh -c 'tty; exit 3'" /dev/null
	has "$output" /dev/pts/0
}

test_build() {
	echo content >"$SCRATCH/build/file"
	cat >"$SCRATCH/build/Dockerfile" <<-'EOF'
	FROM docker.io/library/box
	COPY file /file
	RUN --mount=type=tmpfs,target=/scratch touch /scratch/x && mkdir /made && cat /file >/made/file
	USER user
	WORKDIR /made
	RUN id -u >/tmp/id
	EOF
	bud -t built
	c=$(buildah from --pull-never localhost/built)
	is "$(run "$c" cat /made/file /tmp/id | xargs)" 'content 1000'
	exits 1 run "$c" test -e /scratch/x
	printf 'FROM docker.io/library/box\nRUN exit 4\n' >"$SCRATCH/build/Dockerfile"
	exits 4 bud
}

test_commit() {
	from
	run "$c" sh -c 'echo kept >/kept'
	buildah commit -q "$c" committed
	c=$(buildah from --pull-never localhost/committed)
	is "$(run "$c" cat /kept)" kept
}

test_nothing_left() {
	clean_up
	none_left() { [[ -z $(left_of_runtime "/run/$RUNTIME_NAME") ]]; }
	eventually none_left
	is "$(find /sys/fs/cgroup/ -type d -name 'buildah-*' 2>/dev/null)" ''
}
