package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

func (f *Breach) exportSection(w words) Section {
	var rows [][]string
	for _, e := range f.Exports {
		rows = append(rows, []string{number(e.Seq), w.time(e.Time), e.What, e.Outcome, amount(e.Rows), amount(e.Bytes)})
	}
	return section("Exports", text("COPY to the client, and commands that show all that is held on one subject."),
		table("Exports", []string{"#Record", "Time", "What", "Outcome", "#Rows", "#Bytes"}, rows))
}

func (f *Breach) refusalSection(w words) Section {
	var rows [][]string
	for _, r := range f.Refusals {
		rows = append(rows, []string{r.Message, r.Rule, r.Classes, number(r.Statements), w.time(r.First), w.time(r.Last), r.ID})
	}
	return section("Attempts that did not succeed",
		text(fmt.Sprintf("%s refused: they returned nothing. %s that were not refused ended with an error.", count(f.Refused, "statement"), count(f.Statements.Failed, "statement"))),
		table("Refusals", []string{"Refusal", "Rule", "Classes", "#Statements", "First", "Last", "Id of the last"}, rows))
}

func (f *Breach) containmentSection(w words) Section {
	c := f.Contained
	var rows [][]string
	for _, e := range c.Events {
		rows = append(rows, []string{number(e.Seq), w.time(e.Time), e.By, e.What})
	}
	s := section("Containment that the log shows",
		fields(
			Field{Name: "Sessions with an end in the log", Value: number(c.SessionsEnded) + " (by whom they were ended is not recorded)"},
			Field{Name: "Sessions without one", Value: number(c.SessionsOpen)},
			Field{Name: "Logins in the period", Value: number(c.Logins)},
			Field{Name: "Logins refused since", Value: refusedWords(w, c.RefusedLogins)},
			Field{Name: "Logins behind the period", Value: number(c.LaterLogins)},
			Field{Name: "Statements behind the period", Value: refusedWords(w, c.After)},
		),
		table("Revocations, restrictions, alerts and reloads of the policy since the first activity", []string{"#Record", "Time", "By", "What"}, rows))
	if c.SessionsOpen > 0 || c.After.Statements > 0 || c.LaterLogins > 0 {
		s.Blocks = append([]Block{warning("The log does not show that this is over: sessions without an end, logins or statements behind the period.")}, s.Blocks...)
	}
	return s
}

func refusedWords(w words, a Activity) string {
	if a.Statements == 0 {
		return "none"
	}
	return number(a.Statements) + ", " + w.between(a.First, a.Last)
}

func (f *Breach) clockSection(w words) Section {
	var rows [][]string
	for _, c := range f.Clocks.Clocks {
		due := "without undue delay"
		if !c.Due.IsZero() {
			due = w.time(c.Due)
		}
		if c.Late {
			due += " (over)"
		}
		within := c.Within
		if c.After != "" {
			within += " after " + c.After
		}
		rows = append(rows, []string{c.Name, c.To, due, within, c.Source, c.If})
	}
	aware := text("Counted from " + w.time(f.Clocks.Aware) + ", which was given as when the breach became known.")
	if f.Clocks.Assumed {
		aware = warning("Nobody said since when the breach is known (--aware): all is counted from " + w.time(f.Clocks.Aware) +
			", when this report was made. If it was known before, everything is due earlier.")
	}
	return section("Who has to be told, by when", aware,
		text("Which of these apply is for a lawyer to say. Hours count from the minute. Days end at midnight in "+f.Zone+", the first one not counted; "+
			"working days (wd) leave out Saturdays and Sundays, but no public holidays, which makes none later. What follows another duty is counted from "+
			"the last day for that one, and is due earlier when that is done earlier. Written down as of "+f.Clocks.AsOf+"."),
		table("Clocks", []string{"Regime", "To", "Due", "Within", "Source", "When"}, rows))
}

// notification drafts what Article 33(3) GDPR asks for.
func (f *Breach) notification(w words) Section {
	o := &f.Org
	s := section("Draft: notification to the supervisory authority (Article 33(3) GDPR)",
		text("A draft. What pgveil cannot know is left open and marked; all of it is for the controller to check. Information may be given in phases (Article 33(4))."),
		fields(
			known("To", o.Authority, "the competent supervisory authority"),
			known("Controller", joined(o.Name, o.Address, o.Contact), "name, address and contact of the controller"),
			Field{Name: "Aware since", Value: w.time(f.Clocks.Aware) + assumed(f.Clocks.Assumed)},
			Field{Name: "When it took place", Value: cmp.Or(w.between(f.First, f.Last), "no activity found in the period")},
		),
		fields(
			Field{Name: "(a) Nature of the breach", Value: f.nature()},
			Field{Name: "(a) Cause, and how it was found", Gap: "how access was gained, whether it was unauthorised, how it was detected"},
			Field{Name: "(a) Categories of data subjects, and approximate number", Value: f.subjectsInWords()},
			Field{Name: "(a) Categories of records, and approximate number", Value: f.recordsInWords()},
			known("(b) Data protection officer or other contact", o.DPO.String(), "name and contact details of the data protection officer, or of another contact point"),
			Field{Name: "(c) Likely consequences: what was found", Value: f.consequences()},
			Field{Name: "(c) Likely consequences: assessment", Gap: "the risk to the rights and freedoms of the subjects, and whether it is high (Article 34)"},
			Field{Name: "(d) Measures taken, as the log shows them", Value: f.measures(w)},
			Field{Name: "(d) Other measures taken or proposed, also to mitigate effects", Gap: "credentials changed, accounts closed, subjects told, …"},
		))
	for _, c := range f.Clocks.Clocks {
		if c.Regime == "gdpr" && c.Late && c.Within == "72h" {
			s.Blocks = append(s.Blocks, fields(Field{Name: "Reasons for the delay (Article 33(1))", Gap: "why it is notified later than " + w.time(c.Due)}))
		}
	}
	return s
}

