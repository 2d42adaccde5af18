package report

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// notes are what has to be known to read the inventory.
func (v *Inventory) notes() []string {
	notes := []string{}
	var free []string
	for _, r := range v.Roles {
		if r.Unrestricted {
			free = append(free, r.Name)
		}
	}
	if len(free) > 0 {
		notes = append(notes, "Roles without restrictions see every column, and are not listed with them: "+strings.Join(free, ", "))
	}
	sums := v.sums()
	if sums.unclassified > 0 {
		notes = append(notes, "Columns in no class: "+number(sums.unclassified)+". Nobody said what they hold, and requests of data subjects whose rows have them are refused")
	}
	return notes
}

// inventorySums counts columns.
type inventorySums struct{ columns, open, personal, special, unclassified, unseen int }

func (t *InventoryTable) sums() inventorySums {
	s := inventorySums{columns: len(t.Columns)}
	for _, c := range t.Columns {
		switch c.Class {
		case "":
			s.unclassified++
		case openClass:
			s.open++
		default:
			s.personal++
		}
		if c.Special {
			s.special++
		}
		if len(c.Seen) == 0 {
			s.unseen++
		}
	}
	return s
}

func (v *Inventory) sums() inventorySums {
	var all inventorySums
	for _, t := range v.Tables {
		s := t.sums()
		all.columns += s.columns
		all.open += s.open
		all.personal += s.personal
		all.special += s.special
		all.unclassified += s.unclassified
		all.unseen += s.unseen
	}
	return all
}

// Document puts the inventory into words.
func (v *Inventory) Document() *Document {
	sums := v.sums()
	d := &Document{Title: "Inventory of the data", About: []Field{
		{Name: "Made", Value: v.Made.UTC().Format(time.DateTime) + " UTC"},
		{Name: "Policy", Value: v.Policy},
		{Name: "Tables and views", Value: number(len(v.Tables))},
		{Name: "Columns", Value: fmt.Sprintf("%s: %s classified, of them %s of special categories; %s open; %s in no class",
			number(sums.columns), number(sums.personal), number(sums.special), number(sums.open), number(sums.unclassified))},
		{Name: "Columns that nobody sees", Value: number(sums.unseen)},
		{Name: "Limits for everybody", Value: cmp.Or(strings.Join(v.Limits, "; "), "none")},
	}}
	if len(v.Notes) > 0 {
		notes := Section{Title: "To be known"}
		for _, n := range v.Notes {
			notes.Blocks = append(notes.Blocks, warning(n))
		}
		d.Sections = append(d.Sections, notes)
	}
	d.Sections = append(d.Sections, v.whoSection(), v.tablesSection(), v.unseenSection())
	for i := range v.Tables {
		d.Sections = append(d.Sections, v.Tables[i].section())
	}
	return d
}

// whoSection lists the purposes and the roles.
func (v *Inventory) whoSection() Section {
	var purposes, roles [][]string
	for _, p := range v.Purposes {
		basis := p.Basis
		if p.Consent != "" {
			basis += ": " + p.Consent
		}
		if p.DirectMarketing {
			basis += " (direct marketing)"
		}
		purposes = append(purposes, []string{p.Name, p.About, basis, p.Within, strings.Join(p.Limits, "; ")})
	}
	for _, r := range v.Roles {
		serves := strings.Join(r.Purposes, ", ")
		if r.Unrestricted {
			serves = "everything, without restrictions"
		}
		held := "somebody"
		if r.Nobody {
			held = "nobody"
		}
		roles = append(roles, []string{r.Name, serves, held, strings.Join(r.Privacy, ", "), strings.Join(r.Limits, "; ")})
	}
	return section("Purposes and roles",
		table("Purposes", []string{"Purpose", "About", "Legal basis", "Part of", "Limits"}, purposes),
		table("Roles", []string{"Role", "Serves", "Had by", "Requests of data subjects", "Limits"}, roles))
}

func (v *Inventory) tablesSection() Section {
	var rows [][]string
	for i := range v.Tables {
		t := &v.Tables[i]
		s := t.sums()
		name := t.Table
		if t.Kind != "table" {
			name += " (" + t.Kind + ")"
		}
		rows = append(rows, []string{name, strings.Join(t.Subjects, ", "), number(s.columns), number(s.personal), number(s.special),
			number(s.unclassified), number(s.unseen)})
	}
	return section("Tables", table("All tables and views", []string{
		"Table", "Rows of", "#Columns", "#Classified", "#Special", "#In no class", "#Seen by nobody"}, rows))
}

