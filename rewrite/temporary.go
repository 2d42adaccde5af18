package rewrite

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// A temporary table holds what its maker sees, so it is open to the session
// that made it, for as long as its role and purpose are the same. On the server it goes under a name of its own: no function or
// trigger of the schema that looks for a table by a bare name finds a caller's
// in its place, and fills it with what the caller may not see.

// TemporaryPrefix begins the names that temporary tables of callers with
// restrictions have on the server.
const TemporaryPrefix = "pgveil_tmp_"

// temporarySchema is what every session calls its own schema of them.
const temporarySchema = "pg_temp"

// maxName is NAMEDATALEN - 1: longer names are cut off by the server.
const maxName = 63

// TemporarySQL is an expression for the temporary tables of a session, as
// ReadTemporary reads them.
const TemporarySQL = `(SELECT pg_catalog.json_agg(t) FROM (
	SELECT c.relname AS "Name", (
		SELECT pg_catalog.json_agg(pg_catalog.json_build_object('Name', a.attname, 'Schema', n.nspname, 'Type', y.typname, 'Kind', y.typtype) ORDER BY a.attnum)
		FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid OPERATOR(pg_catalog.=) a.atttypid
			JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) y.typnamespace
		WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped) AS "Columns"
	FROM pg_catalog.pg_class c
	WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() AND c.relkind::pg_catalog.text OPERATOR(pg_catalog.=) 'r'
		AND pg_catalog.starts_with(c.relname::pg_catalog.text, '` + TemporaryPrefix + `') ORDER BY c.relname) AS t)`

// ReadTemporary reads what TemporarySQL gave; "" is none.
func ReadTemporary(answer string) ([]*catalog.Relation, error) {
	if answer == "" {
		return nil, nil
	}
	var tables []struct {
		Name    string
		Columns []struct{ Name, Schema, Type, Kind string }
	}
	if err := json.Unmarshal([]byte(answer), &tables); err != nil {
		return nil, fmt.Errorf("read temporary tables: %w", err)
	}
	relations := make([]*catalog.Relation, len(tables))
	for i, t := range tables {
		relations[i] = &catalog.Relation{Schema: temporarySchema, Name: t.Name, Kind: catalog.Table}
		for _, c := range t.Columns {
			typ := catalog.Type{Schema: c.Schema, Name: c.Type, Base: c.Type, Mod: -1}
			if c.Kind != "" {
				typ.Kind = c.Kind[0]
			}
			relations[i].Columns = append(relations[i].Columns, catalog.Column{Name: c.Name, Type: typ})
		}
	}
	return relations, nil
}

func isTemporary(rel *catalog.Relation) bool { return rel.Schema == temporarySchema }

// temporaryTemplate shows all of a temporary table.
func temporaryTemplate(rel *catalog.Relation) *template {
	t := &template{bare: true, columns: make([]shown, len(rel.Columns)), filter: map[int]bool{}}
	view := policy.View{Ops: policy.Select | policy.Insert | policy.Update | policy.Delete}
	for i := range t.columns {
		t.columns[i].treatment = policy.Treatment{Show: policy.ShowClear, Class: openClass}
		view.Columns = append(view.Columns, t.columns[i].treatment)
	}
	t.access = &policy.RelationAccess{Relation: rel, Ops: view.Ops, Views: []policy.View{view}}
	return t
}

// temporary finds a temporary table of the session by its name on the server.
func (s Session) temporary(name string) *catalog.Relation {
	i := slices.IndexFunc(s.Temporary, func(rel *catalog.Relation) bool { return rel.Name == name })
	if i < 0 {
		return nil
	}
	return s.Temporary[i]
}

// temporaryNamed finds a temporary table by the name that its maker gave it.
func (s Session) temporaryNamed(name string) *catalog.Relation { return s.temporary(s.ownName(name)) }

// ownName gives the name that a temporary table has on the server: another for
// each access, since what one shows the next one may not.
func (s Session) ownName(name string) string {
	return fmt.Sprintf("%s%x_%s", TemporaryPrefix, s.Access.ID, name)
}

// key gives what of a session, beside its access, decides how its statements
// are planned. No name holds a zero byte.
func (s Session) key() string {
	key := strings.Join(s.Path, "\x00")
	if s.Parameters != resolve.ParametersInferred {
		key += fmt.Sprintf("\x00$%d", s.Parameters)
	}
	if s.Reshaped {
		key += "\x00reshaped"
	}
	for _, name := range s.Altered {
		key += "\x00!" + name
	}
	for _, rel := range s.Temporary {
		key += "\x00\x00" + rel.Name
		for _, c := range rel.Columns {
			key += "\x00" + c.Name + "\x00" + c.Type.Schema + "." + c.Type.Name
		}
	}
	return key
}

