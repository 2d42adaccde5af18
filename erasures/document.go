package erasures

import (
	"fmt"
	"strconv"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/report"
)

// Document puts a certificate into words. Whether it is good VerifyCertificate
// says, not this.
func (c *Certificate) Document() *report.Document {
	return &report.Document{
		Title: fmt.Sprintf("Certificate of erasure, request %d", c.Request),
		About: []report.Field{
			{Name: "Issued", Value: moment(c.Issued)}, {Name: "Under", Value: c.Regime},
			{Name: "Subject", Value: c.Kind + ":" + c.Token},
			{Name: "Received", Value: moment(c.Received)}, {Name: "Identity verified", Value: moment(c.Verified)},
			{Name: "Completed", Value: moment(c.Completed)},
			{Name: "Plan", Value: c.Plan}, {Name: "Policy", Value: c.Policy},
		},
		Sections: []report.Section{c.done(), c.searched(), c.remains(), c.evidence()},
	}
}

// moment writes a time; none is "-".
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func (c *Certificate) done() report.Section {
	t := &report.Table{
		Title:   "Rows",
		Columns: []string{"Table", "Deleted", "Anonymised", "Unlinked", "Kept", "Because", "Until"},
		Numbers: []bool{false, true, true, true, true, false, false},
	}
	for _, row := range c.Tables {
		t.Rows = append(t.Rows, []string{row.Table, number(row.Deleted), number(row.Anonymised), number(row.Unlinked), number(row.Kept), row.Because, moment(row.Until)})
	}
	return report.Section{Title: "What was done", Blocks: []report.Block{{Table: t}}}
}

func (c *Certificate) searched() report.Section {
	s := report.Section{Title: "What was searched afterwards", Blocks: []report.Block{{Fields: []report.Field{
		{Name: "At", Value: moment(c.Sweep.At)},
		{Name: "Searched", Value: fmt.Sprintf("%d columns of %d tables, %d rows, for %d values", c.Sweep.Columns, c.Sweep.Tables, c.Sweep.Rows, c.Sweep.Needles)},
	}}}}
	if len(c.Sweep.Left) == 0 {
		s.Blocks = append(s.Blocks, report.Block{Text: "None of the values was found."})
		return s
	}
	t := &report.Table{Title: "Found, and kept", Columns: []string{"Table", "Column", "Rows", "Because"}, Numbers: []bool{false, false, true, false}}
	for _, l := range c.Sweep.Left {
		t.Rows = append(t.Rows, []string{l.Table, l.Column, number(l.Rows), l.Because})
	}
	s.Blocks = append(s.Blocks, report.Block{Table: t})
	return s
}

func (c *Certificate) remains() report.Section {
	rest := &report.Table{Title: "Out of reach", Columns: []string{"What", "Because", "Until"}, Numbers: make([]bool, 3)}
	for _, r := range c.Remains {
		rest.Rows = append(rest.Rows, []string{r.What, r.Because, moment(r.Until)})
	}
	told := &report.Table{Title: "Recipients who were told", Columns: []string{"Recipient", "At"}, Numbers: make([]bool, 2)}
	for _, r := range c.Told {
		told.Rows = append(told.Rows, []string{r.Whom, moment(r.At)})
	}
	return report.Section{Title: "What the erasure does not reach", Blocks: []report.Block{{Table: rest}, {Table: told}}}
}

func (c *Certificate) evidence() report.Section {
	t := &report.Table{Title: "Records of the access log", Columns: []string{"Record", "Log", "At", "It says"}, Numbers: []bool{true, false, false, false}}
	for _, r := range c.Records {
		row := []string{strconv.FormatUint(r.Seq, 10), "-", "-", "its proof cannot be read"}
		if p, err := audit.ReadProof([]byte(r.Proof)); err == nil {
			row = []string{row[0], p.Checkpoint.Origin, moment(p.Record.Time), saying(p.Record)}
		}
		t.Rows = append(t.Rows, row)
	}
	return report.Section{Title: "Evidence", Blocks: []report.Block{
		{Fields: []report.Field{
			{Name: "Ledger of erasures, intended", Value: fmt.Sprintf("entry %d, %s", c.Ledger.Intended, c.Ledger.IntendedDigest)},
			{Name: "Ledger of erasures, done", Value: fmt.Sprintf("entry %d, %s", c.Ledger.Done, c.Ledger.DoneDigest)},
		}},
		{Table: t},
	}}
}

// saying puts a record into words.
func saying(r audit.Record) string {
	said := r.Message
	if r.Shape != "" {
		said = r.Shape
	}
	if r.Relation != "" {
		said += fmt.Sprintf(", %d rows of %s", r.Rows, r.Relation)
	}
	return said
}
