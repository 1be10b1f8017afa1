package arch

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mostFiles bounds the files of package libcontainer: one for each verb, and what verbs share.
const mostFiles = 23

// TestRooms: docs/architecture.md ("Rooms") lists each directory that has files of the source, no other, and only files that exist.
func TestRooms(t *testing.T) {
	listed := listedRooms(t)
	there := directories(t)
	for dir := range there {
		if listed[dir] == nil {
			t.Errorf("docs/architecture.md, Rooms: %s/ is missing", dir)
		}
	}
	for dir, files := range listed {
		if !there[dir] {
			t.Errorf("docs/architecture.md, Rooms: there is no %s/", dir)
		}
		for _, f := range files {
			if _, err := os.Stat(filepath.Join(root, dir, f)); err != nil {
				t.Errorf("docs/architecture.md, Rooms: %v", err)
			}
		}
	}
}

// listedRooms are the directories that the page lists, with the files that it names for each. A line of the list begins with a path that
// ends in a slash; the lines below it belong to it.
func listedRooms(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(page), "\n## Rooms\n")
	list, _, ended := strings.Cut(list, "\n\n    main -> ")
	if !found || !ended {
		t.Fatal("docs/architecture.md has no list of rooms")
	}
	rooms, dir := map[string][]string{}, "."
	named := regexp.MustCompile(`[\w-]+\.(go|c|h)\b`)
	for line := range strings.Lines(list) {
		text, indented := strings.CutPrefix(line, "    ")
		if !indented {
			continue
		}
		if first, _, _ := strings.Cut(strings.TrimSpace(text), " "); strings.HasSuffix(first, "/") {
			dir = strings.TrimSuffix(first, "/")
			text = strings.Replace(text, first, "", 1)
		}
		rooms[dir] = append(rooms[dir], named.FindAllString(text, -1)...)
		if rooms[dir] == nil {
			rooms[dir] = []string{}
		}
	}
	return rooms
}

// directories are those of the source, by their paths below root; what a build leaves and what belongs to tests alone is left out.
func directories(t *testing.T) map[string]bool {
	t.Helper()
	there := map[string]bool{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && file != root && (name == "testdata" || name == "build" || name[0] == '.' || name[0] == '_') {
			return filepath.SkipDir
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if dir := path.Dir(filepath.ToSlash(rel)); !d.IsDir() && name[0] != '.' {
			there[dir] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// TestFewFiles: package libcontainer is the verbs.
func TestFewFiles(t *testing.T) {
	rooms, _ := tree(t)
	var files []string
	for file := range rooms["rt/libcontainer"] {
		files = append(files, filepath.Base(file))
	}
	slices.Sort(files)
	if len(files) > mostFiles {
		t.Errorf("package libcontainer has %d files, at most %d are for its verbs and what they share: %q", len(files), mostFiles, files)
	}
}
