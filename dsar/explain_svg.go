package dsar

import (
	"encoding/xml"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Sizes of the drawing, in pixels.
const (
	boxHeight = 42
	rowHeight = 52
	gap       = 64  // between a table and those that refer to it
	letter    = 8.6 // width of one in a name
	small     = 6.1 // and in what is said below it
	margin    = 28
	heading   = 78
)

// palette is how a table is drawn.
type palette struct{ fill, line, text string }

// colours of a table say what its rows are to the subject, and what becomes of
// them.
func (t Explained) colours() palette {
	switch {
	case strings.HasPrefix(t.Erasure, "keep"):
		return palette{"#fdf3d7", "#c9a227", "#6b5400"}
	case t.Standing == Itself:
		return palette{"#1f4e79", "#1f4e79", "#ffffff"}
	case t.Standing == Shared:
		return palette{"#efe6f7", "#8e6bb0", "#4b2d6b"}
	case t.Standing == Mentions:
		return palette{"#f1f3f5", "#98a2ad", "#3c4650"}
	default:
		return palette{"#e3effa", "#5b93c7", "#173f66"}
	}
}

// drawing lays the tables out as a tree from left to right: each in the column of
// its distance, its children beside it, the rows from top to bottom.
type drawing struct {
	e        Explanation
	children [][]int
	depth    []int
	row      []float64 // in rows
	rows     int
	column   []float64 // where each distance begins
	width    []float64 // of the boxes of each distance
	b        strings.Builder
}

// SVG draws the graph. It is the same for the same graph, and needs nothing else
// to be shown.
func (e Explanation) SVG() string {
	d := &drawing{e: e, children: e.children(), depth: make([]int, len(e.Tables)), row: make([]float64, len(e.Tables))}
	d.place(0, 0)
	d.measure()
	end := len(d.column) - 1
	width := max(d.column[end]+d.width[end]+margin, 760)
	footer := d.footer()
	for _, line := range footer {
		width = max(width, 2*margin+6.4*float64(utf8.RuneCountInString(line)))
	}
	bottom := heading + float64(d.rows)*rowHeight + 10
	height := bottom + float64(len(footer))*18 + margin
	fmt.Fprintf(&d.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif">`+"\n", width, height, width, height)
	fmt.Fprintf(&d.b, `<rect width="%.0f" height="%.0f" fill="#ffffff"/>`+"\n", width, height)
	d.text(margin, 34, 19, "#1d2733", "bold", "What is held on a "+d.e.Subject)
	d.legend()
	for i := range d.e.Tables {
		d.edges(i)
	}
	for i := range d.e.Tables {
		d.box(i)
	}
	for i, line := range footer {
		d.text(margin, bottom+float64(i)*18+14, 11.5, "#55606b", "normal", line)
	}
	d.b.WriteString("</svg>\n")
	return d.b.String()
}

// place gives a table and what hangs on it their rows.
func (d *drawing) place(table, depth int) {
	d.depth[table] = depth
	children := d.children[table]
	if len(children) == 0 {
		d.row[table] = float64(d.rows)
		d.rows++
		return
	}
	for _, c := range children {
		d.place(c, depth+1)
	}
	d.row[table] = (d.row[children[0]] + d.row[children[len(children)-1]]) / 2
}

// measure gives every distance its column.
func (d *drawing) measure() {
	for i, t := range d.e.Tables {
		for len(d.width) <= d.depth[i] {
			d.width = append(d.width, 150)
		}
		name := letter*float64(utf8.RuneCountInString(t.Name)) + 24
		about := small*float64(utf8.RuneCountInString(t.how())+utf8.RuneCountInString(t.fate())) + 44
		d.width[d.depth[i]] = max(d.width[d.depth[i]], name, about)
	}
	x := float64(margin)
	for _, w := range d.width {
		d.column = append(d.column, x)
		x += w + gap
	}
}

func (d *drawing) corner(table int) (x, y float64) {
	return d.column[d.depth[table]], heading + d.row[table]*rowHeight
}

// how says by what rows are found, in a few letters.
func (t Explained) how() string {
	if len(t.By) == 0 {
		return "the subject's own row"
	}
	how := "by " + short(t.By[0], 34)
	if n := len(t.By) - 1 + len(t.More); n > 0 {
		how += fmt.Sprintf(" +%d", n)
	}
	return how
}

// fate says what becomes of them.
func (t Explained) fate() string {
	fate, _, _ := strings.Cut(t.Erasure, " for ")
	if n := len(t.Unclassified); n > 0 {
		return fmt.Sprintf("%d in no class", n)
	}
	return fate
}

func short(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// edges draws the way to the table that a table is found by, and fainter the other
// ways.
func (d *drawing) edges(table int) {
	t := d.e.Tables[table]
	if t.parent >= 0 {
		d.curve(table, t.parent, `stroke="#9fb3c8" stroke-width="1.6"`)
	}
	for _, other := range t.others {
		d.curve(table, other, `stroke="#c5ccd3" stroke-width="1.1" stroke-dasharray="4 4"`)
	}
}

func (d *drawing) curve(from, to int, style string) {
	x, y := d.corner(from)
	px, py := d.corner(to)
	px += d.width[d.depth[to]]
	y, py = y+boxHeight/2, py+boxHeight/2
	bend := gap / 2.0
	if px >= x { // not to the left: around the boxes' right ends
		x += d.width[d.depth[from]]
		bend = -gap * 0.6
	}
	fmt.Fprintf(&d.b, `<path d="M%.1f %.1f C%.1f %.1f %.1f %.1f %.1f %.1f" fill="none" %s/>`+"\n", x, y, x-bend, y, px+max(bend, -bend), py, px, py, style)
}

func (d *drawing) box(table int) {
	t := d.e.Tables[table]
	x, y := d.corner(table)
	w, c := d.width[d.depth[table]], t.colours()
	line, strong := c.line, "1.2"
	if t.Unclassified != nil {
		line, strong = "#c0392b", "2.4"
	}
	fmt.Fprintf(&d.b, `<g><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%d" rx="6" fill="%s" stroke="%s" stroke-width="%s"/>`+"\n",
		escape(t.about()), x, y, w, boxHeight, c.fill, line, strong)
	d.text(x+11, y+18, 13, c.text, "600", t.Name)
	d.text(x+11, y+33, 10.5, c.text, "normal", t.how())
	fate, colour := t.fate(), c.text
	if t.Unclassified != nil && t.Standing != Itself {
		colour = "#c0392b"
	}
	fmt.Fprintf(&d.b, `<text x="%.1f" y="%.1f" font-size="10.5" font-weight="600" text-anchor="end" fill="%s">%s</text></g>`+"\n", x+w-11, y+33, colour, escape(fate))
}

// about is what a pointer over the box is told.
func (t Explained) about() string {
	lines := []string{t.Name + ": " + string(t.Standing)}
	for _, by := range t.By {
		lines = append(lines, "found by "+by)
	}
	for _, more := range t.More {
		lines = append(lines, "found by "+more)
	}
	erasure := "erasure: " + t.Erasure
	if t.Because != "" {
		erasure += " (" + t.Because + ")"
	}
	lines = append(lines, erasure)
	if t.Names != nil {
		lines = append(lines, "may name another: "+strings.Join(t.Names, ", ")+"; what tells of them is redacted")
	}
	if t.Unclassified != nil {
		lines = append(lines, "in no class: "+strings.Join(t.Unclassified, ", "))
	}
	return strings.Join(lines, "\n")
}

// legend explains the colours.
func (d *drawing) legend() {
	x := float64(margin)
	for _, k := range []struct {
		t    Explained
		said string
	}{
		{Explained{Standing: Itself}, "the subject"}, {Explained{Standing: Owned}, "owned"}, {Explained{Standing: Shared}, "shared with another"},
		{Explained{Standing: Mentions}, "lives on without it"}, {Explained{Erasure: "keep"}, "kept"},
	} {
		c := k.t.colours()
		fmt.Fprintf(&d.b, `<rect x="%.1f" y="47" width="13" height="13" rx="3" fill="%s" stroke="%s"/>`+"\n", x, c.fill, c.line)
		d.text(x+19, 58, 11.5, "#55606b", "normal", k.said)
		x += 19 + small*1.1*float64(len(k.said)) + 22
	}
	fmt.Fprintf(&d.b, `<path d="M%.1f 54 h22" stroke="#c5ccd3" stroke-width="1.4" stroke-dasharray="4 4"/>`+"\n", x)
	d.text(x+28, 58, 11.5, "#55606b", "normal", "found this way too")
}

// footer says what the drawing does not show.
func (d *drawing) footer() []string {
	var lines []string
	add := func(title string, all []Note) {
		if len(all) > 0 {
			lines = append(lines, "", title)
		}
		for _, n := range all {
			line := "   " + n.From + " → " + n.To
			if n.Because != "" {
				line += ": " + n.Because
			}
			lines = append(lines, line)
		}
	}
	if !d.e.Complete {
		lines = append(lines, "", "Columns in no class (red) stop every request: the policy does not say what they hold.")
	}
	add("Referred to, and no "+d.e.Subject+"'s:", d.e.Elsewhere)
	add("Not followed:", d.e.NotFollowed)
	return lines
}

func (d *drawing) text(x, y, size float64, fill, weight, s string) {
	fmt.Fprintf(&d.b, `<text x="%.1f" y="%.1f" font-size="%g" font-weight="%s" fill="%s" xml:space="preserve">%s</text>`+"\n", x, y, size, weight, fill, escape(s))
}

func escape(s string) string {
	var b strings.Builder
	// A strings.Builder never fails.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