// makeOwn gives a temporary table that is made the name that it has on the
// server.
func (c *planner) makeOwn(rv *pg_query.RangeVar) error {
	if rv.Schemaname != "" && rv.Schemaname != temporarySchema || rv.Schemaname == "" && rv.Relpersistence != "t" {
		return refuseUnsupported("make it a temporary table", "CREATE TABLE is open to callers with restrictions for temporary tables only")
	}
	name := c.session.ownName(rv.Relname)
	if len(name) > maxName {
		return &Refusal{Code: "42622", Message: fmt.Sprintf("the name %q is too long for a temporary table", rv.Relname), Hint: fmt.Sprintf("leave out %d bytes", len(name)-maxName)}
	}
	rv.Schemaname, rv.Relname, rv.Relpersistence = "", name, "t"
	return nil
}

// createTable decides CREATE TEMPORARY TABLE: columns, with their defaults, keys
// and NOT NULL.
func (c *planner) createTable(t *pg_query.CreateStmt) error {
	plain := len(t.InhRelations)+len(t.Options)+len(t.Constraints) == 0 &&
		t.Partbound == nil && t.Partspec == nil && t.OfTypename == nil && t.Tablespacename == "" && t.AccessMethod == ""
	if err := c.makeOwn(t.Relation); err != nil {
		return err
	}
	if !plain {
		return refuseUnsupported("name its columns", "a temporary table that is part of another one, or has options, is not open to callers with restrictions")
	}
	for _, n := range t.TableElts {
		var constraints []*pg_query.Node
		switch e := n.Node.(type) {
		case *pg_query.Node_ColumnDef:
			if err := c.columnType(e.ColumnDef.TypeName); err != nil {
				return err
			}
			constraints = e.ColumnDef.Constraints
		case *pg_query.Node_Constraint:
			constraints = []*pg_query.Node{n}
		default:
			return refuseUnsupported("name its columns", "a temporary table like another one is not open to callers with restrictions")
		}
		if err := c.constraints(constraints); err != nil {
			return err
		}
	}
	c.changed = true
	c.step("CREATE TABLE", Settings|Temporaries, "")
	return c.deferredSettings("CREATE TABLE")
}

func (c *planner) columnType(t *pg_query.TypeName) error {
	if len(t.GetNames()) == 1 && slices.Contains(serials, t.Names[0].GetString_().GetSval()) {
		return nil
	}
	return resolve.TypeName(c.input(), t)
}

// constraints decides constraints of a temporary table.
func (c *planner) constraints(list []*pg_query.Node) error {
	for _, n := range list {
		con := n.GetConstraint()
		if con.GetConname() != "" {
			if con.Conname = c.session.ownName(con.Conname); len(con.Conname) > maxName {
				return refuseUnsupported("give it a shorter name, or none", "the name of this constraint is too long for a temporary table")
			}
		}
		switch con.GetContype() {
		case pg_query.ConstrType_CONSTR_NULL, pg_query.ConstrType_CONSTR_NOTNULL,
			pg_query.ConstrType_CONSTR_PRIMARY, pg_query.ConstrType_CONSTR_UNIQUE:
		case pg_query.ConstrType_CONSTR_DEFAULT:
			if resolve.HoldsSubLink(con.RawExpr) {
				return refuseUnsupported("use a plain expression", "a sub-select in DEFAULT is not open to callers with restrictions")
			}
			value, _, err := c.expression(con.RawExpr)
			if err != nil {
				return err
			}
			con.RawExpr = value
		default:
			return refuseUnsupported("leave it out", "this constraint of a temporary table is not open to callers with restrictions")
		}
	}
	return nil
}

// createTableAs decides CREATE TEMPORARY TABLE AS and SELECT INTO TEMPORARY.
func (c *planner) createTableAs(t *pg_query.CreateTableAsStmt) error {
	into := t.Into
	if t.Objtype != pg_query.ObjectType_OBJECT_TABLE || len(into.Options) > 0 || into.AccessMethod != "" || into.TableSpaceName != "" {
		return refuseUnsupported("make it a temporary table", "this way to keep what a query gives is not open to callers with restrictions")
	}
	if t.Query.GetSelectStmt() == nil {
		return refuseUnsupported("use a query", "CREATE TABLE AS %s is not open to callers with restrictions", commandName(t.Query))
	}
	if err := c.makeOwn(into.Rel); err != nil {
		return err
	}
	c.keeps = true
	effect, err := c.query(t.Query)
	c.step("CREATE TABLE AS", effect|Settings|Temporaries, "")
	if err != nil {
		return err
	}
	return c.deferredSettings("CREATE TABLE AS")
}

