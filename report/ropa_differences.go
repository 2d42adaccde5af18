package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/policy"
)

// differences lists what is declared and not observed, and the other way round.
func (g *Registrar) differences(r *ROPA) []Difference {
	list := append(g.undeclared(r), g.unobserved(r)...)
	for _, table := range g.unlimited() {
		list = append(list, difference(NoLimit, table, &Seen{}))
	}
	slices.SortFunc(list, func(a, b Difference) int {
		byKind := cmp.Compare(slices.Index(differenceKinds, a.Kind), slices.Index(differenceKinds, b.Kind))
		return cmp.Or(byKind, cmp.Compare(b.Statements, a.Statements), cmp.Compare(a.What, b.What))
	})
	return list
}

func difference(kind, what string, s *Seen) Difference {
	return Difference{kind, what, s.Statements, s.Last}
}

// undeclared lists what was observed and nobody declared.
func (g *Registrar) undeclared(r *ROPA) []Difference {
	list := []Difference{}
	declared := map[string]*Purpose{}
	for i := range r.Activities {
		declared[r.Activities[i].Name] = &r.Activities[i]
	}
	for name, s := range g.purposes.m {
		switch {
		case name == "":
			list = append(list, difference(NoPurpose, "statements that name classified columns", s))
		case declared[name] == nil:
			list = append(list, difference(UndeclaredPurpose, name, s))
		}
	}
	for key, s := range g.classes.m {
		shows := func(c PurposeClass) bool { return c.Class == key[1] && c.Declared }
		if key[0] != "" && !slices.ContainsFunc(activityClasses(declared[key[0]]), shows) {
			list = append(list, difference(UndeclaredClass, cmp.Or(key[1], "(unclassified)")+" for "+key[0], s))
		}
	}
	for key, s := range g.kinds.m {
		if a := declared[key[0]]; a != nil && !slices.Contains(a.Kinds, key[1]) {
			list = append(list, difference(UndeclaredKind, g.org.kind(key[1])+" for "+key[0], s))
		}
	}
	for _, s := range r.Recipients {
		if s.Recipient == "" {
			list = append(list, difference(UndeclaredRecipient, cmp.Or(s.Application, "(none)")+", login "+s.Login, &s))
		}
	}
	return list
}

// unobserved lists what is declared and nobody used.
func (g *Registrar) unobserved(r *ROPA) []Difference {
	var list []Difference
	for _, a := range r.Activities {
		if a.Statements == 0 {
			list = append(list, difference(UnusedPurpose, a.Name, &a.Seen))
			continue
		}
		for _, c := range a.Classes {
			if c.Declared && c.Statements == 0 {
				list = append(list, difference(UnusedClass, c.Class+" for "+a.Name, &c.Seen))
			}
		}
	}
	return list
}

func activityClasses(a *Purpose) []PurposeClass {
	if a == nil {
		return nil
	}
	return a.Classes
}

// unlimited gives the tables that hold rows of data subjects and that no
// retention speaks of.
func (g *Registrar) unlimited() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(g.declared.Kinds)), func(table string) bool {
		return ruled(g.set, table, g.declared.Kinds[table])
	})
}

// ruled tells whether a retention rule takes rows of a table.
func ruled(set *policy.Set, table string, kinds []string) bool {
	return slices.ContainsFunc(set.Retention(), func(t policy.Retention) bool { return t.Takes(table, kinds) })
}

func (g *Registrar) notes() []string {
	notes := []string{
		"declared is what the policy allows: a purpose, with the classes that its rules show to roles that serve it; observed is what statements named that were not refused",
		"retention is what the policy declares; whether rows are gone by then, pgveil retention report says",
	}
	if len(g.purposes.m) == 0 {
		notes = append(notes, "the log has no statement on classified columns in the period: nothing was observed")
	}
	if g.trimmed > 0 {
		notes = append(notes, count(g.trimmed, "record")+" too long to hold all columns: classes may be missing among those observed")
	}
	if g.byShape > 0 {
		notes = append(notes, count(g.byShape, "statement")+" of callers without restrictions not understood, so that their columns are not known")
	}
	return append(notes, "what the policy and the log cannot know is taken from the organisation's file, or left open and marked; applications are as they call themselves")
}

