package rewrite

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// Values of a class that says "bind: row" are bound to the primary key of their row. So
// where one is written the statement itself must show that key, and where one is read
// the server hands the key out with it (policy.Sealed.ReadSQL).

// Row is the primary key of the row that a value goes into, in the order of
// policy.Sealed.RowKey.
type Row []KeyValue

// KeyValue is one column's value in a row's key.
type KeyValue struct {
	Column policy.KeyColumn
	Client int    // the number, from 1, of the client's parameter that gives it; 0: none does
	Text   string // the literal that does
}

// parameters tells whether parts of the key are parameters.
func (r *Row) parameters() bool {
	return r != nil && slices.ContainsFunc(*r, func(v KeyValue) bool { return v.Client > 0 })
}

// rowBy gives the row of a relation whose key's columns have values in a statement; nil
// where one is not there, or is no constant whose text is the column's, and where nothing
// is bound to rows.
func (f *flow) rowBy(rel *catalog.Relation, value func(column string) *pg_query.Node) *Row {
	of := f.engine.seals.boundIn(rel)
	if of == nil || derives(rel) { // a view can have other names for the columns of the key
		return nil
	}
	var row Row
	for _, k := range of.RowKey {
		v, ok := keyValue(k, value(k.Name))
		if !ok {
			return nil
		}
		row = append(row, v)
	}
	return &row
}

// keyValue reads a constant that a key's column gets, or is compared with.
func keyValue(k policy.KeyColumn, n *pg_query.Node) (v KeyValue, ok bool) {
	v.Column = k
	if cast := n.GetTypeCast(); cast != nil {
		names := cast.TypeName.GetNames()
		typ := ""
		if len(names) > 0 {
			typ = names[len(names)-1].GetString_().GetSval()
		}
		if !castKeeps(k.Type, typ) || len(cast.TypeName.Typmods) > 0 || len(cast.TypeName.ArrayBounds) > 0 {
			return v, false
		}
		n = cast.Arg
	}
	if p := n.GetParamRef(); p != nil {
		v.Client = int(p.Number)
		return v, v.Client > 0
	}
	c := n.GetAConst()
	switch {
	case c == nil || c.Isnull:
		return v, false
	case c.GetSval() != nil:
		v.Text = c.GetSval().Sval
	case c.GetIval() != nil:
		v.Text = strconv.Itoa(int(c.GetIval().Ival))
	case c.GetFval() != nil && strings.HasPrefix(k.Type, "int"): // an integer beyond 32 bits; the value is read before it is used
		v.Text = c.GetFval().Fval
	default:
		return v, false
	}
	return v, true
}

// castKeeps tells whether a constant means the same for a key's column if it is cast to
// a type first.
func castKeeps(column, to string) bool {
	kind := func(typ string) int { return slices.Index([]string{"int2", "int4", "int8"}, typ) }
	switch {
	case kind(column) >= 0:
		return kind(to) >= 0
	case column == "bpchar":
		return false
	case column == "uuid":
		return to == "uuid"
	default:
		return to == "text" || to == "varchar"
	}
}

// needsRow refuses a value that is bound to its row where the statement does not show
// which row that is.
func (f *flow) needsRow(of *sealedColumn) {
	if !of.Row || f.row != nil || f.err != nil {
		return
	}
	var key []string
	for _, k := range of.RowKey {
		key = append(key, k.Name)
	}
	f.err = refuseUnsupported("INSERT … VALUES that gives the key, or UPDATE … WHERE key = value, with literals or parameters",
		"%s is bound to the primary key of its row (%s), which this statement does not give", of.Column, strings.Join(key, ", "))
}

// boundIn gives a column of a relation whose values are bound to their rows; nil where
// there is none.
func (s *sealing) boundIn(rel *catalog.Relation) *sealedColumn {
	if i := slices.IndexFunc(s.columns[rel], func(of *sealedColumn) bool { return of != nil && of.Row }); i >= 0 {
		return s.columns[rel][i]
	}
	return nil
}

// keepsKey refuses to change the key of rows to which values are bound.
func (f *flow) keepsKey(t *resolve.Target, list []*pg_query.Node) {
	of := f.engine.seals.boundIn(t.Ref.Relation)
	switch {
	case of == nil || f.err != nil || len(list) == 0:
		return
	case derives(t.Ref.Relation):
		f.err = refuseUnsupported("write the table itself", "values of %s are bound to its rows, whose keys cannot be told in %s", of.Column, t.Ref.Relation.QualifiedName())
	}
	for _, n := range list {
		name := n.GetResTarget().GetName()
		if slices.ContainsFunc(of.RowKey, func(k policy.KeyColumn) bool { return k.Name == name }) && f.err == nil {
			f.err = refuseUnsupported("leave it out of SET; to give a row another key, insert it anew and delete the old one",
				"values of %s are bound to %s, which cannot be changed", of.Column, name)
		}
	}
}

