package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/erasures"
	"github.com/pgveil/pgveil/rewrite"
)

// replaying is one call of "pgveil dsar replay".
type replaying struct {
	path, accept string
	dry, json    bool
	keys         bool

	stdout, stderr io.Writer
	process        *process // not serving
	engine         *rewrite.Engine
	ledger         *erasures.Ledger
	conn, find     *pgx.Conn
	touched        map[string][]string // relations from which subjects of a kind were erased
}

// runDsarReplay runs "pgveil dsar replay".
func runDsarReplay(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("dsar replay", "",
		`Erases again who was erased and is in the database all the same, because it was
restored from a backup. It reads the table of each kind of subject once and finds
them by the hashes in the ledger of erasures; then statements that serve holds go
on. Whoever stops it begins it again. Persons who came back under another key are
reported, and left alone.

With --accept nobody is erased: statements go on for the reason given, which the
ledger keeps.`,
		"pgveil dsar replay --dry-run     how many there are",
		"pgveil dsar replay --config /etc/pgveil/pgveil.yaml",
		"pgveil dsar replay --accept 'a copy for tests, without personal data'")
	r := &replaying{stdout: stdout, stderr: stderr, touched: map[string][]string{}}
	c.flags.StringVar(&r.path, "config", "pgveil.yaml", "the `file` that serve is started with")
	c.flags.BoolVar(&r.dry, "dry-run", false, "count, and change nothing; status 1 when there are any")
	c.flags.BoolVar(&r.json, "json", false, "print JSON")
	c.flags.BoolVar(&r.keys, "keys", false, "list the keys of persons who came back under another one")
	c.flags.StringVar(&r.accept, "accept", "", "let statements go on for a `reason`")
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if r.dry && r.accept != "" {
		return c.misused(stderr, "--dry-run and --accept: give one of them")
	}
	clean, err := r.run(ctx)
	if err != nil {
		return c.failed(stderr, err)
	}
	if !clean {
		return 1
	}
	return 0
}

// run tells whether nobody is left who was erased.
func (r *replaying) run(ctx context.Context) (clean bool, err error) {
	reg, err := openRegistry(r.path)
	if err != nil {
		return false, err
	}
	r.process = reg.process
	defer func() { err = errors.Join(err, r.close(ctx)) }()
	key, err := readKey(r.process.cfg.Key)
	if err != nil {
		return false, err
	}
	if r.ledger, err = openErasures(r.process.cfg, key, func(s string) { fmt.Fprintln(r.stderr, s) }); err != nil {
		return false, err
	}
	if err := r.process.openKeys(ctx); err != nil {
		return false, err
	}
	if r.conn, err = r.process.own.open(ctx); err != nil {
		return false, err
	}
	standing, err := r.ledger.Compare(ctx, r.conn)
	if err != nil {
		return false, err
	}
	if r.accept != "" {
		if err := r.ledger.Settle(ctx, r.conn, standing, erasures.Accepted, operator(), r.accept); err != nil {
			return false, err
		}
		_, err := fmt.Fprintf(r.stdout, "accepted: %d erasures stay undone\n", len(standing.Missing))
		return true, err
	}
	return r.replay(ctx, standing)
}

func (r *replaying) close(ctx context.Context) error {
	var errs []error
	for _, c := range []*pgx.Conn{r.conn, r.find} {
		if c != nil {
			errs = append(errs, c.Close(context.WithoutCancel(ctx)))
		}
	}
	if r.ledger != nil {
		errs = append(errs, r.ledger.Close())
	}
	return errors.Join(append(errs, r.process.close())...)
}

