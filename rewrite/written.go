package rewrite

import (
	"slices"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// Where the policy asks, what goes into open columns is looked at for personal
// data. A plan says which values of a statement that are: literals, parameters
// and the fields of COPY's data, as they are, cast, or as a part of what is
// computed. Values that the server itself brings from elsewhere are not among
// them: they were written before.

// Written is a value of a statement that goes into an open column of text, or
// may.
type Written struct {
	Column    string // schema.table.column; schema.table where it is not known which
	Parameter int    // its number; 0 for what is none
	Literal   int    // its number among the text's literals, of a plan that texts share; 0 for what is none
	Field     int    // of each row of COPY's data, from 1 on; 0 for what is none
	Data      *Data  // how a Field is written
	Argument  int    // of EXECUTE, whose statement says where it goes; 0 for what is none
	Value     string // of a literal, and of an argument
}

// Data says how the data of a COPY FROM is written.
type Data struct {
	Binary                   bool
	CSV                      bool
	Delimiter, Quote, Escape byte // of text: the delimiter alone
	Null                     string
	Default                  string // stands for a column's default; "": nothing does
	Header                   bool   // the first line names the columns
}

// dataOf reads the options of a COPY.
func dataOf(cp *pg_query.CopyStmt) *Data {
	d := &Data{Delimiter: '\t'}
	options := map[string]string{}
	for _, n := range cp.Options {
		o := n.GetDefElem()
		options[o.GetDefname()] = o.GetArg().GetString_().GetSval()
	}
	d.Null, d.Default = `\N`, options["default"]
	switch options["format"] {
	case "binary":
		d.Binary = true
	case "csv":
		d.CSV, d.Delimiter, d.Quote, d.Null = true, ',', '"', ""
	}
	if null, ok := options["null"]; ok {
		d.Null = null
	}
	for _, n := range cp.Options {
		if o := n.GetDefElem(); o.GetDefname() == "header" {
			d.Header = isOption(o) || strings.EqualFold(options["header"], "match")
		}
	}
	for name, to := range map[string]*byte{"delimiter": &d.Delimiter, "quote": &d.Quote} {
		if value := options[name]; len(value) == 1 {
			*to = value[0]
		}
	}
	d.Escape = d.Quote
	if value := options["escape"]; len(value) == 1 {
		d.Escape = value[0]
	}
	return d
}

// maxWritten bounds the values of which a plan tells the literals apart. Of more
// than that it gives the text, which holds them all.
const maxWritten = 2 * maxLiterals

// valuesWritten notes what a statement writes. It runs before the tree is changed.
func (c *planner) valuesWritten(t *resolve.Target, _ *view, _ *resolve.Query) error {
	c.engine.writes(c.session, t.Ref.Relation, t.Stmt, c.plan)
	return nil
}

// describeWritten is valuesWritten for a text that is sent as the client wrote
// it. Of what is not understood it gives the text.
func (e *Engine) describeWritten(s Session, sql string, p *Plan) {
	if s.Access.ScanWrites().Find() == 0 {
		return
	}
	p.Written = nil
	stmts, err := parse.Parse(sql)
	if err != nil {
		p.Written = []Written{{Value: sql}}
		return
	}
	for _, st := range stmts {
		if cp := st.Node.GetCopyStmt(); cp.GetIsFrom() {
			if rel, ok := e.guessRelation(s, cp.Relation); ok {
				e.copies(s, rel, cp, p)
			}
			continue
		}
		if x := st.Node.GetExecuteStmt(); x != nil {
			e.executes(s, x, p)
		}
		n := queryOf(st.Node)
		if n == nil {
			continue
		}
		q, err := e.guess(s, n, nil)
		if err != nil {
			p.Written = append(p.Written, Written{Value: sql})
			return
		}
		for _, t := range q.Targets {
			e.writes(s, t.Ref.Relation, t.Stmt, p)
		}
	}
}

// writes notes what one INSERT, UPDATE or MERGE brings to its target.
func (e *Engine) writes(s Session, rel *catalog.Relation, stmt *pg_query.Node, p *Plan) {
	if s.Access.ScanWrites().Find() == 0 || isTemporary(rel) {
		return
	}
	w := &writing{engine: e, rel: rel}
	switch v := stmt.Node.(type) {
	case *pg_query.Node_InsertStmt:
		columns := w.named(v.InsertStmt.Cols)
		w.source(columns, v.InsertStmt.SelectStmt)
		w.with(columns, v.InsertStmt.WithClause)
		w.set(v.InsertStmt.OnConflictClause.GetTargetList())
	case *pg_query.Node_UpdateStmt:
		w.set(v.UpdateStmt.TargetList)
	case *pg_query.Node_MergeStmt:
		w.merge(v.MergeStmt)
	}
	if len(w.found) > maxWritten {
		w.found = slices.DeleteFunc(w.found, func(f Written) bool { return f.Parameter == 0 })
		w.found = append(w.found, Written{Column: rel.QualifiedName(), Value: p.Text})
	}
	p.Written = append(p.Written, w.found...)
}

// copies notes where the fields of COPY's data go.
func (e *Engine) copies(s Session, rel *catalog.Relation, cp *pg_query.CopyStmt, p *Plan) {
	if s.Access.ScanWrites().Find() == 0 {
		return
	}
	w := &writing{engine: e, rel: rel}
	var columns []int
	for _, a := range cp.Attlist {
		columns = append(columns, rel.ColumnIndex(a.GetString_().GetSval()))
	}
	for i, c := range rel.Columns {
		if len(cp.Attlist) == 0 && !c.Generated {
			columns = append(columns, i)
		}
	}
	data := dataOf(cp)
	for field, i := range columns {
		if name := w.open(i); name != "" {
			p.Written = append(p.Written, Written{Column: name, Field: field + 1, Data: data})
		}
	}
}

// executes notes the values that EXECUTE gives.
func (e *Engine) executes(s Session, x *pg_query.ExecuteStmt, p *Plan) {
	if s.Access.ScanWrites().Find() == 0 {
		return
	}
	for i, arg := range x.Params {
		w := &writing{}
		w.values("", arg)
		for _, f := range w.found {
			p.Written = append(p.Written, Written{Argument: i + 1, Value: f.Value})
		}
	}
}

// writing collects what is written to one relation.
type writing struct {
	engine *Engine
	rel    *catalog.Relation
	found  []Written
}

// open gives a column's whole name if it is open and may hold text; "" otherwise.
func (w *writing) open(i int) string {
	if i < 0 || i >= len(w.rel.Columns) || !holdsText(w.rel.Columns[i].Type) {
		return ""
	}
	if class, _ := w.engine.Policy.Class(w.rel, w.rel.Columns[i].Name); class.Name != openClass {
		return ""
	}
	return w.rel.QualifiedName() + "." + w.rel.Columns[i].Name
}

// holdsText tells whether values of a type may hold what people write.
func holdsText(t catalog.Type) bool {
	name, schema := t.Name, t.Schema
	if t.BaseSchema != "" {
		name, schema = t.Base, t.BaseSchema
	}
	name = strings.TrimPrefix(name, "_") // of an array
	return t.Kind != 'e' && (schema != "pg_catalog" || !slices.Contains(shortTypes, name) && !slices.Contains(textlessTypes, name))
}

// textlessTypes are those that hold no text, beside shortTypes.
var textlessTypes = []string{"numeric", "bytea", "inet", "cidr", "macaddr", "macaddr8", "bit", "varbit", "point", "line", "lseg", "box", "path", "polygon", "circle"}

// named gives the columns that a list names, or all.
func (w *writing) named(list []*pg_query.Node) (columns []int) {
	for _, n := range list {
		columns = append(columns, w.rel.ColumnIndex(n.GetResTarget().GetName()))
	}
	for i := range w.rel.Columns {
		if len(list) == 0 {
			columns = append(columns, i)
		}
	}
	return columns
}

// source notes what a query brings, whose outputs go into columns.
func (w *writing) source(columns []int, n *pg_query.Node) {
	sel := n.GetSelectStmt()
	if sel == nil {
		return
	}
	if sel.Op != pg_query.SetOperation_SETOP_NONE {
		w.source(columns, &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel.Larg}})
		w.source(columns, &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel.Rarg}})
	}
	for _, list := range sel.ValuesLists {
		for i, v := range list.GetList().GetItems() {
			w.at(columns, i, v)
		}
	}
	for i, target := range sel.TargetList {
		w.at(columns, i, target.GetResTarget().GetVal())
	}
	for _, from := range sel.FromClause {
		w.somewhere(columns, from)
	}
	w.with(columns, sel.WithClause)
}

