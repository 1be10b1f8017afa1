package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pathCall is a system call, or the wrapper of one, that takes a path. path_open, path_walk and path_make of path.c are what all
// paths below the container's root go through; they are made of these.
var pathCall = regexp.MustCompile(`\b(k_openat2|k_open_tree|open|openat|creat|mount|umount2?|stat|lstat|fstatat|statfs|access|faccessat|chdir|chroot|mkdir|mkdirat|mknod|mknodat|mkfifo|` +
	`symlink|symlinkat|link|linkat|readlink|readlinkat|unlink|unlinkat|rmdir|rename|renameat|renameat2|execve|execveat|execvp|chmod|fchmodat|chown|lchown|fchownat|utimensat|truncate|` +
	`setxattr|lsetxattr|getxattr|lgetxattr|removexattr|name_to_handle_at|inotify_add_watch)\(|\bsyscall\((SYS_[a-z0-9_]+|NR_[a-z0-9_]+),`)

// rawPathCalls are system calls by number that take a path. mount_setattr, move_mount and statx are called with empty ones only.
var rawPathCalls = map[string]bool{"SYS_pivot_root": true, "NR_open_tree": true, "NR_move_mount": true, "NR_fspick": true, "NR_openat2": true, "NR_mount_setattr": true,
	"SYS_statx": true, "SYS_mount": true, "SYS_open": true, "SYS_openat": true, "SYS_chdir": true, "SYS_chroot": true, "SYS_umount2": true, "SYS_execve": true, "SYS_execveat": true,
	"SYS_unlinkat": true, "SYS_renameat2": true, "SYS_linkat": true, "SYS_symlinkat": true, "SYS_mkdirat": true, "SYS_mknodat": true, "SYS_fchownat": true, "SYS_readlinkat": true, "SYS_faccessat": true, "SYS_faccessat2": true, "NR_faccessat2": true}

const (
	ofTheHost = "a path of the host, in rt's copy of the host's mounts"
	oneName   = "one name in a directory that is open, and the last one is not followed"
	copying   = "one name in a directory that is open; links are not followed"
	noPath    = "of a descriptor; the path is empty"
	itself    = "the directory that fchdir has just entered"
	ownRoot   = "the process's own root"
)

