/*
 * The mounts that the plan has made and that later steps refer to, by descriptor. A path that leads into one of them is walked
 * from there, and a change of one is made on its descriptor: by path, a neighbour who shares the rootfs could lead both elsewhere.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "stub.h"

/* The length of top if path is the same or lies below it, else 0. */
static size_t below(const char *path, const char *top)
{
	size_t n = strlen(top);
	return strncmp(path, top, n) == 0 && (path[n] == '/' || !path[n]) ? n : 0;
}

/*
 * Puts the path without links of the mount at path or above it in the place of the plan's name for it, if a link led there: two
 * names of one place must be one. Returns 1 if path has changed, 0 if not, or -errno.
 */
int made_rename(const struct ctx *c, char path[MAX_PATH])
{
	for (unsigned i = c->made->n; i-- > 0;) {
		const struct mount_made *m = &c->made->mount[i];
		size_t from = below(path, m->want), to = strlen(m->at), rest = strlen(path + from) + 1;
		if (m->hidden)
			continue;
		if (below(path, m->at))
			return 0;
		if (!from)
			continue;
		if (to + rest > MAX_PATH)
			return -ENAMETOOLONG;
		memmove(path + to, path + from, rest);
		memcpy(path, m->at, to);
		return 1;
	}
	return 0;
}

/*
 * Whether a source, want in the plan and name without links, is in the mount that the plan has put there, and has no others below it if it
 * is recursive. A link of the image may have led one over that, or into it: the container would get another volume, with other flags.
 */
int made_as_planned(const struct ctx *c, const char *want, const char *name, int recursive)
{
	int inner = 0;
	for (unsigned i = c->made->n; i-- > 0;) {
		const struct mount_made *m = &c->made->mount[i];
		size_t at = below(name, m->at), planned = below(want, m->want);
		if (m->hidden)
			continue;
		if (at && !inner++ && (!planned || strcmp(name + at, want + planned) != 0))
			return 0;
		if (!at && recursive && below(m->at, name) && !below(m->want, want))
			return 0;
	}
	return 1;
}

/*
 * Keeps the mounts that the plan has put neither at or below a path nor above it out of a clone of what is there, until made_back: a neighbour
 * may have renamed their directories to below it. The same for hidden ones, which would be hidden in the clone. want is the plan's name for
 * the path, at the one without links. An unbindable mount leaves its peer group, and is no slave any more: a clone of it stays in its place.
 * What cannot be cloned is unbindable already.
 */
int made_apart(const struct ctx *c, const char *want, const char *at)
{
	const struct k_mount_attr unbindable = {.propagation = MS_UNBINDABLE};
	for (unsigned i = 0; i < c->made->n; i++) {
		struct mount_made *m = &c->made->mount[i];
		if (!m->hidden && (below(m->want, want) || below(want, m->want) || below(m->at, at) || below(at, m->at)))
			continue;
		m->group = k_open_tree(m->fd, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE);
		if (m->group < 0 ? errno != EINVAL : k_mount_setattr(m->fd, 0, &unbindable) < 0)
			return -errno;
	}
	return 0;
}

/*
 * Lets these mounts in again, and gives them the peers and the master that they had. A mount without either stays private (EINVAL), and so do all
 * on Linux 5.14, and in a user namespace those with mounts of the host's below them, which the kernel has locked.
 */
int made_back(const struct ctx *c)
{
	const struct k_mount_attr private = {.propagation = MS_PRIVATE};
	for (unsigned i = 0; i < c->made->n; i++) {
		struct mount_made *m = &c->made->mount[i];
		if (m->group < 0)
			continue;
		if (k_mount_setattr(m->fd, 0, &private) < 0 || (k_join_group(m->fd, m->group) < 0 && errno != EINVAL))
			return -errno;
		close(m->group);
		m->group = -1;
	}
	return 0;
}

/* Whether the mount i, or one of the plan above it and below path, is in no clone. */
static int is_unbindable(const struct ctx *c, unsigned i, const char *path)
{
	const struct mount_made *m = c->made->mount;
	for (unsigned j = 0; j < c->made->n; j++) {
		size_t n = below(m[j].at, path);
		if (!n || !m[j].at[n] || !below(m[i].at, m[j].at))
			continue;
		int fd = k_open_tree(m[j].fd, "", K_EMPTY_PATH | K_OPEN_TREE_CLONE | K_RECURSIVE), err = errno;
		close(fd);
		if (fd < 0 && err == EINVAL)
			return 1;
	}
	return 0;
}

