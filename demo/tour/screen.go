package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// width is how wide anything on the screen may be.
const width = 110

// hue is a colour. The zero hue is the terminal's own.
type hue string

const (
	plain  hue = ""
	bold   hue = "1"
	dim    hue = "2"
	red    hue = "31"
	green  hue = "32"
	yellow hue = "33"
	cyan   hue = "36"
)

// screen writes for people.
type screen struct {
	w       io.Writer
	colours bool
}

// newScreen uses colours on a terminal only, and not where NO_COLOR says so.
func newScreen(f *os.File) *screen {
	info, err := f.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &screen{w: f, colours: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (s *screen) paint(h hue, text string) string {
	if !s.colours || h == plain {
		return text
	}
	return "\x1b[" + string(h) + "m" + text + "\x1b[0m"
}

// lines writes text, folded to the width, each line behind the indent.
func (s *screen) lines(h hue, indent, text string) {
	for _, line := range fold(text, width-utf8.RuneCountInString(indent)) {
		if line == "" {
			fmt.Fprintln(s.w)
			continue
		}
		fmt.Fprintln(s.w, indent+s.paint(h, line))
	}
}

func (s *screen) blank() { fmt.Fprintln(s.w) }

func (s *screen) progress(format string, args ...any) {
	fmt.Fprintln(s.w, s.paint(dim, "… "+fmt.Sprintf(format, args...)))
}

func (s *screen) note(text string) { s.lines(dim, "", text) }

func (s *screen) heading(number, of int, title, promise string) {
	head := fmt.Sprintf("── %d/%d  %s ", number, of, title)
	fmt.Fprintln(s.w, "\n"+s.paint(bold, head+strings.Repeat("─", max(0, width-utf8.RuneCountInString(head)))))
	s.lines(plain, "", promise)
	fmt.Fprintln(s.w)
}

// statement shows what is sent, and by whom.
func (s *screen) statement(who, sql string) { s.prompt(who+"> ", sql) }

// shell shows a command that is run.
func (s *screen) shell(args ...string) { s.prompt("$ ", strings.Join(args, " ")) }

func (s *screen) prompt(prompt, text string) {
	for i, line := range fold(text, width-len(prompt)-2) {
		if i > 0 {
			prompt = strings.Repeat(" ", len(prompt))
		}
		fmt.Fprintln(s.w, "  "+s.paint(dim, prompt)+s.paint(cyan, line))
	}
}

// offer shows something to copy, in one line however long it is.
func (s *screen) offer(about, text string) {
	fmt.Fprintf(s.w, "  %s\n    %s\n", s.paint(dim, about), s.paint(cyan, text))
}

// claim shows one checked claim.
func (s *screen) claim(text string) { s.lines(plain, "  "+s.paint(green, "✓")+" ", text) }

// broken shows a claim that does not hold.
func (s *screen) broken(claim, want, got string) {
	s.lines(red, "  ", "✗ "+claim)
	s.lines(plain, "      ", "expected: "+want)
	s.lines(plain, "      ", "seen:     "+got)
}

func (s *screen) verdict(held, broken int, took time.Duration) {
	fmt.Fprintln(s.w, "\n"+s.paint(bold, strings.Repeat("─", width)))
	if broken == 0 {
		s.lines(green, "", fmt.Sprintf("all %d claims hold (%s)", held, took.Round(100*time.Millisecond)))
		return
	}
	s.lines(red, "", fmt.Sprintf("%d of %d claims do NOT hold", broken, held+broken))
}

// cell is one field of a table.
type cell struct {
	text string
	hue  hue
}

func row(texts ...string) []cell {
	cells := make([]cell, len(texts))
	for i, t := range texts {
		cells[i].text = t
	}
	return cells
}

const gap = 2 // columns between cells, and before the first

// table writes rows of as many cells as there are titles, aligned. Where they
// are too wide together, the widest are folded.
func (s *screen) table(titles []string, rows [][]cell) {
	head := row(titles...)
	for i := range head {
		head[i].hue = bold
	}
	widths := fit(titles, rows)
	for _, r := range append([][]cell{head}, rows...) {
		s.row(widths, r)
	}
	fmt.Fprintln(s.w)
}

// fit chooses the width of each column.
func fit(titles []string, rows [][]cell) []int {
	widths := make([]int, len(titles))
	for i, title := range titles {
		widths[i] = utf8.RuneCountInString(title)
		for _, r := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i].text))
		}
	}
	room := width - gap*len(titles)
	for {
		sum, widest := 0, 0
		for i, w := range widths {
			sum += w
			if w > widths[widest] {
				widest = i
			}
		}
		if sum <= room {
			return widths
		}
		widths[widest]--
	}
}

// row writes one row, of as many lines as its longest cell has.
func (s *screen) row(widths []int, cells []cell) {
	folded := make([][]string, len(cells))
	height := 0
	for i, c := range cells {
		folded[i] = fold(c.text, widths[i])
		height = max(height, len(folded[i]))
	}
	for line := range height {
		var b strings.Builder
		for i, c := range cells {
			text := ""
			if line < len(folded[i]) {
				text = folded[i][line]
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			b.WriteString(strings.Repeat(" ", gap) + s.paint(c.hue, text) + pad)
		}
		fmt.Fprintln(s.w, strings.TrimRight(b.String(), " "))
	}
}

// fold breaks text into lines of at most n characters, between words where
// there are any. Line breaks of the text stay.
func fold(text string, n int) []string {
	var lines []string
	for part := range strings.SplitSeq(text, "\n") {
		rest := []rune(part)
		for len(rest) > n {
			at := n
			for at > 0 && rest[at] != ' ' {
				at--
			}
			if at == 0 { // a word longer than the line
				lines, rest = append(lines, string(rest[:n])), rest[n:]
				continue
			}
			lines, rest = append(lines, string(rest[:at])), rest[at+1:]
		}
		lines = append(lines, string(rest))
	}
	return lines
}