// reviewed are the calls that take a path in the stub, file by file, and why each is safe where a neighbour or the container
// changes the tree. Who adds one says why here.
var reviewed = map[string]map[string]string{
	"copyup.c": {
		`readlinkat(from, name, text, sizeof text - 1)`:                                     copying,
		`symlinkat(text, to, name)`:                                                         copying,
		`fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW)`:                   copying,
		`fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW)`:                                     copying,
		`openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)`:     "one name in a directory that is open; links are not followed, and on its mount no device is opened",
		`mkdirat(to, name, 0700)`:                                                           copying,
		`mknodat(to, name, (st.st_mode & S_IFMT) | 0600, 0)`:                                copying,
		`openat(to, name, (dir ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)`: copying,
	},
	"devices.c": {
		`readlinkat(dir, name, have, sizeof have)`:                                                        oneName,
		`symlinkat(s->str[1], dir, base)`:                                                                 oneName,
		`k_open_tree(AT_FDCWD, s->str[1], K_OPEN_TREE_CLONE)`:                                             ofTheHost,
		`mknodat(dir, base, (mode_t)s->mknod.mode, makedev(s->mknod.major, s->mknod.minor))`:              oneName,
		`k_openat2(dir, base, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, K_IN_ROOT | K_NO_MAGICLINKS)`:           oneName,
		`fchownat(fd, "", s->mknod.uid, s->mknod.gid, AT_EMPTY_PATH)`:                                     noPath,
		`k_open_tree(slave, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE)`:                                        noPath,
		`k_openat2(dir, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0, K_BENEATH | K_NO_SYMLINKS | K_NO_XDEV)`: "a name of a devpts, where the kernel alone makes nodes",
	},
	"exec.c": {
		`syscall(NR_faccessat2, AT_FDCWD, path, X_OK, K_AT_EACCESS)`: "looks only, in the container's root",
		`stat(path, &st)`: "looks only, in the container's root",
		`execve(path, (char **)s->str, (char **)s->str + s->exec.environment)`: "the program, with its credentials and in its root",
	},
	"handout.c": {
		`open("/proc/self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC)`:  "before the root is switched; what is opened is seen to be a procfs",
		`openat(dir, names[i], O_RDONLY | O_NONBLOCK | O_CLOEXEC)`: "a name of a procfs; rt compares what it is given with what it has recorded",
	},
	"hotplug.c": {
		`umount2(fd, MNT_DETACH)`:   "self/fd/N in the host's procfs, which fchdir has entered: the mount of a descriptor",
		`umount2(name, MNT_DETACH)`: "self/fd/N in the host's procfs, which fchdir has entered: the mount of a descriptor",
	},
	"made.c": {
		`k_open_tree(m->fd, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE)`:   noPath,
		`k_open_tree(m[j].fd, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE)`: noPath,
		`k_openat2(at, "..", O_PATH | O_CLOEXEC, 0, 0)`:                            "up from a descriptor: of what is there the mount alone is looked at, and the mounts above one stay the same",
	},
	"mounts.c": {
		`k_open_tree(at, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE)`:                noPath,
		`k_openat2(mnt, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, K_BENEATH)`:              "the directory of a descriptor itself",
		`k_openat2(at, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, K_BENEATH | K_NO_XDEV)`:     "the directory of a descriptor itself",
		`k_openat2(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, K_BENEATH | K_NO_XDEV)`: "the directory of a descriptor itself",
		`mkdirat(own, "m", 0700)`:                                                           "a tmpfs of the stub's own, which nobody else can reach",
		`open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)`:                                       ownRoot,
		`mount(s->str[2], "m", s->str[0], s->mount_fs.readonly ? MS_RDONLY : 0, s->str[3])`: "a tmpfs of the stub's own, which nobody else can reach",
		`k_open_tree(own, "m", K_OPEN_TREE_CLONE)`:                                          "a tmpfs of the stub's own, which nobody else can reach",
		`umount2(".", MNT_DETACH)`:                                                          itself,
		`syscall(NR_fspick, at, "", K_FSPICK_CLOEXEC | K_FSPICK_EMPTY_PATH)`:                noPath,
	},
	"namespaces.c": {
		`open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)`: ownRoot,
	},
	"opener.c": {
		`open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC)`: "the host's procfs, before the container's root",
		`open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)`:     ownRoot,
		`chroot(".")`: itself,
	},
	"path.c": {
		`k_openat2(root, *path ? path : ".", flags | O_CLOEXEC, 0, resolve | K_IN_ROOT | K_NO_MAGICLINKS)`: "path_open: in the root, without magic links",
		`readlinkat(dir, name, text, MAX_PATH - 1)`:                                                        oneName,
		`k_openat2(dir, name, O_PATH | O_CLOEXEC, 0, K_BENEATH | K_NO_MAGICLINKS)`:                         "asks whether a link is a magic one; the descriptor is not used",
		`mkdirat(dir, path + at + 1, last ? mode : 0755)`:                                                  oneName,
		`mknodat(dir, path + at + 1, S_IFREG | mode, 0)`:                                                   oneName,
	},
	"proc.c": {
		`open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC)`:                                                             "the host's procfs, before the container's root",
		`k_openat2(c->proc, s->str[0], O_PATH | O_DIRECTORY | O_CLOEXEC, 0, K_BENEATH | K_NO_MAGICLINKS | K_NO_XDEV)`: "beneath a procfs that is mounted nowhere, without links",
		`k_openat2(proc, name, flags | O_CLOEXEC, 0, 0)`:                                                              "self/fd/N in a procfs that is mounted nowhere: the file of a descriptor",
		`k_openat2(dir, s->str[1], O_WRONLY | O_CLOEXEC, 0, K_BENEATH | K_NO_SYMLINKS | K_NO_XDEV)`:                   "beneath a procfs that is mounted nowhere, without links",
	},
	"process.c": {
		`k_openat2(fs, "null", O_RDWR | O_NOCTTY | O_CLOEXEC, 0, K_BENEATH | K_NO_SYMLINKS)`: "one name in a new tmpfs that is mounted nowhere: no other process can reach it",
		`mknodat(fs, "null", S_IFCHR | 0666, makedev(1, 3))`:                                 "one name in a new tmpfs that is mounted nowhere: no other process can reach it",
	},
	"protect.c": {
		`k_open_tree(at, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE)`: noPath,
		`k_open_tree(c->mask, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE)`:          noPath,
		`k_open_tree(c->null, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE)`:          noPath,
	},
	"root.c": {
		`k_openat2(AT_FDCWD, a->staged ? STAGED_ROOT : s->str[0], O_PATH | O_DIRECTORY | O_CLOEXEC, 0, K_NO_SYMLINKS | K_NO_MAGICLINKS)`: "a path of the host without links, and what it leads to is compared; or a name in a tmpfs of the stub's own",
		`open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)`: ownRoot,
		`umount2(".", MNT_DETACH)`:                    itself,
		`syscall(SYS_pivot_root, ".", ".")`:           itself,
		`chdir("/")`:                                  ownRoot,
		`k_openat2(AT_FDCWD, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, K_NO_SYMLINKS)`: "a path of the host without links; what it leads to is compared",
		`mount(".", "/", NULL, MS_MOVE, NULL)`:                                         "the root that fchdir has entered, onto the root of the namespace",
		`chroot(".")`:                                                                  itself,
		`k_open_tree(top, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE)`:         noPath,
	},
	"sources.c": {
		`k_open_tree(at, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE)`:                              noPath,
		`k_open_tree(AT_FDCWD, s->str[0], flags)`:                                            ofTheHost,
		`k_openat2(AT_FDCWD, s->str[1], O_PATH | O_DIRECTORY | O_CLOEXEC, 0, K_NO_SYMLINKS)`: "the rootfs, by a path of the host without links",
		`k_open_tree(at, "", K_EMPTY_PATH | flags)`:                                          noPath,
		`k_open_tree(at, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE)`:                noPath,
	},
	"staging.c": {
		`mount(NULL, "/", NULL, MS_SLAVE, NULL)`:                                                          ownRoot,
		`mount("none", "/", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0,nr_inodes=1")`: ownRoot,
		`mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL)`:                                                 ownRoot,
		`open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)`:                                                     ownRoot,
		`openat(fs, dir, O_PATH | O_DIRECTORY | O_CLOEXEC)`:                                               "one name in a tmpfs of the stub's own, before there is a user namespace",
		`mkdirat(fs, dirs[i], 0755)`:                                                                      "one name in a tmpfs of the stub's own, before it is mounted",
	},
	"start.c": {
		`syscall(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC)`: "of the host's procfs, in a process of rt's that is not the stub yet",
		`syscall(SYS_execveat, image, "", argv, envp, AT_EMPTY_PATH)`:              noPath,
	},
	"stub.c": {
		`open("/proc/self/exe", O_RDONLY | O_CLOEXEC)`: "of the host's procfs, in rt itself before it does anything",
	},
	"kernel.c": {
		`syscall(NR_openat2, dir, path, &how, sizeof how)`:                                                       "a wrapper, whose calls are looked at",
		`syscall(SYS_statx, fd, "", K_EMPTY_PATH, 7 | K_STATX_INO | K_STATX_MNT_ID | K_STATX_MNT_ID_UNIQUE, st)`: noPath,
		`syscall(NR_open_tree, dir, path, flags | (unsigned)O_CLOEXEC)`:                                          "a wrapper, whose calls are looked at",
		`syscall(NR_move_mount, from, "", to, "", K_MOVE_F_EMPTY | K_MOVE_T_EMPTY)`:                              noPath,
		`syscall(NR_move_mount, from, "", to, "", K_MOVE_F_EMPTY | K_MOVE_T_EMPTY | K_MOVE_SET_GROUP)`:           noPath,
		`syscall(NR_mount_setattr, fd, "", flags | K_EMPTY_PATH, attr, sizeof *attr)`:                            noPath,
	},
}

