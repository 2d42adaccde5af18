package rewrite

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// Masks and row filters are long, and the same each time. In a tree that is
// about to be sent a slot stands for each: a column reference of a reserved
// name. Deparsing, parsing again and verifying see the short names only; the
// expressions' own texts, made and parsed once a template, come in their places
// last of all (spell).

// expression is a text of the policy's over columns of one relation.
type expression struct {
	pieces []string // of the text; between them stands the relation's name
	atom   bool     // it can stand anywhere without parentheses
}

// newExpression makes an expression from its tree, in which every reference to
// the relation's columns names it pgveil_t.
func newExpression(n *pg_query.Node) (*expression, error) {
	sel := &pg_query.SelectStmt{
		TargetList:  []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(n, -1)},
		LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT,
		Op:          pg_query.SetOperation_SETOP_NONE,
	}
	const before = "SELECT "
	sql, err := parse.Deparse(&pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: sel}})
	if err != nil {
		return nil, err
	}
	again, err := parse.ParseOne(sql)
	if err != nil {
		return nil, err
	}
	if !parse.Equal(again.GetSelectStmt(), sel) || !strings.HasPrefix(sql, before) {
		return nil, fmt.Errorf("%s does not say what was meant", sql)
	}
	x := &expression{}
	at := len(before)
	for _, start := range innerReferences(again) {
		if start < at || !strings.HasPrefix(sql[start:], inner) {
			return nil, fmt.Errorf("%s: a reference is not where it should be", sql)
		}
		x.pieces = append(x.pieces, sql[at:start])
		at = start + len(inner)
	}
	x.pieces = append(x.pieces, sql[at:])
	switch n.Node.(type) {
	case *pg_query.Node_FuncCall, *pg_query.Node_CaseExpr, *pg_query.Node_CoalesceExpr, *pg_query.Node_ColumnRef:
		x.atom = true
	}
	return x, nil
}

// innerReferences gives where in its text a tree refers to columns of
// pgveil_t, from left to right.
func innerReferences(n *pg_query.Node) (starts []int) {
	for _, ref := range columnRefs(n) {
		if len(ref.Fields) > 1 && ref.Fields[0].GetString_().GetSval() == inner {
			starts = append(starts, int(ref.Location))
		}
	}
	slices.Sort(starts)
	return starts
}

// columnRefs gives the column references of a tree, in an order that is the
// same for equal trees.
func columnRefs(n proto.Message) (refs []*pg_query.ColumnRef) {
	parse.Walk(n, func(m proto.Message) bool {
		if ref, ok := m.(*pg_query.ColumnRef); ok {
			refs = append(refs, ref)
		}
		return true
	})
	return refs
}

// over gives the text for a relation that is called alias.
func (x *expression) over(alias string) string {
	if alias != inner {
		alias = quoteIdent(alias)
	}
	return strings.Join(x.pieces, alias)
}

// slot is one expression's place in a statement.
type slot struct {
	relation *catalog.Relation
	column   int    // whose mask it is; filterSlot for the condition on rows
	alias    string // what the statement calls the relation there
	text     string
	byIndex  string // of a condition on rows: text in another form; "" when it has none
	byJoin   string // likewise
}

// In place of a column, filterSlot is the condition on rows, and subjectSlot and
// what is below it the keys of a row's subjects.
const (
	filterSlot  = -1
	subjectSlot = -2
)

// slot makes the place of a column's mask, or of what else has a slot.
func (c *planner) slot(v *view, rel *catalog.Relation, column int, alias string) *pg_query.Node {
	var x *expression
	switch {
	case column == filterSlot:
		x = v.where
	case column <= subjectSlot:
		x = v.least.keys[subjectSlot-column]
	default:
		x = v.columns[column].mask
	}
	s := slot{relation: rel, column: column, alias: alias, text: x.over(alias)}
	if !x.atom && (column == filterSlot || alias != inner) {
		s.text = "(" + s.text + ")" // in a sub-select's list of columns it stands alone
	}
	if column == filterSlot && v.byIndex != nil && v.byJoin != nil {
		s.byIndex, s.byJoin = "("+v.byIndex.over(alias)+")", "("+v.byJoin.over(alias)+")"
	}
	ref := &pg_query.ColumnRef{Fields: []*pg_query.Node{pg_query.MakeStrNode(fmt.Sprintf("pgveil_%d", len(c.slots)))}, Location: -1}
	if c.slots == nil {
		c.slots = map[*pg_query.ColumnRef]slot{}
	}
	c.slots[ref] = s
	return &pg_query.Node{Node: &pg_query.Node_ColumnRef{ColumnRef: ref}}
}

// places finds the slots in what the text with slots was read as. same tells
// whether that is equal to what was decided on; if not, places are worth
// nothing.
func (c *planner) places(decided, read *pg_query.Node) (places map[*pg_query.ColumnRef]slot, same bool) {
	places = make(map[*pg_query.ColumnRef]slot, len(c.slots))
	same = parse.EqualEach(decided, read, func(a, b *pg_query.ColumnRef) {
		if s, ok := c.slots[a]; ok {
			places[b] = s
		}
	})
	return places, same
}

// spell puts the slots' own texts in their places.
func spell(sql string, places map[*pg_query.ColumnRef]slot) string {
	refs := slices.SortedFunc(maps.Keys(places), func(a, b *pg_query.ColumnRef) int { return cmp.Compare(a.Location, b.Location) })
	var b strings.Builder
	at := 0
	for _, ref := range refs {
		start := int(ref.Location)
		b.WriteString(sql[at:start])
		b.WriteString(places[ref].text)
		at = start + len(ref.Fields[0].GetString_().Sval)
	}
	b.WriteString(sql[at:])
	return b.String()
}
