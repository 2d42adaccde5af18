package policy

import "github.com/pgveil/pgveil/catalog"

// A limit may end in hiding values: rows are seen as before, and of every class
// but open nothing that depends on a value.

const beyondLimit = "beyond a limit: values are hidden"

// hide takes back what a role that is unrestricted gives: there are no rules by
// which it could show less. Such a caller reaches no governed relation, unless by
// another role.
func (d *decisions) hide() { d.unrestricted = d.unrestricted && !d.beyond }

// hidden gives the treatment of a column beyond a limit. A column without NULLs
// shows a fixed value, which tells no more than NULL would and is one of those
// that applications expect.
func (t Treatment) hidden(c catalog.Column) Treatment {
	if t.Class == openClass || t.Show == ShowRefuse {
		return t
	}
	if t.Show == ShowAggregate {
		return Treatment{Class: t.Class, Rule: t.Rule, Because: beyondLimit, Observed: t.Observed}
	}
	match := MatchMasked
	if t.Show == ShowMasked {
		match = min(t.Match, MatchMasked)
	}
	mask := Mask{Kind: MaskNull}
	if redact := (Mask{Kind: MaskRedact}); c.NotNull && redact.Applies(c.Type) == nil {
		mask = redact
	}
	return Treatment{Show: ShowMasked, Mask: mask, Match: match, Class: t.Class, Rule: t.Rule, Because: beyondLimit, Observed: t.Observed}
}
