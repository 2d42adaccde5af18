package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/state"
)

// requestReport is what became of the requests that were received within a time.
type requestReport struct {
	Since   time.Time              `json:"since"`
	Until   time.Time              `json:"until"`
	Counts  []state.RequestCount   `json:"counts"`
	Denials []state.RequestDenials `json:"denials"`
	Look    []requests.View        `json:"look_at"` // late, failed, or waiting for a decision
}

// runDsarReport runs "pgveil dsar report".
func runDsarReport(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar report", "",
		"Counts the requests that were received within a time, by what they ask for and whose\nlaw's times they have: how many were answered, denied and taken back, how many days\nthat took, and why they were denied. Those that are late, failed or wait for a\ndecision are listed. It says what 11 CCR § 7102 wants to be told of requests.",
		"pgveil dsar report --since 2026-01-01 --until 2027-01-01 --format markdown", "pgveil dsar report --since 24h")
	since := c.flags.String("since", "8760h", "received from then on: a `date`, or a time before now like 24h")
	until := c.flags.String("until", "", "and before then: a `date`; else now")
	format := c.flags.String("format", "text", "`name`: text, json, markdown or csv")
	var misused error
	code := reading(ctx, c, args, stdout, stderr, func(d *desk) error {
		if d.json {
			*format = "json"
		}
		r, print, err := newRequestReport(*since, *until, *format)
		if err != nil {
			misused = err
			return err
		}
		if err := d.mayAll(); err != nil {
			return err
		}
		if r.Counts, r.Denials, r.Look, err = d.service.Report(ctx, r.Since, r.Until); err != nil {
			return err
		}
		return print(r, stdout)
	})
	if misused != nil {
		return 2
	}
	return code
}

// mayAll refuses whoever may not serve every kind of request: a report counts
// them all.
func (d *desk) mayAll() error {
	for _, right := range []string{"export", "rectify", "erase", "restrict"} {
		if err := d.by.May(right); err != nil {
			return err
		}
	}
	return nil
}

func newRequestReport(since, until, format string) (r requestReport, print func(requestReport, io.Writer) error, err error) {
	formats := map[string]func(requestReport, io.Writer) error{
		"text": requestReport.text, "json": func(r requestReport, w io.Writer) error { return printJSON(w, r) },
		"markdown": requestReport.markdown, "csv": requestReport.csv,
	}
	print, ok := formats[format]
	if !ok {
		return r, nil, fmt.Errorf("--format: %q is not one of text, json, markdown, csv", format)
	}
	now := time.Now().UTC()
	r = requestReport{Until: now}
	if r.Since, err = dayOrAge(since, now); err != nil {
		return r, nil, fmt.Errorf("--since: %w", err)
	}
	if until != "" {
		if r.Until, err = dayOrAge(until, now); err != nil {
			return r, nil, fmt.Errorf("--until: %w", err)
		}
	}
	return r, print, nil
}

// dayOrAge reads a day, or how long ago something is.
func dayOrAge(text string, now time.Time) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, nil
	}
	age, err := time.ParseDuration(text)
	if err != nil || age < 0 {
		return now, errors.New("give a date like 2026-01-01, or a time like 24h")
	}
	return now.Add(-age), nil
}

var countColumns = []string{"what", "regime", "received", "completed", "denied", "cancelled", "pending", "failed", "late", "extended", "median days", "mean days", "most days"}

func (r requestReport) counts() (rows [][]string) {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	days := func(d *float64) string {
		if d == nil {
			return ""
		}
		return strconv.FormatFloat(*d, 'f', 1, 64)
	}
	for _, c := range r.Counts {
		rows = append(rows, []string{
			c.What, c.Regime, number(c.Received), number(c.Completed), number(c.Denied), number(c.Cancelled), number(c.Pending), number(c.Failed),
			number(c.Late), number(c.Extended), days(c.MedianDays), days(c.MeanDays), days(c.MostDays),
		})
	}
	return rows
}

func (r requestReport) denials() (rows [][]string) {
	for _, d := range r.Denials {
		rows = append(rows, []string{d.What, d.Code, strconv.FormatInt(d.Count, 10)})
	}
	return rows
}

func (r requestReport) title() string {
	return fmt.Sprintf("Requests received from %s to %s", r.Since.Format(time.DateOnly), r.Until.Format(time.DateTime))
}

func (r requestReport) text(w io.Writer) error {
	fmt.Fprintf(w, "%s\n\n", r.title())
	if err := printRows(w, countColumns, r.counts()); err != nil {
		return err
	}
	if len(r.Denials) > 0 {
		fmt.Fprintln(w)
		if err := printRows(w, []string{"denied", "code", "count"}, r.denials()); err != nil {
			return err
		}
	}
	if len(r.Look) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nLate, failed, or waiting for a decision:")
	return printRequests(w, r.Look)
}

func (r requestReport) markdown(w io.Writer) error {
	fmt.Fprintf(w, "# %s\n\n", r.title())
	err := markdownTable(w, countColumns, r.counts())
	if len(r.Denials) > 0 {
		fmt.Fprint(w, "\n## Denied\n\n")
		err = errors.Join(err, markdownTable(w, []string{"what", "code", "count"}, r.denials()))
	}
	if len(r.Look) > 0 {
		fmt.Fprint(w, "\n## Late, failed, or waiting for a decision\n\n")
		var rows [][]string
		for _, v := range r.Look {
			rows = append(rows, []string{v.RequestID, v.What, string(v.State), v.Expected, strconv.FormatBool(v.Late)})
		}
		err = errors.Join(err, markdownTable(w, []string{"number", "what", "state", "due", "late"}, rows))
	}
	return err
}

// markdownTable writes cells of which none holds text of anybody's.
func markdownTable(w io.Writer, columns []string, rows [][]string) error {
	fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, row := range rows {
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | ")); err != nil {
			return err
		}
	}
	return nil
}

// csv writes the counts alone: a file of one table.
func (r requestReport) csv(w io.Writer) error {
	out := csv.NewWriter(w)
	err := errors.Join(out.Write(countColumns), out.WriteAll(r.counts()))
	out.Flush()
	return errors.Join(err, out.Error())
}
