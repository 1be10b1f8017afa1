package bundle

import specs "github.com/opencontainers/runtime-spec/specs-go"

// A gap is a property that the runtime does not apply. Exactly one of the functions is set; it says
// whether a configuration asks for the property.
type gap struct {
	field   string // of the object that the function looks at
	process func(*specs.Process) bool
	linux   func(*specs.Linux) bool
	mount   func(*specs.Mount) bool
	option  string // a word of mounts[].options
}

// notYet is what would silently be missing from a container. It is refused: a container with less
// confinement than was asked for is worse than none. A line goes when its property is applied.
var notYet = [...]gap{
	{field: "apparmorProfile", process: func(p *specs.Process) bool { return p.ApparmorProfile != "" }},
	{field: "selinuxLabel", process: func(p *specs.Process) bool { return p.SelinuxLabel != "" }},
	{field: "mountLabel", linux: func(l *specs.Linux) bool { return l.MountLabel != "" }},
	{field: "uidMappings", mount: func(m *specs.Mount) bool { return len(m.UIDMappings) > 0 }},
	{field: "gidMappings", mount: func(m *specs.Mount) bool { return len(m.GIDMappings) > 0 }},
	{option: "idmap"},
	{option: "ridmap"},
}

const notSupported = "not supported yet"

func (c *checker) notYetProcess(p *specs.Process, ptr string) {
	for i := range notYet {
		if g := &notYet[i]; g.process != nil && g.process(p) {
			c.fail(at(ptr, g.field), notSupported)
		}
	}
}

func (c *checker) notYetLinux(l *specs.Linux) {
	for i := range notYet {
		if g := &notYet[i]; g.linux != nil && g.linux(l) {
			c.fail(at("/linux", g.field), notSupported)
		}
	}
}

func (c *checker) notYetMount(m *specs.Mount, index int) {
	for i := range notYet {
		if g := &notYet[i]; g.mount != nil && g.mount(m) {
			c.fail(at("/mounts", index, g.field), notSupported)
		}
	}
	for j, o := range m.Options {
		if kind := kindOfOption(o); kind != optIDMap && kind != optCopyUp {
			continue
		}
		for i := range notYet {
			if notYet[i].option == o {
				c.fail(at("/mounts", index, "options", j), "%s is %s", o, notSupported)
			}
		}
	}
}
