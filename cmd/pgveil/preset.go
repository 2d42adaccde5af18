package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/presets"
)

const presetHelp = `Usage: pgveil preset <verb> [flags]

Presets are beginnings of policies for CRM applications whose schema is known.

  list     print which there are, and of which versions
  show     print one: its files, and where its knowledge is from
  detect   say which application a database is of
  apply    write the files of one, as they suit a database

"pgveil preset <verb> --help" shows a verb's flags and examples.
`

// runPreset runs "pgveil preset".
func runPreset(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, presetHelp)
		return 2
	}
	switch args[0] {
	case "list":
		return runPresetList(args[1:], stdout, stderr)
	case "show":
		return runPresetShow(args[1:], stdout, stderr)
	case "detect":
		return runPresetDetect(ctx, args[1:], stdout, stderr)
	case "apply":
		return runPresetApply(ctx, args[1:], stdout, stderr)
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, presetHelp)
		return 0
	}
	fmt.Fprintf(stderr, "pgveil preset: unknown verb %q\n%s", args[0], presetHelp)
	return 2
}

func runPresetList(args []string, stdout, stderr io.Writer) int {
	c := newCommand("preset list", "", "Prints every preset: its name, the application, and of which versions it is.", "pgveil preset list")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	all, err := presets.All()
	if err != nil {
		return c.failed(stderr, err)
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, p := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.Name, p.Title, p.Versions)
	}
	if err := w.Flush(); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func runPresetShow(args []string, stdout, stderr io.Writer) int {
	c := newCommand("preset show", "NAME", "Prints a preset as it is kept, before it is made to suit a database.", "pgveil preset show odoo")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if len(c.args) != 1 {
		return c.misused(stderr, "name one preset: see pgveil preset list")
	}
	p, err := presets.Open(c.args[0])
	if err != nil {
		return c.failed(stderr, err)
	}
	fmt.Fprintf(stdout, "# %s: %s\n# versions: %s\n# PostgreSQL: %s\n# tables by which it is recognised: %s\n",
		p.Title, p.About, p.Versions, p.PostgreSQL, strings.Join(p.Tables, ", "))
	for _, s := range p.Sources {
		fmt.Fprintf(stdout, "# read for it: %s\n", s)
	}
	for _, f := range p.Files {
		fmt.Fprintf(stdout, "\n# --- %s ---\n%s", f.Name, f.Text)
	}
	return 0
}

// presetDatabase says which database a preset is for.
type presetDatabase struct{ config, dsn, ddl string }

func (d *presetDatabase) flags(c *command) {
	c.flags.StringVar(&d.config, "config", "", "the `file` that serve is started with: for the database that it governs")
	c.flags.StringVar(&d.dsn, "dsn", "", "`connection` string of a database, in place of --config")
	c.flags.StringVar(&d.ddl, "ddl", "", "`file` of CREATE statements (what pg_dump --schema-only writes), in place of a database")
}

// one tells whether one database is named, and no other.
func (d *presetDatabase) one() bool {
	given := 0
	for _, value := range []string{d.config, d.dsn, d.ddl} {
		if value != "" {
			given++
		}
	}
	return given == 1
}

// again names the database to commands that are given a policy. A connection
// string may hold a password, and is not repeated.
func (d *presetDatabase) again() string {
	if d.ddl != "" {
		return "--schema " + d.ddl
	}
	return "--dsn '…'"
}

func (d *presetDatabase) catalog(ctx context.Context) (cat *catalog.Snapshot, err error) {
	if d.config == "" {
		return (&policySource{schema: d.ddl, dsn: d.dsn}).catalog(ctx)
	}
	err = withOwn(ctx, d.config, func(_ *config.Config, conn *pgx.Conn) (err error) {
		cat, err = pgload.Load(ctx, conn)
		return err
	})
	return cat, err
}

const oneDatabase = "say which database it is for: --config, --dsn or --ddl, one of them"

