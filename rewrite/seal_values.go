package rewrite

import (
	"fmt"
	"regexp"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite/parse"
	"github.com/pgveil/pgveil/rewrite/resolve"
)

// comparison follows an operator between a sealed value and something else.
func (f *flow) comparison(e *pg_query.A_Expr) (done bool) {
	l, r := f.of(e.Lexpr), f.of(e.Rexpr)
	if l == nil && r == nil {
		return false
	}
	if !tellsEqual(e) {
		f.refuse(orOther(l, r), "compared but for being equal")
		return true
	}
	switch {
	case l != nil && r != nil:
		f.as(e.Lexpr)
		f.as(e.Rexpr)
		f.alike(l, r)
	case l != nil:
		f.compared(l, e.Lexpr, e, &e.Rexpr)
	default:
		f.compared(r, e.Rexpr, e, &e.Lexpr)
	}
	return true
}

// tellsEqual tells whether an operator says just whether values are equal.
func tellsEqual(e *pg_query.A_Expr) bool {
	name := ""
	if n := len(e.Name); n == 1 || n == 2 && e.Name[0].GetString_().GetSval() == "pg_catalog" {
		name = e.Name[n-1].GetString_().GetSval()
	}
	equal, unequal := name == "=", name == "<>" || name == "!="
	switch e.Kind {
	case pg_query.A_Expr_Kind_AEXPR_OP, pg_query.A_Expr_Kind_AEXPR_IN:
		return equal || unequal
	case pg_query.A_Expr_Kind_AEXPR_OP_ANY:
		return equal
	case pg_query.A_Expr_Kind_AEXPR_OP_ALL:
		return unequal
	case pg_query.A_Expr_Kind_AEXPR_DISTINCT, pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		return true
	default:
		return false
	}
}

// compared follows the comparison of a sealed value with constants.
func (f *flow) compared(v *value, ref *pg_query.Node, e *pg_query.A_Expr, with **pg_query.Node) {
	node := f.node
	f.as(ref)
	f.mayCompare(v, ref)
	if f.err != nil {
		return
	}
	switch e.Kind {
	case pg_query.A_Expr_Kind_AEXPR_IN:
		for _, n := range (*with).GetList().GetItems() {
			f.comparedWith(v, n, false)
		}
	case pg_query.A_Expr_Kind_AEXPR_OP_ANY, pg_query.A_Expr_Kind_AEXPR_OP_ALL:
		if list := arrayItems(*with); list != nil {
			for _, n := range list {
				f.comparedWith(v, n, false)
			}
			*with = &pg_query.Node{Node: &pg_query.Node_AArrayExpr{AArrayExpr: &pg_query.A_ArrayExpr{Elements: list}}}
		} else {
			f.comparedWith(v, *with, true)
		}
	default:
		f.comparedWith(v, *with, false)
	}
	f.node = node // what is compared may be a CASE that holds others
	f.turns(e, ref)
	if v.as().Blind && f.err == nil && !f.again {
		f.toBlind(v, ref)
	}
}

// arrayItems gives the elements of ARRAY[…], perhaps cast; nil for anything else.
func arrayItems(n *pg_query.Node) []*pg_query.Node {
	if cast := n.GetTypeCast(); cast != nil {
		n = cast.Arg
	}
	return n.GetAArrayExpr().GetElements()
}

// mayCompare demands that a value may be compared with a constant by this caller.
func (f *flow) mayCompare(v *value, ref *pg_query.Node) {
	s := v.as()
	switch {
	case f.err != nil:
	case s.Mode == policy.SealRandomized && !s.Blind:
		f.refuse(v, "looked for: its values are randomized, and index: blind is not set")
	case len(v.from) > 1 && (s.Blind || slices.ContainsFunc(v.from, func(c *sealedColumn) bool { return c.Domain != s.Domain })):
		f.refuse(v, "looked for where it is one column with another")
	case v.show.Show == policy.ShowClear:
	case v.show.Match == policy.MatchEquality && f.find[ref]:
	default:
		f.refuse(v, "looked for where it is shown masked, unless its rule says match: equality")
	}
}

func (f *flow) comparedWith(v *value, n *pg_query.Node, list bool) {
	switch {
	case f.err != nil || n.GetAConst().GetIsnull():
	case f.of(n) != nil:
		f.as(n)
		f.alike(v, f.of(n))
	case !resolve.IsConstant(n):
		f.refuse(v, "compared with what the server computes: give the value as a literal or a parameter")
	default:
		p := f.hole(n, v.as(), true)
		p.list, p.forms = list, list
	}
}

