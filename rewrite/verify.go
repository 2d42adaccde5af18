package rewrite

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// Verification reads what is about to be sent as the server will, and judges
// it anew by the catalog and the policy's templates alone. It does not believe
// what the steps before it noted. So a mistake in one of them is a statement
// that is not sent, and no disclosure. It demands:
//
//   - the text says exactly what was decided on;
//   - a governed relation of which something is hidden stands in a generated
//     sub-select (verify_read.go) or is the target of a write (verify_write.go);
//   - a generated sub-select shows no more than the template, filters rows by
//     the template's condition, and lets no leaky condition run before that;
//   - that condition becomes a join only in a statement that computes nothing which
//     could tell of a row (forms.go);
//   - what is left to aggregates is their argument only, under the least size;
//   - references to a target see clear columns and masks, its rows are filtered,
//     and what is assigned to a masked column keeps a mask that comes back;
//   - functions, operators and relations of the system are open ones;
//   - whatever could be found by a search path is named with its schema.

// verify judges the text with slots, which was made from the tree decided. It
// gives the tree that the text was read as and the slots in that.
func (c *planner) verify(sql string, decided *pg_query.Node) (map[*pg_query.ColumnRef]slot, error) {
	read, err := parse.ParseOne(sql)
	places, same := c.places(decided, read)
	if err != nil || !same {
		// The deparser has gaps.
		return nil, refuseUnsupported("say it another way", "this statement cannot be sent on as it was understood")
	}
	v := &verifier{planner: c, places: places}
	v.kind(read)
	v.walk(read, &sight{stars: true})
	v.chooseForms(read)
	return v.places, v.err
}

// verifier judges one statement. The first thing that is wrong ends it.
type verifier struct {
	*planner
	places map[*pg_query.ColumnRef]slot
	err    error
}

// sight is what names mean at a place in the statement. It is never changed,
// only replaced for the parts below.
type sight struct {
	ctes     map[string]bool
	targets  map[string]*written // by the name that the statement calls them
	settings map[string]bool     // names that stand for pg_settings
	merged   map[string]bool     // columns that USING merged
	natural  bool                // NATURAL merged columns
	stars    bool                // * covers FROM items only

	group    *written // of whose groups the query is, when of nothing else
	deferred bool     // it runs later, under a name
}

func (s *sight) later() *sight {
	in := *s
	in.deferred = true
	return &in
}

func (v *verifier) wrong(format string, args ...any) {
	if v.err == nil {
		v.err = fmt.Errorf("verify: internal error: "+format, args...)
	}
}

// kind judges what a statement is: of the kinds that the rest knows how to judge.
func (v *verifier) kind(n *pg_query.Node) {
	switch s := n.Node.(type) {
	case *pg_query.Node_SelectStmt, *pg_query.Node_InsertStmt, *pg_query.Node_UpdateStmt, *pg_query.Node_DeleteStmt, *pg_query.Node_MergeStmt,
		*pg_query.Node_CopyStmt, *pg_query.Node_PrepareStmt, *pg_query.Node_ExecuteStmt, *pg_query.Node_DeclareCursorStmt,
		*pg_query.Node_CreateStmt, *pg_query.Node_CreateTableAsStmt, *pg_query.Node_DropStmt, *pg_query.Node_TruncateStmt, *pg_query.Node_LockStmt:
	case *pg_query.Node_ExplainStmt:
		v.kind(s.ExplainStmt.Query)
	default:
		v.wrong("%s is sent", commandName(n))
	}
}

// walk judges everything below a message, but not the message itself.
func (v *verifier) walk(m proto.Message, s *sight) {
	parse.Walk(m, func(n proto.Message) bool {
		return v.err == nil && (n == m || v.judge(n, s))
	})
}

// each judges a list of nodes.
func (v *verifier) each(list []*pg_query.Node, s *sight) {
	for _, n := range list {
		v.walk(n, s)
	}
}

