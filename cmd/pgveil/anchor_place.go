package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/config"
)

// anchorPlace is where an anchor is, and how a checkpoint gets there.
type anchorPlace struct {
	name  string
	send  func(context.Context, audit.Checkpoint) error
	close func() error
}

// anchorPlaces sets up the anchors; it reads their secrets, and sends nothing.
func anchorPlaces(list []config.Anchor) (places []anchorPlace, err error) {
	for _, c := range list {
		p := anchorPlace{close: func() error { return nil }}
		switch {
		case c.File != "":
			p.name = c.File
			p.send = func(_ context.Context, c2 audit.Checkpoint) error { return audit.AppendCheckpoint(c.File, c2) }
		case c.HTTP != "":
			var token string
			token, err = bearer(c.Token)
			p.name, p.send = c.HTTP, poster(c.HTTP, token)
		case c.Syslog != nil:
			p, err = syslogAnchor(c.Syslog)
		case c.Postgres != nil:
			p, err = postgresAnchor(c.Postgres)
		default:
			err = errors.New("one goes nowhere")
		}
		if err != nil {
			return nil, fmt.Errorf("audit.anchors: %w", err)
		}
		places = append(places, p)
	}
	return places, nil
}

// syslogCheckpoint is what a message about a checkpoint says: the note has line
// ends, and a message must not.
type syslogCheckpoint struct {
	Checkpoint string `json:"checkpoint"`
}

func syslogAnchor(c *config.Syslog) (anchorPlace, error) {
	s, err := syslogTarget(c)
	if err != nil {
		return anchorPlace{}, err
	}
	send := func(ctx context.Context, p audit.Checkpoint) error {
		ctx, cancel := context.WithTimeout(ctx, anchorTimeout)
		defer cancel()
		text, err := json.Marshal(syslogCheckpoint{string(p.Note)})
		if err != nil {
			return err
		}
		return s.SendText(ctx, "checkpoint", text)
	}
	return anchorPlace{name: c.To, send: send, close: s.Close}, nil
}

// loggedCheckpoints finds checkpoints in lines that a collector of syslog
// messages wrote, whatever it puts before them, and gives them as a file of
// checkpoints has them. Of a text without such lines it gives the text.
func loggedCheckpoints(text []byte) ([]byte, error) {
	var found [][]byte
	for line := range bytes.Lines(text) {
		i := bytes.Index(line, []byte(`{"checkpoint":"`))
		if i < 0 {
			continue
		}
		var said syslogCheckpoint
		if err := json.NewDecoder(bytes.NewReader(line[i:])).Decode(&said); err != nil {
			return nil, fmt.Errorf("the line %.60q…: %w", line, err)
		}
		found = append(found, []byte(said.Checkpoint))
	}
	if found == nil {
		return text, nil
	}
	return bytes.Join(found, []byte("\n")), nil
}

// anchorTable is where checkpoints are in another database. Nobody has to be able
// to change or remove one: who may only insert and select, cannot.
const anchorTable = `CREATE TABLE IF NOT EXISTS pgveil_checkpoints (
    origin text NOT NULL,
    size   bigint NOT NULL,
    note   text NOT NULL,
    at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (origin, size, note)
)`

func postgresAnchor(c *config.AnchorPostgres) (anchorPlace, error) {
	cfg, err := pgx.ParseConfig(c.DSN)
	if err != nil {
		return anchorPlace{}, errors.New("postgres.dsn is no connection string") // the error may have a password in it
	}
	if cfg.Password != "" && strings.Contains(c.DSN, cfg.Password) {
		return anchorPlace{}, errors.New("postgres: the password is in a file, password_file, not in dsn")
	}
	if c.Password != "" {
		read, err := secretFile(c.Password)
		if err != nil {
			return anchorPlace{}, err
		}
		if cfg.Password, err = read(); err != nil {
			return anchorPlace{}, err
		}
	}
	cfg.RuntimeParams["application_name"] = "pgveil anchor"
	conn := newConnection(func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, cfg) })
	made := !c.Create
	send := func(ctx context.Context, p audit.Checkpoint) error {
		ctx, cancel := context.WithTimeout(ctx, anchorTimeout)
		defer cancel()
		return conn.use(ctx, func(pg *pgx.Conn) error {
			if !made {
				if _, err := pg.Exec(ctx, anchorTable); err != nil {
					return err
				}
				made = true
			}
			return insertCheckpoint(ctx, pg, p)
		})
	}
	name := fmt.Sprintf("postgres://%s:%d/%s", cfg.Host, cfg.Port, cfg.Database)
	return anchorPlace{name: name, send: send, close: conn.close}, nil
}

// insertCheckpoint inserts a checkpoint that is not there yet: one that was sent
// before counts as sent. Only the right to insert is needed.
func insertCheckpoint(ctx context.Context, pg *pgx.Conn, p audit.Checkpoint) error {
	_, err := pg.Exec(ctx, `INSERT INTO pgveil_checkpoints (origin, size, note) VALUES ($1, $2, $3)`, p.Origin, int64(p.Size), string(p.Note))
	if pg := new(pgconn.PgError); errors.As(err, &pg) && pg.Code == "23505" {
		return nil
	}
	if pg := new(pgconn.PgError); errors.As(err, &pg) && pg.Code == "42P01" {
		return fmt.Errorf("%w: make the table: %s", err, anchorTable)
	}
	return err
}

// postgresCheckpoints reads what an anchor has kept in a database.
func postgresCheckpoints(dsn string) (list []audit.Checkpoint, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	rows, err := conn.Query(ctx, `SELECT note FROM pgveil_checkpoints ORDER BY origin, size, at`)
	if err != nil {
		return nil, err
	}
	notes, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	for _, note := range notes {
		c, err := audit.ParseCheckpoint([]byte(note))
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// readCheckpoints reads a file that has one checkpoint or more, as an anchor of
// the kind file or syslog has it, or the table of one of the kind postgres.
func readCheckpoints(from string) (list []audit.Checkpoint, err error) {
	if u, uerr := url.Parse(from); uerr == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		list, err = postgresCheckpoints(from)
		from = u.Redacted()
	} else {
		list, err = fileCheckpoints(from)
	}
	if err == nil && len(list) == 0 {
		err = errors.New("there is no checkpoint")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmp.Or(from, "checkpoints"), err)
	}
	return list, nil
}

func fileCheckpoints(path string) (list []audit.Checkpoint, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err == nil {
		text, err = loggedCheckpoints(text)
	}
	if err != nil {
		return nil, err
	}
	for c, err := range audit.ReadCheckpoints(bytes.NewReader(text)) {
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}
