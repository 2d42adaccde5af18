package dsar

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// Suggestion is a reference that nobody declared, and what speaks for it. It holds
// no value of a row but that of a column which says what kind another refers to,
// where it is the name of a table.
type Suggestion struct {
	Subject    string   `json:"subject"`
	From       string   `json:"from"`
	To         string   `json:"to"`
	Evidence   []string `json:"evidence"`
	Confidence float64  `json:"confidence"` // up to 1
	Reference  string   `json:"reference"`  // for the policy: an item of the subject's references
}

// Suggest looks for columns that refer to subjects, or to tables in which rows of
// subjects lie, though neither a foreign key nor the policy says so: by their names,
// their types and by how many values of a sample are found where they would lead.
// The most likely come first. It only reads; no column gives more than a sample.
func Suggest(ctx context.Context, conn *pgx.Conn, set *policy.Set, cat *catalog.Snapshot) ([]Suggestion, error) {
	s := &suggester{b: builder{cat: cat, set: set}, pages: map[uint32]float64{}, found: []Suggestion{}}
	s.b.links = s.b.allLinks()
	if err := s.goals(); err != nil {
		return nil, err
	}
	err := inSnapshot(ctx, conn, func(tx pgx.Tx) error {
		s.tx = tx
		if err := s.sizes(ctx); err != nil {
			return err
		}
		for _, r := range cat.Relations() {
			if !r.Governed() || r.Partition || r.Schema == policy.OwnSchema || r.Kind != catalog.Table && r.Kind != catalog.PartitionedTable {
				continue
			}
			if err := s.relation(ctx, r); err != nil {
				return fmt.Errorf("%s: %w", r.QualifiedName(), err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for references: %w", err)
	}
	slices.SortStableFunc(s.found, func(a, b Suggestion) int {
		return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return s.found, nil
}

// suggester makes Suggestions.
type suggester struct {
	b     builder
	tx    pgx.Tx
	pages map[uint32]float64 // of each table, as the server last counted
	all   []goal
	found []Suggestion
}

// goal is a column that others may refer to.
type goal struct {
	subject  string
	relation *catalog.Relation
	column   *catalog.Column
	key      bool     // the subject's key, or a table's primary key; else what a subject may be looked up by
	own      bool     // of the subject's table
	names    []string // what columns that refer to it are called, without _id
}

// goals lists what a reference may lead to: the keys of subjects, what they may be
// looked up by, and the keys of tables with rows of theirs.
func (s *suggester) goals() error {
	seen := map[*catalog.Column]bool{}
	add := func(g goal, column string) {
		c, ok := g.relation.Column(column)
		if !ok || seen[c] || !scalar(c.Type) && c.Type.Kind != 'e' {
			return
		}
		seen[c], g.column = true, c
		if name := strings.Join(words(g.relation.Name), "_"); !slices.Contains(g.names, name) {
			g.names = append(slices.Clone(g.names), name)
		}
		s.all = append(s.all, g)
	}
	subjects := s.b.set.Subjects()
	for _, of := range subjects {
		own := goal{subject: of.Name, relation: of.Relation, own: true, names: []string{strings.Join(words(of.Name), "_")}}
		for _, name := range of.FindBy {
			add(own, name)
		}
		own.key = true
		add(own, of.Key)
	}
	for _, of := range subjects {
		g, err := NewGraph(s.b.set, s.b.cat, of.Name)
		if err != nil {
			return err
		}
		for _, t := range g.Tables[1:] {
			if r := t.Relation; len(r.PrimaryKey) == 1 && !t.heir {
				add(goal{subject: of.Name, relation: r, key: true}, r.Columns[r.PrimaryKey[0]].Name)
			}
		}
	}
	return nil
}

// sizes reads how large tables are, to take samples of those that are.
func (s *suggester) sizes(ctx context.Context) error {
	rows, err := s.tx.Query(ctx, "SELECT oid, relpages::float8 FROM pg_class WHERE relkind IN ('r', 'm')")
	if err != nil {
		return err
	}
	var oid uint32
	var pages float64
	_, err = pgx.ForEachRow(rows, []any{&oid, &pages}, func() error { s.pages[oid] = pages; return nil })
	return err
}

// relation looks at the columns of one table.
func (s *suggester) relation(ctx context.Context, r *catalog.Relation) error {
	paired, err := s.pairs(ctx, r)
	if err != nil {
		return err
	}
	for i := range r.Columns {
		c := &r.Columns[i]
		switch {
		case paired[c.Name] || s.refers(r, c.Name):
		case c.Type.Base == "json" || c.Type.Base == "jsonb":
			err = s.document(ctx, r, c)
		default:
			err = s.column(ctx, r, c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refers tells whether it is known already what a column refers to.
func (s *suggester) refers(r *catalog.Relation, column string) bool {
	return slices.ContainsFunc(s.b.links, func(l *Link) bool {
		return s.b.whole(l.From) == r && slices.Contains(l.Columns, column) && (l.by == nil || l.by.Path == nil)
	})
}

// column compares one column, an array or not, with all goals.
func (s *suggester) column(ctx context.Context, r *catalog.Relation, c *catalog.Column) error {
	for _, g := range s.all {
		named := g.named(c.Name)
		if g.own && g.relation == r || g.column == c || !g.mayBe(c.Type) || !named && !s.alike(g, r, c) {
			continue
		}
		from := candidate{r, c, "", nil, "CAST(c." + quote(c.Name) + " AS text)"}
		if c.Type.Elem != 0 {
			from.value = "unnest(CAST(c." + quote(c.Name) + " AS text[]))"
		}
		m, err := s.measure(ctx, from, g)
		if err != nil {
			return err
		}
		s.judge(from, g, named, m)
	}
	return nil
}

// mayBe tells whether values of a type may be those of the goal.
func (g goal) mayBe(t catalog.Type) bool {
	base := strings.TrimPrefix(t.Base, "_")
	return base == g.column.Type.Base || numeric(base) && numeric(g.column.Type.Base) || textual(base) && (g.key || textual(g.column.Type.Base))
}

func numeric(base string) bool {
	return slices.Contains([]string{"int2", "int4", "int8", "numeric"}, base)
}

func textual(base string) bool {
	return slices.Contains([]string{"text", "varchar", "bpchar", "citext", "name"}, base)
}

// guessable tells whether values of other columns may be the goal's by chance:
// numbers count from one everywhere.
func (g goal) guessable() bool { return numeric(g.column.Type.Base) }

// alike tells whether a column is worth a comparison though its name says nothing:
// values that nobody hits by chance, of a column that the policy has in the same
// class, or that is of the same special type.
func (s *suggester) alike(g goal, r *catalog.Relation, c *catalog.Column) bool {
	if g.guessable() {
		return false
	}
	if c.Type.Base == "uuid" && g.column.Type.Base == "uuid" {
		return !slices.Contains(r.PrimaryKey, r.ColumnIndex(c.Name)) || g.own
	}
	if g.key {
		_, ends := stemWords(c.Name)
		return ends
	}
	mine, ok := s.b.set.Class(r, c.Name)
	theirs, known := s.b.set.Class(g.relation, g.column.Name)
	return ok && known && mine.Name == theirs.Name && !mine.Open() || sharesWord(c.Name, g.column.Name)
}

// judge suggests a reference when enough speaks for it.
func (s *suggester) judge(from candidate, g goal, named bool, m overlap) {
	if m.values > 0 && (m.folded == 0 || g.guessable() && m.share() < 0.5) {
		return
	}
	if m.values == 0 && !named {
		return
	}
	confidence, evidence := weigh(from, g, named, m)
	s.found = append(s.found, Suggestion{
		Subject: g.subject, From: from.String(), To: g.relation.QualifiedName() + "." + g.column.Name,
		Evidence: evidence, Confidence: math.Round(min(confidence, 0.99)*100) / 100, Reference: from.reference(g, m.folded > m.found),
	})
}

// weigh says what speaks for a reference, and how much.
func weigh(from candidate, g goal, named bool, m overlap) (confidence float64, evidence []string) {
	switch {
	case from.where != nil:
		confidence += 0.45
		evidence = append(evidence, fmt.Sprintf("%s says which kind it refers to", from.kind))
	case named:
		confidence += 0.45
		evidence = append(evidence, fmt.Sprintf("%s is named after %s", from.name(), strings.Join(g.names, " or ")))
	}
	if from.column.Type.Base == g.column.Type.Base {
		confidence += 0.1
		evidence = append(evidence, "both are "+g.column.Type.SQL)
	}
	if m.values == 0 {
		evidence = append(evidence, "there are no values to compare")
	} else {
		evidence = append(evidence, fmt.Sprintf("%d of %d different values of a sample are found in %s.%s", m.folded, m.values, g.relation.QualifiedName(), g.column.Name))
		if !g.guessable() && m.folded >= 3 {
			confidence = max(confidence, 0.5) // nobody hits these by chance
		}
		confidence += 0.44 * m.share()
	}
	if deed(from.name()) {
		confidence -= 0.3
		evidence = append(evidence, "the name says who did something, not whose the row is: an erasure would take the row")
	}
	return confidence, evidence
}
