package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/retention"
)

// RetentionSchema names the form of a Retention as JSON. Fields may be added to it;
// none changes its meaning.
const RetentionSchema = "pgveil.report.retention/1"

// Retention is what is kept longer than it needs to be, as far as the policy, the
// database and the access log tell.
type Retention struct {
	Schema   string             `json:"schema"`
	Made     time.Time          `json:"made"`
	From     time.Time          `json:"from"` // what nobody used since then is unused
	To       time.Time          `json:"to"`
	Plan     retention.Plan     `json:"plan"`
	Runs     []retention.Status `json:"runs"`     // the newest first
	Unruled  []UnruledTable     `json:"unruled"`  // tables with personal data that no rule speaks of
	Unserved []UnservedTable    `json:"unserved"` // tables whose data every purpose that is shown it has by consent, without a rule for when that is withdrawn
	Unneeded []string           `json:"unneeded"` // classified columns that no purpose is shown, as schema.table.column
	Unused   []UnusedColumn     `json:"unused"`   // classified columns that no statement named in the period
	Notes    []string           `json:"notes"`    // what whoever reads it must know before believing it
	Evidence []Evidence         `json:"evidence"`
}

// UnruledTable is a table that holds personal data for as long as nobody thinks of
// it.
type UnruledTable struct {
	Table   string   `json:"table"`
	Kinds   []string `json:"kinds"`   // of data subjects
	Classes []string `json:"classes"` // of its columns, but for open ones
}

// UnservedTable is a table that purposes that rest on consent alone are shown.
type UnservedTable struct {
	Table    string   `json:"table"`
	Purposes []string `json:"purposes"`
}

// UnusedColumn is a column that no statement named.
type UnusedColumn struct {
	Column string    `json:"column"`
	Class  string    `json:"class"`
	Last   time.Time `json:"last,omitzero"` // before the period; zero: never, as far as the log goes back
}

// Minimiser makes a Retention.
type Minimiser struct {
	set      *policy.Set
	from, to time.Time
	last     map[string]time.Time // of each classified column
	class    map[string]string
	first    time.Time // record
	trimmed  int64
	byShape  int64
}

// Minimise begins a report on a policy whose catalog has some relations.
func Minimise(set *policy.Set, from, to time.Time) *Minimiser {
	m := &Minimiser{set: set, from: from, to: to, last: map[string]time.Time{}, class: map[string]string{}}
	for _, c := range set.Classified() {
		m.last[c.Column], m.class[c.Column] = time.Time{}, c.Class
	}
	return m
}

// Add takes a record of the log in.
func (m *Minimiser) Add(raw audit.Raw) error {
	at := raw.Time()
	if m.first.IsZero() || at.Before(m.first) {
		m.first = at
	}
	if raw.Kind != audit.KindStatement || !at.Before(m.to) {
		return nil
	}
	r, err := raw.Record()
	if err != nil || r.Decision == refused {
		return err
	}
	within := !r.Time.Before(m.from)
	for _, c := range r.Columns {
		switch last, known := m.last[c.Name]; {
		case cut(c.Name) && within:
			m.trimmed++
		case known && r.Time.After(last):
			m.last[c.Name] = r.Time
		}
	}
	if within && byShape(&r) {
		m.byShape++
	}
	return nil
}

// Retention gives the report, without what the database says: the plan and the runs.
func (m *Minimiser) Retention() Retention {
	r := Retention{Schema: RetentionSchema, From: m.from, To: m.to, Runs: []retention.Status{}, Unruled: m.unruled(), Unserved: m.unserved(), Unneeded: []string{}, Unused: []UnusedColumn{}, Evidence: []Evidence{}}
	shown := m.shown()
	for _, name := range slices.Sorted(maps.Keys(m.last)) {
		if shown[name] == nil {
			r.Unneeded = append(r.Unneeded, name)
		}
		if last := m.last[name]; last.Before(m.from) {
			r.Unused = append(r.Unused, UnusedColumn{name, m.class[name], last})
		}
	}
	r.Notes = m.notes()
	return r
}

// tableOf gives the table of a column's full name.
func tableOf(column string) string { return column[:strings.LastIndexByte(column, '.')] }

// unruled lists the tables with personal data that no rule speaks of.
func (m *Minimiser) unruled() []UnruledTable {
	kinds := m.set.Processing().Kinds
	classes := map[string][]string{}
	for column, class := range m.class {
		if table := tableOf(column); !slices.Contains(classes[table], class) {
			classes[table] = append(classes[table], class)
		}
	}
	for table := range kinds {
		classes[table] = append([]string{}, classes[table]...)
	}
	found := []UnruledTable{}
	for _, table := range slices.Sorted(maps.Keys(classes)) {
		if !ruled(m.set, table, kinds[table]) && m.set.Stores(table) {
			found = append(found, UnruledTable{table, append([]string{}, kinds[table]...), slices.Sorted(slices.Values(classes[table]))})
		}
	}
	return found
}

// shown gives the purposes that each classified column is shown for.
func (m *Minimiser) shown() map[string][]string {
	purposes := map[string][]string{}
	for _, right := range m.set.Inventory().Rights {
		for _, c := range right.Columns {
			if !slices.Contains(purposes[c], right.Purpose) {
				purposes[c] = append(purposes[c], right.Purpose)
			}
		}
	}
	return purposes
}

