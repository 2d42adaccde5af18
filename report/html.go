package report

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed page.gohtml
var pageText string

// HTML writes the document as one page that needs nothing beside it: no script,
// no font, no picture from elsewhere. Texts are escaped by html/template, for
// where they stand.
func (d *Document) HTML(w io.Writer) error {
	pictures := 0
	page, err := template.New("page").Funcs(template.FuncMap{
		"clean":  clean,
		"number": func(n int) string { return number(n) },
		"draw": func(c *Chart) picture {
			pictures++
			return c.draw(pictures)
		},
		"isNumber": func(t *Table, i int) bool { return t.Numbers[i] },
	}).Parse(pageText)
	if err != nil {
		return err
	}
	return page.Execute(w, d)
}
