package datamap

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/policy"
)

// Policy gives the proposal as the files of a policy. What the scan could not
// decide is in comments, and in no class.
func (m *Map) Policy() []policy.File {
	classes := m.classes(true)
	if len(classes) > maxReasoned {
		classes = m.classes(false)
	}
	return []policy.File{
		{Name: "classes.yaml", Text: classes},
		{Name: "subjects.yaml", Text: m.subjectsFile()},
		{Name: "roles.yaml", Text: m.roles()},
		{Name: "retention.yaml", Text: m.retentionFile()},
	}
}

// maxReasoned is how long the file of classes may be with all reasons in it: a
// policy's file is read up to a mebibyte.
const maxReasoned = 1000 << 10

const classesHead = `# What the data is, as pgveil scan found it: a proposal to be read by somebody who
# knows the data. Behind each column stands how sure the scan is, and why, unless
# there are too many: pgveil scan --json says it then.
version: 1

# Columns in no class are refused to everybody.
unclassified: refuse
`

func (m *Map) classes(reasons bool) string {
	var b, undecided strings.Builder
	b.WriteString(classesHead)
	byClass := map[Class][]string{}
	for _, t := range m.Tables {
		for _, c := range t.Columns {
			line := scalar(m.path(t, c))
			if reasons {
				line += " # " + c.reason()
			}
			if c.Class == Undecided {
				fmt.Fprintf(&undecided, "#     - %s\n", line)
				continue
			}
			byClass[c.Class] = append(byClass[c.Class], line)
		}
	}
	if len(byClass) > 0 {
		b.WriteString("\nclasses:\n")
	}
	for _, k := range append([]kind{{Open, false, ""}}, kinds...) {
		lines := byClass[k.class]
		if lines == nil {
			continue
		}
		fmt.Fprintf(&b, "  %s:\n", k.class)
		if k.special {
			b.WriteString("    special: true\n")
		}
		if k.about != "" {
			fmt.Fprintf(&b, "    about: %s\n    columns:\n", scalar(k.about))
		}
		for _, line := range lines {
			fmt.Fprintf(&b, "      - %s\n", line)
		}
	}
	if undecided.Len() > 0 {
		fmt.Fprintf(&b, "\n# To be decided by somebody who knows what is in them:\n%s", undecided.String())
	}
	return b.String()
}

// reason says in a line why a column has its class.
func (c *Column) reason() string {
	var says []string
	for _, e := range c.Evidence {
		if e.Class == c.Class || c.Class == Undecided {
			says = append(says, e.Says)
		}
	}
	switch {
	case len(says) > 0:
	case c.Samples > 0:
		says = []string{fmt.Sprintf("nothing personal in %d samples", c.Samples)}
	case c.Class == Open:
		says = []string{"neither name nor type say that it is personal"}
	default:
		says = []string{"nothing says what it holds"}
	}
	return comment(fmt.Sprintf("%.2f: %s", c.Confidence, strings.Join(says, "; ")))
}

// comment makes a text fit for the rest of a line.
func comment(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffd {
			return '?'
		}
		return r
	}, text)
}

func (m *Map) path(t *Table, c Column) string {
	return name(t.Relation.Schema) + "." + name(t.Relation.Name) + "." + name(c.Name)
}

func (t *Table) path() string { return name(t.Relation.Schema) + "." + name(t.Relation.Name) }

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// name spells a name as a policy reads it.
func name(s string) string {
	if plainName.MatchString(s) {
		return s
	}
	return quote(s)
}

// plainScalar is what YAML reads as the string that it looks like: a word of
// three letters or more that is none of YAML's own, or several with dots.
var plainScalar = regexp.MustCompile(`^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+$|^[a-z_]{3,}$`)

var yamlWords = []string{"null", "true", "false", "yes", "off"}

