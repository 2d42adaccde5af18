package policy

import (
	"maps"
	"slices"
)

// Unsealed gives the document as it would be if classes were not sealed.
func (d *Document) Unsealed(classes ...string) *Document {
	out := *d
	out.classes = maps.Clone(d.classes)
	for name, c := range out.classes {
		if slices.Contains(classes, name) {
			clear := *c
			clear.seal = Sealing{}
			out.classes[name] = &clear
		}
	}
	return &out
}
