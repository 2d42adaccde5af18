package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pgveil/pgveil/unused"
)

// writeUnused writes a report; with all, what is used as well.
func writeUnused(w io.Writer, r unused.Report, format string, all bool) error {
	if !all {
		r.Items = slices.DeleteFunc(r.Items, func(i unused.Item) bool { return i.Verdict == unused.Used })
	}
	for _, i := range r.Items { // names of users are whatever a token said
		for n := range i.Users {
			i.Users[n] = auditClean(i.Users[n])
		}
	}
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "csv":
		return unusedCSV(w, r)
	default:
		return unusedText(w, r)
	}
}

func unusedCSV(w io.Writer, r unused.Report) error {
	c := csv.NewWriter(w)
	rows := [][]string{{"kind", "role", "purpose", "name", "operation", "shown", "at", "verdict", "statements", "users", "last", "uncertain"}}
	for _, i := range r.Items {
		rows = append(rows, []string{
			string(i.Kind), i.Role, i.Purpose, i.Name, i.Operation, i.Shown, i.At, string(i.Verdict),
			strconv.FormatInt(i.Statements, 10), strings.Join(i.Users, " "), unusedDay(i.Last, ""), strconv.FormatInt(i.Uncertain, 10),
		})
	}
	return c.WriteAll(rows)
}

// unusedSections are the kinds in the order of the text, with their titles.
var unusedSections = []struct {
	kind  unused.Kind
	title string
}{
	{unused.KindPurpose, "PURPOSES, by what sessions stated"},
	{unused.KindRole, "ROLES"},
	{unused.KindUser, "USERS"},
	{unused.KindRight, "CLASSES that a role is shown for a purpose"},
	{unused.KindColumn, "COLUMNS not used, of classes that are; a class of their own could be refused"},
	{unused.KindGrant, "OPERATIONS on tables"},
	{unused.KindRule, "RULES"},
	{unused.KindElevation, "ELEVATIONS"},
	{unused.KindPrivacy, "RIGHTS OF DATA SUBJECTS that a role serves"},
}

func unusedText(w io.Writer, r unused.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "period\t%s to %s\n", unusedTimeText(r.From), unusedTimeText(r.To))
	if r.Log.Records > 0 {
		fmt.Fprintf(t, "log\t%s to %s: %d records, %d statements in the period\n", unusedTimeText(r.Log.First), unusedTimeText(r.Log.Last), r.Log.Records, r.Log.Statements)
	}
	fmt.Fprintf(t, "policy\t%s\n", r.Policy)
	for _, n := range r.Notes {
		fmt.Fprintf(t, "note\t%s\n", n)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range unusedSections {
		items := slices.DeleteFunc(slices.Clone(r.Items), func(i unused.Item) bool { return i.Kind != s.kind })
		if len(items) == 0 {
			continue
		}
		fmt.Fprintf(t, "\n%s\n", s.title)
		for _, i := range items {
			fmt.Fprintln(t, unusedLine(i, r.Few))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return unusedChanges(w, r.Changes)
}

// unusedLine gives an item's row: what it is, how it was used, where it stands.
func unusedLine(i unused.Item, few int) string {
	what := i.Name
	switch i.Kind {
	case unused.KindRight:
		if what == "" {
			what = "(unclassified)"
		}
		what = fmt.Sprintf("%s for %s\t%s %s", i.Role, i.Purpose, what, i.Shown)
	case unused.KindColumn:
		what = fmt.Sprintf("%s for %s\t%s %s", i.Role, i.Purpose, what, i.Shown)
	case unused.KindGrant:
		what = fmt.Sprintf("%s\t%s %s", i.Role, i.Operation, what)
	case unused.KindElevation:
		what = fmt.Sprintf("%s to %s", i.Role, i.Purpose)
	case unused.KindPrivacy:
		what = fmt.Sprintf("%s\t%s", i.Role, what)
	case unused.KindRule:
		what = "show " + i.Shown
	}
	return fmt.Sprintf("  %s\t%s\t%s", what, unusedUse(i, few), i.At)
}

func unusedUse(i unused.Item, few int) string {
	var said string
	switch i.Verdict {
	case unused.Unused:
		said = "not used; last " + unusedDay(i.Last, "never")
	case unused.Few:
		said = fmt.Sprintf("%s, by %s only; last %s", statements(i.Statements), strings.Join(i.Users, ", "), unusedDay(i.Last, ""))
	default:
		said = fmt.Sprintf("%s, by %d or more; last %s", statements(i.Statements), max(few, 1), unusedDay(i.Last, ""))
	}
	if i.Uncertain > 0 {
		said += fmt.Sprintf("; not certain: %d records are trimmed", i.Uncertain)
	}
	return said
}

func statements(n int64) string {
	if n == 1 {
		return "1 statement"
	}
	return fmt.Sprintf("%d statements", n)
}

func unusedChanges(w io.Writer, changes []unused.Change) error {
	if len(changes) == 0 {
		return nil
	}
	_, err := fmt.Fprint(w, "\nA NARROWER POLICY. Nothing was changed; … is what stands there. Try it with pgveil test first.\n")
	for _, c := range changes {
		lines := []string{"@@ " + c.At + ": " + c.Why}
		for _, l := range c.Remove {
			lines = append(lines, "- "+l)
		}
		for _, l := range c.Add {
			lines = append(lines, "+ "+l)
		}
		if err == nil {
			_, err = fmt.Fprintln(w, strings.Join(lines, "\n"))
		}
	}
	return err
}

func unusedDay(t time.Time, never string) string {
	if t.IsZero() {
		return never
	}
	return t.UTC().Format(time.DateOnly)
}

func unusedTimeText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