// conflictsByKey tells whether ON CONFLICT meets the row that has the key which is
// inserted.
func conflictsByKey(oc *pg_query.OnConflictClause, rel *catalog.Relation) bool {
	infer := oc.GetInfer()
	if infer == nil || infer.Conname != "" || infer.WhereClause != nil || len(infer.IndexElems) != len(rel.PrimaryKey) {
		return false
	}
	return !slices.ContainsFunc(rel.PrimaryKey, func(i int) bool {
		return !slices.ContainsFunc(infer.IndexElems, func(n *pg_query.Node) bool {
			e := n.GetIndexElem()
			return e.GetName() == rel.Columns[i].Name && e.Expr == nil && len(e.Collation) == 0 && len(e.Opclass) == 0
		})
	})
}

// isExcluded tells whether a reference is to what an INSERT brought.
func isExcluded(n *pg_query.Node) bool {
	fields := n.GetColumnRef().GetFields()
	return len(fields) > 1 && fields[0].GetString_().GetSval() == "excluded"
}

// keyIn gives where the columns of the key are among those of COPY FROM, to which values
// are bound; nil where none is.
func (s *sealing) keyIn(rel *catalog.Relation, names []string) (key []int, err error) {
	i := slices.IndexFunc(s.columns[rel], func(of *sealedColumn) bool { return of != nil && of.Row && slices.Contains(names, of.name()) })
	if i < 0 {
		return nil, nil
	}
	of := s.columns[rel][i]
	for _, k := range of.RowKey {
		at := slices.Index(names, k.Name)
		if at < 0 {
			return nil, refuseUnsupported("give it in the data", "%s is bound to the primary key of its row, and %s is not among the columns", of.Column, k.Name)
		}
		key = append(key, at)
	}
	return key, nil
}

// asQuery makes COPY of a table one of a query, where values are bound to their rows: the
// server has to give the keys as well.
func (c *planner) asQuery(cp *pg_query.CopyStmt) bool {
	rel, ok := c.engine.guessRelation(c.asked(), cp.Relation)
	if !ok || cp.IsFrom || cp.IsProgram || cp.Filename != "" || c.engine.seals.boundIn(rel) == nil {
		return false
	}
	columns := cp.Attlist
	if len(columns) == 0 {
		for _, column := range rel.Columns {
			if !column.Generated {
				columns = append(columns, pg_query.MakeStrNode(column.Name))
			}
		}
	}
	cp.Query = copyQuery(cp.Relation, columns)
	cp.Relation, cp.Attlist = nil, nil
	return true
}

// throughView refuses values that are bound to their rows where a view stands between:
// it does not hand out the keys.
func (f *flow) throughView(b resolve.Base, of *sealedColumn) {
	if of.Row && derives(b.Ref.Relation) && f.err == nil {
		f.err = refuseUnsupported("read the table itself", "%s is bound to its row, and cannot be read through %s", of.Column, b.Ref.Relation.QualifiedName())
	}
}