// Document puts a record of processing into words: differences first.
func (r *ROPA) Document() *Document {
	w := words{zoneOf(r.Zone)}
	d := &Document{Title: "Record of processing activities (Article 30(1) GDPR)" + of(r.Org.Name), About: []Field{
		{Name: "Observed", Value: w.between(r.From, r.To)},
		{Name: "Made", Value: w.time(r.Made) + ", all times in " + r.Zone},
		{Name: "Policy", Value: "generation " + r.Policy},
		{Name: "Differences", Value: number(len(r.Differences))},
	}}
	var rows [][]string
	for _, f := range r.Differences {
		rows = append(rows, []string{f.Kind, f.What, number(f.Statements), w.time(f.Last)})
	}
	d.Sections = []Section{
		section("Declared and observed: differences", table("Differences", []string{"Difference", "What", "#Statements", "Last"}, rows)),
		notesAnd(r.Notes, r.Evidence),
		r.controllerSection(),
		r.activitySection(w),
	}
	for i := range r.Activities {
		d.Sections = append(d.Sections, r.purposeSection(&r.Activities[i], w))
	}
	d.Sections = append(d.Sections, r.recipientSection(w), r.limitSection(), evidenceOf(r.Evidence, w))
	return d
}

func (r *ROPA) controllerSection() Section {
	o := &r.Org
	return section("(a) Controller", fields(
		known("Controller", joined(o.Name, o.Address, o.Contact), "name and contact details of the controller"),
		Field{Name: "Joint controller", Value: cmp.Or(o.Joint, "none was named")},
		Field{Name: "Representative", Value: cmp.Or(o.Representative, "none was named")},
		known("Data protection officer", o.DPO.String(), "name and contact details, where there is one"),
	))
}

// activitySection shows all activities side by side.
func (r *ROPA) activitySection(w words) Section {
	s := Section{Title: "(b), (c) Purposes, data subjects and data"}
	var rows [][]string
	byPurpose := &Chart{Title: "Statements by purpose", About: "A bar for each declared purpose.", Series: []string{"statements"}}
	byClass := &Chart{Title: "Statements by class of data", About: "A bar for each class, over all purposes.", Series: []string{"statements"}}
	classes, order := map[string]int64{}, []string{}
	for _, a := range r.Activities {
		byPurpose.Bars = append(byPurpose.Bars, Bar{a.Name, []int64{a.Statements}})
		rows = append(rows, []string{a.Name, a.About, a.Basis, number(len(a.Classes)), number(a.Statements), w.time(a.Last)})
		for _, c := range a.Classes {
			if _, ok := classes[c.Class]; !ok {
				order = append(order, c.Class)
			}
			classes[c.Class] += c.Statements
		}
	}
	var sums [][]string
	slices.Sort(order)
	for _, c := range order {
		byClass.Bars = append(byClass.Bars, Bar{c, []int64{classes[c]}})
		sums = append(sums, []string{c, number(classes[c])})
	}
	if len(r.Activities) > 0 {
		s.Blocks = append(s.Blocks, Block{Chart: byPurpose})
	}
	s.Blocks = append(s.Blocks, table("Activities", []string{"Purpose", "About", "Legal basis", "#Classes", "#Statements", "Last"}, rows))
	if len(order) > 0 {
		s.Blocks = append(s.Blocks, Block{Chart: byClass}, table("Statements by class", []string{"Class", "#Statements"}, sums))
	}
	if len(r.Timeline) > 0 {
		chart := &Chart{Title: "Statements over time", About: "A column for each part of the period, " + r.Width + " long.", Upright: true, Series: []string{"statements"}}
		var times [][]string
		for _, m := range r.Timeline {
			chart.Bars = append(chart.Bars, Bar{m.Begin.In(w.zone).Format(time.DateOnly), []int64{m.Statements}})
			if m.Statements > 0 {
				times = append(times, []string{w.time(m.Begin), number(m.Statements)})
			}
		}
		s.Blocks = append(s.Blocks, Block{Chart: chart}, table("Statements over time", []string{"From", "#Statements"}, times))
	}
	return s
}

