package dsar

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Text draws the tables as a tree, for a terminal.
func (e Explanation) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "A %s is known by %s. %d tables hold rows of one.\n\n", e.Subject, strings.Join(e.Key, ", "), len(e.Tables))
	rows := e.branch(nil, e.children(), 0, "", "")
	widths := make([]int, 3)
	for _, row := range rows {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(widths) {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	notes(&b, "\nWhat these rows refer to, and which belongs to no "+e.Subject+":\n", e.Elsewhere)
	notes(&b, "\nNot followed:\n", e.NotFollowed)
	e.unclassified(&b)
	return b.String()
}

// branch gives the lines of a table and those below it.
func (e Explanation) branch(rows [][4]string, children [][]int, table int, first, rest string) [][4]string {
	t := e.Tables[table]
	how := strings.Join(t.By, " or ")
	if how != "" {
		how = "by " + how
	}
	if t.More != nil {
		how += ", or " + strings.Join(t.More, ", ")
	}
	if t.Because != "" {
		how = strings.TrimSpace(how + " (" + t.Because + ")")
	}
	rows = append(rows, [4]string{first + t.Name, string(t.Standing), t.Erasure, how})
	for i, child := range children[table] {
		joint, below := "├─ ", "│  "
		if i == len(children[table])-1 {
			joint, below = "└─ ", "   "
		}
		rows = e.branch(rows, children, child, rest+joint, rest+below)
	}
	return rows
}

func notes(b *strings.Builder, title string, all []Note) {
	if len(all) > 0 {
		b.WriteString(title)
	}
	for _, n := range all {
		fmt.Fprintf(b, "  %s -> %s", n.From, n.To)
		if n.Because != "" {
			fmt.Fprintf(b, " (%s)", n.Because)
		}
		b.WriteString("\n")
	}
}

func (e Explanation) unclassified(b *strings.Builder) {
	if e.Complete {
		return
	}
	b.WriteString("\nIn no class, so that no request is answered until the policy says what they are:\n")
	for _, t := range e.Tables {
		if t.Unclassified != nil {
			fmt.Fprintf(b, "  %s: %s\n", t.Name, strings.Join(t.Unclassified, ", "))
		}
	}
}

// DOT writes the graph in the language of Graphviz.
func (e Explanation) DOT() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  rankdir=RL; node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", fontsize=11]; edge [fontname=\"sans-serif\", fontsize=9];\n", dotQuote(e.Subject))
	for _, t := range e.Tables {
		label := t.Name + "\n" + string(t.Standing) + ", " + t.Erasure
		if n := len(t.Unclassified); n > 0 {
			label += fmt.Sprintf("\n%d columns in no class", n)
		}
		fmt.Fprintf(&b, "  %s [label=%s, fillcolor=%s];\n", dotQuote(t.Name), dotQuote(label), dotQuote(t.colours().fill))
	}
	for _, t := range e.Tables {
		if t.parent >= 0 {
			fmt.Fprintf(&b, "  %s -> %s [label=%s];\n", dotQuote(t.Name), dotQuote(t.Of), dotQuote(strings.Join(t.By, "\n")))
		}
		for i, other := range t.others {
			by, _, _ := strings.Cut(t.More[i], " -> ")
			fmt.Fprintf(&b, "  %s -> %s [label=%s, style=dashed];\n", dotQuote(t.Name), dotQuote(e.Tables[other].Name), dotQuote(by))
		}
	}
	for i, n := range e.Elsewhere {
		if first := func() bool { return !contains(e.Elsewhere[:i], n.To) }; first() {
			fmt.Fprintf(&b, "  %s [fillcolor=\"#ffffff\", fontcolor=\"#777777\", color=\"#bbbbbb\"];\n", dotQuote(n.To))
		}
		table := n.From
		for _, t := range e.Tables {
			if strings.HasPrefix(n.From, t.Name+".") {
				table = t.Name
			}
		}
		fmt.Fprintf(&b, "  %s -> %s [color=\"#bbbbbb\", constraint=false];\n", dotQuote(table), dotQuote(n.To))
	}
	return b.String() + "}\n"
}

func contains(all []Note, to string) bool {
	for _, n := range all {
		if n.To == to {
			return true
		}
	}
	return false
}

func dotQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
