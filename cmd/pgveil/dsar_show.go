package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/state"
)

// showRequest shows the request that a command was about.
func showRequest(ctx context.Context, o *officeCall, cmd privacy.Command, rows [][]string, stdout io.Writer) error {
	v, err := o.service.Look(ctx, numberOf(cmd, rows), o.by)
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(stdout, v)
	}
	return printRequests(stdout, []requests.View{v})
}

// showPlan shows what a request would do.
func showPlan(ctx context.Context, o *officeCall, cmd privacy.Command, rows [][]string, stdout io.Writer) error {
	if o.json {
		return showRequest(ctx, o, cmd, rows, stdout)
	}
	if err := printRows(stdout, columnsOf(cmd), rows); err != nil {
		return err
	}
	fmt.Fprintln(stdout)
	return showRequest(ctx, o, cmd, nil, stdout)
}

// showRows shows the rows of a command's answer.
func showRows(_ context.Context, o *officeCall, cmd privacy.Command, rows [][]string, stdout io.Writer) error {
	if o.json {
		return printJSON(stdout, named(cmd, rows))
	}
	return printRows(stdout, columnsOf(cmd), rows)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printRows(w io.Writer, columns []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ToUpper(strings.Join(columns, "\t")))
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, cmp.Or(printable(cell), "-"))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// printRequests lists requests.
func printRequests(w io.Writer, all []requests.View) error {
	var rows [][]string
	for _, v := range all {
		due := v.Expected
		if v.Late {
			due += " late"
		}
		if v.State == state.RequestReview && len(v.Lacks) > 0 {
			v.Failure = "it lacks " + strings.Join(v.Lacks, ", ") + ": " + v.Failure
		}
		note := cmp.Or(v.Failure, strings.Join(v.Lacks, ", "), v.Code, v.Because)
		rows = append(rows, []string{v.RequestID, v.What, v.Subject, string(v.State), due, v.Identity, v.PlanHash[:min(len(v.PlanHash), 12)], progressOf(v), v.OpenedBy, note})
	}
	return printRows(w, []string{"number", "what", "subject", "state", "due", "identity", "plan", "rows", "opened by", "note"}, rows)
}

func progressOf(v requests.View) string {
	if v.Todo == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d", v.Done, v.Todo)
}

// runDsarList runs "pgveil dsar list".
func runDsarList(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar list", "[WHICH]", "Lists requests, the most urgent first: those that are not over, or open, due, failed,\ndone, all, or those of a state.", "pgveil dsar list", "pgveil dsar list due", "pgveil dsar list all --json")
	return reading(ctx, c, args, stdout, stderr, func(d *desk) error {
		if len(c.args) > 1 {
			return errors.New("give one word")
		}
		all, cut, err := d.service.Views(ctx, strings.Join(c.args, ""), d.by)
		if err != nil {
			return err
		}
		if cut {
			fmt.Fprintln(stderr, requests.Cut)
		}
		if d.json {
			return printJSON(stdout, all)
		}
		return printRequests(stdout, all)
	})
}

// runDsarShow runs "pgveil dsar show".
func runDsarShow(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar show", "NUMBER", "Shows a request and what happened to it, or its certificate as it was signed.", "pgveil dsar show 17", "pgveil dsar show 17 --certificate > certificate-17.json")
	certificate := c.flags.Bool("certificate", false, "print the certificate")
	return reading(ctx, c, args, stdout, stderr, func(d *desk) error {
		if len(c.args) != 1 || !isNumber(c.args[0]) {
			return errors.New("give one number")
		}
		if *certificate {
			_, err := d.service.Run(ctx, privacy.Command{Verb: privacy.VerbShowCertificate, ID: c.args[0]}, d.by, func(row []string) error {
				_, err := io.WriteString(stdout, row[0])
				return err
			})
			return err
		}
		v, err := d.service.Look(ctx, numberOf(privacy.Command{ID: c.args[0]}, nil), d.by)
		if err != nil {
			return err
		}
		if d.json {
			return printJSON(stdout, v)
		}
		return printHistory(stdout, v)
	})
}

func printHistory(w io.Writer, v requests.View) error {
	if err := printRequests(w, []requests.View{v}); err != nil {
		return err
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, e := range v.Events {
		rows = append(rows, []string{e.At.Format(time.DateTime), e.Who, e.What, e.Note})
	}
	return printRows(w, []string{"time", "who", "what", "note"}, rows)
}

// runDsarHolds runs "pgveil dsar holds".
func runDsarHolds(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar holds", "", "Lists the holds in force.", "pgveil dsar holds")
	return reading(ctx, c, args, stdout, stderr, func(d *desk) error {
		cmd := privacy.Command{Verb: privacy.VerbShowHolds}
		if err := d.by.May(cmd.Right()); err != nil {
			return err
		}
		var rows [][]string
		if _, err := d.service.Run(ctx, cmd, d.by, func(row []string) error { rows = append(rows, slices.Clone(row)); return nil }); err != nil {
			return err
		}
		return showRows(ctx, &officeCall{desk: *d}, cmd, rows, stdout)
	})
}

// reading runs a verb that reads pgveil's own tables, which tell nobody's key but
// those that are held: there is no record of it, as of other verbs that do.
func reading(ctx context.Context, c *command, args []string, stdout, stderr io.Writer, f func(*desk) error) int {
	d := &desk{}
	d.flags(c)
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	err := d.open(ctx, stderr)
	if err == nil {
		err = f(d)
	}
	if err = errors.Join(err, d.close()); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}