func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

func assumed(is bool) string {
	if is {
		return " (assumed: nobody said)"
	}
	return ""
}

func (f *Breach) nature() string {
	var parts []string
	for _, c := range f.Classes {
		if c.Clear.Statements+c.Masked.Statements > 0 && c.Class != openClass {
			parts = append(parts, "confidentiality (personal data was disclosed)")
			break
		}
	}
	if f.Statements.Changed > 0 {
		parts = append(parts, fmt.Sprintf("integrity or availability (%s changed rows)", count(f.Statements.Changed, "statement")))
	}
	if f.Statements.Unfinished > 0 {
		parts = append(parts, fmt.Sprintf("not known for %s without an outcome", count(f.Statements.Unfinished, "statement")))
	}
	if len(parts) == 0 {
		return "the log shows no personal data returned or changed"
	}
	return "As the access log shows, by statements of " + f.Scope.String() + ": " + strings.Join(parts, "; ")
}

func (f *Breach) subjectsInWords() string {
	var parts []string
	for _, k := range f.Kinds {
		bound := "at most " + number(k.AtMost)
		if k.AtMost < 0 {
			bound = "no upper bound is known"
		}
		parts = append(parts, fmt.Sprintf("%s: %s confirmed, %s", f.Org.kind(k.Kind), number(k.Named), bound))
	}
	if len(parts) == 0 {
		return "the log shows none"
	}
	return strings.Join(parts, "; ")
}

func (f *Breach) recordsInWords() string {
	var parts []string
	for _, c := range f.Classes {
		if c.Class == openClass {
			continue
		}
		var how []string
		if c.Clear.Statements > 0 {
			how = append(how, amount(c.Clear.Rows)+" rows in clear")
		}
		if c.Masked.Statements > 0 {
			how = append(how, amount(c.Masked.Rows)+" rows masked")
		}
		if c.Changed > 0 {
			how = append(how, "changed by "+count(c.Changed, "statement"))
		}
		if c.Unfinished > 0 {
			how = append(how, "named by "+count(c.Unfinished, "statement")+" without an outcome")
		}
		parts = append(parts, cmp.Or(c.Class, "unclassified")+special(c.Special)+": "+strings.Join(how, ", "))
	}
	if len(parts) == 0 {
		return "the log shows none"
	}
	return strings.Join(parts, "; ") + ". A row counts as often as it was returned."
}

func special(is bool) string {
	if is {
		return " (special category, Article 9)"
	}
	return ""
}

func (f *Breach) consequences() string {
	var clear, masked []string
	for _, c := range f.Classes {
		name := cmp.Or(c.Class, "unclassified") + special(c.Special)
		if c.Class == openClass {
			continue
		}
		if c.Clear.Statements > 0 {
			clear = append(clear, name)
		} else if c.Masked.Statements > 0 {
			masked = append(masked, name)
		}
	}
	none := "none"
	return "Returned in clear: " + cmp.Or(strings.Join(clear, ", "), none) +
		". Returned masked only, which is pseudonymised or shortened and still personal data: " + cmp.Or(strings.Join(masked, ", "), none) + "."
}

func (f *Breach) measures(w words) string {
	c := f.Contained
	parts := []string{fmt.Sprintf("%d of %d sessions have ended", c.SessionsEnded, c.SessionsEnded+c.SessionsOpen)}
	if c.RefusedLogins.Statements > 0 {
		parts = append(parts, count(c.RefusedLogins.Statements, "login")+" refused, the first at "+w.time(c.RefusedLogins.First))
	}
	for i, e := range c.Events {
		if i == 5 {
			parts = append(parts, "and others, see above")
			break
		}
		parts = append(parts, e.What+" at "+w.time(e.Time))
	}
	return strings.Join(parts, "; ")
}

// evidenceOf says what a report was made from.
func evidenceOf(evidence []Evidence, w words) Section {
	s := section("Evidence", text("The report was made from the first records of these logs, as many as it says. The hash is the log's chain hash over them, "+
		"computed from what was read: whoever has the log can check that it still begins so (pgveil audit verify --head RECORDS:HASH)."))
	for _, e := range evidence {
		list := []Field{
			{Name: "Log", Value: e.Dir},
			{Name: "Head", Value: fmt.Sprintf("%d:%s", e.Records, e.Chain)},
			{Name: "Records of", Value: cmp.Or(w.between(e.FirstRecord, e.LastRecord), "none")},
			{Name: "Verified", Value: e.Result},
		}
		if e.Signer != "" {
			list = append(list, Field{Name: "Signed", Value: fmt.Sprintf("the first %s records, by %s", number(e.Signed), e.Signer)})
		}
		if e.Checkpoint != "" {
			list = append(list, Field{Name: "Last checkpoint", Value: strings.Join(strings.Fields(e.Checkpoint), " ")})
		}
		s.Blocks = append(s.Blocks, fields(list...))
	}
	return s
}

// ParseZone gives the zone by its name.
func ParseZone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("time zone: give its name, as Europe/Dublin")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone: %w", err)
	}
	return zone, nil
}
