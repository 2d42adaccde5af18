package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pgveil/pgveil/catalog"
)

// aggregateWord begins a show that leaves a column to aggregates.
const aggregateWord = "aggregate"

// The least that min may be, and the most. A group of one is nobody's but that
// one's.
const (
	minGroup = 2
	maxGroup = 1_000_000
)

// withAggregates are the types whose aggregates raise no error that would tell
// of a value: floating point overflows, and so do intervals.
var withAggregates = familySet(FamilyInteger, FamilyNumeric)

// parseAggregate reads "aggregate(min 10)". is tells whether the text is meant
// as one at all.
func parseAggregate(s string) (least int, is bool, err error) {
	name, inside, _ := strings.Cut(s, "(")
	if strings.TrimSpace(name) != aggregateWord {
		return 0, false, nil
	}
	inside, closed := strings.CutSuffix(strings.TrimSpace(inside), ")")
	words := strings.Fields(inside)
	if !closed || len(words) != 2 || words[0] != "min" {
		return 0, true, fmt.Errorf("aggregate needs the least size of a group, as in aggregate(min 10)")
	}
	if least, err = strconv.Atoi(words[1]); err != nil {
		return 0, true, fmt.Errorf("aggregate: min must be an integer")
	}
	if least < minGroup || least > maxGroup {
		return 0, true, fmt.Errorf("aggregate: min must be %d to %d, not %d", minGroup, maxGroup, least)
	}
	return least, true, nil
}

// Shown gives the treatment as a policy writes it after show.
func (t Treatment) Shown() string {
	switch t.Show {
	case ShowClear:
		return "clear"
	case ShowMasked:
		return t.Mask.String()
	case ShowAggregate:
		return fmt.Sprintf("%s(min %d)", aggregateWord, t.Min)
	default:
		return "refuse"
	}
}

// Visible tells whether rows show the column, as it is or masked.
func (t Treatment) Visible() bool { return t.Show == ShowClear || t.Show == ShowMasked }

// applies tells whether a rule's treatment is defined for values of the type.
func (t Treatment) applies(typ catalog.Type) error {
	switch t.Show {
	case ShowMasked:
		return t.Mask.Applies(typ)
	case ShowAggregate:
		if withAggregates&familySet(FamilyOf(typ)) == 0 {
			return fmt.Errorf("%s is not defined for %s, only for %s", t.Shown(), typ.SQL, withAggregates)
		}
		return nil
	default: // values themselves, or nothing
		return nil
	}
}

// SubjectKey names the data subject that a row of a relation belongs to.
type SubjectKey struct {
	Kind    string   // of subject
	SQL     string   // an expression over the relation as pgveil_t
	Columns []string // those of the relation that it looks at
	Through []KeyColumns
}

// KeyColumns are the columns of a relation between that a subject's key is found
// by.
type KeyColumns struct {
	Relation *catalog.Relation
	Columns  []string
}

// SubjectKeys gives what names the data subjects of a relation's rows: of a
// subject's own table its key, of others the end of every shortest way along
// foreign keys and declared references, to each kind of subject. There are
// none where no way leads to one. ok is false where it cannot be said whose a
// row is: the ways are too many, a reference names several or is one that only
// some rows have, or the rows are those of a view, which may repeat them.
func (a *Access) SubjectKeys(r *catalog.Relation) (keys []SubjectKey, ok bool) {
	if a.decisions == nil {
		return nil, false
	}
	return a.decisions.set.SubjectKeys(r)
}

// SubjectKinds gives the kinds of subject that a relation's rows belong to.
func (s *Set) SubjectKinds(r *catalog.Relation) (kinds []string) {
	for _, c := range s.belongs[r] {
		kinds = append(kinds, c.subject.Name)
	}
	return kinds
}

// SubjectKeys is Access.SubjectKeys, which is the same for every access.
func (s *Set) SubjectKeys(r *catalog.Relation) (keys []SubjectKey, ok bool) {
	chains := s.belongs[r]
	if i := slices.IndexFunc(chains, func(c chain) bool { return len(c.steps) == 0 }); i >= 0 {
		chains = chains[i : i+1] // a subject's own table: its rows are about nobody else
	}
	for _, c := range chains {
		if c.ways > maxWays || c.vague || c.partial {
			return nil, false
		}
		keys = append(keys, s.keysAlong(c, consentAlias, 1)...)
	}
	derived := r.Kind == catalog.View || r.Kind == catalog.MaterializedView
	return keys, len(keys) > 0 || !derived
}

// keysAlong follows one chain from the relation called alias.
func (s *Set) keysAlong(c chain, alias string, depth int) (keys []SubjectKey) {
	if len(c.steps) == 0 {
		return []SubjectKey{{Kind: c.subject.Name, SQL: alias + "." + quoteName(c.subject.Key), Columns: []string{c.subject.Key}}}
	}
	inner := fmt.Sprintf("pgveil_%d", depth)
	for _, way := range c.steps {
		if i := slices.Index(way.refs, c.subject.Key); i >= 0 && way.to == c.subject.Relation {
			keys = append(keys, SubjectKey{Kind: c.subject.Name, SQL: alias + "." + quoteName(way.columns[i]), Columns: way.columns[i : i+1]})
			continue
		}
		next := c
		if way.to != c.subject.Relation {
			next = chainTo(s.belongs[way.to], c.subject.Name)
		}
		for _, key := range s.keysAlong(next, inner, depth+1) {
			sql := fmt.Sprintf("(SELECT %s FROM %s.%s AS %s WHERE %s)",
				key.SQL, quoteName(way.to.Schema), quoteName(way.to.Name), inner, strings.Join(way.refers(alias, inner), " AND "))
			between := KeyColumns{way.to, slices.Concat(way.refs, key.Columns)}
			keys = append(keys, SubjectKey{Kind: c.subject.Name, SQL: sql, Columns: way.columns, Through: append(slices.Clone(key.Through), between)})
		}
	}
	return keys
}

// ungrouped lists the tables whose rows are counted in place of subjects, and
// those where not even that tells anything.
func (s *Set) ungrouped() []string {
	var lines []string
	for _, u := range s.doc.rules {
		for _, t := range s.governed {
			meant := func(class string) bool { return class != "" && class != openClass && u.classes.matches(class) }
			if u.treatment.Show != ShowAggregate || !slices.ContainsFunc(t.classes, meant) {
				continue
			}
			name := t.relation.QualifiedName()
			switch keys, ok := s.SubjectKeys(t.relation); {
			case !ok:
				lines = append(lines, fmt.Sprintf("%s: the policy does not say whose data a row of %s is: its columns are refused", u.pos, name))
			case len(keys) == 0:
				lines = append(lines, fmt.Sprintf("%s: groups of %s are counted by rows: nothing leads from it to a subject", u.pos, name))
			}
		}
	}
	return lines
}
