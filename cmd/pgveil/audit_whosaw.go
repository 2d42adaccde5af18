package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/audit"
	auditload "github.com/pgveil/pgveil/audit/load"
	"github.com/pgveil/pgveil/config"
)

// whoSaw is one call of "pgveil audit who-saw".
type whoSaw struct {
	kind, key, token string
	dir, config      string
	since, until     time.Time
	json             bool
	stdout, stderr   io.Writer
}

// runAuditWhoSaw runs "pgveil audit who-saw".
func runAuditWhoSaw(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := newCommand("audit who-saw", "KIND [KEY]",
		`Lists the statements that returned or changed rows of a data subject, oldest
first, and those that may have, which say "may": they reached rows of subjects
whom the log does not name, or have no outcome in it. It reads the log's files, and
the chain beside them. Whom the log means by which token stands in the database;
with --token it is not needed, as on a copy elsewhere.

PRIVACY WHO SAW and pgveil.who_saw give the same list, of what the database keeps.`,
		"pgveil audit who-saw customer 42 --config /etc/pgveil/pgveil.yaml --since 90d",
		"pgveil audit who-saw customer --token 7hJk0Lq3VdZsWxN4bQ2m1A --dir /mnt/copy/audit --json")
	now := time.Now()
	w := whoSaw{stdout: stdout, stderr: stderr}
	c.flags.StringVar(&w.config, "config", "", "the `file` that serve is started with: where the log is, and the database with the tokens")
	c.flags.StringVar(&w.dir, "dir", "", "`directory` of the log")
	c.flags.StringVar(&w.token, "token", "", "the subject's `token` in the log, in place of the key")
	c.flags.BoolVar(&w.json, "json", false, "print a JSON object a line, with everything recorded")
	unusedTime(c, "since", "at or after this `time`: 2026-11-22, or 24h, 90d ago", now, &w.since)
	unusedTime(c, "until", "before this `time`", now, &w.until)
	if done, code := c.parse(args, stdout, stderr); done {
		return code
	}
	if wrong := w.misuse(c.args); wrong != "" {
		return c.misused(stderr, "%s", wrong)
	}
	if err := w.run(ctx); err != nil {
		return c.failed(stderr, err)
	}
	return 0
}

// tokenForm is how tokens look.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)

// misuse takes the arguments and says what makes no sense in the call.
func (w *whoSaw) misuse(args []string) string {
	switch {
	case len(args) == 0 || len(args) > 2:
		return "name a kind of data subject and a key, as in who-saw customer 42"
	case (len(args) == 2) == (w.token != ""):
		return "give either the subject's key or --token"
	case w.token != "" && !tokenForm.MatchString(w.token):
		return "a token has 22 letters, digits, - and _"
	case w.token == "" && w.config == "":
		return "whom the log means stands in the database: give --config, or --token in place of the key"
	case w.dir == "" && w.config == "":
		return "give --dir or --config: where the log is"
	}
	w.kind = args[0]
	if len(args) == 2 {
		w.key = args[1]
	}
	return ""
}

func (w *whoSaw) run(ctx context.Context) error {
	cfg := &config.Config{}
	if w.config != "" {
		var err error
		if cfg, err = config.Load(w.config); err != nil {
			return err
		}
		w.dir = cmp.Or(w.dir, cfg.Audit.Dir)
	}
	if w.token == "" {
		if err := w.lookUp(ctx, cfg); err != nil {
			return err
		}
	}
	var all []sighting
	dirs := []string{w.dir}
	if beside := filepath.Join(w.dir, besideDir); isDir(beside) {
		dirs = append(dirs, beside)
	}
	for _, dir := range dirs {
		name, err := logName(cfg.Audit, dir)
		if err != nil {
			return err
		}
		seen, err := audit.WhoSaw(audit.Read(dir, 0), w.kind, w.token, w.since, w.until)
		if err != nil {
			return err
		}
		for _, s := range seen {
			all = append(all, sighting{name, s})
		}
	}
	slices.SortStableFunc(all, func(a, b sighting) int { return a.Time.Compare(b.Time) })
	return w.print(all)
}

// lookUp asks the database for the subject's token. Without one no record names
// the subject.
func (w *whoSaw) lookUp(ctx context.Context, cfg *config.Config) error {
	d, err := newDialer(cfg)
	if err != nil {
		return err
	}
	conn, err := d.open(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	err = conn.QueryRow(ctx, "SELECT token FROM pgveil.subjects WHERE kind = $1 AND key = $2", w.kind, w.key).Scan(&w.token)
	err = errors.Join(err, conn.Close(ctx))
	if errors.Is(err, pgx.ErrNoRows) {
		fmt.Fprintf(w.stderr, "note: the log names no %s with this key; what is listed may have touched it all the same\n", w.kind)
		return nil
	}
	if err != nil {
		return fmt.Errorf("look the subject's token up: %w", err)
	}
	return nil
}

// logName gives what a chain is called in the table.
func logName(a config.Audit, dir string) (string, error) {
	if name := tableName(a, dir); name != "" {
		return name, nil
	}
	if c, err := lastCheckpoint(dir); err == nil {
		return c.Origin, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	first, err := audit.LeafHash(dir, 0)
	return auditload.ID(first), err
}

// lastCheckpoint reads the latest checkpoint of a log, which says its name.
func lastCheckpoint(dir string) (c audit.Checkpoint, err error) {
	file, err := os.Open(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return c, err
	}
	defer file.Close()
	for c, err = range audit.ReadCheckpoints(file) {
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// sighting is one of a log with a name.
type sighting struct {
	log string
	audit.Sighting
}

func (w *whoSaw) print(all []sighting) error {
	if w.json {
		return w.printJSON(all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(w.stdout, "nobody")
		return err
	}
	t := tabwriter.NewWriter(w.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TIME (UTC)\tSURE\tUSER\tROLES\tPURPOSE\tCOMMAND\tROWS\tRECORD\tCOLUMNS, OR WHAT HAPPENED")
	for _, s := range all {
		sure := "yes"
		if !s.Certain {
			sure = "may"
		}
		cells := []string{s.Time.UTC().Format("2006-01-02 15:04:05.000"), sure, auditWho(s.Entry), strings.Join(s.Roles, ","), s.Purpose,
			s.Command, "", s.log + ":" + strconv.FormatUint(s.Seq, 10), auditWhat(s.Entry)}
		if o := s.Outcome; o != nil {
			cells[6] = strconv.FormatInt(o.Rows, 10)
		}
		for i, cell := range cells {
			cells[i] = cmp.Or(auditClean(cell), "-")
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

func (w *whoSaw) printJSON(all []sighting) error {
	e := json.NewEncoder(w.stdout)
	e.SetEscapeHTML(false)
	for _, s := range all {
		line := struct {
			Log     string `json:"log"`
			Certain bool   `json:"certain"`
			AtMost  *int64 `json:"at_most,omitempty"`
			audit.Entry
		}{s.log, s.Certain, nil, s.Entry}
		if !s.Certain {
			line.AtMost = &s.AtMost
		}
		if err := e.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