// at notes what an output is made of, which goes into the column at the same
// place.
func (w *writing) at(columns []int, i int, value *pg_query.Node) {
	if i < len(columns) {
		w.values(w.open(columns[i]), value)
	}
}

// with notes what CTEs may bring.
func (w *writing) with(columns []int, with *pg_query.WithClause) {
	for _, n := range with.GetCtes() {
		if query := n.GetCommonTableExpr().GetCtequery(); query.GetSelectStmt() != nil { // others are targets themselves
			w.somewhere(columns, query)
		}
	}
}

// somewhere notes what may go into any of the columns.
func (w *writing) somewhere(columns []int, n *pg_query.Node) {
	if slices.ContainsFunc(columns, func(i int) bool { return w.open(i) != "" }) {
		w.values(w.rel.QualifiedName(), n)
	}
}

// set notes what SET assigns.
func (w *writing) set(list []*pg_query.Node) {
	for _, n := range list {
		rt := n.GetResTarget()
		name, val := w.open(w.rel.ColumnIndex(rt.Name)), rt.Val
		if multi := val.GetMultiAssignRef(); multi != nil {
			val = multi.Source
			if row := val.GetRowExpr(); row != nil && int(multi.Colno) <= len(row.Args) {
				val = row.Args[multi.Colno-1]
			}
		}
		w.values(name, val)
	}
}