// callText is a call with its arguments, from at on.
func callText(text string, at int) string {
	depth := 0
	for i := at; i < len(text); i++ {
		switch text[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return strings.Join(strings.Fields(text[at:i+1]), " ")
			}
		}
	}
	return text[at:]
}

var cComment = regexp.MustCompile(`(?s)/\*.*?\*/`)

// TestPathsInTheStub: no call takes a path in the stub that has not been looked at. A mount is made and changed by
// descriptor, a path below the root is resolved by path.c.
func TestPathsInTheStub(t *testing.T) {
	sources, err := filepath.Glob("../../nsenter/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatal(err, sources)
	}
	for _, source := range sources {
		raw, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		file, text := filepath.Base(source), cComment.ReplaceAllString(string(raw), "")
		seen := map[string]bool{}
		for _, at := range pathCall.FindAllStringSubmatchIndex(text, -1) {
			call := callText(text, at[0])
			if strings.HasPrefix(call, "syscall(") && !rawPathCalls[text[at[4]:at[5]]] || strings.Contains(call, "(int dir, const char *path") {
				continue
			}
			if seen[call] = true; reviewed[file][call] == "" {
				t.Errorf("%s: %s takes a path: say in reviewed why it is safe, or go through path.c", file, call)
			}
		}
		for call := range reviewed[file] {
			if !seen[call] {
				t.Errorf("%s: %s is reviewed, but not there any more", file, call)
			}
		}
	}
}
