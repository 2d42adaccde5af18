package presets

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// Fitted is a preset as it suits one database.
type Fitted struct {
	Files        []policy.File
	Dropped      []string // what the preset names and the database does not have
	Unclassified []string // columns that the preset says nothing of, in tables that it knows
	Unknown      []string // tables and views of the schema that it says nothing of

	// Problems are what keeps the files from compiling: a column has another
	// type than a mask is for. Then Unclassified and Unknown are not known.
	Problems policy.Problems
}

// Fit gives the files of a policy for a database in whose schema the application
// has its tables. They compile against its catalog, or Problems say why not.
func (p *Preset) Fit(cat *catalog.Snapshot, schema string) (*Fitted, error) {
	f := &fitter{cat: cat, from: p.Schema + ".", to: quoted(schema) + ".", gone: map[string]bool{}, known: map[string]bool{}}
	roots, err := f.roots(p.Files)
	if err != nil {
		return nil, fmt.Errorf("preset %s: %w", p.Name, err)
	}
	for _, root := range roots {
		f.names(root)
	}
	for _, root := range roots {
		f.rules(root)
	}
	if f.subjects == 0 {
		return nil, fmt.Errorf("schema %q has none of the tables in which %s keeps people", schema, p.Title)
	}
	fitted := &Fitted{Dropped: f.dropped}
	for i, root := range roots {
		text, err := dump(root)
		if err != nil {
			return nil, fmt.Errorf("preset %s: %w", p.Name, err)
		}
		fitted.Files = append(fitted.Files, policy.File{Name: p.Files[i].Name, Text: text})
	}
	doc, err := policy.Parse(fitted.Files...)
	if err != nil {
		return nil, fmt.Errorf("preset %s: %w", p.Name, err)
	}
	set, err := policy.Compile(doc, cat)
	switch {
	case errors.As(err, &fitted.Problems):
		return fitted, nil
	case err != nil:
		return nil, fmt.Errorf("preset %s: %w", p.Name, err)
	}
	fitted.look(set, cat, schema, f.known)
	return fitted, nil
}

// look finds what the database has and the policy does not speak of. Columns
// that only a pattern catches are those of tables that the preset does not know.
func (f *Fitted) look(set *policy.Set, cat *catalog.Snapshot, schema string, known map[string]bool) {
	for _, r := range cat.Relations() {
		switch {
		case r.Schema != schema || r.Kind == catalog.Sequence || r.Kind == catalog.CompositeType || r.Partition:
			continue
		case !known[r.Name]:
			f.Unknown = append(f.Unknown, r.QualifiedName())
			continue
		}
		for _, c := range r.Columns {
			if _, ok := set.Class(r, c.Name); !ok {
				f.Unclassified = append(f.Unclassified, r.QualifiedName()+"."+c.Name)
			}
		}
	}
	slices.Sort(f.Unknown)
	slices.Sort(f.Unclassified)
}

func (f *fitter) roots(files []policy.File) ([]*yaml.Node, error) {
	var roots []*yaml.Node
	for _, file := range files {
		var root yaml.Node
		if err := yaml.Load([]byte(file.Text), &root); err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name, err)
		}
		roots = append(roots, &root)
	}
	return roots, nil
}

// dump writes a file as the presets are written: comments and order stay, and an
// empty line stands before each section.
func dump(root *yaml.Node) (string, error) {
	text, err := yaml.Dump(root, yaml.WithIndent(2), yaml.WithCompactSeqIndent(false), yaml.WithLineWidth(120))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	before := ""
	for line := range strings.Lines(string(text)) {
		if section(line) && before != "" && before[0] != '#' && before[0] != '\n' {
			b.WriteByte('\n')
		}
		b.WriteString(line)
		before = line
	}
	return b.String(), nil
}

// section tells whether a line begins a section, or what is said of it.
func section(line string) bool { return line[0] != ' ' && line[0] != '-' && line[0] != '\n' }

// quoted spells the name of a schema as a policy does.
func quoted(name string) string {
	simple := func(r rune) bool { return r == '_' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9' }
	if name != "" && strings.IndexFunc(name, func(r rune) bool { return !simple(r) }) < 0 {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
