package rewrite

import (
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// The access log keeps rows of chosen tables as they were before a statement
// changed them, and as they became. Both come with RETURNING: the row that it
// speaks of is what INSERT and UPDATE made and what DELETE took away, and a
// sub-select in it sees the table as the statement found it, where the primary
// key leads to the row that was overwritten. So nothing decides which rows the
// statement changes but what the client wrote.

// Imaging says what one statement of a text gives of the rows that it changes in
// a table of which the log keeps images. The columns for it come behind all
// others, that of the row before first.
type Imaging struct {
	Relation string
	Op       string   // insert, upsert, update, delete or merge
	Key      []string // the columns of its primary key
	Before   bool     // there is a column with the row before
	After    bool
	Part     bool   // of another statement, which does not say how many rows it changes
	Why      string // the row before, or either, is missing; "" when none is
}

func (i Imaging) equal(j Imaging) bool {
	return i.Relation == j.Relation && i.Op == j.Op && i.Before == j.Before && i.After == j.After && i.Part == j.Part && i.Why == j.Why && slices.Equal(i.Key, j.Key)
}

// KeepImages makes plans say how rows before and after changes are had, of the
// tables whose names match one of the patterns, and of their partitions. Whoever
// sends them must take off the columns that Plan.Subjects tells of. It must be
// called before anything is planned. A pattern without a table is an error.
func (e *Engine) KeepImages(patterns []string) error {
	for _, p := range patterns {
		found, err := policy.Tables(p, e.Catalog)
		if err != nil {
			return err
		}
		for _, r := range found {
			e.imageOf(r)
		}
	}
	return nil
}

func (e *Engine) imageOf(r *catalog.Relation) {
	if e.imaged == nil {
		e.imaged = map[uint32]bool{}
	}
	e.imaged[r.OID] = true
	for _, part := range e.Catalog.Relations() {
		if part.Partition && slices.Contains(part.Parents, r.OID) {
			e.imageOf(part)
		}
	}
}

// images finds what a statement gives of the rows that it changes. It runs before
// the tree is changed, and behind subjects.
func (c *planner) images(w *work) error {
	for _, t := range w.query.Targets {
		if !c.engine.imaged[t.Ref.Relation.OID] {
			continue
		}
		i := c.imaging(t, w)
		if i.Before && i.After {
			c.added = append(c.added, added{image: true, sql: beforeOf(t.Ref.Relation, t.Ref.Alias)})
		}
		if i.Before || i.After {
			c.added = append(c.added, added{image: true, sql: imageOf(t.Ref.Relation, t.Ref.Alias)})
		}
		c.pictures(i)
		c.naming.Silent = c.naming.Silent || (i.Before || i.After) && len(*t.Returning) == 0
	}
	return nil
}

// noImages notes that there are no images of what a statement does to a table.
func (c *planner) noImages(rel *catalog.Relation, op, why string) {
	if c.engine.imaged[rel.OID] {
		c.pictures(Imaging{Relation: rel.QualifiedName(), Op: op, Why: why})
	}
}

func (c *planner) pictures(i Imaging) {
	if c.naming == nil {
		c.naming = &Naming{}
	}
	c.naming.Images = append(c.naming.Images, i)
}

func (c *planner) imaging(t *resolve.Target, w *work) Imaging {
	rel, v := t.Ref.Relation, w.views[t.Ref]
	i := Imaging{Relation: rel.QualifiedName(), Op: opOf(t.Stmt)}
	for _, k := range rel.PrimaryKey {
		i.Key = append(i.Key, rel.Columns[k].Name)
	}
	switch {
	case i.Op == "merge":
		i.Why = "MERGE gives no rows"
	case t.Stmt != w.node:
		i.Part = true
		i.Why = "changed within WITH"
	case !c.top:
		i.Why = "changed by a statement within another, or prepared by SQL"
	case rel.Guarded || !v.access.Ops.Has(policy.Select):
		i.Why = "who changes it may not be able to read all of it"
	case w.query.Outputs > maxOutputs:
		i.Why = "the statement returns too many columns for more"
	case sharesName(t, w.query):
		i.Why = "another table of the statement has the same name"
	case i.Op == "delete":
		i.Before = true
	default:
		i.After = true
		if i.Op != "insert" {
			i.Why = c.leadsNowhere(t)
			i.Before = i.Why == ""
		}
	}
	return i
}

// sharesName tells whether what stands beside a target is called as it is, which
// the server takes of tables of two schemas.
func sharesName(t *resolve.Target, q *resolve.Query) bool {
	beside := slices.Concat(t.Stmt.GetUpdateStmt().GetFromClause(), t.Stmt.GetDeleteStmt().GetUsingClause())
	return slices.ContainsFunc(q.Refs, func(r *resolve.Ref) bool {
		return r != t.Ref && r.Alias == t.Ref.Alias && r.Item != nil && (slices.Contains(beside, r.Item) || inJoin(beside, r.Item))
	})
}

// opOf gives what a statement does to its target.
func opOf(n *pg_query.Node) string {
	switch v := n.Node.(type) {
	case *pg_query.Node_UpdateStmt:
		return "update"
	case *pg_query.Node_DeleteStmt:
		return "delete"
	case *pg_query.Node_InsertStmt:
		if v.InsertStmt.OnConflictClause.GetAction() == pg_query.OnConflictAction_ONCONFLICT_UPDATE {
			return "upsert"
		}
		return "insert"
	default:
		return "merge"
	}
}

// leadsNowhere tells why the primary key of a row after does not lead to the row
// before; "" when it does.
func (c *planner) leadsNowhere(t *resolve.Target) string {
	rel := t.Ref.Relation
	switch {
	case len(rel.PrimaryKey) == 0:
		return "rows before: the table has no primary key"
	case slices.ContainsFunc(rel.PrimaryKey, func(i int) bool { return !plainlyEqual(rel.Columns[i].Type) }):
		return "rows before: the primary key is not of a plain type"
	case slices.ContainsFunc(rel.PrimaryKey, func(i int) bool { return assigned(t, i) != nil }):
		return "rows before: the statement sets the primary key"
	case !c.engine.keyed(rel):
		return "rows before: rows are in other tables, which inherit from it or are foreign"
	default:
		return ""
	}
}

// plainlyEqual tells whether values of a type are equal by an operator of the
// system's own, which its indexes know.
func plainlyEqual(t catalog.Type) bool {
	return t.Schema == "pg_catalog" || t.BaseSchema == "pg_catalog" || t.Kind == 'e'
}

// keyed tells whether the primary key of a relation is one of all that it holds,
// and its rows have the system's columns.
func (e *Engine) keyed(rel *catalog.Relation) bool {
	for _, other := range e.Catalog.Relations() {
		if slices.Contains(other.Parents, rel.OID) && (rel.Kind == catalog.Table || other.Kind == catalog.ForeignTable || !e.keyed(other)) {
			return false
		}
	}
	return true
}

// beforeOf gives the row that the one called alias was made of, where there is
// one. A question mark says that the transaction did not overwrite just that row,
// or not for certain: somebody else may have changed it meanwhile. What writes a
// row marks the one before with its number, but within savepoints it has another.
func beforeOf(rel *catalog.Relation, alias string) string {
	const was = "pgveil_was"
	from := quoteIdent(rel.Schema) + "." + quoteIdent(rel.Name)
	if rel.Kind == catalog.Table {
		from = "ONLY " + from
	}
	var same []string
	for _, k := range rel.PrimaryKey {
		name := quoteIdent(rel.Columns[k].Name)
		same = append(same, fmt.Sprintf("%s.%s OPERATOR(pg_catalog.=) %s.%s", was, name, quoteIdent(alias), name))
	}
	return fmt.Sprintf("(SELECT pg_catalog.concat(CASE WHEN %s.xmax OPERATOR(pg_catalog.=) (pg_catalog.pg_current_xact_id())::pg_catalog.xid THEN '' ELSE '?' END, %s)"+
		" FROM %s AS %s WHERE %s LIMIT 1)", was, imageOf(rel, was), from, was, strings.Join(same, " AND "))
}

// How long a row may be, about, to be sent as an image, and to be hashed: what it
// holds as text and bytes, and what else it takes on disk, where that may be
// compressed.
const (
	maxImage     = 16 << 10
	maxHashed    = 8 << 20
	maxHashedToo = 256 << 10
)

// imageOf gives a row as JSON, in base64, so that no encoding of the client's can
// be unable to hold it. One that is long is a colon and its SHA-256, and one that
// is very long a colon alone.
func imageOf(rel *catalog.Relation, alias string) string {
	row := fmt.Sprintf("pg_catalog.convert_to((pg_catalog.row_to_json(%s.*))::pg_catalog.text, pg_catalog.getdatabaseencoding())", quoteIdent(alias))
	image := fmt.Sprintf("pg_catalog.encode(%s, 'base64')", row)
	text, others := sizes(rel, alias)
	if len(text)+len(others) == 0 {
		return image
	}
	return fmt.Sprintf("CASE WHEN %s OPERATOR(pg_catalog.<=) %d THEN %s"+
		" WHEN %s OPERATOR(pg_catalog.<=) %d AND %s OPERATOR(pg_catalog.<=) %d THEN pg_catalog.concat(':', pg_catalog.encode(pg_catalog.sha256(%s), 'hex'))"+
		" ELSE ':' END", sum(append(slices.Clip(text), others...)), maxImage, image, sum(text), maxHashed, sum(others), maxHashedToo, row)
}

// sizes gives expressions of how long the columns of a row are that may be long:
// for text its length, which is known without reading it, and for others what
// they take.
func sizes(rel *catalog.Relation, alias string) (text, others []string) {
	for _, c := range rel.Columns {
		name, schema := c.Type.Name, c.Type.Schema
		if c.Type.BaseSchema != "" {
			name, schema = c.Type.Base, c.Type.BaseSchema
		}
		value := quoteIdent(alias) + "." + quoteIdent(c.Name)
		switch {
		case schema == "pg_catalog" && slices.Contains(shortTypes, name) || c.Type.Kind == 'e':
		case schema == "pg_catalog" && slices.Contains(textTypes, name):
			text = append(text, "COALESCE(pg_catalog.octet_length("+value+"), 0)")
		default:
			others = append(others, "COALESCE(pg_catalog.pg_column_size("+value+"), 0)")
		}
	}
	return text, others
}

var (
	shortTypes = []string{"bool", "int2", "int4", "int8", "float4", "float8", "oid", "uuid", "date", "time", "timetz", "timestamp", "timestamptz", "interval", "name", "money"}
	textTypes  = []string{"text", "varchar", "bytea"}
)

func sum(sizes []string) string {
	return "(" + strings.Join(append([]string{"0::pg_catalog.int8"}, sizes...), " OPERATOR(pg_catalog.+) ") + ")"
}
