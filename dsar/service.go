package dsar

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
)

// closeWait is how long a connection is given to say goodbye.
const closeWait = 2 * time.Second

// Service runs commands. Whether the caller may give them is decided before:
// see Command.Right.
type Service struct {
	// Connect logs in to the database as somebody who may read every row of
	// every table that holds data of subjects. Each command has a connection
	// of its own.
	Connect func(ctx context.Context) (*pgx.Conn, error)

	// Current gives the policy in force and the catalog that it was compiled
	// with.
	Current func() (*policy.Set, *catalog.Snapshot)
}

// Columns names the columns of a command's answer, all of which are text.
func Columns(cmd Command) []string {
	switch cmd.Verb {
	case VerbHelp:
		return []string{"command", "about"}
	case VerbExport:
		return []string{"document"}
	case VerbErase:
		return []string{"table", "rows", "action", "path", "reason"}
	default:
		return nil
	}
}

// Run runs a command for who, hands the rows of its answer to emit, one by
// one, and gives the command's tag. A row must not be kept. An error may come
// after rows: then they are no answer.
func (s *Service) Run(ctx context.Context, cmd Command, who string, emit func(row []string) error) (tag string, err error) {
	switch cmd.Verb {
	case VerbHelp:
		return "PRIVACY HELP", help(emit)
	case VerbExport:
		return "PRIVACY EXPORT", s.with(ctx, cmd, func(conn *pgx.Conn, g *Graph) error {
			o := ExportOptions{Pretty: cmd.Pretty, PreparedBy: who}
			_, err := Export(ctx, conn, g, cmd.Key, o, func(chunk []byte) error { return emit([]string{string(chunk)}) })
			return err
		})
	case VerbErase:
		if !cmd.DryRun {
			return "", fail(NotAvailable, "use DRY RUN to see what it would do", "erasing is not available yet")
		}
		return "PRIVACY ERASE", s.with(ctx, cmd, func(conn *pgx.Conn, g *Graph) error {
			report, err := DryRun(ctx, conn, g, cmd.Key)
			if err != nil {
				return err
			}
			return emitSteps(report, emit)
		})
	default:
		return "", fail(Syntax, "ask PRIVACY HELP", "no command")
	}
}

// with calls f with a connection and the graph of the subject that a command
// names.
func (s *Service) with(ctx context.Context, cmd Command, f func(*pgx.Conn, *Graph) error) (err error) {
	set, cat := s.Current()
	g, err := NewGraph(set, cat, cmd.Subject)
	if err != nil {
		return err
	}
	conn, err := s.Connect(ctx)
	if err != nil {
		return fmt.Errorf("connecting for a privacy command: %w", err)
	}
	defer func() {
		wait, done := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
		defer done()
		err = errors.Join(err, conn.Close(wait))
	}()
	return f(conn, g)
}

func emitSteps(r Report, emit func(row []string) error) error {
	for _, step := range r.Steps {
		row := []string{step.Table, strconv.FormatInt(step.Rows, 10), step.Action.String(), step.Path, step.Reason}
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}

func help(emit func(row []string) error) error {
	for _, line := range [][]string{
		{"PRIVACY EXPORT subject key [PRETTY]", "everything that is held on one subject, as one JSON document"},
		{"PRIVACY EXPORT subject WHERE column = value [PRETTY]", "the same, by a column of the subject's find_by"},
		{"PRIVACY ERASE subject key DRY RUN", "what an erasure would do, table by table"},
		{"PRIVACY HELP", "this list"},
	} {
		if err := emit(line); err != nil {
			return err
		}
	}
	return nil
}