// returnsRows has RETURNING give the keys with the values that are bound to them.
func (f *flow) returnsRows() error {
	for _, t := range f.query.Targets {
		if t.Returning == nil || f.engine.seals.boundIn(t.Ref.Relation) == nil {
			continue
		}
		v, err := f.engine.wholeView(t.Ref)
		if err != nil {
			return err
		}
		for _, output := range *t.Returning {
			var refs []*pg_query.Node
			parse.Walk(output, func(m proto.Message) bool {
				if n, ok := m.(*pg_query.Node); ok && n.GetColumnRef() != nil {
					refs = append(refs, n)
				}
				return true
			})
			for _, n := range refs {
				if err := f.returnsRow(t, v, n); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// returnsRow puts what gives a value with its row's key in the place of a reference to
// a column of what is written.
func (f *flow) returnsRow(t *resolve.Target, v *view, n *pg_query.Node) error {
	from := f.query.Carries[n].From
	if _, done := f.slots[n.GetColumnRef()]; done || len(from) != 1 || from[0].Ref != t.Ref {
		return nil
	}
	of := f.engine.seals.of(from[0])
	if of == nil || !of.Row {
		return nil
	}
	if !slices.ContainsFunc(f.query.Uses, func(u resolve.Use) bool { return u.Node == n && u.Ref == t.Ref }) {
		return refuseUnsupported("name the column itself", "%s is bound to its row, and cannot be read through %s", of.Column, n.GetColumnRef().Fields[0].GetString_().GetSval())
	}
	n.Node = f.slot(v, t.Ref.Relation, from[0].Column, t.Ref.Alias).Node
	f.changed = true
	return nil
}

// readsRows has a statement of a caller without restrictions read values that are bound
// to their rows with the keys of those.
func (f *flow) readsRows(query *pg_query.Node) error {
	w := &work{node: query, query: f.query, views: map[*resolve.Ref]*view{}}
	reads := false
	for _, ref := range f.query.Refs {
		w.views[ref] = &view{plain: true}
		if f.engine.seals.columns[ref.Relation] == nil || f.engine.seals.boundIn(ref.Relation) == nil || ref.Item == nil {
			continue
		}
		needed := slices.ContainsFunc(f.engine.seals.columns[ref.Relation], func(of *sealedColumn) bool {
			return of != nil && of.Row && (ref.Whole || ref.Positional || ref.Used[of.index])
		})
		if !needed {
			continue
		}
		v, err := f.engine.wholeView(ref)
		if err != nil {
			return err
		}
		v.system = ref.System
		w.views[ref], reads = v, true
	}
	if !reads {
		return nil
	}
	if err := f.group(w); err != nil {
		return err
	}
	for ref, v := range w.views {
		if !v.plain {
			f.replace(ref, v, f.query)
		}
	}
	f.changed = true
	return nil
}

// wholeView gives what reads all of a relation as it is, but for values that are bound
// to their rows: those come with the keys.
func (e *Engine) wholeView(ref *resolve.Ref) (*view, error) {
	if t, ok := e.seals.whole.Load(ref.Relation); ok {
		return &view{template: t.(*template), target: ref.Item == nil}, nil
	}
	rel := ref.Relation
	t := &template{columns: make([]shown, len(rel.Columns))}
	var targets []string
	for i, c := range rel.Columns {
		t.columns[i].treatment = policy.Treatment{Show: policy.ShowClear}
		targets = append(targets, e.stored(rel, i)+" AS "+quoteIdent(c.Name))
	}
	sel, err := e.understood(rel, "SELECT "+strings.Join(targets, ", ")+" FROM "+quoteIdent(rel.Schema)+"."+quoteIdent(rel.Name)+" AS "+inner)
	if err == nil {
		err = t.express(sel, rel)
	}
	if err != nil {
		return nil, fmt.Errorf("view of %s: internal error: %w", rel.QualifiedName(), err)
	}
	e.seals.whole.Store(rel, t)
	return &view{template: t, target: ref.Item == nil}, nil
}

// stored gives the expression that reads a column of pgveil_t as it is stored, with its
// row's key where it is bound to that.
func (e *Engine) stored(rel *catalog.Relation, i int) string {
	if of := e.seals.column(rel, i); of != nil && !derives(rel) {
		return of.ReadSQL(inner)
	}
	return inner + "." + quoteIdent(rel.Columns[i].Name)
}

// withKey tells whether an expression of the text that is about to be sent is what reads
// a value with its row's key, and notes the references in it.
func (f *flow) withKey(n *pg_query.Node) bool {
	if !f.again || n.GetAExpr() == nil {
		return false
	}
	var of *sealedColumn
	var alias string
	var refs []*pg_query.Node
	parse.Walk(n, func(m proto.Message) bool {
		one, ok := m.(*pg_query.Node)
		if !ok || one.GetColumnRef() == nil {
			return true
		}
		refs = append(refs, one)
		for _, b := range f.query.Carries[one].From {
			if sealed := f.engine.seals.of(b); sealed != nil && len(one.GetColumnRef().Fields) == 2 {
				of, alias = sealed, one.GetColumnRef().Fields[0].GetString_().GetSval()
			}
		}
		return true
	})
	if of == nil || !of.Row {
		return false
	}
	read, err := parse.ParseOne("SELECT " + of.ReadSQL(quoteIdent(alias)))
	if err != nil || !parse.Equal(read.GetSelectStmt().TargetList[0].GetResTarget().Val, n) {
		return false
	}
	for _, one := range refs {
		f.seen[one] = true
	}
	return true
}
