package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/honey"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/state"
)

// runHoney runs "pgveil honey".
func runHoney(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		switch args[0] {
		case "plant":
			return runHoneyPlant(ctx, args[1:], stdout, stderr)
		case "list":
			return runHoneyList(ctx, args[1:], stdout, stderr)
		case "adopt", "remove":
			return runHoneyKey(ctx, args[0], args[1:], stdout, stderr)
		case "-h", "-help", "--help":
			fmt.Fprint(stdout, honeyHelp)
			return 0
		}
	}
	fmt.Fprint(stderr, honeyHelp)
	return 2
}

const honeyHelp = `Usage: pgveil honey <verb> [flags]

Planted records: rows of a kind of data subject that are about nobody. Whoever
reads or changes one through pgveil raises the alert honey_touched; the policy's
honey section says what else is done.

  plant KIND         insert records and remember them
  adopt KIND KEY     remember a row that is there
  list               list what is remembered, and whether the rows are still there
  remove KIND KEY    forget one, and delete its row if it was planted

"pgveil honey <verb> --help" lists the flags of a verb.
`

// gardening is one call of a verb about planted records.
type gardening struct {
	*registry
	config, admin string
}

func (g *gardening) flags(c *command) {
	c.flags.StringVar(&g.config, "config", "pgveil.yaml", "the `file` that serve is started with")
	c.flags.StringVar(&g.admin, "admin-url", "", "connection `string` of who may write the subjects' tables and pgveil's; else server.login does it")
}

// work opens the registry and calls f within a transaction, which is one with
// what the store does.
func (g *gardening) work(ctx context.Context, f func(pgx.Tx, *policy.Set, *state.Store) error) (err error) {
	if g.registry, err = openGoverned(g.config, g.admin); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.process.close()) }()
	engine, err := g.process.loadEngine(ctx)
	if err != nil {
		return err
	}
	return g.process.catalog.use(ctx, func(conn *pgx.Conn) error {
		store := &state.Store{Key: g.store.Key, Use: func(_ context.Context, f func(*pgx.Conn) error) error { return f(conn) }}
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			// The tables' own triggers look for what is theirs.
			if _, err := tx.Exec(ctx, `SET LOCAL search_path = "$user", public`); err != nil {
				return err
			}
			return f(tx, engine.Policy, store)
		})
	})
}

// subjectOf finds a kind of subject.
func subjectOf(set *policy.Set, kind string) (policy.Subject, error) {
	all := set.Subjects()
	i := slices.IndexFunc(all, func(s policy.Subject) bool { return s.Name == kind })
	if i < 0 {
		return policy.Subject{}, fmt.Errorf("the policy has no subject %q", kind)
	}
	return all[i], nil
}

// mostPlanted is how many records are planted at a time at most: more than
// anybody needs, for one is enough.
const mostPlanted = 1000

func runHoneyPlant(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("honey plant", "KIND",
		"Inserts made-up records of a kind of data subject, and remembers which they are.\nColumns with a default keep it; open columns and references are those of a row\nthat is there; names, addresses and the like are made up.",
		"pgveil honey plant customer --count 5 --mail-domain mail.example.com",
		"pgveil honey plant customer --set card=4000000000000002 --admin-url postgres://owner@db.internal/crm")
	var g gardening
	g.flags(c)
	count := c.flags.Int("count", 1, "`number` of records")
	var domains []string
	c.flags.Func("mail-domain", "`domain` of their e-mail addresses; may be given again (default example.com, example.net, example.org)", func(s string) error {
		domains = append(domains, s)
		return nil
	})
	fixed := map[string]string{}
	c.flags.Func("set", "`column=value` that every record has; may be given again", func(s string) error {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return errors.New("give column=value")
		}
		fixed[name] = value
		return nil
	})
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if len(c.args) != 1 || *count < 1 || *count > mostPlanted {
		return c.misused(stderr, "give one kind of subject, and a count from 1 to %d", mostPlanted)
	}
	if len(domains) == 0 {
		domains = []string{"example.com", "example.net", "example.org"} // RFC 2606: nobody's
	}
	var keys []string
	err := g.work(ctx, func(tx pgx.Tx, set *policy.Set, store *state.Store) error {
		subject, err := subjectOf(set, c.args[0])
		if err != nil {
			return err
		}
		for name := range fixed {
			if _, ok := subject.Relation.Column(name); !ok {
				return fmt.Errorf("--set: %s has no column %q", subject.Relation.QualifiedName(), name)
			}
		}
		p := honey.Planter{Subject: subject, Domains: domains, Fixed: fixed, Class: func(column string) (policy.Class, bool) {
			return set.Class(subject.Relation, column)
		}}
		for range *count {
			key, err := p.Plant(ctx, tx)
			if err != nil {
				return err
			}
			if _, err := store.PlantHoney(ctx, subject.Name, key, false); err != nil {
				return err
			}
			keys = append(keys, key)
		}
		return nil
	})
	if err != nil {
		return c.failed(stderr, err)
	}
	for _, key := range keys {
		fmt.Fprintf(stdout, "planted %s %s\n", c.args[0], key)
	}
	return 0
}

