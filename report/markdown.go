package report

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes the document as Markdown: of CommonMark, with the tables of
// GitHub's. No text from the log can be markup there.
func (d *Document) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", plain(d.Title))
	markFields(&b, d.About)
	for _, s := range d.Sections {
		fmt.Fprintf(&b, "## %s\n\n", plain(s.Title))
		for _, block := range s.Blocks {
			markBlock(&b, block)
		}
	}
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

func markBlock(b *strings.Builder, block Block) {
	switch {
	case block.Text != "":
		fmt.Fprintf(b, "%s\n\n", plain(block.Text))
	case block.Warning != "":
		fmt.Fprintf(b, "> **Note.** %s\n\n", plain(block.Warning))
	case block.Items != nil:
		for _, i := range block.Items {
			fmt.Fprintf(b, "- %s\n", plain(i))
		}
		b.WriteByte('\n')
	case block.Fields != nil:
		markFields(b, block.Fields)
	case block.Table != nil:
		markTable(b, block.Table)
	case block.Chart != nil: // its numbers stand in the table beside it
	}
}

func markFields(b *strings.Builder, list []Field) {
	for _, f := range list {
		fmt.Fprintf(b, "- **%s:** ", plain(f.Name))
		if f.Gap != "" {
			fmt.Fprintf(b, "**\\[TO BE FILLED IN: %s\\]**\n", plain(f.Gap))
		} else {
			fmt.Fprintln(b, plain(f.Value))
		}
	}
	b.WriteByte('\n')
}

func markTable(b *strings.Builder, t *Table) {
	fmt.Fprintf(b, "**%s**\n\n", plain(t.Title))
	if len(t.Rows) == 0 {
		b.WriteString("None.\n\n")
		return
	}
	row := func(cells []string) {
		for _, c := range cells {
			b.WriteString("| " + plain(c) + " ")
		}
		b.WriteString("|\n")
	}
	row(t.Columns)
	for _, n := range t.Numbers {
		if n {
			b.WriteString("| ---: ")
		} else {
			b.WriteString("| --- ")
		}
	}
	b.WriteString("|\n")
	for _, r := range t.Rows {
		row(r)
	}
	if t.More > 0 {
		fmt.Fprintf(b, "\n%s more are in the JSON.\n", number(t.More))
	}
	b.WriteByte('\n')
}

// markup is what means something in Markdown, and what becomes of it.
var markup = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "&", "&amp;",
	"|", `\|`, "#", `\#`, "!", `\!`, "~", `\~`, "$", `\$`, "@", `\@`, "://", `\://`,
)

// plain makes a text one line that Markdown shows as it is. A line that begins
// as a list or a heading does cannot come about: no text begins one, or the
// mark is escaped.
func plain(s string) string {
	s = markup.Replace(clean(s))
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") || strings.HasPrefix(s, "=") {
		s = `\` + s
	}
	return s
}