func (r *ROPA) purposeSection(a *Purpose, w words) Section {
	list := []Field{
		known("Purpose", a.About, "what it is for: about, in the policy"),
		{Name: "Legal basis (Article 6(1))", Value: basisWords(a)},
	}
	if a.Within != "" {
		list = append(list, Field{Name: "Part of", Value: a.Within})
	}
	var kinds []string
	for _, k := range a.Kinds {
		kinds = append(kinds, r.Org.kind(k))
	}
	list = append(list,
		known("Categories of data subjects", joined(kinds...), "the policy's subjects reach no table of this purpose"),
		Field{Name: "Roles that see it", Value: cmp.Or(joined(a.Roles...), "none, but by an elevation")},
		Field{Name: "Observed", Value: count(a.Statements, "statement") + ", last " + w.time(a.Last)})
	var rows [][]string
	for _, c := range a.Classes {
		declared := "declared"
		if !c.Declared {
			declared = "NOT DECLARED"
		}
		rows = append(rows, []string{cmp.Or(c.Class, "(unclassified)") + special(c.Special), c.About, declared, number(c.Statements), w.time(c.Last)})
	}
	return section("Activity: "+a.Name, fields(list...), table("Categories of data", []string{"Class", "About", "Declared", "#Statements", "Last"}, rows))
}

func basisWords(a *Purpose) string {
	if a.Consent != "" {
		return a.Basis + ": " + a.Consent
	}
	return a.Basis
}

func (r *ROPA) recipientSection(w words) Section {
	var declared, transfers, seen [][]string
	for _, p := range r.Org.Recipients {
		declared = append(declared, []string{p.Name, p.About})
	}
	for _, t := range r.Org.Transfers {
		transfers = append(transfers, []string{t.To, cmp.Or(t.Safeguards, "NOT STATED")})
	}
	for _, s := range r.Recipients {
		seen = append(seen, []string{cmp.Or(s.Application, "(none)"), s.Login, cmp.Or(s.Recipient, "NOT DECLARED"), number(s.Statements), w.time(s.Last)})
	}
	s := Section{Title: "(d), (e) Recipients and transfers"}
	if len(declared) == 0 {
		s.Blocks = append(s.Blocks, fields(Field{Name: "Recipients", Gap: "categories of recipients, in third countries as well; or that there are none"}))
	} else {
		s.Blocks = append(s.Blocks, table("Recipients declared", []string{"Recipient", "About"}, declared))
	}
	s.Blocks = append(s.Blocks, table("Applications and logins observed", []string{"Application", "Login", "Recipient", "#Statements", "Last"}, seen))
	if len(transfers) == 0 {
		s.Blocks = append(s.Blocks, fields(Field{Name: "Transfers to third countries", Gap: "which, with their safeguards; or that there are none"}))
	} else {
		s.Blocks = append(s.Blocks, table("Transfers to third countries", []string{"To", "Safeguards"}, transfers))
	}
	return s
}

func (r *ROPA) limitSection() Section {
	var rows [][]string
	for _, e := range r.Erasure {
		rows = append(rows, []string{e.Table, strings.TrimSpace(e.Keep + " after " + e.After), e.Then})
	}
	s := section("(f), (g) Time limits for erasure, and security measures", table("Time limits, as the policy declares them", []string{"Table", "Kept", "Then"}, rows))
	if len(r.Org.Erasure) > 0 {
		s.Blocks = append(s.Blocks, text("Further time limits:"), items(r.Org.Erasure...))
	}
	s.Blocks = append(s.Blocks, text("Security measures (Article 32(1)) that the policy is:"), items(r.Measures...))
	if len(r.Org.Measures) > 0 {
		s.Blocks = append(s.Blocks, text("Further measures:"), items(r.Org.Measures...))
	} else {
		s.Blocks = append(s.Blocks, fields(Field{Name: "Further measures", Gap: "a general description, where possible"}))
	}
	return s
}