// unserved lists tables whose classified columns are shown for purposes that rest
// on consent and for no other, where no rule says what becomes of the rows of those
// who withdraw it.
func (m *Minimiser) unserved() []UnservedTable {
	consent := map[string]bool{}
	for _, g := range m.set.Grounds() {
		consent[g.Purpose] = g.Consent != ""
	}
	byTable := map[string][]string{}
	for column, purposes := range m.shown() {
		byTable[tableOf(column)] = append(byTable[tableOf(column)], purposes...)
	}
	found := []UnservedTable{}
	for _, table := range slices.Sorted(maps.Keys(byTable)) {
		purposes := slices.Compact(slices.Sorted(slices.Values(byTable[table])))
		ruled := slices.ContainsFunc(m.set.Retention(), func(t policy.Retention) bool { return t.Consent != "" && t.Relation.QualifiedName() == table })
		if !ruled && m.set.Stores(table) && !slices.ContainsFunc(purposes, func(p string) bool { return !consent[p] }) {
			found = append(found, UnservedTable{table, purposes})
		}
	}
	return found
}

func (m *Minimiser) notes() []string {
	var notes []string
	if m.first.After(m.from) {
		notes = append(notes, "the log begins "+m.first.UTC().Format(time.DateOnly)+", after the period does: what nobody used since may have been used before")
	}
	if m.first.IsZero() {
		notes = append(notes, "the log has no record: it tells of no use")
	}
	if m.trimmed > 0 {
		notes = append(notes, count(m.trimmed, "record")+" too long to hold all columns: some listed as unused may have been used there")
	}
	if m.byShape > 0 {
		notes = append(notes, count(m.byShape, "statement")+" of callers without restrictions not understood, so that their columns are not known")
	}
	return append(notes,
		"used is a column that a statement through pgveil named; what goes around pgveil is not in its log",
		"rarely used is not unneeded: think of year's ends, warranties and law suits before a column or its rows go")
}

// Document puts the report into words.
func (r *Retention) Document() *Document {
	d := &Document{Title: "Retention and minimisation", About: []Field{
		{Name: "Made", Value: r.Made.UTC().Format(time.RFC3339)},
		{Name: "Policy", Value: r.Plan.Generation},
		{Name: "Rows as of", Value: r.Plan.AsOf.UTC().Format(time.RFC3339) + ", by the server's clock"},
		{Name: "Use since", Value: r.From.UTC().Format(time.DateOnly)},
	}}
	d.Sections = []Section{r.overdue(), r.without(), r.unneeded(), r.lately(), section("How to read this", items(r.Notes...))}
	return d
}

// overdue tells of rows that are kept longer than their rule says.
func (r *Retention) overdue() Section {
	var rows [][]string
	s := section("Rows kept longer than their rule says")
	for _, p := range r.Plan.Rules {
		rows = append(rows, []string{p.Rule, fmt.Sprint(p.Due), fmt.Sprint(p.Held), fmt.Sprint(p.Awaiting), fmt.Sprint(p.Undated), p.Oldest, p.Because})
		for _, why := range p.Refused {
			s.Blocks = append(s.Blocks, warning(p.Rule+" is refused: "+why))
		}
	}
	about := "Due are rows whose time is over and which are still there: some because a hold keeps them, some because rows refer to them that do not go with them. Rows without a date are never due."
	s.Blocks = append(s.Blocks, text(about), table("Rules", []string{"Rule", "#Due", "#Held", "#Awaiting others", "#Without a date", "Oldest", "Because"}, rows))
	return s
}

// without tells of tables that no rule speaks of.
func (r *Retention) without() Section {
	var tables, consents [][]string
	for _, t := range r.Unruled {
		tables = append(tables, []string{t.Table, strings.Join(t.Kinds, ", "), strings.Join(t.Classes, ", ")})
	}
	for _, t := range r.Unserved {
		consents = append(consents, []string{t.Table, strings.Join(t.Purposes, ", ")})
	}
	return section("Kept for as long as nobody thinks of it",
		text("Tables that hold personal data, and that no retention rule speaks of:"),
		table("Tables without a rule", []string{"Table", "Data subjects", "Classes"}, tables),
		text("Tables that no purpose is shown but those that rest on consent, and without a rule for rows of those who withdraw it:"),
		table("Consent only", []string{"Table", "Purposes"}, consents))
}

// unneeded tells of columns that nobody needs, or used.
func (r *Retention) unneeded() Section {
	var unused, unneeded [][]string
	for _, c := range r.Unused {
		last := "never, as far as the log goes back"
		if !c.Last.IsZero() {
			last = c.Last.UTC().Format(time.DateOnly)
		}
		unused = append(unused, []string{c.Column, c.Class, last})
	}
	for _, c := range r.Unneeded {
		unneeded = append(unneeded, []string{c})
	}
	return section("Columns that nobody needs",
		table("Classified columns that no statement named", []string{"Column", "Class", "Last"}, unused),
		table("Classified columns that the policy shows for no purpose", []string{"Column"}, unneeded))
}

// lately tells of the last runs.
func (r *Retention) lately() Section {
	var rows [][]string
	for _, s := range r.Runs {
		ended := ""
		if !s.Ended.IsZero() {
			ended = s.Ended.UTC().Format(time.RFC3339)
		}
		rows = append(rows, []string{fmt.Sprint(s.Run), s.State, s.By, s.Began.UTC().Format(time.RFC3339), ended, fmt.Sprint(s.Batches), fmt.Sprint(s.Rows), s.Note})
	}
	return section("Runs", table("The last runs", []string{"#Run", "State", "By", "Began", "Ended", "#Batches", "#Rows", "Note"}, rows))
}
