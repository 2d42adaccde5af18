package twins

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// Caller is one way of asking: a user of a fixture's policy, a purpose and a
// search path.
type Caller struct {
	User    string
	Purpose string
	Path    string // "" for the server's default
	Strict  bool   // plans with the policy that confirms no guess

	engine  *rewrite.Engine
	session rewrite.Session
}

// Statement is a text that the generator made.
type Statement struct {
	Kind string // select, insert, cursor, …
	SQL  string
}

// several tells whether it may be a text of more than one statement, or one
// that cannot be prepared.
func (s Statement) several() bool {
	return slices.Contains([]string{"several", "cursor", "prepare", "copy"}, s.Kind)
}

// generator makes statements for one caller. What it makes depends on its seed
// and the fixture alone.
type generator struct {
	*rand.Rand
	caller Caller
	tables []*table
	system []*table
	pool   map[kind][]string // literals of values that the databases hold
	avoid  map[string]bool   // texts that must not be in the statement

	fx      *Fixture
	aliases int
	ctes    []*item // that the query at hand may name
	target  string  // what the statement at hand calls the table that it writes
}

// table is a relation as the caller sees it.
type table struct {
	rel  *catalog.Relation
	ops  policy.Ops
	cols []column
}

// column is a column of a table or of an item in FROM.
type column struct {
	name    string
	kind    kind
	typ     string  // SQL
	class   bool    // something may be hidden of it
	refused bool    // the caller may not name it
	filled  bool    // needs no value in INSERT
	fixed   bool    // takes no value
	values  []value // that it holds in either database
}

// item is what stands in FROM.
type item struct {
	alias  string
	cols   []column
	target bool   // it is written
	schema string // of a table that has no alias
}

// scope is what expressions may name.
type scope struct {
	items []*item
	outer *scope
}

// generate makes a generator. Which values it may guess depends on what the
// caller is confirmed: see the package's comment.
func (f *Fixture) generate(c Caller, seed, stream uint64) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, stream)), caller: c, fx: f}
	for _, r := range f.Catalog.Relations() {
		switch t := g.table(r); {
		case r.Governed() && len(t.cols) > 0:
			g.tables = append(g.tables, t)
		case slices.Contains(systemTables, r.QualifiedName()):
			g.system = append(g.system, t)
		}
	}
	return g
}

// systemTables are those of the system whose rows hang on the schema alone.
var systemTables = strings.Fields(`
	pg_catalog.pg_class pg_catalog.pg_attribute pg_catalog.pg_constraint pg_catalog.pg_index pg_catalog.pg_attrdef
	pg_catalog.pg_namespace pg_catalog.pg_tables pg_catalog.pg_views pg_catalog.pg_indexes pg_catalog.pg_matviews
	pg_catalog.pg_sequences pg_catalog.pg_enum pg_catalog.pg_inherits pg_catalog.pg_roles pg_catalog.pg_stats
	pg_catalog.pg_statistic pg_catalog.pg_sequence information_schema.columns information_schema.tables`)

func (g *generator) table(r *catalog.Relation) *table {
	access := g.caller.session.Access.Relation(r)
	t := &table{rel: r, ops: access.Ops}
	if r.Kind == catalog.MaterializedView && !g.caller.session.Access.Discloses(r.Schema, r.Name) {
		t.ops = 0 // other views stand for their queries
	}
	if r.Kind == catalog.Sequence || r.Kind == catalog.CompositeType {
		return t
	}
	for i, c := range r.Columns {
		class, _ := g.caller.engine.Policy.Class(r, c.Name)
		col := column{name: c.Name, kind: kindOf(c.Type), typ: c.Type.SQL, class: class.Name != "open" && r.Governed(),
			filled: !c.NotNull || c.HasDefault || c.Identity != 0, values: g.fx.values[r.QualifiedName()+"."+c.Name]}
		col.fixed = c.Generated || c.Identity == 'a'
		col.refused = r.Governed() && !slices.ContainsFunc(access.Views, func(v policy.View) bool { return v.Columns[i].Show != policy.ShowRefuse })
		t.cols = append(t.cols, col)
	}
	return t
}

// next makes a statement.
func (g *generator) next() Statement {
	g.aliases, g.ctes, g.target = 0, nil, ""
	kind := g.weighted(statements)
	for !g.may(kind) && !g.chance(2) {
		kind = g.weighted(statements)
	}
	g.restrict(slices.Contains(writing, kind))
	return Statement{Kind: kind, SQL: g.statement(kind)}
}

// may tells whether there is a table to which the caller may do what a kind of
// statement does.
func (g *generator) may(kind string) bool {
	ops, writes := map[string]policy.Ops{"insert": policy.Insert, "update": policy.Update, "merge": policy.Update, "delete": policy.Delete,
		"modifying": policy.Update, "several": policy.Update}[kind]
	return !writes || slices.ContainsFunc(g.tables, func(t *table) bool { return t.ops.Has(ops) })
}

// restrict chooses the values that the next statement may hold. What a policy
// confirms on purpose is not guessed: values that only one database holds and
// that match: equality finds, or that a unique index finds when they are
// written.
func (g *generator) restrict(writes bool) {
	g.avoid = map[string]bool{}
	if writes {
		for text, alone := range g.fx.unique {
			g.avoid[text] = alone
		}
	}
	for _, t := range g.tables {
		for _, v := range g.caller.session.Access.Relation(t.rel).Views {
			for i, c := range t.cols {
				if v.Columns[i].Match == policy.MatchEquality && v.Columns[i].Show == policy.ShowMasked {
					for _, held := range c.values {
						g.avoid[held.text] = g.avoid[held.text] || !held.shared
					}
				}
			}
		}
	}
	g.pool = map[kind][]string{}
	for _, t := range g.tables {
		for _, c := range t.cols {
			for _, v := range c.values {
				if !g.avoid[v.text] && (c.class || g.chance(15)) {
					g.pool[c.kind] = append(g.pool[c.kind], c.literal(v.text))
				}
			}
		}
	}
}

// literal writes a value of a column as a constant of its kind.
func (c column) literal(v string) string {
	switch c.kind {
	case integer, number:
		return v
	case text:
		return quote(v)
	case other:
		return quote(v) + "::" + c.typ
	default:
		return quote(v) + "::" + names[c.kind]
	}
}

// chance is true in so many cases of a hundred.
func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// weight is a choice and how often it is made.
type weight struct {
	name string
	n    int
}

func (g *generator) weighted(choices []weight) string {
	total := 0
	for _, c := range choices {
		total += c.n
	}
	n := g.IntN(total)
	for _, c := range choices {
		if n -= c.n; n < 0 {
			return c.name
		}
	}
	panic("twins: internal error: weights do not add up")
}

func (g *generator) alias(prefix string) string {
	g.aliases++
	return fmt.Sprintf("%s%d", prefix, g.aliases)
}

// several gives what one gives, so many times.
func several(n int, one func() string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = one()
	}
	return list
}
