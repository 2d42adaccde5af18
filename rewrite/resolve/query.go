// Package resolve finds what a statement refers to: which relation each name
// in FROM is, which column each reference means, which functions, operators
// and types are called.
//
// In goes a parse tree, the catalog and the names' search path; out comes a
// Query, or an Error with PostgreSQL's own SQLSTATE for what does not exist,
// or Unsupported for what this package does not know. It decides nothing and
// changes nothing, save that * over a written relation is spelled out.
//
// Protection does not rest on it alone: whoever may not see a column gets a
// relation without it (see package rewrite). What rests on it is that the
// refusal names the column, that the access log is exact, and that references
// to the target of a write are found.
package resolve

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// Query is everything that one statement refers to.
type Query struct {
	Refs      []*Ref
	Uses      []Use
	Targets   []*Target
	Funcs     []Func
	Types     []Type
	Operators []string
	Groupings []Grouping
	Leaky     bool // some predicate could raise an error or have an effect that depends on a row it looks at
	Conjuncts []Conjunct
	Qualified []Qualified
	Bare      []Bare
	Rows      []Row
	Outputs   int // columns that the statement gives

	Returns []Carried                          // what those are
	Carries map[*pg_query.Node]Carried         // of references, and of keys that name outputs, what is of relations
	Gives   map[*pg_query.SelectStmt][]Carried // what the outputs of each query in it are
	Merges  []Merge
}

// Nullable tells whether an outer join can put NULLs in place of its rows.
func (r *Ref) Nullable() bool { return r.outer }

// Ref is one reference to a relation.
type Ref struct {
	Relation   *catalog.Relation
	Var        *pg_query.RangeVar
	Item       *pg_query.Node // the FROM item to replace; nil for the target of a write
	Used       []bool         // parallel to Relation.Columns
	System     []string       // system columns named: ctid, xmin, …
	Whole      bool           // every column is needed: whole-row reference or *
	Row        bool           // the row as a value is needed: whole-row reference
	Positional bool           // column positions matter: an alias renames them
	Renamed    bool           // an alias names its columns by position
	Joined     bool           // in a join with an alias, which hides its name
	Locked     bool           // FOR UPDATE and kin
	Alias      string         // what the statement calls it
	outer      bool           // on the nullable side of an outer join
}

// UseKind says what a column is used for. The zero UseKind is invalid.
type UseKind uint8

// What a column is used for.
const (
	UseOutput   UseKind = iota + 1 // in an output or an expression of one
	UseFilter                      // in WHERE, ON, HAVING, FILTER
	UseEquality                    // as col = constant, AND-ed at the top of WHERE
	UseSort                        // in ORDER BY, GROUP BY, DISTINCT, PARTITION BY
	UseStar                        // by * or a whole-row reference
	UseWrite                       // assigned
	UseInfer                       // named by ON CONFLICT
)

// Use is one use of one column.
type Use struct {
	Ref    *Ref
	Column int // index into Ref.Relation.Columns
	As     UseKind
	Node   *pg_query.Node // the reference itself; nil when a star or a merged column stands for it
	Pos    int32          // byte offset in the text
	Match  *Match         // of UseEquality
	// Derived says that it is used through the output of a sub-select or CTE,
	// where a use of its own stands already.
	Derived bool
	direct  bool // Derived, yet just the column as it is
}

// Conjunct is one of the conditions that are AND-ed in a WHERE.
type Conjunct struct {
	Node  *pg_query.Node
	Uses  []int // of columns in it, as indexes into the query's Uses
	Leaky bool
	Local bool // it uses nothing but what the FROM beside it brings
}

// Match is a conjunct of WHERE that compares a column with constants.
type Match struct {
	Conjunct  *pg_query.Node
	Reference *pg_query.Node // the column reference inside Conjunct
	Nullable  bool           // the relation is on the nullable side of an outer join
}

// Target is the relation that an INSERT, UPDATE, DELETE or MERGE writes.
type Target struct {
	Ref       *Ref
	Command   string
	Stmt      *pg_query.Node
	Columns   []int // written ones, as indexes
	All       bool  // an INSERT without a column list
	Parts     []int // of Columns, those of which a part only is written
	Returning *[]*pg_query.Node
	Stars     []*pg_query.Node // ResTargets that stand for a column of a * in RETURNING
}

// Func is one call of a function by name.
type Func struct {
	Call  *pg_query.FuncCall
	Found []catalog.Func // every function the call could mean, in path order
	Name  string
}

// Type is one use of a type's name.
type Type struct {
	Type   *pg_query.TypeName
	Schema string // where the type was found
}

// Grouping is a GROUP BY that lists plain expressions only.
type Grouping struct {
	Select  *pg_query.SelectStmt
	Columns []Use // those of its expressions that are plain references
}

