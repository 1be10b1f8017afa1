/*
 * The kinds of steps: the one list of them, for C and, by cgo, for Go. For each kind: its name, how many strings it has at least,
 * the arguments that are slots, and the other arguments. Behind each line is what the strings are; those in brackets may be more,
 * or NULL. The function of a kind, step_NAME, is in the C file of its subject; the Go file beside that has the Go type of the step,
 * which says what the arguments mean, and fills struct args_NAME (C.struct_args_NAME) for C.K_NAME. tests/arch compares the three
 * (TestStepsOfTheStub). A number that is 0 or 1 is a truth value.
 */
#ifndef RT_STEPS_H
#define RT_STEPS_H

#include <stdint.h>

/* The position of a descriptor among those that come with a plan. */
typedef struct { uint32_t n; } fd_slot;
#define NO_FD 0xffffffffu /* is none */

#define KINDS(X) \
	/* namespaces.c */ \
	X(join_namespace, 0, SLOT(file), U32(type)) \
	X(take_root, 0, , ) \
	X(clone, 0, SLOT(cgroup), U32(flags)) \
	X(join_cgroup, 0, SLOT(tasks), ) \
	X(keyring, 1, , )			/* name */ \
	X(loopback_up, 0, , ) \
	/* talk.c */ \
	X(inputs, 0, , ) \
	X(sync, 0, , U32(point) U32(go_on) U32(heed) U32(mounts)) \
	/* call.c. data: which of the arguments, from 1, is a pointer to the first string; 0: none. size: bytes of that */ \
	X(call, 2, , U64(number) U64(arg1) U64(arg2) U64(arg3) U64(arg4) U64(arg5) U64(arg6) U32(data) U32(size)) /* data, the call's name */ \
	/* sources.c, opener.c */ \
	X(open_tree, 3, SLOT(tree), U32(recursive) U32(below)) /* path, a directory above it or "", the rest of the path below that */ \
	X(opener, 0, , U32(inside)) \
	X(request_tree, 3, SLOT(tree) SLOT(userns), U32(recursive) U32(map_all)) /* as open_tree */ \
	X(map_tree, 0, SLOT(tree) SLOT(userns), U32(all)) \
	X(opener_end, 0, , ) \
	/* root.c, staging.c */ \
	X(staging_root, 0, , U32(sysfs)) \
	X(attach_root, 1, SLOT(tree), U32(propagation) U32(shared) U32(staged)) /* path, [procfs and sysfs of the host] */ \
	X(pivot, 0, , ) \
	X(clone_root, 0, , )			/* [procfs and sysfs of the host] */ \
	X(move_root, 0, , )			/* [procfs and sysfs of the host] */ \
	X(chroot, 0, SLOT(directory), ) \
	/* mounts.c */ \
	X(mount_fs, 5, , U32(attributes) U32(propagation) U32(recursive) U32(no_links) U32(copy_up) U32(by_mount) U32(readonly) \
		U32(keep) U32(tell))		/* type, target, source, options of mount(2), label, [key, value ...] */ \
	X(mount_tree, 1, SLOT(tree), U32(set) U32(clear) U32(implied) U32(back) U32(set_all) U32(clear_all) U32(place) \
		U32(propagation) U32(propagate_all) U32(no_links) U32(keep) U32(tell) U32(own)) /* target */ \
	X(remount, 1, , U32(set) U32(clear) U32(propagation) U32(recursive) U32(superblock) U32(own) U32(if_there)) /* target, [key, value ...] */ \
	/* protect.c */ \
	X(readonly_path, 1, , U32(keep))	/* path */ \
	X(mask_path, 2, , )			/* path, label */ \
	/* devices.c */ \
	X(mkdir, 1, , U32(mode))		/* path */ \
	X(symlink, 2, , U32(must))		/* path, text of the link */ \
	X(mknod, 2, SLOT(host_node), U32(mode) U32(major) U32(minor) U32(uid) U32(gid) U32(bind)) /* path, the host's path or "" */ \
	X(console, 0, , U32(rows) U32(columns) U32(uid) U32(dev_console)) \
	/* proc.c */ \
	X(proc_write, 3, , U32(outside))	/* directory of the procfs, path below it, value */ \
	/* hotplug.c */ \
	X(undo, 0, SLOT(proc), ) \
	X(unmount, 1, , U64(id) U64(check))	/* target */ \
	/* process.c */ \
	X(chown_stdio, 0, , U32(uid)) \
	X(chdir, 1, , U32(retry) U32(is_rootfs) U64(device) U64(inode)) /* path */ \
	X(close_fds, 0, , U32(first)) \
	/* credentials.c */ \
	X(set_ids, 0, , U32(uid) U32(gid) U32(dumpable)) \
	X(bounding, 0, , U64(keep)) \
	X(credentials, 1, , U32(uid) U32(gid) U32(groups) U32(count) U32(keep_capabilities)) /* the groups, sorted, and as many others */ \
	X(no_new_privs, 0, , ) \
	X(capabilities, 0, , U64(effective) U64(permitted) U64(inheritable) U64(ambient) U64(only_set)) \
	/* exec.c, init.c, handout.c */ \
	X(find_exec, 1, , )			/* candidates */ \
	X(hand_out, 0, SLOT(listener), ) \
	X(await_start, 0, SLOT(listener), ) \
	X(init, 0, , U32(steps) U32(terminal)) \
	X(seccomp, 1, , U32(size) U32(flags) U32(notify) U32(send)) /* the program */ \
	X(gate, 0, SLOT(fifo), ) \
	X(exec, 3, , U32(environment) U32(own_end) U32(but)) /* argv, NULL, environment, NULL */

#define KIND(name, strings, slots, numbers) K_##name,
enum kind { K_none, KINDS(KIND) K_END };

/* The arguments of a kind: struct args_NAME, which lies over those of a step. */
#define SLOT(name) fd_slot name;
#define U32(name) uint32_t name;
#define U64(name) uint64_t name;
#define ARGUMENTS(name, strings, slots, numbers) struct args_##name { slots numbers };
KINDS(ARGUMENTS)
#undef SLOT
#undef U32
#undef U64

enum { ARGS_SIZE = 64 };
#define FITS(name, strings, slots, numbers) _Static_assert(sizeof(struct args_##name) <= ARGS_SIZE, #name);
KINDS(FITS)

#endif
