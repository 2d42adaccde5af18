package presets

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// fitter takes what a database does not have out of the tree of a policy, and
// gives the schema its name there. It knows the parts of the language that
// presets use; whatever else a file says stays, and is for the compiler.
type fitter struct {
	cat      *catalog.Snapshot
	from, to string          // the schema's name in the preset and in the database, with a dot
	gone     map[string]bool // classes of which no column is left
	known    map[string]bool // tables of which some column is in a class by its name
	subjects int             // that are left
	dropped  []string
}

// names fits everything that names tables and columns.
func (f *fitter) names(root *yaml.Node) {
	for _, section := range []struct {
		key string
		fit func(name string, n *yaml.Node) bool
	}{{"subjects", f.subject}, {"classes", f.class}, {"roles", f.role}} {
		if n := value(top(root), section.key); n != nil {
			eachEntry(n, section.fit)
		}
	}
}

// subject fits a kind of person; it goes with its table or key.
func (f *fitter) subject(name string, n *yaml.Node) bool {
	what := "subject " + name
	table := value(n, "table")
	if !f.has(what, table, "") || !f.has(what, value(n, "key"), table.Value) {
		return false
	}
	f.subjects++
	f.listOf(n, "find_by", func(c *yaml.Node) bool { return f.has(what+", find_by", c, table.Value) })
	f.listOf(n, "references", func(ref *yaml.Node) bool { return f.reference(what, table.Value, ref) })
	f.listOf(n, "erase", func(h *yaml.Node) bool { return f.handling(what, h) })
	return true
}

// reference fits a reference, which is whole or not there.
func (f *fitter) reference(subject, own string, n *yaml.Node) bool {
	what := subject + ", references"
	from := value(n, "from")
	if !f.has(what, from, "") {
		return false
	}
	if to := value(n, "to"); to != nil && !f.has(what, to, own) {
		return false
	}
	if where := value(n, "where"); where != nil {
		for i := 0; i < len(where.Content); i += 2 {
			if !f.has(what, where.Content[i], tableOf(from.Value)) {
				return false
			}
		}
	}
	return true
}

func (f *fitter) handling(subject string, n *yaml.Node) bool {
	what := subject + ", erase"
	if !f.listOf(n, "on", func(t *yaml.Node) bool { return f.has(what, t, "") }) {
		return false
	}
	after, on := value(n, "after"), value(n, "on")
	return after == nil || !slices.ContainsFunc(list(on), func(t *yaml.Node) bool { return !f.has(what, after, t.Value) })
}

func (f *fitter) class(name string, n *yaml.Node) bool {
	has := func(c *yaml.Node) bool {
		found := f.has("class "+name, c, "")
		if found && !strings.Contains(c.Value, "*") {
			f.known[plain(tableOf(c.Value))] = true
		}
		return found
	}
	left := false
	if n.Kind == yaml.MappingNode {
		left = f.listOf(n, "columns", has)
	} else {
		left = keep(n, has)
	}
	f.gone[name] = !left
	return left
}

func (f *fitter) role(name string, n *yaml.Node) bool {
	f.listOf(n, "tables", func(entry *yaml.Node) bool {
		return f.listOf(entry, "on", func(t *yaml.Node) bool { return f.has("role "+name, t, "") })
	})
	return true
}

// rules takes classes that are gone out of the rules.
func (f *fitter) rules(root *yaml.Node) {
	f.listOf(top(root), "rules", func(rule *yaml.Node) bool {
		on := value(rule, "on")
		if on != nil && on.Kind == yaml.ScalarNode {
			return !f.gone[on.Value]
		}
		return f.listOf(rule, "on", func(class *yaml.Node) bool { return !f.gone[class.Value] })
	})
}

// has tells whether the database has what a node names: a column of the table
// where one is given. It gives the node the schema's name in the database.
func (f *fitter) has(what string, n *yaml.Node, table string) bool {
	if rest, ok := strings.CutPrefix(n.Value, f.from); ok {
		n.Value = f.to + rest
	}
	name := n.Value
	if table != "" && !strings.Contains(name, ".") {
		name = table + "." + name
	}
	found, err := policy.Exists(name, f.cat)
	if err != nil || !found {
		f.dropped = append(f.dropped, what+": "+name)
	}
	return err == nil && found
}

// listOf keeps what holds of the list under a key, and takes the key out where
// nothing is left. It tells whether anything is.
func (f *fitter) listOf(n *yaml.Node, key string, holds func(*yaml.Node) bool) bool {
	l := value(n, key)
	if l == nil {
		return false
	}
	left := l.Kind != yaml.SequenceNode && holds(l) || l.Kind == yaml.SequenceNode && keep(l, holds)
	if !left {
		remove(n, key)
	}
	return left
}

// keep leaves out of a list what does not hold, and tells whether anything is
// left.
func keep(n *yaml.Node, holds func(*yaml.Node) bool) bool {
	n.Content = slices.DeleteFunc(n.Content, func(item *yaml.Node) bool { return !holds(item) })
	return len(n.Content) > 0
}

// eachEntry leaves out of a mapping the entries that do not hold.
func eachEntry(n *yaml.Node, holds func(name string, value *yaml.Node) bool) {
	var left []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if holds(n.Content[i].Value, n.Content[i+1]) {
			left = append(left, n.Content[i], n.Content[i+1])
		}
	}
	n.Content = left
}

// value gives what stands under a key of a mapping; nil for nothing.
func value(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func remove(n *yaml.Node, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = slices.Delete(n.Content, i, i+2)
			return
		}
	}
}

// top gives the mapping that a file is.
func top(root *yaml.Node) *yaml.Node {
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		return root.Content[0]
	}
	return root
}

// list gives the items of a list; a single value counts as a list of one.
func list(n *yaml.Node) []*yaml.Node {
	if n.Kind == yaml.SequenceNode {
		return n.Content
	}
	return []*yaml.Node{n}
}

// plain gives the last part of a table's whole name without its quotes.
func plain(table string) string {
	return strings.Trim(table[strings.LastIndexByte(table, '.')+1:], `"`)
}

// tableOf gives the table of a column's whole name.
func tableOf(column string) string { return column[:strings.LastIndexByte(column, '.')] }