/*
 * Opens those mounts of a clone of all that is at path which are clones of the plan's. made_note takes note of them when the clone gets its
 * place: they are protected and masked as their originals are, and a neighbour can rename their directories as well.
 */
int made_parts(struct ctx *c, const char *path, int tree)
{
	struct made *t = c->made;
	for (unsigned i = 0; i < t->n; i++) {
		const struct mount_made *m = &t->mount[i];
		struct k_statx is, want;
		size_t n = below(m->at, path);
		if (!n || !m->at[n] || m->hidden)
			continue;
		c->what = "too many mounts that others depend on";
		if (t->n + t->parts + 1 >= MAX_MADE)
			return -E2BIG;
		c->what = "open a mount in a clone";
		int fd = path_open(tree, m->at + n, O_PATH, K_NO_SYMLINKS);
		if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
			return -errno;
		if (fd >= 0 && (k_statx(fd, &is) < 0 || k_statx(m->fd, &want) < 0))
			return -errno;
		if (fd >= 0 && is.attributes & K_STATX_ATTR_MOUNT_ROOT && is.ino == want.ino && is.dev_major == want.dev_major && is.dev_minor == want.dev_minor) {
			t->mount[MAX_MADE - ++t->parts] = (struct mount_made){NULL, m->at + n, fd, -1, 0};
			continue;
		}
		close(fd);
		c->what = "open a mount in a clone: its directory has been renamed";
		if (!is_unbindable(c, i, path))
			return -ESTALE;
	}
	return 0;
}

/* Where to walk path from: the mount at it or above it, the last one made, else the root. *skip: the bytes that lead there. */
int made_above(const struct ctx *c, const char *path, size_t *skip)
{
	for (unsigned i = c->made->n; i-- > 0;) {
		const struct mount_made *m = &c->made->mount[i];
		if (!m->hidden && ((*skip = below(path, m->at)) || (*skip = below(path, m->want))))
			return m->fd;
	}
	*skip = 0;
	return c->root;
}

/* Where to walk path from in the mount i, if that is hidden and path led into it; else -1. */
int made_hidden(const struct ctx *c, unsigned i, const char *path, size_t *skip)
{
	const struct mount_made *m = &c->made->mount[i];
	return m->hidden && ((*skip = below(path, m->at)) || (*skip = below(path, m->want))) ? m->fd : -1;
}

/*
 * The descriptor of the mount i if it is below a path, be it hidden or not; else -1. want is the plan's name for the path, at the one without
 * links: a link may lead elsewhere than when the mount was made.
 */
int made_below(const struct ctx *c, unsigned i, const char *want, const char *at)
{
	const struct mount_made *m = &c->made->mount[i];
	size_t n = below(m->at, at), planned = below(m->want, want);
	return (n && m->at[n]) || (planned && m->want[planned]) ? m->fd : -1;
}

/* The descriptor of the mount that was made at the target want, be it hidden by now, or not; -1 if none is known. */
int made_at(const struct ctx *c, const char *want, int hidden)
{
	for (unsigned i = c->made->n; i-- > 0;)
		if (strcmp(c->made->mount[i].want, want) == 0 && (hidden || !c->made->mount[i].hidden))
			return c->made->mount[i].fd;
	return -1;
}

static int made_id(const struct ctx *c, uint64_t id)
{
	struct k_statx st;
	for (unsigned i = 0; i < c->made->n; i++)
		if (k_statx(c->made->mount[i].fd, &st) < 0 || st.mnt_id == id) /* also what cannot be looked at */
			return 1;
	return 0;
}

/* Opens the directory that has the mount of a file, from which ".." does not lead, in it. path leads to that. */
static int file_above(struct ctx *c, const char *path, int file)
{
	char at[MAX_PATH];
	struct k_statx is, want;
	int base = c->base, fd = path_walk(c, path, at, O_PATH), dir = -1;
	char *name = fd < 0 ? NULL : strrchr(at, '/');
	c->base = base;
	close(fd);
	if (!name)
		return -1;
	*name++ = 0;
	if ((dir = path_find(c, at, O_PATH | O_DIRECTORY)) < 0)
		return -1;
	fd = path_open(dir, name, O_PATH, K_NO_SYMLINKS);
	int same = fd >= 0 && k_statx(fd, &is) == 0 && k_statx(file, &want) == 0 && is.mnt_id == want.mnt_id;
	close(fd);
	if (same)
		return dir;
	close(dir);
	return -1;
}

