package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/pgveil/pgveil/datamap"
)

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// print lists what was found, table by table: what is open only where all is
// asked for.
func (s *scanning) print(m *datamap.Map) error {
	var b strings.Builder
	counts, columns := map[string]int{}, 0
	for _, t := range m.Tables {
		var lines strings.Builder
		for _, c := range t.Columns {
			columns++
			counts[shownClass(c)]++
			if c.Class == datamap.Open && !s.all {
				continue
			}
			fmt.Fprintf(&lines, "  %-24s %-12s %4.2f  %s\n", printable(c.Name), shownClass(c), c.Confidence, evidence(c))
		}
		for _, n := range t.Notes {
			fmt.Fprintf(&lines, "  note: %s\n", n)
		}
		if lines.Len() > 0 {
			fmt.Fprintf(&b, "%s%s\n%s", printable(t.Name), size(t), lines.String())
		}
	}
	for _, x := range m.Subjects {
		fmt.Fprintf(&b, "subject %s: %s by %s, %.2f: %s\n", x.Name, printable(x.Table), printable(x.Key), x.Confidence, strings.Join(x.Why, "; "))
	}
	for _, r := range m.References {
		fmt.Fprintf(&b, "reference to %s: %s, %.2f: %s\n", r.Subject, printable(r.From), r.Confidence, r.Why)
	}
	fmt.Fprintf(&b, "%d columns of %d tables: %d open, %d undecided, %d in some other class\n",
		columns, len(m.Tables), counts[string(datamap.Open)], counts[undecided], columns-counts[string(datamap.Open)]-counts[undecided])
	_, err := io.WriteString(s.stdout, b.String())
	return err
}

// undecided is how a column in no class is shown.
const undecided = "?"

func shownClass(c datamap.Column) string {
	if c.Class == datamap.Undecided {
		return undecided
	}
	return string(c.Class)
}

func size(t *datamap.Table) string {
	switch {
	case t.Sampled == 0:
		return ""
	case t.Rows < 0:
		return fmt.Sprintf(" (%d rows sampled)", t.Sampled)
	default:
		return fmt.Sprintf(" (%d of about %d rows sampled)", t.Sampled, t.Rows)
	}
}

func evidence(c datamap.Column) string {
	var says []string
	for _, e := range c.Evidence {
		if e.Class == c.Class || c.Class == datamap.Undecided {
			says = append(says, e.Says)
		}
	}
	return strings.Join(says, "; ")
}

func unread(u datamap.Unread) string {
	if u.Columns == nil {
		return fmt.Sprintf("%s was not read: %s", printable(u.Table), u.Why)
	}
	return fmt.Sprintf("%s: %s were not read: %s", printable(u.Table), printable(strings.Join(u.Columns, ", ")), u.Why)
}

// printDiff prints differences, as people or as a build's annotations read them.
func (s *scanning) printDiff(all []datamap.Difference) error {
	if s.json {
		return writeJSON(s.stdout, map[string]any{"differences": append([]datamap.Difference{}, all...)})
	}
	for i := range all {
		d := &all[i]
		line := text(d)
		if s.format == "github" {
			line = annotation(d)
		}
		if _, err := fmt.Fprintln(s.stdout, line); err != nil {
			return err
		}
	}
	return nil
}

// text is a difference in a line.
func text(d *datamap.Difference) string {
	var b strings.Builder
	if d.At.Line > 0 {
		fmt.Fprintf(&b, "%s: ", d.At)
	}
	fmt.Fprintf(&b, "%s: ", d.Kind)
	if d.Table != "" {
		fmt.Fprintf(&b, "%s ", printable(d.Name()))
	}
	b.WriteString(d.Says)
	return b.String()
}

// annotation is a difference as a workflow command of GitHub's.
func annotation(d *datamap.Difference) string {
	at := ""
	if d.At.Line > 0 {
		at = fmt.Sprintf("file=%s,line=%d,col=%d,", inProperty.Replace(d.At.File), d.At.Line, d.At.Column)
	}
	says := d.Says
	if d.Table != "" {
		says = d.Name() + " " + says
	}
	return fmt.Sprintf("::error %stitle=%s::%s", at, d.Kind, inMessage.Replace(says))
}

var (
	inMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	inProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)
