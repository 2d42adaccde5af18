package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pgveil/pgveil/audit"
)

// auditTable prints entries for people: aligned, an entry a line. The first
// rows are held back to find the widths; later ones widen a column when they
// must.
type auditTable struct {
	w      io.Writer
	held   [][auditCells]string
	widths [auditCells]int
	begun  bool
}

const (
	auditCells = 9
	auditHold  = 200
)

var auditTitles = [auditCells]string{"TIME (UTC)", "USER", "ROLES", "PURPOSE", "DECISION", "COMMAND", "ROWS", "TOOK", "COLUMNS, OR WHAT HAPPENED"}

// auditRight are the cells aligned to the right.
var auditRight = [auditCells]bool{6: true, 7: true}

func (t *auditTable) print(e audit.Entry) error {
	t.held = append(t.held, auditRow(e))
	if len(t.held) < auditHold {
		return nil
	}
	return t.flush()
}

func (t *auditTable) flush() error {
	if len(t.held) == 0 {
		return nil
	}
	if !t.begun {
		t.held = append([][auditCells]string{auditTitles}, t.held...)
		t.begun = true
	}
	for _, row := range t.held {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.held {
		t.line(&b, row)
	}
	t.held = t.held[:0]
	_, err := io.WriteString(t.w, b.String())
	return err
}

func (t *auditTable) line(b *strings.Builder, row [auditCells]string) {
	for i, cell := range row {
		pad := strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell))
		switch {
		case i == auditCells-1:
			b.WriteString(cell + "\n")
		case auditRight[i]:
			b.WriteString(pad + cell + "  ")
		default:
			b.WriteString(cell + pad + "  ")
		}
	}
}

// auditRow gives the cells of an entry. Much in a record was said by clients,
// so what could drive a terminal is taken out.
func auditRow(e audit.Entry) [auditCells]string {
	row := [auditCells]string{
		e.Time.UTC().Format("2006-01-02 15:04:05.000"),
		auditWho(e), strings.Join(e.Roles, ","), e.Purpose, e.Decision, e.Command, "", "", auditWhat(e),
	}
	if e.Kind != audit.KindStatement {
		row[4] = string(e.Kind)
	}
	if o := e.Outcome; o != nil {
		row[6], row[7] = strconv.FormatInt(o.Rows, 10), auditTook(o.Duration)
	}
	for i, cell := range row {
		row[i] = auditClean(cell)
		if cell == "" {
			row[i] = "-"
		}
	}
	return row
}

func auditWho(e audit.Entry) string {
	switch {
	case e.User == "":
		return e.Login
	case e.Login == "" || e.Login == e.User:
		return e.User
	default:
		return e.User + " via " + e.Login
	}
}

// auditTook rounds to what can be read at a glance.
func auditTook(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	default:
		return d.Round(10 * time.Millisecond).String()
	}
}

// auditWhat says what an entry is about: the columns and how they were shown,
// else the statement's shape or the message; then what went wrong.
func auditWhat(e audit.Entry) string {
	var parts []string
	switch {
	case len(e.Columns) > 0:
		parts = append(parts, auditColumns(e.Columns))
	case e.Message != "":
		parts = append(parts, e.Message)
	case e.Shape != "":
		parts = append(parts, auditShort(e.Shape))
	}
	if e.Decision == "refuse" {
		refused := append([]string{"refused"}, e.Reasons...)
		parts = append(parts, strings.Join(append(refused, auditTagged("id", e.ID)...), " "))
	}
	if e.SQLState != "" {
		parts = append(parts, "error "+e.SQLState)
	}
	if e.Outcome != nil && e.Outcome.SQLState != "" {
		parts = append(parts, "error "+e.Outcome.SQLState)
	}
	if auditOpen(e) {
		parts = append(parts, "no outcome yet")
	}
	return strings.Join(parts, "; ")
}

func auditTagged(tag, value string) []string {
	if value == "" {
		return nil
	}
	return []string{tag, value}
}

// auditColumns groups columns that follow each other in one table:
// crm.customers(email last(4), name clear).
func auditColumns(columns []audit.Column) string {
	var b strings.Builder
	table := ""
	for i, c := range columns {
		of, name := "", c.Name
		if dot := strings.LastIndexByte(c.Name, '.'); dot >= 0 {
			of, name = c.Name[:dot], c.Name[dot+1:]
		}
		switch {
		case i > 0 && of == table:
			b.WriteString(", ")
		case i > 0:
			b.WriteString(") " + of + "(")
		default:
			b.WriteString(of + "(")
		}
		table = of
		how := c.Show
		if c.Use == "write" {
			how = strings.TrimSpace("written " + strings.TrimPrefix(c.Show, "clear"))
		}
		b.WriteString(strings.TrimSpace(fmt.Sprintf("%s %s", name, how)))
	}
	b.WriteString(")")
	return b.String()
}

func auditShort(s string) string {
	const most = 100
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

func auditClean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, s)
}