/*
 * Whether a descriptor is in a mount of the plan, or one below such a mount, where path does not lead by its names. The mounts above one stay
 * the same, wherever their directories are renamed to.
 */
int made_elsewhere(struct ctx *c, const char *path, int at)
{
	struct k_statx top, st;
	int fd = -1, base = c->root, is = 1;
	for (unsigned i = 0; i < c->made->n; i++)
		if (!c->made->mount[i].hidden && below(path, c->made->mount[i].want))
			base = c->made->mount[i].fd;
	for (int i = 0; i < MAX_PATH && k_statx(base, &top) == 0 && k_statx(at, &st) == 0; i++) {
		is = st.mnt_id != top.mnt_id;
		if (!is || made_id(c, st.mnt_id))
			break;
		int up = k_openat2(at, "..", O_PATH | O_CLOEXEC, 0, 0);
		if (up < 0 && errno == ENOTDIR)
			up = file_above(c, path, at);
		close(fd);
		if ((at = fd = up) < 0)
			break;
	}
	close(fd);
	return is;
}

/* Whether the target of the mount in hand lies in dir although it is not called so: a link leads there. */
int made_behind_link(const struct ctx *c, const char *want, const char *dir)
{
	return below(c->made->target, dir) && !below(want, dir);
}

/* No later step walks from a mount: the descriptors would count for what the limit of rt's caller leaves. */
void made_close(struct ctx *c)
{
	while (c->made->n > 0)
		close(c->made->mount[--c->made->n].fd);
}

/*
 * A mount at the target in hand covers what is there, and hides what is below it. That may come to light again: a neighbour who shares the
 * rootfs can rename the directories between.
 */
static void hide(struct made *t)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < t->n; i++) {
		size_t at = below(t->mount[i].at, t->target);
		t->mount[i].hidden |= at != 0;
		if (!at || t->mount[i].at[at])
			t->mount[kept++] = t->mount[i];
		else if (!t->borrowed)
			close(t->mount[i].fd);
	}
	t->n = kept;
}

/* Makes room, of which the pages that are not used are not there: behind the plan, where page tables are (receive_plan). */
static int make_room(struct ctx *c)
{
	const size_t list = MAX_MADE * sizeof(struct mount_made);
	void *near = (char *)c->plan + (c->plan_size | 4095) + 1, *room;
	TRY(c, "mmap", (room = mmap(near, list + MADE_TEXT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) == MAP_FAILED ? -1 : 0);
	c->made->mount = room;
	c->made->text = (char *)room + list;
	return 0;
}

/* Keeps a path that is in no plan; NULL if there is no room. */
static const char *keep_text(struct made *t, const char *dir, const char *rest)
{
	size_t n = strlen(dir), m = strlen(rest) + 1;
	char *text = t->text + t->used;
	if (n + m > MADE_TEXT - t->used)
		return NULL;
	memcpy(text, dir, n);
	memcpy(text + n, rest, m);
	t->used += n + m;
	return text;
}

/* Takes note of the mounts of a clone, which now are below the target in hand, or lets them be. */
static int note_parts(struct made *t, const char *want, const char *at)
{
	for (; t->parts > 0; t->parts--) {
		const struct mount_made *p = &t->mount[MAX_MADE - t->parts];
		if (!want) {
			close(p->fd);
			continue;
		}
		const char *in = keep_text(t, at, p->at), *named = want == at ? in : keep_text(t, want, p->at);
		if (!in || !named)
			return -E2BIG;
		t->mount[t->n++] = (struct mount_made){named, in, p->fd, -1, 0};
	}
	return 0;
}

/* Takes note of a mount that now is at the target in hand, and keeps its descriptor if the plan says so (c->keep), or if a
 * link led there, so that the plan cannot know. Returns 1 if the descriptor is kept. */
int made_note(struct ctx *c, int tree)
{
	struct made *t = c->made;
	const char *want = c->want, *at = want;
	int moved = want && strcmp(want, t->target) != 0;
	hide(t);
	if (!want || !(c->keep || moved))
		return note_parts(t, NULL, NULL);
	int r = t->mount ? 0 : make_room(c);
	if (r < 0)
		return r;
	c->what = "too many mounts that others depend on";
	if (t->n + t->parts >= MAX_MADE || (moved && !(at = keep_text(t, t->target, ""))))
		return -E2BIG;
	t->mount[t->n++] = (struct mount_made){want, at, tree, -1, 0};
	r = note_parts(t, want, at);
	return r < 0 ? r : 1;
}