// scalar spells a string in YAML. JSON's strings are YAML's, but for characters
// that YAML has escaped.
func scalar(s string) string {
	if plainScalar.MatchString(s) && !slices.Contains(yamlWords, s) {
		return s
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""` // a string is always encoded
	}
	text := strings.TrimSuffix(b.String(), "\n")
	return strings.NewReplacer("\x7f", `\u007f`, "\u0085", `\u0085`, "\ufeff", `\ufeff`, "\u00a0", `\u00a0`).Replace(text)
}

func (m *Map) subjectsFile() string {
	var b strings.Builder
	b.WriteString("# Whom the data is about: tables whose rows seem to be persons.\nversion: 1\n")
	if len(m.Subjects) > 0 {
		b.WriteString("\nsubjects:\n")
	}
	for _, s := range m.Subjects {
		fmt.Fprintf(&b, "  # %.2f: %s\n", s.Confidence, comment(strings.Join(s.Why, "; ")))
		fmt.Fprintf(&b, "  %s:\n    table: %s\n    key: %s\n", scalar(s.Name), scalar(name(s.relation.Schema)+"."+name(s.relation.Name)), scalar(name(s.Key)))
		if len(s.FindBy) > 0 {
			var by []string
			for _, c := range s.FindBy {
				by = append(by, scalar(name(c)))
			}
			fmt.Fprintf(&b, "    find_by: [%s]\n", strings.Join(by, ", "))
		}
		m.referencesOf(&b, s.Name)
	}
	return b.String()
}

// referencesOf writes the references to a subject. An erasure follows them: those
// that are not certain are in comments.
func (m *Map) referencesOf(b *strings.Builder, subject string) {
	var sure, unsure strings.Builder
	for _, r := range m.References {
		line := fmt.Sprintf("- %s # %.2f: %s\n", r.Item, r.Confidence, comment(r.Why))
		switch {
		case r.Subject != subject:
		case r.Confidence >= certain:
			sure.WriteString("      " + line)
		default:
			unsure.WriteString("    #   " + line)
		}
	}
	if sure.Len() > 0 {
		b.WriteString("    references: # no foreign key says so\n" + sure.String())
	}
	if unsure.Len() > 0 {
		b.WriteString("    # To be decided: references, which an erasure would follow.\n" + unsure.String())
	}
}

const rolesHead = `# Who may see what is for people to say. Until they do, nobody has a role, and the
# roles show open columns alone: no rule shows any class.
version: 1

# Each legal basis is a guess, since a policy has to say one: whoever answers for
# the processing has to say which it is.
purposes:
  operations: {basis: contract, about: "What the application is for"}
  analysis:   {basis: legitimate_interest, about: "What is learned from many, never about one"}
`

// roles gives a role for each purpose, which reads the tables that hold what is
// in some class, and is shown nothing of it that is not open.
func (m *Map) roles() string {
	var tables []string
	for _, t := range m.Tables {
		if slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Class != Undecided }) {
			tables = append(tables, "          - "+scalar(t.path())+"\n")
		}
	}
	if tables == nil {
		return rolesHead
	}
	var b strings.Builder
	b.WriteString(rolesHead + "\nroles:\n")
	for _, purpose := range []string{"operations", "analysis"} {
		fmt.Fprintf(&b, "  %s:\n    purposes: [%s]\n    tables:\n      - do: select\n        on:\n%s", purpose, purpose, strings.Join(tables, ""))
	}
	return b.String()
}

func (m *Map) retentionFile() string {
	var b strings.Builder
	b.WriteString("# How long rows are kept is for people to say. These tables hold personal data and\n# a moment from which it could be counted.\nversion: 1\n")
	for i, r := range m.Retention {
		if i == 0 {
			b.WriteString("\n# retention:\n")
		}
		fmt.Fprintf(&b, "#   - {on: %s, keep: , after: %s, then: }\n", scalar(name(r.relation.Schema)+"."+name(r.relation.Name)), scalar(name(r.After)))
	}
	return b.String()
}