func runPresetDetect(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("preset detect", "",
		"Compares the names of a database's tables with those by which applications are\nrecognised, and prints what it may be, the likeliest first. Exit status 0 says that\none is likely: three in four of its tables are there.",
		"pgveil preset detect --config /etc/pgveil/pgveil.yaml",
		"pgveil preset detect --dsn 'host=db.internal dbname=crm'")
	var d presetDatabase
	d.flags(c)
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if !d.one() {
		return c.misused(stderr, oneDatabase)
	}
	cat, err := d.catalog(ctx)
	if err != nil {
		return c.failed(stderr, err)
	}
	found, err := presets.Detect(cat)
	if err != nil {
		return c.failed(stderr, err)
	}
	for _, m := range found {
		likely := "unlikely"
		if m.Likely() {
			likely = "likely"
		}
		fmt.Fprintf(stdout, "%s\t%d of %d tables in schema %s\t%s\n", m.Preset.Name, m.Found, m.Of, m.Schema, likely)
	}
	if len(found) == 0 || !found[0].Likely() {
		fmt.Fprintln(stderr, "no application that is known")
		return 1
	}
	return 0
}

func runPresetApply(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("preset apply", "NAME",
		`Writes the files of a preset into a new directory, as they suit a database: what
its version of the application does not have is left out, and listed, and so is
what it has and the preset does not know. It is a beginning: nobody has a role in
it, and the legal bases and what is kept how long are for the organisation to say.

The database is only read. Files are never overwritten.`,
		"pgveil preset apply odoo --config /etc/pgveil/pgveil.yaml --out policy/",
		"pgveil preset apply twenty --dsn 'host=db.internal dbname=twenty' --in workspace_3x8 --out policy/",
		"pgveil preset apply espocrm --ddl schema.sql --out policy/")
	var d presetDatabase
	d.flags(c)
	out := c.flags.String("out", "", "the new `directory`")
	schema := c.flags.String("in", "", "the `schema` in which the application has its tables (default the one that looks most like it)")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	switch {
	case len(c.args) != 1:
		return c.misused(stderr, "name one preset: see pgveil preset list")
	case *out == "":
		return c.misused(stderr, "--out is needed")
	case !d.one():
		return c.misused(stderr, oneDatabase)
	}
	p, err := presets.Open(c.args[0])
	if err == nil {
		err = applyPreset(ctx, p, &d, *schema, *out, stdout)
	}
	if err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

func applyPreset(ctx context.Context, p *presets.Preset, d *presetDatabase, schema, out string, stdout io.Writer) error {
	cat, err := d.catalog(ctx)
	if err != nil {
		return err
	}
	if schema == "" {
		found := p.Detect(cat)
		if len(found) == 0 || !found[0].Likely() {
			return fmt.Errorf("no schema of the database looks like %s: if one is all the same, name it with --in", p.Title)
		}
		schema = found[0].Schema
	}
	fitted, err := p.Fit(cat, schema)
	if err != nil {
		return err
	}
	if err := writePreset(out, fitted); err != nil {
		return err
	}
	w := &strings.Builder{}
	fmt.Fprintf(w, "%s in schema %s: wrote %d files to %s\n", p.Title, schema, len(fitted.Files), out)
	presetNames(w, "left out, as this database does not have it", fitted.Dropped)
	presetNames(w, "in no class, and so refused: columns that the preset does not know", fitted.Unclassified)
	presetNames(w, "nobody reaches them: tables that the preset does not know", fitted.Unknown)
	if len(fitted.Problems) > 0 {
		fmt.Fprintf(w, "\nThe policy does not compile yet:\n%v\n", fitted.Problems)
	}
	fmt.Fprintf(w, "\nNext: read the files; put the columns above into classes; say who has which role. Then\n"+
		"  pgveil check --policy %[1]s %[2]s\n  pgveil inventory --policy %[1]s %[2]s --format html --out inventory.html\n", out, d.again())
	if _, err := io.WriteString(stdout, w.String()); err != nil {
		return err
	}
	if len(fitted.Problems) > 0 {
		return errors.New("the files have to be mended by hand: columns are of other types than in the versions that the preset is for")
	}
	return nil
}

func presetNames(w io.Writer, what string, names []string) {
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s (%d):\n", what, len(names))
	for _, name := range names {
		fmt.Fprintf(w, "  %s\n", name)
	}
}

// writePreset writes the files into a directory that is not there yet. What was
// written goes again where not all of it could be.
func writePreset(dir string, fitted *presets.Fitted) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, f := range fitted.Files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), []byte(f.Text), 0o644); err != nil {
			return errors.Join(err, os.RemoveAll(dir))
		}
	}
	return nil
}