// judge judges one message, and tells whether to go on below it.
func (v *verifier) judge(m proto.Message, s *sight) bool {
	switch n := m.(type) {
	case *pg_query.SelectStmt:
		v.selectStmt(n, s)
		return false
	case *pg_query.InsertStmt:
		v.insert(n, s)
		return false
	case *pg_query.UpdateStmt:
		v.update(n, s)
		return false
	case *pg_query.DeleteStmt:
		v.delete(n, s)
		return false
	case *pg_query.MergeStmt:
		v.merge(n, s)
		return false
	case *pg_query.CopyStmt:
		if n.IsProgram || n.Filename != "" || !n.IsFrom && n.Relation != nil {
			v.wrong("COPY does more than give a query's rows, or take rows in")
		}
		if n.IsFrom {
			v.copyFrom(n)
			return false
		}
	case *pg_query.PrepareStmt:
		v.walk(n.Query, s.later()) // its parameters' types are the client's
		return false
	case *pg_query.DeclareCursorStmt:
		v.walk(n.Query, s.later())
		return false
	case *pg_query.CreateStmt:
		plain := &pg_query.CreateStmt{Relation: n.Relation, TableElts: n.TableElts, Oncommit: n.Oncommit, IfNotExists: n.IfNotExists}
		if !parse.Equal(n, plain) {
			v.wrong("a temporary table that is more than its columns")
		}
		v.ownTemporary(n.Relation)
		v.each(n.TableElts, s.later())
		return false
	case *pg_query.CreateTableAsStmt:
		v.ownTemporary(n.Into.GetRel())
		v.walk(n.Query, s.later())
		return false
	case *pg_query.DropStmt:
		v.ownObjects(n)
		return false
	case *pg_query.TruncateStmt:
		for _, r := range n.Relations {
			if rel, _ := v.templateOf(r.GetRangeVar()); rel == nil || !isTemporary(rel) {
				v.wrong("TRUNCATE of what is no temporary table")
			}
		}
		return false
	case *pg_query.Constraint:
		v.ownConstraint(n)
	case *pg_query.LockStmt:
		for _, r := range n.Relations {
			if rel, _ := v.templateOf(r.GetRangeVar()); rel == nil || !rel.Governed() || !v.mayLock(rel) {
				v.wrong("%s may not be locked", r.GetRangeVar().GetRelname())
			}
		}
		return false
	case *pg_query.LockingClause:
		return false // names what stands in FROM
	case *pg_query.RangeVar:
		v.relation(n, s)
		return false
	case *pg_query.CaseExpr:
		return !v.bigEnoughOnly(n, s)
	case *pg_query.ColumnRef:
		v.column(n, s)
	case *pg_query.FuncCall:
		v.function(n, s)
	case *pg_query.A_Expr:
		v.operator(n.Name)
	case *pg_query.SubLink:
		v.operator(n.OperName)
	case *pg_query.SortBy:
		v.operator(n.UseOp)
	case *pg_query.TypeName:
		v.typeName(n)
	case *pg_query.Alias:
		v.unreserved(n.Aliasname)
	}
	return true
}

func (v *verifier) unreserved(name string) {
	if strings.HasPrefix(name, reservedPrefix) {
		v.wrong("the name %q is reserved", name)
	}
}

// withCTEs judges the queries of a WITH clause, and adds their names to what is
// in sight: for the queries after each and, where it is recursive, for all.
func (v *verifier) withCTEs(w *pg_query.WithClause, s *sight) *sight {
	in := *s
	for _, n := range w.GetCtes() {
		v.unreserved(n.GetCommonTableExpr().GetCtename())
		if w.Recursive {
			in.see(n)
		}
	}
	for _, n := range w.GetCtes() {
		v.each([]*pg_query.Node{n}, &in)
		in.see(n)
	}
	return &in
}

// see adds the name of a CTE.
func (s *sight) see(n *pg_query.Node) {
	s.ctes = maps.Clone(s.ctes)
	if s.ctes == nil {
		s.ctes = map[string]bool{}
	}
	s.ctes[n.GetCommonTableExpr().GetCtename()] = true
}

// relation judges a relation that stands by itself: a CTE, one of the system's
// own that are open, or one of which nothing is hidden.
func (v *verifier) relation(rv *pg_query.RangeVar, s *sight) {
	if rv.Alias != nil {
		v.unreserved(rv.Alias.Aliasname)
	}
	if rv.Schemaname == "" {
		if !s.ctes[rv.Relname] {
			v.wrong("relation %q has no schema", rv.Relname)
		}
		return
	}
	rel, t := v.templateOf(rv)
	ok := rel != nil
	if ok && rel.Governed() {
		ok = t != nil && t.bare && t.access.Ops.Has(policy.Select) && len(rv.GetAlias().GetColnames()) == 0
	} else {
		ok = ok && openRelation(rel)
	}
	if !ok {
		v.wrong("relation %s.%s stands outside a generated sub-select", rv.Schemaname, rv.Relname)
	}
}

// function judges a call: every function that its name can mean on the server
// is open, and it is named with its schema unless several schemas have one, or
// it is a cast in the form of a call.
func (v *verifier) function(f *pg_query.FuncCall, s *sight) {
	schema, name := "", f.Funcname[len(f.Funcname)-1].GetString_().GetSval()
	if len(f.Funcname) > 1 {
		schema = f.Funcname[0].GetString_().GetSval()
	}
	all := v.engine.Catalog.Funcs(v.session.Path, schema, name)
	found := resolve.Callable(all, f)
	if len(found) == 0 {
		found = all
	}
	for _, fn := range found {
		if !v.openFunction(fn) {
			v.wrong("function %s.%s is not open", fn.Schema, fn.Name)
		}
	}
	if len(f.Args) > 0 && !s.openSettingCall(name, f.Args) || s.deferred && name == "set_config" {
		v.wrong("%s cannot be followed here, or names a setting that is closed", name)
	}
	several := slices.ContainsFunc(found, func(fn catalog.Func) bool { return fn.Schema != found[0].Schema })
	if schema == "" && !several && !(len(found) == 0 && v.noCall(f, name)) && !resolve.SeveralUnnested(f) {
		v.wrong("function %s has no schema", name)
	}
}

