package policy

import (
	"go.yaml.in/yaml/v4"

	"github.com/pgveil/pgveil/catalog"
)

// Retention is how long the rows of a relation are kept.
type Retention struct {
	Relation *catalog.Relation
	Keep     Keep
	After    string // the column with the moment from which it counts
	Then     string // delete or anonymise
}

// retention is a Retention as it is written.
type retention struct {
	on    pattern
	keep  Keep
	after pattern
	then  string
	pos   Pos
}

func (r *reader) retention(n *yaml.Node) {
	t := retention{pos: r.at(n)}
	r.fields(n, "a retention rule", keys{
		"on":    func(n *yaml.Node) { t.on = r.name(n, "a table", 2) },
		"keep":  func(n *yaml.Node) { t.keep = r.keep(n) },
		"after": func(n *yaml.Node) { t.after = r.name(n, "a column", 1) },
		"then": func(n *yaml.Node) {
			t.then = []string{"", "delete", "anonymise"}[r.oneOf(n, "then", "delete", "anonymise")+1]
		},
	}, "on", "keep", "after", "then")
	r.doc.retention = append(r.doc.retention, t)
}

// keep reads how long rows are kept.
func (r *reader) keep(n *yaml.Node) Keep {
	w := r.text(n, "a time")
	keep, err := parseKeep(w.text)
	if err != nil && w.text != "" {
		r.add(w.pos, "%v", err)
	}
	return keep
}

func (c *compiler) retention() {
	for _, t := range c.doc.retention {
		r := c.relation(t.on)
		if r == nil {
			continue
		}
		after := c.column(r, t.after)
		c.moment(r, t.after)
		c.set.retention = append(c.set.retention, Retention{r, t.keep, after, t.then})
	}
}
