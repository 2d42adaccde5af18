package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/erasures"
)

// runDsarLedger runs "pgveil dsar ledger".
func runDsarLedger(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	verbs := []verb{
		{"verify", "follow the chain of the ledger of erasures", runLedgerVerify},
		{"status", "compare the database with it", runLedgerStatus},
		{"erased", "tell which lines of a file are of persons who were erased", runLedgerErased},
	}
	if len(args) > 0 {
		for _, v := range verbs {
			if v.name == args[0] {
				return v.run(ctx, args[1:], stdout, stderr)
			}
		}
	}
	out, code := stderr, 2
	if len(args) > 0 && isHelp(args[0]) {
		out, code = stdout, 0
	}
	fmt.Fprint(out, "Usage: pgveil dsar ledger <verb> [flags]\n\n")
	for _, v := range verbs {
		fmt.Fprintf(out, "  %-7s %s\n", v.name, v.about)
	}
	return code
}

func runLedgerVerify(_ context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar ledger verify", "FILE",
		`Reads a ledger of erasures and follows its chain, from the first entry to the last.
It needs no key: the file does not tell who was erased. Prints how many entries
there are and the digest of the last one: whoever has noted it down elsewhere finds
an end that was cut off. The database and the access log have digests as well.`,
		"pgveil dsar ledger verify audit/erasures.ledger")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if len(c.args) != 1 {
		return c.misused(stderr, "give one file")
	}
	states := map[erasures.State]int{}
	var last erasures.Entry
	err := erasures.Read(c.args[0], func(e erasures.Entry) error {
		states[e.State]++
		last = e
		return nil
	})
	if err != nil {
		return c.failed(stderr, fmt.Errorf("THE LEDGER IS NOT GOOD\n  %w", err))
	}
	fmt.Fprintf(stdout, "good: %d entries; of %d erasures that were begun %d are done and %d were given up; the last digest is %s\n",
		last.Seq, states[erasures.Intended], states[erasures.Done], states[erasures.Failed], last.Digest)
	return 0
}

// ledgerStatus is what "pgveil dsar ledger status" finds.
type ledgerStatus struct {
	Entries  uint64             `json:"entries"`
	Done     uint64             `json:"done"`
	Open     uint64             `json:"open"`
	Foreign  uint64             `json:"under_other_keys"`
	Last     erasures.Digest    `json:"last_digest"`
	Database erasures.Database  `json:"database"`
	Before   *erasures.Database `json:"database_before,omitempty"` // where it is another copy
	Undone   []uint64           `json:"undone"`                    // entries that the database does not know of
	Unknown  []uint64           `json:"unknown"`                   // entries that only the database knows of
}

func runLedgerStatus(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar ledger status", "",
		"Compares the database with the ledger of erasures, as serve does. Exit status 1 means\nthat one of them does not have what the other has: the database was restored, or\nthe ledger's file was lost.",
		"pgveil dsar ledger status --config /etc/pgveil/pgveil.yaml")
	var path string
	c.flags.StringVar(&path, "config", "pgveil.yaml", "the `file` that serve is started with")
	asJSON := c.flags.Bool("json", false, "print JSON")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	var s ledgerStatus
	err := withErasures(ctx, path, stderr, func(_ *config.Config, l *erasures.Ledger, conn *pgx.Conn) (err error) {
		s, err = ledgerStatusOf(ctx, l, conn)
		return err
	})
	if err == nil && *asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		err = e.Encode(s)
	} else if err == nil {
		s.print(stdout)
	}
	if err != nil {
		return c.failed(stderr, err)
	}
	if len(s.Undone)+len(s.Unknown) > 0 {
		return 1
	}
	return 0
}

// withErasures calls f with the ledger that serve has, and a connection of
// pgveil's own.
func withErasures(ctx context.Context, path string, stderr io.Writer, f func(*config.Config, *erasures.Ledger, *pgx.Conn) error) error {
	return withOwn(ctx, path, func(cfg *config.Config, conn *pgx.Conn) error {
		key, err := readKey(cfg.Key)
		if err != nil {
			return err
		}
		l, err := openErasures(cfg, key, func(s string) { fmt.Fprintln(stderr, s) })
		if err != nil {
			return err
		}
		return errors.Join(f(cfg, l, conn), l.Close())
	})
}

func ledgerStatusOf(ctx context.Context, l *erasures.Ledger, conn *pgx.Conn) (s ledgerStatus, err error) {
	held, err := l.Summary()
	if err != nil {
		return s, err
	}
	standing, err := l.Compare(ctx, conn)
	if err != nil {
		return s, err
	}
	s = ledgerStatus{
		Entries: held.Entries, Done: held.Done, Open: held.Open, Foreign: held.Foreign, Last: held.Last,
		Database: standing.Database, Undone: standing.Missing, Unknown: standing.Unknown,
	}
	if standing.Moved() {
		s.Before = &standing.Before
	}
	return s, nil
}

func (s ledgerStatus) print(stdout io.Writer) {
	fmt.Fprintf(stdout, "%d entries: %d erasures done, %d under way; the last digest is %s\n", s.Entries, s.Done, s.Open, s.Last)
	if s.Foreign > 0 {
		fmt.Fprintf(stdout, "%d erasures are under another key: name it as dsar.key_before\n", s.Foreign)
	}
	if s.Before != nil {
		fmt.Fprintf(stdout, "the database is another copy than before: system %s, timeline %d; it was system %s, timeline %d\n",
			s.Database.System, s.Database.Timeline, s.Before.System, s.Before.Timeline)
	}
	switch {
	case len(s.Undone) > 0:
		fmt.Fprintf(stdout, "THE DATABASE WAS RESTORED: %d erasures are undone, the first is entry %d; run pgveil dsar replay\n", len(s.Undone), s.Undone[0])
	case len(s.Unknown) == 0:
		fmt.Fprintln(stdout, "good: the database has all erasures that the ledger has")
	}
	if len(s.Unknown) > 0 {
		fmt.Fprintf(stdout, "THE LEDGER HAS LOST ENTRIES: the database has %d erasures that it does not have; put a copy of the file in its place\n", len(s.Unknown))
	}
}

func runLedgerErased(_ context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar ledger erased", "KIND FILE",
		"Reads keys, e-mail addresses, telephone numbers and the like of a kind of subject, one\na line, and prints the numbers of the lines whose persons were erased: before they\nare imported again. Exit status 1 means that there are some.",
		"pgveil dsar ledger erased customer addresses.txt --config /etc/pgveil/pgveil.yaml")
	var path string
	c.flags.StringVar(&path, "config", "pgveil.yaml", "the `file` that serve is started with")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if len(c.args) != 2 {
		return c.misused(stderr, "give a kind of subject and a file")
	}
	found, err := erasedLines(path, c.args[0], c.args[1], stdout, stderr)
	if err != nil {
		return c.failed(stderr, err)
	}
	if found > 0 {
		return 1
	}
	return 0
}

// erasedLines prints the numbers of lines, and tells how many there are.
func erasedLines(path, kind, list string, stdout, stderr io.Writer) (found int, err error) {
	cfg, err := config.Load(path)
	if err != nil {
		return 0, err
	}
	key, err := readKey(cfg.Key)
	if err != nil {
		return 0, err
	}
	file, err := os.Open(list)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	l, err := openErasures(cfg, key, func(s string) { fmt.Fprintln(stderr, s) })
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		erased, err := l.Erased(kind, strings.TrimSpace(lines.Text()))
		if err != nil {
			return found, err
		}
		if erased {
			found++
			fmt.Fprintln(stdout, n)
		}
	}
	return found, lines.Err()
}