// noCall tells whether a call of a function that does not exist is a cast,
// type(x), or the column of a row, column(row).
func (v *verifier) noCall(f *pg_query.FuncCall, name string) bool {
	if v.engine.Catalog.TypeSchema(v.session.Path, name) != "" {
		return true
	}
	if len(f.Args) != 1 {
		return false
	}
	fields := f.Args[0].GetColumnRef().GetFields()
	return len(fields) == 1 || len(fields) == 2 && fields[1].GetAStar() != nil
}

// openSettingCall tells whether a call does not name a setting that is closed.
// A name that is not written out is a column of pg_settings at most.
func (s *sight) openSettingCall(function string, args []*pg_query.Node) bool {
	values, constant := constants(args[:1])
	switch {
	case function == "current_setting" && !constant:
		fields := args[0].GetColumnRef().GetFields()
		return len(fields) == 2 && s.settings[fields[0].GetString_().GetSval()] && fields[1].GetString_().GetSval() == "name"
	case function == "current_setting":
		return readableSetting(values[0]) == nil
	case function == "set_config" && constant && len(args) > 1:
		return openSetting(strings.ToLower(values[0]), args[1:2])
	case function == "set_config":
		return false
	default:
		return true
	}
}

// openSetting tells whether a setting may be given a value. Who asks, when it is
// computed, cannot be looked at beforehand.
func openSetting(name string, value []*pg_query.Node) bool {
	if slices.Contains(askerSettings, name) {
		_, constant := constants(value)
		return constant || value[0].GetParamRef() != nil
	}
	return followed(name) || checkSetting(name, value) == nil
}

func (v *verifier) operator(names []*pg_query.Node) {
	if len(names) == 0 {
		return
	}
	if r := v.closedOperator(names[len(names)-1].GetString_().GetSval()); r != nil {
		v.wrong("%s", r.Message)
	}
}

func (v *verifier) typeName(t *pg_query.TypeName) {
	name := t.Names[len(t.Names)-1].GetString_().GetSval()
	if len(t.Names) == 1 && !onlyBare(v.engine.Catalog.TypeSchema(v.session.Path, name), name) {
		v.wrong("type %s has no schema", name)
	}
}

// column judges a reference. Outside of writes every relation shows only what
// it may, so a reference cannot go wrong; a write's target is the relation
// itself.
func (v *verifier) column(ref *pg_query.ColumnRef, s *sight) {
	if at, ok := v.places[ref]; ok {
		if t := s.targets[at.alias]; t == nil || t.relation != at.relation || at.column != filterSlot && !t.access.Ops.Has(policy.Select) {
			v.wrong("a mask of %s stands outside of what it is for", at.relation.QualifiedName())
		}
		return
	}
	first, last := ref.Fields[0], ref.Fields[len(ref.Fields)-1]
	for _, n := range ref.Fields {
		v.unreserved(n.GetString_().GetSval())
	}
	switch {
	case len(s.targets) == 0:
	case len(ref.Fields) > 2:
		v.wrong("a reference of %d parts beside a target", len(ref.Fields))
	case len(ref.Fields) == 2:
		if t := s.targets[first.GetString_().GetSval()]; t != nil {
			v.targetColumn(t, last)
		}
	case last.GetAStar() != nil:
		if !s.stars {
			v.wrong("a * covers a target")
		}
	case !s.natural && !s.merged[first.GetString_().GetSval()]:
		v.bareName(first.GetString_().GetSval(), s)
	}
}

// targetColumn judges a reference to a column of a target: it must be shown
// clear.
func (v *verifier) targetColumn(t *written, field *pg_query.Node) {
	name := field.GetString_().GetSval()
	i := t.relation.ColumnIndex(name)
	if t.access.Ops.Has(policy.Select) && i >= 0 && t.columns[i].treatment.Show == policy.ShowClear || slices.Contains(openSystemColumns, name) {
		return
	}
	v.wrong("%s.%s stands as it is", t.relation.QualifiedName(), name)
}

// bareName judges a name that stands without what it belongs to: it could be
// found in any target in sight.
func (v *verifier) bareName(name string, s *sight) {
	for alias, t := range s.targets {
		i := t.relation.ColumnIndex(name)
		if name == alias || i >= 0 && t.columns[i].treatment.Show != policy.ShowClear || resolve.IsSystemColumn(name) {
			v.wrong("%q could be of %s", name, t.relation.QualifiedName())
		}
	}
}