func runHoneyKey(ctx context.Context, verb string, args []string, stdout, stderr io.Writer) int {
	about := "Remembers a row that is there as a planted record. It stays where it is when it is\nremoved: it is not ours."
	if verb == "remove" {
		about = "Forgets a planted record. If it was planted and not adopted, its row is deleted,\nand with it whatever refers to it and goes with it."
	}
	c := newCommand("honey "+verb, "KIND KEY", about, "pgveil honey "+verb+" customer 4711")
	var g gardening
	g.flags(c)
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if len(c.args) != 2 {
		return c.misused(stderr, "give a kind of subject and a key")
	}
	act := adoptHoney
	if verb == "remove" {
		act = removeHoney
	}
	err := g.work(ctx, func(tx pgx.Tx, set *policy.Set, store *state.Store) error {
		subject, err := subjectOf(set, c.args[0])
		if err != nil {
			return err
		}
		return act(ctx, tx, store, subject, c.args[1])
	})
	if err != nil {
		return c.failed(stderr, err)
	}
	fmt.Fprintf(stdout, "%s %s %s\n", map[string]string{"adopt": "adopted", "remove": "removed"}[verb], c.args[0], c.args[1])
	return 0
}

// adoptHoney remembers a row by the text that the server has for its key.
func adoptHoney(ctx context.Context, tx pgx.Tx, store *state.Store, s policy.Subject, key string) error {
	var is string
	err := tx.QueryRow(ctx, "SELECT "+quoted(s.Key)+"::text"+whereKey(s), key).Scan(&is)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%s has no row with that key", s.Relation.QualifiedName())
	}
	if err != nil {
		return err
	}
	planted, err := store.PlantHoney(ctx, s.Name, is, true)
	if err == nil && !planted {
		return errors.New("it is a planted record already")
	}
	return err
}

// removeHoney forgets a record, and deletes the row that was planted.
func removeHoney(ctx context.Context, tx pgx.Tx, store *state.Store, s policy.Subject, key string) error {
	all, err := store.Honey(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(h state.Honey) bool { return h.Kind == s.Name && h.Key == key })
	if i < 0 {
		return errors.New("it is no planted record: pgveil honey list lists them")
	}
	if _, err := store.ForgetHoney(ctx, s.Name, key); err != nil || all[i].Adopted {
		return err
	}
	_, err = tx.Exec(ctx, "DELETE"+whereKey(s), key)
	return err
}

// whereKey is the end of a statement about the row whose key, as text, is $1.
func whereKey(s policy.Subject) string {
	column, _ := s.Relation.Column(s.Key) // the policy is compiled: there is one
	return fmt.Sprintf(" FROM %s WHERE %s = $1::text::%s", quoted(s.Relation.Schema, s.Relation.Name), quoted(s.Key), column.Type.SQL)
}

func quoted(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

func runHoneyList(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("honey list", "", "Lists the planted records, and whether their rows are still there. It needs\npgveil's key file: the table alone does not tell which records they are.", "pgveil honey list")
	var g gardening
	g.flags(c)
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	w := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', 0)
	err := g.work(ctx, func(tx pgx.Tx, set *policy.Set, store *state.Store) error {
		all, unread := store.Honey(ctx)
		if unread != nil && len(all) == 0 {
			return unread
		}
		fmt.Fprintln(w, "KIND\tKEY\tSINCE\tHOW\tROW")
		for _, h := range all {
			how := "planted"
			if h.Adopted {
				how = "adopted"
			}
			row, err := rowOf(ctx, tx, set, h)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", h.Kind, h.Key, h.Planted.Format(time.DateOnly), how, row)
		}
		return unread
	})
	if err := errors.Join(w.Flush(), err); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

// rowOf tells whether the row of a planted record is there.
func rowOf(ctx context.Context, tx pgx.Tx, set *policy.Set, h state.Honey) (string, error) {
	s, err := subjectOf(set, h.Kind)
	if err != nil {
		return "the policy has no such subject", nil
	}
	var there bool
	err = tx.QueryRow(ctx, "SELECT EXISTS (SELECT"+whereKey(s)+")", h.Key).Scan(&there)
	if there {
		return "there", err
	}
	return "gone", err
}