// replay looks, erases, and looks again: only when nobody is found is it over.
func (r *replaying) replay(ctx context.Context, standing erasures.Standing) (clean bool, err error) {
	if r.engine, err = r.process.loadEngine(ctx); err != nil {
		return false, err
	}
	if r.find, err = r.process.own.open(ctx); err != nil {
		return false, err
	}
	progress, done := replayProgress(r.stderr)
	defer done()
	how := erasures.Replaying{Subjects: r.engine.Policy.Subjects(), Open: r.process.values().Opening(r.engine.Policy), Progress: progress}
	if !r.dry {
		how.Erase = r.eraseAgain
	}
	said, err := r.ledger.Replay(ctx, r.find, how)
	if err == nil {
		err = r.tidy(ctx)
	}
	if err != nil {
		return false, err
	}
	done()
	if err := r.print(said, standing); err != nil || r.dry || !said.Complete() {
		return said.Complete(), err
	}
	if said.Erased > 0 {
		how.Erase = nil
		again, err := r.ledger.Replay(ctx, r.find, how)
		if err == nil && !again.Complete() {
			err = errors.New("some are there again meanwhile: run it once more")
		}
		if err != nil {
			return false, err
		}
	}
	if err := r.finish(ctx, standing.Database); err != nil {
		return false, err
	}
	if standing.Restored() {
		err = r.ledger.Settle(ctx, r.conn, standing, erasures.Replayed, operator(), "")
	}
	return err == nil, err
}

// replayProgress gives what shows on a terminal how far it has come, and what
// removes that.
func replayProgress(w io.Writer) (show func(kind, doing string, n int64), done func()) {
	numbers, done := verifyProgress(w)
	if numbers == nil {
		return nil, done
	}
	return func(kind, doing string, n int64) { fmt.Fprintf(w, "\r%s: %d %s\x1b[K", kind, n, doing) }, done
}

// replayed is what is printed as JSON.
type replayed struct {
	Read     int64            `json:"read"`
	Found    map[string]int64 `json:"found"`
	Erased   int64            `json:"erased"`
	Failed   []failedReplay   `json:"failed"`
	Returned []returned       `json:"returned"`
	Foreign  int64            `json:"under_other_keys"`
	Unlooked []string         `json:"kinds_unknown"`
	Undone   int              `json:"undone"` // entries that the database did not know of
	Complete bool             `json:"complete"`
}

type failedReplay struct {
	Kind  string `json:"kind"`
	Entry uint64 `json:"entry"`
	Error string `json:"error"`
}

type returned struct {
	Kind   string `json:"kind"`
	Column string `json:"column"`
	Entry  uint64 `json:"entry"`
	Key    string `json:"key,omitempty"`
}

func (r *replaying) print(said erasures.Replay, standing erasures.Standing) error {
	out := replayed{
		Read: said.Read, Found: said.Found, Erased: said.Erased, Failed: []failedReplay{}, Returned: []returned{},
		Foreign: said.Foreign, Unlooked: said.Unlooked, Undone: len(standing.Missing), Complete: said.Complete(),
	}
	for _, f := range said.Failed {
		out.Failed = append(out.Failed, failedReplay{f.Kind, f.Entry, f.Err.Error()})
	}
	for _, p := range said.Returned {
		one := returned{Kind: p.Kind, Column: p.Column, Entry: p.Entry}
		if r.keys {
			one.Key = p.Key
		}
		out.Returned = append(out.Returned, one)
	}
	if r.json {
		e := json.NewEncoder(r.stdout)
		e.SetIndent("", "  ")
		return e.Encode(out)
	}
	out.write(r.stdout)
	return nil
}

func (p replayed) write(w io.Writer) {
	fmt.Fprintf(w, "%d rows were read; %d erasures are undone by a restore\n", p.Read, p.Undone)
	for _, kind := range slices.Sorted(maps.Keys(p.Found)) {
		fmt.Fprintf(w, "%s: %d who were erased are in the database\n", kind, p.Found[kind])
	}
	fmt.Fprintf(w, "%d were erased again\n", p.Erased)
	for _, f := range p.Failed {
		fmt.Fprintf(w, "NOT ERASED: %s, entry %d: %s\n", f.Kind, f.Entry, f.Error)
	}
	for _, b := range p.Returned {
		who := "a " + b.Kind
		if b.Key != "" {
			who = b.Kind + " " + b.Key
		}
		fmt.Fprintf(w, "%s has the %s of somebody who was erased, entry %d\n", who, b.Column, b.Entry)
	}
	if p.Foreign > 0 {
		fmt.Fprintf(w, "NOBODY WAS LOOKED FOR by %d entries that are under another key: name it as dsar.key_before\n", p.Foreign)
	}
	for _, kind := range p.Unlooked {
		fmt.Fprintf(w, "NOBODY WAS LOOKED FOR of kind %s, which the policy does not have\n", kind)
	}
}