func (w *writing) merge(m *pg_query.MergeStmt) {
	for _, n := range m.MergeWhenClauses {
		when := n.GetMergeWhenClause()
		switch when.CommandType {
		case pg_query.CmdType_CMD_UPDATE:
			w.set(when.TargetList)
		case pg_query.CmdType_CMD_INSERT:
			columns := w.named(when.TargetList)
			for i, v := range when.Values {
				w.at(columns, i, v)
			}
		}
	}
	w.somewhere(w.named(nil), m.SourceRelation)
}

// values notes the literals and parameters in an expression, but not those of
// conditions.
func (w *writing) values(column string, n *pg_query.Node) {
	if n == nil || column == "" && w.rel != nil {
		return
	}
	parse.Walk(n, func(m proto.Message) bool {
		switch v := m.(type) {
		case *pg_query.ParamRef:
			w.found = append(w.found, Written{Column: column, Parameter: int(v.Number)})
		case *pg_query.A_Const:
			if value := constantText(v); value != "" {
				w.found = append(w.found, Written{Column: column, Value: value})
			}
		case *pg_query.TypeName:
			return false
		case *pg_query.SelectStmt:
			for _, part := range slices.Concat(v.TargetList, v.ValuesLists, v.FromClause) {
				w.values(column, part)
			}
			return false
		}
		return true
	})
}

// constantText gives a constant as text; "" for what holds nothing.
func constantText(v *pg_query.A_Const) string {
	switch {
	case v.GetSval() != nil:
		return v.GetSval().Sval
	case v.GetFval() != nil:
		return v.GetFval().Fval
	case v.GetIval() != nil:
		return strconv.Itoa(int(v.GetIval().Ival))
	default:
		return ""
	}
}

// number puts the numbers of literals in the place of their marks.
func (l *literals) number(all []Written) {
	for i, n := 0, 0; i < len(l.form); i++ {
		if l.form[i] != 0 {
			continue
		}
		want := strings.Trim(mark(l.form[i+1], n), "'")
		n++
		for j := range all {
			if all[j].Value == want {
				all[j].Value, all[j].Literal = "", n
			}
		}
	}
}

// sameWritten tells whether two plans of one form write values to the same
// places.
func sameWritten(a, b []Written) bool {
	return slices.EqualFunc(a, b, func(x, y Written) bool {
		return x.Column == y.Column && x.Parameter == y.Parameter && x.Field == y.Field && x.Argument == y.Argument
	})
}
