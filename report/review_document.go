package report

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Document puts a review into words: what changed and what is unused first.
func (r *Review) Document() *Document {
	w := words{zoneOf(r.Zone)}
	var idleUsers, idleRights, idleGrants int
	for _, u := range r.Users {
		idleUsers += idle(u.Use)
	}
	for _, i := range r.Rights {
		idleRights += idle(i.Use)
	}
	for _, g := range r.Grants {
		idleGrants += idle(g.Use)
	}
	before := "this is the first review"
	if b := r.Before; b != nil {
		before = fmt.Sprintf("%s, made %s, %s by %s, SHA-256 %s", b.File, w.time(b.Made), b.Decision, b.Reviewer, b.Digest)
	}
	d := &Document{Title: "Access review" + of(r.Org.Name), About: []Field{
		{Name: "Use looked at", Value: w.between(r.From, r.To)},
		{Name: "Made", Value: w.time(r.Made) + ", all times in " + r.Zone},
		{Name: "Policy", Value: "generation " + r.Policy},
		{Name: "Review before", Value: before},
		{Name: "Users", Value: fmt.Sprintf("%s, %s without a statement in the period", number(len(r.Users)), number(idleUsers))},
		{Name: "Rights (user, role, purpose, class)", Value: fmt.Sprintf("%s, %s unused", number(len(r.Rights)), number(idleRights))},
		{Name: "Table operations (role)", Value: fmt.Sprintf("%s, %s unused", number(len(r.Grants)), number(idleGrants))},
	}}
	d.Sections = []Section{
		notesAnd(r.Notes, r.Evidence), r.changeSection(), r.userSection(w), r.rightSection(w), r.grantSection(w),
		{"Sign-off", []Block{
			text("This report is signed off by a note beside its JSON, made with pgveil audit review --sign-off NAME --review FILE; whoever has the public key checks it with pgveil audit review --check."),
			fields(Field{Name: "Reviewer", Gap: "name"}, Field{Name: "Decision", Gap: "approved, or what has to change"})}},
		evidenceOf(r.Evidence, w),
	}
	return d
}

func zoneOf(name string) *time.Location {
	if zone, err := time.LoadLocation(name); err == nil {
		return zone
	}
	return time.UTC
}

func of(name string) string {
	if name == "" {
		return ""
	}
	return ": " + name
}

func idle(u Use) int {
	if u.Statements == 0 {
		return 1
	}
	return 0
}

// notesAnd begins a report: with what is not good about the log it is made from.
func notesAnd(notes []string, evidence []Evidence) Section {
	s := Section{Title: "What to know before reading on"}
	for _, e := range evidence {
		if !e.Verified {
			s.Blocks = append(s.Blocks, warning("The log "+e.Dir+" is not verified: "+e.Result))
		}
	}
	return Section{s.Title, append(s.Blocks, items(notes...))}
}

func (r *Review) changeSection() Section {
	var rows [][]string
	for _, c := range r.Changes {
		rows = append(rows, []string{c.Change, c.What, c.Was, c.Is})
	}
	if r.Before == nil {
		return section("Differences since the last review", text("There is no review before this one."))
	}
	return section("Differences since the last review", table("Differences", []string{"Change", "What", "Was", "Is"}, rows))
}

// used says how much something was used.
func used(w words, u Use) []string {
	verdict := number(u.Statements)
	if u.Statements == 0 {
		verdict = "unused"
	}
	return []string{verdict, w.time(u.Last)}
}

func (r *Review) userSection(w words) Section {
	var rows [][]string
	for _, u := range r.Users {
		lapses := ""
		if !u.Lapses.IsZero() {
			lapses = w.time(u.Lapses)
		}
		rows = append(rows, append([]string{u.Name, strings.Join(u.Roles, ", "), strings.Join(u.ActsAs, ", "), lapses}, used(w, u.Use)...))
	}
	return section("Users", text("As the policy names them. Whoever an identity provider's groups bring is not among them."),
		table("Users", []string{"User", "Roles", "Acts as", "Roles lapse", "#Statements", "Last"}, rows))
}

func (r *Review) rightSection(w words) Section {
	type total struct{ used, unused int64 }
	byPurpose, order := map[string]*total{}, []string{}
	var rows [][]string
	for _, i := range r.Rights {
		shown := i.Shown
		if i.Elevated {
			shown += ", while elevated"
		}
		if i.Clearer {
			shown += " (in clear by another role)"
		}
		rows = append(rows, append([]string{i.User, i.Role, cmp.Or(i.Purpose, "any"), cmp.Or(i.Class, "any") + special(i.Special), shown, i.Rule}, used(w, i.Use)...))
		purpose := cmp.Or(i.Purpose, "any")
		if byPurpose[purpose] == nil {
			byPurpose[purpose] = &total{}
			order = append(order, purpose)
		}
		if i.Statements > 0 {
			byPurpose[purpose].used++
		} else {
			byPurpose[purpose].unused++
		}
	}
	s := section("What each user is shown")
	if len(order) > 0 {
		chart := &Chart{Title: "Rights by purpose", About: "A bar for each purpose: rights that were used in the period, and unused ones.", Series: []string{"used", "unused"}}
		var sums [][]string
		for _, p := range order {
			chart.Bars = append(chart.Bars, Bar{p, []int64{byPurpose[p].used, byPurpose[p].unused}})
			sums = append(sums, []string{p, number(byPurpose[p].used), number(byPurpose[p].unused)})
		}
		s.Blocks = append(s.Blocks, Block{Chart: chart}, table("Rights by purpose", []string{"Purpose", "#Used", "#Unused"}, sums))
	}
	s.Blocks = append(s.Blocks, table("Rights", []string{"User", "Role", "Purpose", "Class", "Shown", "Rule", "#Statements", "Last"}, rows))
	return s
}

func (r *Review) grantSection(w words) Section {
	var rows, duties [][]string
	for _, g := range r.Grants {
		rows = append(rows, append([]string{g.Role, g.Table, g.Operation, cmp.Or(g.Rows, "all")}, used(w, g.Use)...))
	}
	for _, d := range r.Duties {
		duties = append(duties, append([]string{d.Role, d.Right}, used(w, d.Use)...))
	}
	return section("What each role may do", table("Table operations", []string{"Role", "Table", "Operation", "Rows", "#Statements", "Last"}, rows),
		table("Rights of data subjects that roles serve", []string{"Role", "Right", "#Requests", "Last"}, duties))
}

// CSV writes the rights, for further work.
func (r *Review) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"user", "role", "purpose", "class", "special", "shown", "elevated", "clearer", "rule", "columns", "statements", "last"}}
	for _, i := range r.Rights {
		last := ""
		if !i.Last.IsZero() {
			last = i.Last.UTC().Format(time.RFC3339)
		}
		rows = append(rows, Unformula([]string{i.User, i.Role, i.Purpose, i.Class, fmt.Sprint(i.Special), i.Shown, fmt.Sprint(i.Elevated), fmt.Sprint(i.Clearer),
			i.Rule, fmt.Sprint(i.Columns), fmt.Sprint(i.Statements), last}))
	}
	return errors.Join(out.WriteAll(rows), out.Error())
}

// Unformula keeps a spreadsheet from taking a text for a formula.
func Unformula(row []string) []string {
	for i, s := range row {
		if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
			row[i] = "'" + s
		}
	}
	return row
}
