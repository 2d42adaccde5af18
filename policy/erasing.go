package policy

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// Erasing is what becomes of a class's values in rows that an erasure
// anonymises. The zero Erasing is what fits the column: nothing where it can
// be null, else a value of its type that tells of nobody.
type Erasing struct {
	Keep bool // they stay as they are
	Mask Mask // they become what it shows of them
}

// String gives what becomes of the values as a policy writes it.
func (e Erasing) String() string {
	switch {
	case e.Keep:
		return "keep"
	case e.Mask.Kind != 0:
		return e.Mask.String()
	default:
		return ""
	}
}

// erasing is an Erasing as it is written.
type erasing struct {
	Erasing
	pos Pos
}

// erasing reads what an erasure makes of a class's values. A pseudonym that
// can be made again from the same value would still tell whose row it is, so
// hash is none of them; a token is a random one here.
func (r *reader) erasing(n *yaml.Node) erasing {
	w := r.text(n, "keep, null or a mask")
	e := erasing{pos: w.pos}
	if w.text == "" {
		return e
	}
	if e.Keep = w.text == "keep"; e.Keep {
		return e
	}
	var err error
	if e.Mask, err = ParseMask(w.text); err == nil && e.Mask.Kind == MaskHash {
		err = fmt.Errorf("a hash still tells equal values: use token, which is random in an erasure")
	}
	if err != nil {
		r.add(w.pos, "%v", err)
	}
	return e
}

// erasings checks that what an erasure makes of values is defined for every
// column of the class.
func (c *compiler) erasings() {
	for _, t := range c.set.governed {
		for i, name := range t.classes {
			class := c.doc.classes[name]
			if class == nil || class.erase.Mask.Kind == 0 {
				continue
			}
			column := &t.relation.Columns[i]
			if err := class.erase.Mask.Applies(column.Type); err != nil {
				c.add(class.erase.pos, "%s.%s of class %q: %v", t.relation.QualifiedName(), column.Name, name, err)
			}
		}
	}
}
