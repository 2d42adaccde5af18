package dsar

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/state"
)

// scheme is what an erasure does to whichever rows it finds.
type scheme struct {
	g        *Graph
	fates    []fate // of the graph's Tables
	ties     []*tie
	holds    []state.Hold
	refusals []Step // whatever the rows are
	warnings []string
}

// fate is what happens to the subject's rows of one table.
type fate struct {
	do     Action
	said   bool        // it is the fate of rows that refer loosely, too
	reason string      // of Keep
	lasts  policy.Keep // of Keep: rows older than that are deleted
	after  string
	set    []becomes
}

// deletes tells whether rows of the table may go.
func (f fate) deletes() bool { return f.do == Delete || f.do == Keep && f.after != "" }

// goes tells whether rows of a table may go. Those that refer loosely live on,
// unless the policy says what becomes of them.
func (s *scheme) goes(table int) bool {
	return s.fates[table].deletes() && (s.g.owns(table) || s.fates[table].said)
}

// scheme finds out what happens to a subject's rows, from the policy, the
// holds in force and the schema as a transaction sees them.
func (g *Graph) scheme(ctx context.Context, tx pgx.Tx, holds []state.Hold) (*scheme, error) {
	s := &scheme{g: g, holds: holds, fates: make([]fate, len(g.Tables))}
	for i := range g.Tables {
		s.decide(i)
	}
	for i := range g.Tables {
		if err := s.values(ctx, tx, i); err != nil {
			return nil, err
		}
	}
	s.misplaced()
	if err := s.seek(ctx, tx); err != nil {
		return nil, err
	}
	if err := s.tie(ctx, tx); err != nil {
		return nil, fmt.Errorf("reading foreign keys: %w", err)
	}
	found, err := hooks(ctx, tx, s.written())
	if err != nil {
		return nil, fmt.Errorf("reading triggers and rules: %w", err)
	}
	s.hook(found)
	s.knots()
	return s, s.counted(ctx, tx, found)
}

// decide finds the fate of one table. A hold is stronger than the policy; what
// inherits from the subject's table has its fate, unless it has one of its own.
func (s *scheme) decide(table int) {
	t, f := s.g.Tables[table], &s.fates[table]
	f.do = Delete
	if t.heir {
		*f = s.fates[0]
	}
	for _, h := range s.g.Subject.Erase {
		if h.Relation == t.Relation {
			*f = fate{do: actionOf(h.Do), said: true, reason: h.Because, lasts: h.For, after: h.After}
		}
	}
	if matter := s.matter(t.Relation.QualifiedName()); matter != "" {
		*f = fate{do: Keep, said: true, reason: "held: " + matter}
	}
}

// values finds out what the columns of a table become that is anonymised.
func (s *scheme) values(ctx context.Context, tx pgx.Tx, table int) error {
	r, f := s.g.Tables[table].Relation, &s.fates[table]
	f.set = nil
	if f.do != Anonymise {
		return nil
	}
	facts, err := s.facts(ctx, tx, r)
	if err != nil {
		return fmt.Errorf("reading the columns of %s: %w", r.QualifiedName(), err)
	}
	for _, c := range facts {
		class, _ := s.g.set.Class(r, c.name)
		c.dangling = s.dangles(table, c.name)
		b, ok, err := c.becomes(r, class)
		if err != nil {
			s.refuse(r.QualifiedName(), err.Error())
		}
		if ok {
			f.set = append(f.set, b)
			if hashes, ok := b.beside(facts); ok {
				f.set = append(f.set, hashes)
			}
		}
	}
	return nil
}

func actionOf(f policy.Fate) Action {
	switch f {
	case policy.FateDelete:
		return Delete
	case policy.FateAnonymise:
		return Anonymise
	case policy.FateKeep:
		return Keep
	default:
		return Refuse
	}
}

// dangles tells whether a column refers, without a constraint, to rows that go:
// then it is data as any other, and the reference to them ends with it.
func (s *scheme) dangles(table int, column string) bool {
	return slices.ContainsFunc(s.g.links, func(e edge) bool {
		return e.Declared && e.child == table && s.goes(e.parent) && slices.Contains(e.Columns, column)
	})
}

// root tells whether the subject's own row may lie in a table.
func (s *scheme) root(table int) bool { return table == 0 || s.g.Tables[table].heir }

// matter gives why rows of a relation are held; "" when they are not.
func (s *scheme) matter(relation string) string {
	var matters []string
	for _, h := range s.holds {
		if h.Relation == "" || h.Relation == relation {
			matters = append(matters, h.Matter)
		}
	}
	return strings.Join(matters, "; ")
}

