package bundle

import "testing"

func BenchmarkLoadAndCheck(b *testing.B) {
	for _, name := range []string{"default.json", "docker.json"} {
		dir := config(b, read(b, name))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				loaded, err := Load(dir)
				if err != nil || Join(loaded.Check()) != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, name := range []string{"default.json", "docker.json"} {
		raw := read(b, name)
		s, err := Decode(raw)
		if err != nil {
			b.Fatal(err)
		}
		loaded := &Bundle{Raw: raw, Spec: s}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if Join(loaded.Check()) != nil {
					b.Fatal("not clean")
				}
			}
		})
		b.Run(name+"/process", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if Join(CheckProcess(s.Process, "/process")) != nil {
					b.Fatal("not clean")
				}
			}
		})
	}
}
