package dsar

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"
)

// isPath tells whether the candidate lies within JSON: then value is the path.
func (c candidate) isPath() bool {
	return c.column.Type.Base == "json" || c.column.Type.Base == "jsonb"
}

// name is what the candidate is called by whoever made the schema.
func (c candidate) name() string {
	if c.isPath() {
		return c.value
	}
	return c.column.Name
}

func (c candidate) String() string {
	name := c.relation.QualifiedName() + "." + c.column.Name
	if c.isPath() {
		name += ":" + c.value
	}
	if c.where != nil {
		name += " where " + c.kind + " is " + strings.Join(c.where, " or ")
	}
	return name
}

// reference writes the candidate for the policy.
func (c candidate) reference(g goal, fold bool) string {
	text := "{from: " + yamlName(c.relation.Schema, c.relation.Name, c.column.Name)
	if c.isPath() {
		text += ", path: " + yamlText(c.value)
	}
	if c.where != nil {
		values := make([]string, len(c.where))
		for i, v := range c.where {
			values[i] = yamlText(v)
		}
		text += fmt.Sprintf(", where: {%s: [%s]}", yamlName(c.kind), strings.Join(values, ", "))
	}
	switch {
	case !g.own:
		text += ", to: " + yamlName(g.relation.Schema, g.relation.Name, g.column.Name)
	case !g.key:
		text += ", to: " + yamlName(g.column.Name)
	}
	if fold {
		text += ", ignore_case: true"
	}
	return text + "}"
}

// yamlName writes a name as a policy reads it.
func yamlName(parts ...string) string {
	names := make([]string, len(parts))
	plain := true
	for i, p := range parts {
		names[i] = p
		if p == "" || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" {
			names[i], plain = pgx.Identifier{p}.Sanitize(), false
		}
	}
	if name := strings.Join(names, "."); plain && len(parts) > 1 {
		return name
	} else if plain {
		return yamlText(name)
	} else {
		return quoted(name)
	}
}

// quoted is a text between quotes, in one line whatever is in it.
func quoted(s string) string {
	if strings.IndexFunc(s, unprintable) < 0 {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString("\\" + string(r))
		case unprintable(r):
			fmt.Fprintf(&b, "\\U%08x", r)
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

// unprintable tells of what may end a line, or is not to be seen.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// yamlText writes a text so that YAML reads a text.
func yamlText(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.") == "" && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s)) {
		return s
	}
	return quoted(s)
}

// oneLine makes of what cannot be seen a space, so that a comment stays one.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unprintable(r) {
			return ' '
		}
		return r
	}, s)
}

// Paste gives suggestions of at least some confidence as they stand in a policy,
// under their subjects, each with what speaks for it.
func Paste(all []Suggestion, least float64) string {
	var b strings.Builder
	bySubject := map[string][]Suggestion{}
	var subjects []string
	for _, s := range all {
		if s.Confidence >= least {
			if bySubject[s.Subject] == nil {
				subjects = append(subjects, s.Subject)
			}
			bySubject[s.Subject] = append(bySubject[s.Subject], s)
		}
	}
	slices.Sort(subjects)
	for _, name := range subjects {
		fmt.Fprintf(&b, "# references of subject %s:\n", name)
		for _, s := range bySubject[name] {
			fmt.Fprintf(&b, "      # %.2f: %s\n      - %s\n", s.Confidence, oneLine(strings.Join(s.Evidence, "; ")), s.Reference)
		}
	}
	return b.String()
}