func (s *scheme) refuse(table, reason string) {
	s.refusals = append(s.refusals, Step{Table: table, Action: Refuse, Reason: reason})
}

func (s *scheme) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}

// facts gives the facts about a relation's columns, with their classes.
func (s *scheme) facts(ctx context.Context, tx pgx.Tx, r *catalog.Relation) ([]fact, error) {
	facts, err := columnFacts(ctx, tx, r.OID)
	return factsOf(s.g.set, r, facts), err
}

// misplaced refuses what the policy says of relations that nobody looks at
// here: whoever wrote it believes that it holds.
func (s *scheme) misplaced() {
	for _, h := range s.g.Subject.Erase {
		known := slices.ContainsFunc(s.g.Tables, func(t *Table) bool { return t.Relation == h.Relation })
		if !known {
			s.refuse(h.Relation.QualifiedName(), fmt.Sprintf(
				`the policy says what an erasure does with it, but no rows of a %s are found there: name the table itself, not a partition, or declare a reference`, s.g.Subject.Name))
		}
	}
}

// tie collects the references to rows that may go.
func (s *scheme) tie(ctx context.Context, tx pgx.Tx) error {
	ties, err := s.g.foreignKeys(ctx, tx)
	if err != nil {
		return err
	}
	for _, e := range s.g.links {
		if e.Declared && !e.byOwnKey() {
			ties = append(ties, &tie{child: e.From.QualifiedName(), parent: e.To.QualifiedName(), childOID: e.From.OID, parentOID: e.To.OID,
				columns: e.Columns, refs: e.RefColumns, nullable: s.loses(e), condition: refers(e.Link), stands: s.stands(e), indexed: true})
		}
	}
	for _, t := range ties {
		if err := s.attach(ctx, tx, t); err != nil {
			return err
		}
	}
	return nil
}

// loses gives the columns of a declared reference that are set null to end it:
// those by which nothing else refers, as far as there are some.
func (s *scheme) loses(e edge) []string {
	elsewhere := func(name string) bool {
		other := func(columns []string) bool {
			return !slices.Equal(columns, e.Columns) && slices.Contains(columns, name)
		}
		return slices.ContainsFunc(e.From.ForeignKeys, func(fk catalog.ForeignKey) bool { return other(fk.Columns) }) ||
			slices.ContainsFunc(s.g.links, func(l edge) bool { return l.child == e.child && other(l.Columns) })
	}
	all := e.nullable()
	if own := slices.DeleteFunc(slices.Clone(all), elsewhere); len(own) > 0 {
		return own
	}
	return all
}

// attach adds a tie where it matters: where rows that it refers to may go, or
// where the row beside it tells of the subject.
func (s *scheme) attach(ctx context.Context, tx pgx.Tx, t *tie) error {
	t.table = s.tableOf(t.parentOID)
	if t.table < 0 {
		return fmt.Errorf("internal error: %s is no table of the graph", t.parent)
	}
	child := s.tableOf(t.childOID)
	if s.root(t.table) && (child < 0 || s.fates[child].do != Keep) {
		if err := s.hide(ctx, tx, t); err != nil {
			return err
		}
	}
	goes := s.goes(t.table)
	if !goes && (t.hidden == nil || s.fates[t.table].do != Anonymise) {
		return nil
	}
	if goes && !t.indexed {
		s.warn("%s has no index: each row of %s that goes reads all of %s", t, t.parent, t.child)
	}
	if goes && t.onDelete == 'c' && child < 0 {
		s.warn("%s deletes rows that are not the subject's when what they refer to goes (ON DELETE CASCADE): they are kept from that", t)
	}
	s.ties = append(s.ties, t)
	return nil
}

// hide notes which columns beside a reference to the subject tell of it, in
// rows that are somebody else's.
func (s *scheme) hide(ctx context.Context, tx pgx.Tx, t *tie) error {
	r, ok := s.g.catalog.RelationByOID(t.childOID)
	if !ok {
		return errChanged
	}
	var others []string
	for _, fk := range r.ForeignKeys {
		if !slices.Equal(fk.Columns, t.columns) {
			others = append(others, fk.Columns...)
		}
	}
	names := slices.DeleteFunc(slices.Clone(hidden(r, t.columns, others)), func(c string) bool { return slices.Contains(t.columns, c) })
	if len(names) == 0 {
		return nil
	}
	facts, err := s.facts(ctx, tx, r)
	if err != nil {
		return err
	}
	for _, name := range names {
		f, ok := factOf(facts, name)
		if f.blind {
			continue // it becomes what is beside it
		}
		if ok && !f.fixed && !f.key {
			if b := f.fit(); b.value != "" || b.fill != nil {
				t.hidden = append(t.hidden, b)
				if hashes, ok := b.beside(facts); ok {
					t.hidden = append(t.hidden, hashes)
				}
				continue
			}
		}
		s.warn("%s.%s tells of the subject in rows that stay, and is left as it is", t.child, name)
	}
	return nil
}