// toBlind makes a reference to a randomized column one to the column by which
// its values are found.
func (f *flow) toBlind(v *value, ref *pg_query.Node) {
	i := slices.IndexFunc(f.query.Uses, func(u resolve.Use) bool { return u.Node == ref && !u.Derived })
	if i < 0 || f.query.Uses[i].Ref.Relation != v.from[0].relation {
		f.refuse(v, "looked for outside of where its table is named")
		return
	}
	of := f.query.Uses[i].Ref
	column := of.Relation.ColumnIndex(policy.BlindColumn(v.from[0].name()))
	if show, _ := f.shows(resolve.Base{Ref: of, Column: column}, v.from[0]); show.Show != policy.ShowClear {
		f.refuse(v, "looked for: "+policy.BlindColumn(v.name())+", by which its values are found, is not shown to you")
		return
	}
	of.Used[column] = true
	f.blinded = append(f.blinded, ref)
}

// hole notes that a constant or parameter has to be sealed.
func (f *flow) hole(n *pg_query.Node, as *policy.Sealed, find bool) *sealAt {
	p := &sealAt{node: n, as: as, find: find && as.Blind}
	f.holes = append(f.holes, p)
	return p
}

// blind gives what stands for what a value is found by, beside the value itself.
func (f *flow) blind(at *sealAt) *pg_query.Node {
	n := proto.Clone(at.node).(*pg_query.Node)
	f.holes = append(f.holes, &sealAt{node: n, as: at.as, find: true})
	return n
}

// fill puts marks in the place of constants that have to be sealed, and numbers
// the parameters that have to be.
func (f *flow) fill(query *pg_query.Node) error {
	for _, n := range f.blinded {
		fields := n.GetColumnRef().GetFields()
		last := fields[len(fields)-1].GetString_()
		last.Sval, f.changed = policy.BlindColumn(last.Sval), true
	}
	for _, p := range f.holes {
		if err := f.uncast(p); err != nil {
			return err
		}
	}
	for _, t := range f.turned {
		t.do(f)
	}
	if len(f.turned) > 0 {
		flatten(query)
	}
	params := map[*pg_query.ParamRef]*sealAt{}
	for _, p := range f.holes {
		if ref := p.node.GetParamRef(); ref != nil {
			params[ref] = p
			continue
		}
		if p.list {
			return refuseUnsupported("write ARRAY[…], or use a parameter", "an array that is written as one text cannot be compared with %s, which is sealed", p.as.Column)
		}
		if p.row.parameters() {
			return refuseUnsupported("give the value as a parameter, too", "a literal for %s is bound to its row, whose key is a parameter", p.as.Column)
		}
		text, err := literalValue(p)
		if err != nil {
			return err
		}
		mark := fmt.Sprintf("%s%d", f.engine.seals.mark, len(f.plan.seals().marked))
		p.node.Node = pg_query.MakeAConstStrNode(mark, -1).Node
		f.plan.seals().marked["'"+mark+"'"] = hole{value: text, of: p.as, find: p.find, forms: p.forms, row: p.row}
		f.changed = true
	}
	if err := f.number(query, params); err != nil {
		return err
	}
	return f.returnsRows()
}

// uncast takes the cast off a value that is to be sealed: it is of that type
// once it is opened.
func (f *flow) uncast(p *sealAt) error {
	for p.node.GetTypeCast() != nil {
		cast := p.node.GetTypeCast()
		names := cast.TypeName.GetNames()
		name := names[len(names)-1].GetString_().GetSval()
		texts := name == "text" || name == "varchar"
		same := name == p.as.Values || texts && (p.as.Values == "text" || p.as.Values == "varchar")
		if array := len(cast.TypeName.ArrayBounds) > 0; !same || array != p.list || len(cast.TypeName.Typmods) > 0 {
			return refuseUnsupported("leave the cast out", "a value for %s, which is sealed, is cast to another type than %s", p.as.Column, p.as.Values)
		}
		p.node.Node = cast.Arg.Node
		f.changed = true
	}
	return nil
}

