package cases

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/rewrite"
)

// escape makes one line of any text.
var escape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`)

// planKinds are the kinds of line that plan shows, beside the decisions.
var planKinds = []string{"hint", "rule", "command", "column", "reason", "rewrite"}

// decisions are the words that plan's first line starts with.
var decisions = []string{
	string(rewrite.Allowed), string(rewrite.Masked), string(rewrite.Refused), string(rewrite.Observed), string(rewrite.Unrestricted),
}

// auditKinds are the kinds of line that audit shows.
var auditKinds = []string{"decision", "command", "login", "user", "purpose", "column", "reason", "sqlstate", "rows", "tag"}

// block collects lines of kinds.
type block []string

func (b *block) add(kind, text string) {
	if text != "" {
		*b = append(*b, kind+" "+escape.Replace(text))
	}
}

func kindOf(line string) string {
	kind, _, _ := strings.Cut(line, " ")
	return kind
}

// only keeps the lines whose kinds are among those given.
func (b block) only(kinds []string) block {
	return slices.DeleteFunc(slices.Clone(b), func(line string) bool { return !slices.Contains(kinds, kindOf(line)) })
}

// showPlan gives the lines of a plan, or of the refusal that there is instead.
// Any other error is a bug, and nothing that a case can expect.
func (f *Fixture) showPlan(p *rewrite.Plan, err error) (block, error) {
	var b block
	var r *rewrite.Refusal
	if errors.As(err, &r) {
		b.add(string(rewrite.Refused), r.Code+" "+r.Message)
		b.add("hint", r.Hint)
		b.add("rule", f.relative(r.Rule))
		p = r.Plan
	} else if err != nil {
		return nil, err
	} else {
		b = block{string(p.Decision)}
	}
	if p == nil {
		return b, nil
	}
	for _, s := range p.Steps {
		b.add("command", s.Command)
	}
	var columns block
	for _, c := range p.Columns {
		columns.add("column", column(c.Name, c.Class, c.Show, c.Write))
	}
	slices.Sort(columns)
	b = append(b, columns...)
	for _, reason := range p.Reasons {
		b.add("reason", f.relative(reason))
	}
	if r == nil {
		b.add("rewrite", p.SQL)
	}
	return b, nil
}

func column(name, class, show string, write bool) string {
	if class == "" {
		class = "-"
	}
	text := name + " " + class + " " + show
	if write {
		text += " write"
	}
	return text
}

// relative names files from the fixture's folder, so that a case does not
// depend on where it is run.
func (f *Fixture) relative(text string) string {
	return strings.ReplaceAll(text, strings.TrimSuffix(f.Dir, "/")+"/", "")
}

// show gives the lines of an outcome as rows expects them. names asks for the
// names of columns.
func (o Outcome) show(names bool) []string {
	var lines []string
	for _, r := range o.Results {
		if r.Columns == nil {
			lines = append(lines, "tag "+r.Tag)
			continue
		}
		if names {
			lines = append(lines, "columns "+join(r.Columns))
		}
		if len(r.Rows) == 0 {
			lines = append(lines, "(no rows)")
		}
		for _, row := range r.Rows {
			values := make([]string, len(row))
			for i, v := range row {
				values[i] = value(v)
			}
			lines = append(lines, join(values))
		}
	}
	if o.Error != nil {
		lines = append(lines, "error "+escape.Replace(o.Error.Code+" "+o.Error.Message))
	}
	return lines
}

func join(values []string) string {
	if len(values) == 0 {
		return "()"
	}
	return strings.Join(values, " | ")
}

func value(v *string) string {
	switch {
	case v == nil:
		return "∅"
	case *v == "":
		return "''"
	default:
		return strings.ReplaceAll(escape.Replace(*v), "|", `\|`)
	}
}

// all gives everything of an outcome that a caller can see, for comparing it
// with the twin's.
func (o Outcome) all() []string {
	lines := o.show(true)
	for _, r := range o.Results {
		lines = append(lines, "tag "+r.Tag)
	}
	if o.Error != nil {
		lines = append(lines, "detail "+escape.Replace(o.Error.Detail), "hint "+escape.Replace(o.Error.Hint))
	}
	return lines
}

// showRecords gives the lines of what the access log says, record by record.
func showRecords(records []audit.Record) block {
	var b block
	for _, r := range records {
		b.add("decision", string(r.Decision))
		b.add("command", r.Command)
		b.add("login", r.Login)
		b.add("user", r.User)
		b.add("purpose", r.Purpose)
		for _, c := range r.Columns {
			b.add("column", column(c.Name, c.Class, c.Show, c.Use == "write"))
		}
		for _, reason := range r.Reasons {
			b.add("reason", reason)
		}
		b.add("sqlstate", r.SQLState)
		if r.Kind == audit.KindOutcome {
			b.add("rows", fmt.Sprint(r.Rows))
		}
		b.add("tag", r.Tag)
	}
	return b
}
