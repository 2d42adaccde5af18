package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/dsar"
)

// runDsarExplain runs "pgveil dsar explain".
func runDsarExplain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar explain", "KIND",
		"Draws which tables hold rows of a kind of data subject, how they are found, and\nwhat an erasure makes of them. It reads the policy and the schema, and no rows.\nExit status 1 when columns in reach are in no class: no request is answered then.",
		"pgveil dsar explain customer --policy policy/ --schema schema.sql",
		"pgveil dsar explain customer --policy policy/ --dsn 'dbname=crm' --format svg > customer.svg")
	var s policySource
	s.flags(c)
	format := c.flags.String("format", "text", "`form` of the answer: text, dot, svg or json")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	write, ok := explanations[*format]
	switch missing := s.missing(); {
	case !ok:
		return c.misused(stderr, "unknown format %q: text, dot, svg or json", *format)
	case missing != "":
		return c.misused(stderr, "%s", missing)
	case len(c.args) != 1:
		return c.misused(stderr, "name one kind of data subject")
	}
	engine, err := s.engine(ctx)
	if err != nil {
		return c.failed(stderr, err)
	}
	g, err := dsar.NewGraph(engine.Policy, engine.Catalog, c.args[0])
	if err != nil {
		return c.failed(stderr, err)
	}
	e := g.Explain()
	text, err := write(e)
	if err == nil {
		_, err = io.WriteString(stdout, text)
	}
	switch {
	case err != nil:
		return c.failed(stderr, err)
	case !e.Complete:
		return 1
	default:
		return 0
	}
}

// explanations are the forms of one.
var explanations = map[string]func(dsar.Explanation) (string, error){
	"text": func(e dsar.Explanation) (string, error) { return e.Text(), nil },
	"dot":  func(e dsar.Explanation) (string, error) { return e.DOT(), nil },
	"svg":  func(e dsar.Explanation) (string, error) { return e.SVG(), nil },
	"json": func(e dsar.Explanation) (string, error) {
		text, err := json.MarshalIndent(e, "", "  ")
		return string(text) + "\n", err
	},
}

// runDsarSuggest runs "pgveil dsar suggest".
func runDsarSuggest(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar suggest", "",
		"Looks for columns that refer to data subjects, or to rows that are theirs, though no\nforeign key and no reference of the policy says so: by names, types and how many\nvalues of a sample are found where they would lead. What it prints can be put into\nthe policy, with what speaks for it; it holds no values of rows. Once that is done,\nask again: more may hang on it.",
		"pgveil dsar suggest --policy policy/ --dsn 'host=db.internal dbname=crm user=pgveil_reader'")
	var s policySource
	s.flags(c)
	least := c.flags.Float64("least", 0.4, "leave out what is less likely than this `number`, up to 1")
	asJSON := c.flags.Bool("json", false, "print JSON")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	switch missing := s.missing(); {
	case s.schema != "":
		return c.misused(stderr, "values are compared: give --dsn, not --schema")
	case missing != "":
		return c.misused(stderr, "%s", missing)
	}
	all, err := suggestions(ctx, &s)
	if err == nil && *asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		err = e.Encode(all)
	} else if err == nil {
		text := dsar.Paste(all, *least)
		if text == "" {
			text = "# Nothing refers to a subject that the policy and the schema do not know of.\n"
		}
		_, err = fmt.Fprint(stdout, text)
	}
	if err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func suggestions(ctx context.Context, s *policySource) (all []dsar.Suggestion, err error) {
	engine, err := s.engine(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		return nil, fmt.Errorf("looking for references: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	return dsar.Suggest(ctx, conn, engine.Policy, engine.Catalog)
}