// Qualified is a column reference that names a relation with its schema.
type Qualified struct {
	Ref   *Ref // nil for a view that was replaced by its query
	Owner string
	Node  *pg_query.ColumnRef
}

// Row is a reference to the whole row of a relation.
type Row struct {
	Ref  *Ref
	Node *pg_query.Node
}

// Bare is a column reference without what it belongs to.
type Bare struct {
	Node  *pg_query.ColumnRef
	Owner string // the name in FROM that it was resolved to
}

// Error is what PostgreSQL would answer too: a name that does not exist or is
// ambiguous.
type Error struct {
	Code    string
	Message string
	Pos     int32  // byte offset in the text; -1 when unknown
	Name    string // of an undefined relation, type or function: a fresh catalog may know it
}

func (e *Error) Error() string { return e.Message }

// Unsupported is something that the resolver does not understand.
type Unsupported struct{ What string }

func (e *Unsupported) Error() string { return e.What + " is not supported for restricted callers" }

func unsupported(format string, args ...any) error {
	return &Unsupported{What: fmt.Sprintf(format, args...)}
}

// Input is what names are resolved against.
type Input struct {
	Catalog *catalog.Snapshot
	Path    []string // current_schemas(true)
	// Parameters tells what is known of the types of $1 and so on.
	Parameters Parameters
	// Temporary finds the session's temporary tables. nil: there are none.
	Temporary func(name string) *catalog.Relation
	// Expand tells which views are replaced by their queries, so that what
	// holds for the relations in those holds here as well. nil: none.
	Expand func(*catalog.Relation) bool
}

// Resolve resolves a SELECT, INSERT, UPDATE, DELETE or MERGE.
func Resolve(in Input, stmt *pg_query.Node) (*Query, error) {
	r := &resolver{in: in, q: &Query{}, params: map[int32]int{}, outputs: map[*pg_query.SubLink][]column{}}
	parse.Walk(stmt, func(m proto.Message) bool {
		if p, ok := m.(*pg_query.ParamRef); ok {
			r.params[p.Number]++
		}
		return true
	})
	outputs, err := r.query(stmt, &scope{})
	if err != nil {
		return nil, err
	}
	r.q.Outputs, r.q.Returns = len(outputs), carried(outputs)
	return r.q, nil
}

// Relation finds the relation that a name means.
func Relation(in Input, rv *pg_query.RangeVar) (*catalog.Relation, error) {
	return (&resolver{in: in}).relation(rv)
}

// TypeName resolves a type's name, and gives it its schema.
func TypeName(in Input, t *pg_query.TypeName) error {
	r := &resolver{in: in, q: &Query{}}
	if err := r.typeName(t); err != nil {
		return err
	}
	for _, found := range r.q.Types {
		if len(t.Names) == 1 && found.Schema != "" {
			t.Names = []*pg_query.Node{pg_query.MakeStrNode(found.Schema), t.Names[0]}
		}
	}
	return nil
}

// Expr resolves an expression over the columns of one relation, as a row
// filter is.
func Expr(in Input, rel *catalog.Relation, alias string, expr *pg_query.Node) (*Query, error) {
	r := &resolver{in: in, q: &Query{}}
	ref := r.newRef(rel, &pg_query.RangeVar{Schemaname: rel.Schema, Relname: rel.Name}, nil)
	ref.Alias = alias
	s := &scope{items: []*item{relationItem(ref)}}
	if err := r.expr(expr, s, UseFilter); err != nil {
		return nil, err
	}
	return r.q, nil
}

// resolver carries one statement's resolution.
type resolver struct {
	in    Input
	q     *Query
	views int // that the current name lies in

	params  map[int32]int                  // how often each parameter stands in the statement
	outputs map[*pg_query.SubLink][]column // of sub-selects in expressions
}

func (r *resolver) newRef(rel *catalog.Relation, rv *pg_query.RangeVar, item *pg_query.Node) *Ref {
	ref := &Ref{Relation: rel, Var: rv, Item: item, Used: make([]bool, len(rel.Columns)), Alias: rv.Relname}
	if rv.Alias != nil {
		ref.Alias = rv.Alias.Aliasname
	}
	r.q.Refs = append(r.q.Refs, ref)
	return ref
}

// use records that a column's sources are used. Through outputs of sub-selects
// the same may be used over and over: once is enough.
func (r *resolver) use(c column, as UseKind, node *pg_query.Node, pos int32) {
	for _, s := range c.sources {
		s.ref.Used[s.column] = true
		u := Use{Ref: s.ref, Column: s.column, As: as, Node: node, Pos: pos}
		if !c.base {
			u.Node, u.Derived = nil, true
			if s.star {
				u.As = UseStar
			}
		}
		r.q.Uses = append(r.q.Uses, u)
	}
}