// selectInto gives SELECT INTO as CREATE TABLE AS; nil for any other statement.
func selectInto(n *pg_query.Node) *pg_query.CreateTableAsStmt {
	sel := n.GetSelectStmt()
	for sel != nil && sel.Larg != nil {
		sel = sel.Larg
	}
	into := sel.GetIntoClause()
	if into == nil {
		return nil
	}
	sel.IntoClause = nil
	return &pg_query.CreateTableAsStmt{Query: n, Into: into, Objtype: pg_query.ObjectType_OBJECT_TABLE}
}

// dropTemporary decides DROP TABLE: of the session's own, or of what nobody
// has.
func (c *planner) dropTemporary(d *pg_query.DropStmt) error {
	if d.RemoveType != pg_query.ObjectType_OBJECT_TABLE {
		return refuseUnsupported("only a role with unrestricted access may", "%s is not open to callers with restrictions", commandName(&pg_query.Node{Node: &pg_query.Node_DropStmt{DropStmt: d}}))
	}
	for _, n := range d.Objects {
		var names []string
		for _, part := range n.GetList().GetItems() {
			names = append(names, part.GetString_().GetSval())
		}
		name := names[len(names)-1]
		own := c.session.temporaryNamed(name) != nil
		_, exists := c.engine.Catalog.Relation(c.session.Path, "", name)
		if len(names) > 2 || len(names) == 2 && names[0] != temporarySchema || len(names) == 1 && !own && exists {
			return refuse("drop temporary tables only", "your roles may not drop %s", strings.Join(names, "."))
		}
		n.Node = &pg_query.Node_List{List: &pg_query.List{Items: []*pg_query.Node{
			pg_query.MakeStrNode(temporarySchema), pg_query.MakeStrNode(c.session.ownName(name)),
		}}}
	}
	c.changed = true
	c.step("DROP TABLE", Settings|Temporaries, "")
	return nil
}

// truncateTemporary decides TRUNCATE, which passes over row filters.
func (c *planner) truncateTemporary(t *pg_query.TruncateStmt) error {
	for _, n := range t.Relations {
		rv := n.GetRangeVar()
		rel, err := resolve.Relation(c.input(), rv)
		if err != nil {
			return err
		}
		if !isTemporary(rel) {
			return refuseUnsupported("use DELETE", "TRUNCATE of %s is not open to callers with restrictions", rel.QualifiedName())
		}
		rv.Schemaname, rv.Relname = rel.Schema, rel.Name
	}
	c.changed = true
	c.step("TRUNCATE TABLE", 0, "")
	return nil
}

// standAs gives a relation that stands as it is the name that it has on the
// server, and keeps what the statement calls it.
func standAs(ref *resolve.Ref) {
	rv := ref.Var
	rv.Schemaname, rv.Catalogname = ref.Relation.Schema, ""
	if rv.Relname != ref.Relation.Name {
		rv.Alias = cmp.Or(rv.Alias, &pg_query.Alias{Aliasname: ref.Alias})
		rv.Relname = ref.Relation.Name
	}
}

// ownConstraint judges the name of a constraint of a temporary table, which the
// index behind it has as well.
func (v *verifier) ownConstraint(con *pg_query.Constraint) {
	if con.Conname != "" && !strings.HasPrefix(con.Conname, v.session.ownName("")) {
		v.wrong("the constraint %q of a temporary table", con.Conname)
	}
}

// ownTemporary judges the name that a statement which makes or drops temporary
// tables has for one.
func (v *verifier) ownTemporary(rv *pg_query.RangeVar) {
	if rv.GetSchemaname() != "" || rv.GetRelpersistence() != "t" || !strings.HasPrefix(rv.GetRelname(), v.session.ownName("")) {
		v.wrong("%s.%s is no temporary table", rv.GetSchemaname(), rv.GetRelname())
	}
}

// ownObjects judges the names in DROP.
func (v *verifier) ownObjects(d *pg_query.DropStmt) {
	for _, n := range d.Objects {
		items := n.GetList().GetItems()
		if d.RemoveType != pg_query.ObjectType_OBJECT_TABLE || len(items) != 2 || items[0].GetString_().GetSval() != temporarySchema ||
			!strings.HasPrefix(items[1].GetString_().GetSval(), v.session.ownName("")) {
			v.wrong("DROP of what is no temporary table")
		}
	}
}