// tableOf gives the index of the table that a relation is, or is a partition
// of; -1 when the graph has none.
func (s *scheme) tableOf(oid uint32) int {
	r, ok := s.g.catalog.RelationByOID(oid)
	for ok && r.Partition {
		r, ok = s.g.catalog.RelationByOID(r.Parents[0])
	}
	if !ok {
		return -1
	}
	return slices.IndexFunc(s.g.Tables, func(t *Table) bool { return t.Relation == r })
}

// written gives the OIDs of the relations that may be written, with their partitions.
func (s *scheme) written() []uint32 {
	all := slices.Clone(s.g.watched)
	for _, t := range s.ties {
		all = append(all, t.childOID)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// knots refuses that of tables whose rows lead to each other some stay and
// others go: once what stays is cut off, what hangs on it is no longer found.
func (s *scheme) knots() {
	for _, group := range s.g.deletion {
		var stay, leave []string
		for _, i := range group {
			name := s.g.Tables[i].Relation.QualifiedName()
			if s.fates[i].do != Delete {
				stay = append(stay, name)
			}
			if !s.root(i) && s.goes(i) {
				leave = append(leave, name)
			}
		}
		if (len(group) > 1 || s.g.recurs(group[0])) && stay != nil && leave != nil {
			s.refuse(stay[0], fmt.Sprintf("rows of %s lead to each other: under subjects, %s, erase, let all of them be deleted, or none",
				strings.Join(slices.Compact(append(stay, leave...)), ", "), s.g.Subject.Name))
		}
	}
}

// counted refuses triggers where the server does not count what they write, and
// a session in which foreign keys do not hold.
func (s *scheme) counted(ctx context.Context, tx pgx.Tx, found []hook) error {
	var counts, replica bool
	if err := tx.QueryRow(ctx, "SELECT current_setting('track_counts')::bool, current_setting('session_replication_role') = 'replica'").Scan(&counts, &replica); err != nil {
		return err
	}
	if replica {
		s.refuse(s.g.Tables[0].Relation.QualifiedName(), "session_replication_role is replica for this login: foreign keys and triggers would not do what the schema says; set it to origin")
	}
	if !counts && len(found) > 0 {
		s.refuse(found[0].table, "it has triggers, and track_counts is off: what they write would go unnoticed")
	}
	return nil
}

// hook refuses rules, under which the server does something else than it is
// told, and warns of triggers.
func (s *scheme) hook(found []hook) {
	for _, h := range found {
		if h.rule {
			s.refuse(h.table, fmt.Sprintf("the rule %s changes what ON %s does: drop or disable it, or write a trigger", h.name, strings.ToUpper(h.event)))
			continue
		}
		s.warn("the trigger %s of %s runs on %s", h.name, h.table, h.event)
	}
}

// lines gives the scheme as text, the same for the same: what a plan's hash is of.
func (s *scheme) lines() []string {
	var lines []string
	for i, t := range s.g.Tables {
		f := s.fates[i]
		line := fmt.Sprintf("%s of %s by %s", f.do, t.Relation.QualifiedName(), t.Path)
		if f.reason != "" {
			line += fmt.Sprintf(" because %q", f.reason)
		}
		if f.after != "" {
			line += fmt.Sprintf(" for %s after %s, then delete", f.lasts, f.after)
		}
		lines = append(lines, line+inWords(f.set))
	}
	for _, t := range s.ties {
		lines = append(lines, fmt.Sprintf("set null %s of %s -> %s%s", strings.Join(t.nullable, ", "), t, t.parent, inWords(t.hidden)))
	}
	return lines
}

func inWords(set []becomes) string {
	words := make([]string, len(set))
	for i, b := range set {
		words[i] = fmt.Sprintf("%s: %s", b.column, b.how)
	}
	return " {" + strings.Join(words, ", ") + "}"
}

func columns(set []becomes) []Becomes {
	var all []Becomes
	for _, b := range set {
		all = append(all, Becomes{b.column, b.how})
	}
	return all
}