// fates says what an erasure does with the table's rows.
func (t *InventoryTable) fates() string {
	var texts []string
	for _, e := range t.Erasure {
		text := e.Subject + ": " + e.Do
		if e.For != "" {
			text += fmt.Sprintf(" for %s after %s", e.For, e.After)
		}
		if e.Because != "" {
			text += " (" + e.Because + ")"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}

func (v *Inventory) unseenSection() Section {
	var rows [][]string
	for _, t := range v.Tables {
		for _, c := range t.Columns {
			if len(c.Seen) == 0 {
				rows = append(rows, []string{t.Table + "." + c.Column, cmp.Or(c.Class, "(in no class)"), c.About})
			}
		}
	}
	return section("What nobody sees", text("These columns are kept and shown to no role with restrictions: are they needed?"),
		table("Columns that nobody sees", []string{"Column", "Class", "About"}, rows))
}

func (t *InventoryTable) section() Section {
	var grants, columns [][]string
	for _, g := range t.Grants {
		grants = append(grants, []string{g.Role, g.Do, cmp.Or(g.Rows, "all")})
	}
	for _, c := range t.Columns {
		columns = append(columns, []string{c.Column, c.Type, cmp.Or(c.Class, "(in no class)") + special(c.Special), c.what(), c.seenBy()})
	}
	return section(t.Table,
		fields(
			Field{Name: "Rows of", Value: cmp.Or(strings.Join(t.Subjects, ", "), "no data subject")},
			Field{Name: "Mentions", Value: cmp.Or(strings.Join(t.Mentions, ", "), "nobody else")},
			Field{Name: "Kept", Value: cmp.Or(strings.Join(t.Retention, "; "), "no time limit")},
			Field{Name: "On erasure", Value: cmp.Or(t.fates(), "not concerned")}),
		table("Columns", []string{"Column", "Type", "Class", "What it is", "Seen by"}, columns),
		table("Roles that reach it", []string{"Role", "May", "Rows"}, grants))
}

// what says in words what a column is.
func (c *InventoryColumn) what() string {
	parts := slices.Clone(c.Origin)
	if c.About != "" {
		parts = slices.Insert(parts, 0, c.About)
	}
	if c.Provided {
		parts = append(parts, "given by the subject")
	}
	if c.Sealed != "" {
		parts = append(parts, "sealed: "+c.Sealed)
	}
	if c.Erased != "" {
		parts = append(parts, "anonymised as: "+c.Erased)
	}
	return strings.Join(append(parts, c.Limits...), "; ")
}

// seenBy says in words who sees a column, purpose by purpose.
func (c *InventoryColumn) seenBy() string {
	if c.Class == openClass && len(c.Seen) > 0 {
		return "whoever reads the table"
	} else if c.Class == "" && len(c.Seen) > 0 {
		return "whoever reads the table: " + c.Seen[0].Shown
	}
	var texts []string
	for _, s := range c.Seen {
		texts = append(texts, s.String())
	}
	return cmp.Or(strings.Join(texts, "; "), "nobody")
}

// String says who sees it for what, and how.
func (s InventorySeen) String() string {
	text := s.Role + ": " + s.how()
	if s.Purpose != "" {
		text = s.Purpose + ", " + text
	}
	return text
}

func (s InventorySeen) how() string {
	text := s.Shown
	if s.Match != "" && s.Match != "masked" {
		text += ", match " + s.Match
	}
	if s.Elevated {
		text += ", while elevated"
	}
	return text
}

// CSV writes a line for each column and each way of seeing it, for further work.
// A column that nobody sees has one line.
func (v *Inventory) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"table", "column", "type", "class", "about", "special", "sealed", "provided", "origin", "subjects", "retention", "erasure",
		"erased_as", "column_limits", "purpose", "basis", "role", "shown", "match", "elevated", "rule"}}
	for i := range v.Tables {
		t := &v.Tables[i]
		for _, c := range t.Columns {
			line := []string{t.Table, c.Column, c.Type, c.Class, c.About, fmt.Sprint(c.Special), c.Sealed, fmt.Sprint(c.Provided), strings.Join(c.Origin, "; "),
				strings.Join(t.Subjects, ", "), strings.Join(t.Retention, "; "), t.fates(), c.Erased, strings.Join(c.Limits, "; ")}
			seen := c.Seen
			if len(seen) == 0 {
				seen = []InventorySeen{{Shown: "nobody"}}
			}
			for _, s := range seen {
				rows = append(rows, Unformula(append(slices.Clone(line), s.Purpose, s.Basis, s.Role, s.Shown, s.Match, fmt.Sprint(s.Elevated), s.Rule)))
			}
		}
	}
	return errors.Join(out.WriteAll(rows), out.Error())
}

// YAML writes the inventory with the names that its JSON has.
func (v *Inventory) YAML(w io.Writer) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var root yaml.Node
	if err := yaml.Load(text, &root); err != nil {
		return err
	}
	block(&root)
	text, err = yaml.Dump(&root, yaml.WithIndent(2))
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// block turns a tree that was read from JSON into one as people write it.
func block(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle | yaml.DoubleQuotedStyle
	for _, c := range n.Content {
		block(c)
	}
}
