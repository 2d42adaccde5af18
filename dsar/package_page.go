package dsar

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

//go:embed package.gohtml
var pageText string

// Bounds of what the page shows: the rest is in the files beside it.
const (
	mostShown = 100  // rows of a table
	maxShown  = 1000 // bytes of a value
	maxWide   = 8    // columns that stand beside each other
)

// preview is what the page shows of a table.
type preview struct {
	Name, File string
	Columns    []string
	First      [][]cell
	Rows       int64
	Formulas   int64
}

// cell is a value on the page.
type cell struct {
	Text string
	Null bool
	More int // bytes that are not shown
}

// add keeps a row, whose values are not ours.
func (v *preview) add(values [][]byte) {
	row := make([]cell, len(values))
	for i, b := range values {
		text := b[:min(len(b), maxShown)]
		for len(text) < len(b) && len(text) > 0 && !utf8.RuneStart(b[len(text)]) {
			text = text[:len(text)-1]
		}
		row[i] = cell{visible(string(text)), b == nil, len(b) - len(text)}
	}
	v.First = append(v.First, row)
}

// visible spells out what cannot be seen, and what would turn the direction of
// the text around it.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return r
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return utf8.RuneError
		default:
			return r
		}
	}, s)
}

// Wide tells whether there are too many columns to stand beside each other.
func (v preview) Wide() bool { return len(v.Columns) > maxWide }

// Left tells how many rows are not shown.
func (v preview) Left() int64 { return v.Rows - int64(len(v.First)) }

// page writes the page by which a person reads the package. It needs no script
// and nothing from elsewhere, and html/template escapes each value for where it
// stands.
func (p *packer) page(about About) error {
	page, err := template.New("package").Funcs(template.FuncMap{
		"join": func(list []string) string { return strings.Join(list, ", ") },
		"stated": func(text string) string {
			if text == "" {
				return "Not stated in this document."
			}
			return text
		},
	}).Parse(pageText)
	if err != nil {
		return err
	}
	return p.file(File{Name: indexName}, func(w io.Writer, _ *File) error {
		return page.Execute(w, map[string]any{
			"Manifest": p.manifest, "Key": string(p.manifest.Key), "Made": p.manifest.GeneratedAt.Format("2 January 2006, 15:04 UTC"),
			"About": about, "Tables": p.previews, "Redacted": p.graph.header(p.subject, ExportOptions{}, p.shown).Redacted,
		})
	})
}
