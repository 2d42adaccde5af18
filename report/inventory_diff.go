package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// InventoryDiff is what an inventory says that an older one does not.
type InventoryDiff struct {
	Schema string    `json:"schema"`
	Was    time.Time `json:"was_made"`
	Is     time.Time `json:"is_made"`
	Before string    `json:"policy_before"`
	Now    string    `json:"policy_now"`
	More   []Change  `json:"seen_by_more"` // what a role sees of a column for a purpose, and did not so
	Less   []Change  `json:"seen_by_less"`
	Other  []Change  `json:"other"` // tables, columns, classes, times, purposes and roles
}

// InventoryDiffSchema names the form of an InventoryDiff as JSON.
const InventoryDiffSchema = "pgveil.report.inventory-diff/1"

// ParseInventory reads the YAML or the JSON of an inventory.
func ParseInventory(text []byte) (*Inventory, error) {
	var tree any
	if err := yaml.Load(text, &tree); err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	var v Inventory
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	if v.Schema != InventorySchema {
		return nil, fmt.Errorf("read inventory: its schema is %q, not %q", v.Schema, InventorySchema)
	}
	return &v, nil
}

// Since gives what is not as it was in an older inventory.
func (v *Inventory) Since(old *Inventory) InventoryDiff {
	d := InventoryDiff{
		Schema: InventoryDiffSchema, Was: old.Made, Is: v.Made, Before: old.Policy, Now: v.Policy,
		More: []Change{}, Less: []Change{}, Other: changesFrom(old.facts(), v.facts()),
	}
	for _, c := range changesFrom(old.sights(), v.sights()) {
		if c.Change == "removed" {
			d.Less = append(d.Less, c)
		} else {
			d.More = append(d.More, c) // a change of mask may go either way: somebody has to look
		}
	}
	return d
}

// sights gives who sees what, and how.
func (v *Inventory) sights() map[string]string {
	all := map[string]string{}
	for _, t := range v.Tables {
		for _, c := range t.Columns {
			for _, s := range c.Seen {
				what := fmt.Sprintf("%s.%s by %s", t.Table, c.Column, s.Role)
				if s.Purpose != "" {
					what += " for " + s.Purpose
				}
				all[what] = s.how()
			}
		}
		for _, g := range t.Grants {
			all[fmt.Sprintf("%s: what %s may do", t.Table, g.Role)] = g.Do + " on " + rowsText(g.Rows)
		}
	}
	for _, r := range v.Roles {
		if r.Unrestricted {
			all["everything by "+r.Name] = "without restrictions"
		}
	}
	return all
}

func rowsText(rows string) string {
	if rows == "" {
		return "all rows"
	}
	return "rows where " + rows
}

// facts gives all else that an inventory says.
func (v *Inventory) facts() map[string]string {
	all := map[string]string{"limits for everybody": strings.Join(v.Limits, "; ")}
	for _, p := range v.Purposes {
		all["purpose "+p.Name] = phrases(p.About, p.Basis, p.Consent, p.Within, p.Means, when(p.DirectMarketing, "direct marketing"), strings.Join(p.Limits, "; "))
	}
	for _, r := range v.Roles {
		all["role "+r.Name] = phrases("serves "+strings.Join(r.Purposes, ", "), strings.Join(r.Privacy, ", "), strings.Join(r.Limits, "; "))
	}
	for i := range v.Tables {
		t := &v.Tables[i]
		all["table "+t.Table] = t.Kind
		all["table "+t.Table+": rows of"] = strings.Join(t.Subjects, ", ")
		all["table "+t.Table+": mentions"] = strings.Join(t.Mentions, ", ")
		all["table "+t.Table+": kept"] = strings.Join(t.Retention, "; ")
		all["table "+t.Table+": on erasure"] = t.fates()
		for _, c := range t.Columns {
			all["column "+t.Table+"."+c.Column] = phrases(c.Type, cmp.Or(c.Class, "in no class"), when(c.Special, "special category"), c.what())
		}
	}
	for what, is := range all {
		if is == "" {
			delete(all, what)
		}
	}
	return all
}

func phrases(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}

func when(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

// Document puts the differences into words.
func (d *InventoryDiff) Document() *Document {
	list := func(title string, changes []Change) Block {
		var rows [][]string
		for _, c := range changes {
			rows = append(rows, []string{c.Change, c.What, c.Was, c.Is})
		}
		return table(title, []string{"Change", "What", "Was", "Is"}, rows)
	}
	doc := &Document{Title: "What changed in the inventory", About: []Field{
		{Name: "Before", Value: d.Before + ", " + d.Was.UTC().Format(time.DateTime) + " UTC"},
		{Name: "Now", Value: d.Now + ", " + d.Is.UTC().Format(time.DateTime) + " UTC"},
	}}
	doc.Sections = []Section{
		section("Who sees more", text("What a role sees for a purpose and did not, or sees in another way. Somebody should say that it is right."), list("Seen by more, or otherwise", d.More)),
		section("Who sees less", list("No longer seen", d.Less)),
		section("What else is different", list("Tables, columns, classes, times, purposes and roles", d.Other)),
	}
	return doc
}
