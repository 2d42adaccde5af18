package rewrite

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// describeSubjects notes whom a text is about that is sent as the client wrote
// it. What is not understood may be about anybody.
func (e *Engine) describeSubjects(s Session, sql string, p *Plan) {
	if !e.names {
		return
	}
	stmts, err := parse.Parse(sql)
	if err != nil {
		p.Subjects = e.Anybody()
		return
	}
	for _, st := range stmts {
		n := e.describeStatement(s, st.Node)
		if n != nil && n.nobody() {
			n = nil
		}
		p.Subjects = append(p.Subjects, n)
	}
}

func (e *Engine) describeStatement(s Session, n *pg_query.Node) *Naming {
	if table := n.GetCopyStmt().GetRelation(); table != nil {
		rel, ok := e.guessRelation(s, table)
		if !ok {
			return anybody()
		}
		return e.copiedRows(rel, n.GetCopyStmt().IsFrom)
	}
	switch v := n.Node.(type) {
	case *pg_query.Node_FetchStmt, *pg_query.Node_ExecuteStmt:
		return anybody() // what the names stand for is not followed where nothing is refused
	case *pg_query.Node_DoStmt, *pg_query.Node_CallStmt, *pg_query.Node_RefreshMatViewStmt:
		return uncounted(anybody())
	case *pg_query.Node_TruncateStmt:
		return e.truncated(s, v.TruncateStmt)
	}
	query := queryOf(n)
	made := n.GetCreateTableAsStmt()
	if made != nil {
		query = made.Query
	}
	if query == nil {
		return nil
	}
	q, err := e.guess(s, query, func(r *catalog.Relation) bool { return r.Governed() && r.Kind == catalog.View })
	if err != nil {
		return anybody()
	}
	found := e.survey(query, q)
	m := found.meterOf(nil)
	if m.measure(query, made != nil); m.counts {
		found.naming.uncharted()
	}
	if x := n.GetExplainStmt(); x != nil && !(len(q.Targets) > 0 && analyzes(x)) {
		return nil
	} else if x != nil {
		found.naming.explained()
	}
	if found.groups || n.GetExplainStmt() != nil {
		found.naming.blur()
	}
	return found.naming
}

// returnsUnread tells whether a statement returns rows of which its text does not
// say, or not to describe, where they are from.
func returnsUnread(n *pg_query.Node) bool {
	switch n.Node.(type) {
	case *pg_query.Node_FetchStmt, *pg_query.Node_ExecuteStmt, *pg_query.Node_CallStmt:
		return true
	default:
		return false
	}
}

// describeCopy notes the columns that COPY sends of a table.
func (e *Engine) describeCopy(s Session, cp *pg_query.CopyStmt, p *Plan) (effect Effect) {
	rel, ok := e.guessRelation(s, cp.Relation)
	if !ok {
		p.Unread = true
		return 0
	}
	if !rel.Governed() {
		return 0
	}
	for _, c := range rel.Columns {
		named := len(cp.Attlist) == 0 && !c.Generated || slices.ContainsFunc(cp.Attlist, func(n *pg_query.Node) bool { return n.GetString_().GetSval() == c.Name })
		if !named {
			continue
		}
		class, _ := e.Policy.Class(rel, c.Name)
		if class.Name != openClass {
			effect |= Reads
		}
		p.addColumn(ColumnUse{Name: rel.QualifiedName() + "." + c.Name, Class: class.Name, Show: "clear"})
	}
	return effect
}

// truncated says whom the rows were about that TRUNCATE takes away.
func (e *Engine) truncated(s Session, t *pg_query.TruncateStmt) *Naming {
	all := &Naming{Uncounted: true}
	for _, n := range t.Relations {
		rel, ok := e.guessRelation(s, n.GetRangeVar())
		if !ok || t.Behavior == pg_query.DropBehavior_DROP_CASCADE {
			return uncounted(anybody())
		}
		all.Reached = append(all.Reached, e.rowsOf(rel).Reached...)
	}
	all.blur()
	return all
}

// analyzes tells whether EXPLAIN runs the statement.
func analyzes(x *pg_query.ExplainStmt) bool {
	return slices.ContainsFunc(x.Options, func(n *pg_query.Node) bool {
		return n.GetDefElem().GetDefname() == "analyze" && isOption(n.GetDefElem())
	})
}

// Anybody gives how the subjects of a text are named that is not read.
func (e *Engine) Anybody() []*Naming {
	if !e.names {
		return nil
	}
	return []*Naming{anybody()}
}

// anybody is the naming of what is not understood.
func anybody() *Naming {
	return &Naming{Reached: []Reached{{AnyKind, AnyNumber}}, Charged: []Reached{{AnyKind, AnyNumber}}}
}

func uncounted(n *Naming) *Naming {
	n.Uncounted = true
	return n
}

func (e *Engine) guessRelation(s Session, rv *pg_query.RangeVar) (rel *catalog.Relation, ok bool) {
	rel, ok = e.Catalog.Relation(e.guessPath(s), rv.Schemaname, rv.Relname)
	return rel, ok && !(rv.Schemaname == "" && e.ambiguous(s, rel))
}

// guess resolves a statement for the access log alone. Where the session's search
// path was not asked for, a name without a schema is that of the only relation
// that has it.
func (e *Engine) guess(s Session, n *pg_query.Node, expand func(*catalog.Relation) bool) (*resolve.Query, error) {
	q, err := resolve.Resolve(resolve.Input{Catalog: e.Catalog, Path: e.guessPath(s), Expand: expand}, n)
	if err != nil {
		return nil, err
	}
	for _, ref := range q.Refs {
		if ref.Var.Schemaname == "" && e.ambiguous(s, ref.Relation) {
			return nil, fmt.Errorf("%s is a name in several schemas", ref.Relation.Name)
		}
	}
	return q, nil
}

func (e *Engine) guessPath(s Session) []string {
	if len(s.Path) > 0 {
		return s.Path
	}
	return slices.DeleteFunc(slices.Clone(e.Catalog.Schemas()), func(schema string) bool {
		return schema == policy.OwnSchema // nobody has it in a search path
	})
}

// ambiguous tells whether a relation that was found by its bare name may have
// been another one.
func (e *Engine) ambiguous(s Session, r *catalog.Relation) bool {
	return len(s.Path) == 0 && r.Governed() && slices.ContainsFunc(e.Catalog.Relations(), func(other *catalog.Relation) bool {
		return other != r && other.Name == r.Name && other.Schema != policy.OwnSchema && other.Governed()
	})
}

// rowsOf says whom rows of a relation are about.
func (e *Engine) rowsOf(rel *catalog.Relation) *Naming {
	s := &surveyor{engine: e, naming: &Naming{}}
	s.relation(&resolve.Ref{Relation: rel}, false)
	return s.naming
}

// copiedRows says whom rows are about that COPY takes in, or gives as they are.
func (e *Engine) copiedRows(rel *catalog.Relation, in bool) *Naming {
	n := e.rowsOf(rel)
	if in || !rel.Governed() {
		return n
	}
	n.Charged = slices.Clone(n.Reached)
	for _, c := range rel.Columns {
		class, _ := e.Policy.Class(rel, c.Name)
		if class.Name != openClass && !slices.Contains(n.Clear, class.Name) {
			n.Clear = append(n.Clear, class.Name)
		}
	}
	slices.Sort(n.Clear)
	return n
}
