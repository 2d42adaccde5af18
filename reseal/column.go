package reseal

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/seal"
)

// Column is a sealed column with the tables that hold its rows.
type Column struct {
	*policy.Sealed
	Root  *catalog.Relation
	Parts []*catalog.Relation // Root itself, or its partitions and heirs
}

// Columns gives those of a policy's sealed columns that are named as
// schema.table.column, or by their class; all of them when none is named.
func Columns(set *policy.Set, cat *catalog.Snapshot, names ...string) ([]*Column, error) {
	var all []*Column
	for _, rel := range cat.Relations() {
		for i := range rel.Columns {
			of := set.Sealed(rel, rel.Columns[i].Name)
			if of == nil || rel.Kind == catalog.View || rel.Kind == catalog.MaterializedView {
				continue
			}
			at := slices.IndexFunc(all, func(c *Column) bool { return c.Column == of.Column })
			if at < 0 {
				at, all = len(all), append(all, &Column{Sealed: of})
			}
			c := all[at]
			if rel.QualifiedName() == of.Schema+"."+of.Table {
				c.Root, c.Sealed = rel, of
			}
			if rel.Kind != catalog.PartitionedTable {
				c.Parts = append(c.Parts, rel)
			}
		}
	}
	all = slices.DeleteFunc(all, func(c *Column) bool { return c.Root == nil })
	if len(names) == 0 {
		return all, nil
	}
	var some []*Column
	for _, name := range names {
		found := false
		for _, c := range all {
			if c.Column != name && c.Class != name {
				continue
			}
			if found = true; !slices.Contains(some, c) {
				some = append(some, c)
			}
		}
		if !found {
			return nil, fmt.Errorf("%q is neither a column that the policy seals, as schema.table.column, nor a class of such: %s", name, known(all))
		}
	}
	return some, nil
}

func known(all []*Column) string {
	if len(all) == 0 {
		return "it seals none"
	}
	var names []string
	for _, c := range all {
		names = append(names, c.Column)
	}
	return "it seals " + strings.Join(names, ", ")
}

// Unsupported tells why the values of a column cannot be sealed where they are; nil
// when they can.
func (c *Column) Unsupported() error {
	switch {
	case c.Shred:
		return fmt.Errorf("%s has shred: true: each value would need a data key of its own, which cannot be made for what is there already yet", c.Column)
	case c.Format.Alphabet != "":
		return fmt.Errorf("%s keeps a format: what is sealed cannot be told from what is clear there, so that nobody could go on after an interruption; fill a new column through pgveil instead", c.Column)
	}
	for _, p := range c.Parts {
		if p.Kind == catalog.ForeignTable {
			return fmt.Errorf("rows of %s lie in the foreign table %s: seal them where they are", c.Column, p.QualifiedName())
		}
	}
	return nil
}

func ident(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// text tells whether what is stored is compared as text.
func (c *Column) text() bool { return c.Stored != "bytea" }

// raw is what is stored of the row t, as seal takes it.
func (c *Column) raw() string {
	if c.text() {
		return "(t." + ident(c.Name) + `::pg_catalog.text COLLATE pg_catalog."C")`
	}
	return "t." + ident(c.Name)
}

// head is the beginning of what is stored of the row t.
func (c *Column) head(n int) string {
	if c.text() {
		return fmt.Sprintf("pg_catalog.left(%s, %d)", c.raw(), n)
	}
	return fmt.Sprintf("pg_catalog.substr(%s, 1, %d)", c.raw(), n)
}

// key is the key of the row t, where values are bound to that.
func (c *Column) key() string {
	if !c.Row {
		return "''"
	}
	return c.RowSQL("t")
}

// at gives what seals and opens the values of a row.
func (c *Column) at(s *seal.Sealer, row []byte) *seal.Sealer {
	if !c.Row {
		return s
	}
	return s.At(row)
}

// constant is a literal of what is stored.
func (c *Column) constant(b []byte) string {
	if c.text() {
		return literal(string(b))
	}
	return `'\x` + hex.EncodeToString(b) + `'::pg_catalog.bytea`
}

// isSealed is the condition that a value begins as an envelope; NULL for NULL.
func (c *Column) isSealed() string {
	prefix := seal.Prefix(c.Stored)
	return fmt.Sprintf("(%s = %s)", c.head(len(prefix)), c.constant(prefix))
}

// leastEnvelope is how many bytes the shortest envelope has: head and tag.
const leastEnvelope = 6 + 16

// isWhole is the condition that what begins as an envelope can be one.
func (c *Column) isWhole() string {
	if !c.text() {
		return fmt.Sprintf("(pg_catalog.octet_length(%s) >= %d)", c.raw(), len(seal.Prefix(c.Stored))+leastEnvelope)
	}
	quote := ""
	if c.Stored == "json" || c.Stored == "jsonb" {
		quote = `"`
	}
	return fmt.Sprintf(`(%s ~ '^%spgv1\.[A-Za-z0-9_-]{%d,}%[2]s$')`, c.raw(), quote, (leastEnvelope*4+2)/3)
}

// blind is the column beside it, or "".
func (c *Column) blind() string {
	if !c.Blind {
		return ""
	}
	return ident(policy.BlindColumn(c.Name))
}