// writtenNumber is a number that the server writes as it is written here.
var writtenNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// literalValue gives the value of a literal as text.
func literalValue(p *sealAt) (string, error) {
	c := p.node.GetAConst()
	switch {
	case c.GetSval() != nil:
		return c.GetSval().Sval, nil
	case c.GetIval() != nil || c.GetFval() != nil:
		if p.find && (p.as.Values == "text" || p.as.Values == "varchar") {
			return "", &Refusal{Code: "42883", Message: fmt.Sprintf("%s is text: a number cannot be compared with it", p.as.Column), Hint: "write it in quotes"}
		}
		if c.GetIval() != nil {
			return fmt.Sprint(c.GetIval().Ival), nil
		}
		if f := c.GetFval().Fval; p.as.Values != "text" && p.as.Values != "varchar" || writtenNumber.MatchString(f) {
			return f, nil
		}
		return "", refuseUnsupported("write it in quotes", "%s is text, as which the server would write this number otherwise", p.as.Column)
	case c.GetBoolval() != nil && p.as.Values == "bool":
		return fmt.Sprint(c.GetBoolval().Boolval), nil
	default:
		return "", refuseUnsupported("write it in quotes", "this literal cannot be sealed for %s", p.as.Column)
	}
}

// number gives parameters that are sealed numbers of their own where the client
// uses the same one elsewhere, since there it has another value.
func (f *flow) number(query *pg_query.Node, sealed map[*pg_query.ParamRef]*sealAt) error {
	if len(sealed) == 0 {
		return nil
	}
	if f.later {
		return refuseUnsupported("prepare it by the protocol, or write the values", "PREPARE with a parameter for a sealed column cannot be followed")
	}
	var all []Parameter
	refs := paramRefs(query)
	for _, ref := range refs {
		for len(all) < int(ref.Number) {
			all = append(all, Parameter{Client: len(all) + 1})
		}
	}
	taken := map[int32]bool{} // numbers that some place uses
	numbers := map[int32]*policy.Sealed{}
	for ref, p := range sealed {
		numbers[ref.Number] = p.as
	}
	null := tested(query)
	for _, ref := range refs {
		as := numbers[ref.Number]
		switch {
		case sealed[ref] != nil, null[ref] != nil:
		case as != nil:
			return refuseUnsupported("use two parameters", "$%d is for %s, which is sealed, and for something that is not: the server would get the value in clear", ref.Number, as.Column)
		default:
			taken[ref.Number] = true
		}
	}
	stands := map[int32]int32{} // by the client's number, one that is sealed: whether it is NULL, it tells as well
	for _, ref := range refs {
		p := sealed[ref]
		if p == nil {
			continue
		}
		want := Parameter{Client: int(ref.Number), For: p.as, Find: p.find, Array: p.list, Forms: p.forms, Row: p.row}
		i := slices.Index(all, want)
		if p.as.Shred && !p.find {
			i = -1 // each place has a key of its own
		}
		if i < 0 && !taken[ref.Number] {
			i, taken[ref.Number] = int(ref.Number)-1, true
			all[i] = want
		} else if i < 0 {
			i, all = len(all), append(all, want)
		}
		stands[ref.Number] = int32(i + 1)
		if ref.Number != int32(i+1) {
			ref.Number, f.changed = int32(i+1), true
		}
	}
	if len(all) > maxParams {
		return &Refusal{Code: "54000", Message: fmt.Sprintf("the statement has %d parameters once values are sealed, more than %d", len(all), maxParams), Hint: "send fewer rows at once"}
	}
	for _, ref := range refs {
		test := null[ref]
		if test == nil || sealed[ref] != nil || taken[ref.Number] && stands[ref.Number] == 0 {
			continue
		}
		if of := int(ref.Number) - 1; stands[ref.Number] == 0 {
			all[of].Null = typeOfTest(test)
		} else {
			ref.Number = stands[ref.Number]
		}
		test.Arg, f.changed = &pg_query.Node{Node: &pg_query.Node_ParamRef{ParamRef: ref}}, true
	}
	f.plan.seals().Params = all
	return nil
}

// maxParams is how many parameters the protocol has room for.
const maxParams = 65535

// paramRefs gives the parameters of a query, in the order of the text.
func paramRefs(query *pg_query.Node) (refs []*pg_query.ParamRef) {
	parse.Walk(query, func(m proto.Message) bool {
		if ref, ok := m.(*pg_query.ParamRef); ok {
			refs = append(refs, ref)
		}
		return true
	})
	return refs
}
