package dsar

import (
	"context"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
)

// Service runs commands. Whether the caller may give them is decided before:
// see Command.Right.
type Service struct {
	// Connect logs in to the database as somebody who may read every row of
	// every table that holds data of subjects. Each command has a connection
	// that is its own meanwhile.
	Connect func(ctx context.Context) (*pgx.Conn, error)

	// Current gives the policy in force and the catalog that it was compiled
	// with.
	Current func() (*policy.Set, *catalog.Snapshot)

	// Look makes Current give the catalog as the database has it now, where that
	// has changed. nil: nothing does.
	Look func(ctx context.Context) error

	// Keep is how many connections wait for other commands, once one is through:
	// what the server has read and planned for it serves these, too.
	Keep int

	// Shred destroys the keys of single values; nil: there is no store of them.
	Shred Shredder

	// Values opens and seals the values of sealed columns.
	Values Values

	mu   sync.Mutex
	idle []idleConn
}

// Columns names the columns of a command's answer, all of which are text.
func Columns(cmd privacy.Command) []string {
	switch cmd.Verb {
	case privacy.VerbHelp:
		return []string{"command", "about"}
	case privacy.VerbExport:
		return []string{"document"}
	case privacy.VerbErase:
		return []string{"table", "rows", "action", "path", "reason"}
	case privacy.VerbConsents:
		return []string{"event", "time", "type", "consent", "purposes", "until", "by", "method", "notice", "language", "jurisdiction", "reason", "record", "digest", "whole"}
	case privacy.VerbRestrictions:
		return []string{"subject", "key", "kind", "purpose", "since"}
	case privacy.VerbWhoSaw:
		return whoSawColumns
	case privacy.VerbConsent, privacy.VerbRestrict, privacy.VerbObject, privacy.VerbLiftRestriction, privacy.VerbLiftObjection:
		return []string{"event", "type", "of", "note", "record", "digest"}
	default:
		return nil
	}
}

// Run runs a command for who, hands the rows of its answer to emit, one by
// one, and gives the command's tag. A row must not be kept. An error may come
// after rows: then they are no answer.
func (s *Service) Run(ctx context.Context, cmd privacy.Command, who string, emit func(row []string) error) (tag string, err error) {
	switch cmd.Verb {
	case privacy.VerbHelp:
		return cmd.Verb.Tag(), help(emit)
	case privacy.VerbExport:
		return cmd.Verb.Tag(), s.with(ctx, cmd, func(conn *pgx.Conn, g *Graph) error {
			o := ExportOptions{Pretty: cmd.Pretty, PreparedBy: who}
			_, err := Export(ctx, conn, g, cmd.Key, o, func(chunk []byte) error { return emit([]string{string(chunk)}) })
			return err
		})
	case privacy.VerbErase:
		if !cmd.DryRun {
			return "", privacy.Fail(privacy.NotAvailable, "use DRY RUN to see what it would do", "to erase takes a request")
		}
		return cmd.Verb.Tag(), s.with(ctx, cmd, func(conn *pgx.Conn, g *Graph) error {
			report, err := DryRun(ctx, conn, g, cmd.Key)
			if err != nil {
				return err
			}
			return EmitSteps(report, emit)
		})
	case privacy.VerbConsents:
		return cmd.Verb.Tag(), s.consents(ctx, cmd, emit)
	case privacy.VerbRestrictions:
		return cmd.Verb.Tag(), s.restrictions(ctx, cmd, emit)
	case privacy.VerbWhoSaw:
		return cmd.Verb.Tag(), s.whoSaw(ctx, cmd, emit)
	default:
		return "", privacy.Fail(privacy.Syntax, "ask PRIVACY HELP", "no command")
	}
}

// with calls f with a connection and the graph of the subject that a command
// names.
func (s *Service) with(ctx context.Context, cmd privacy.Command, f func(*pgx.Conn, *Graph) error) error {
	g, err := s.Graph(cmd.Subject)
	if err != nil {
		return err
	}
	return s.connected(ctx, func(conn *pgx.Conn) error { return f(conn, g) })
}

// Graph gives the graph of a kind of subject, by the policy in force.
func (s *Service) Graph(kind string) (*Graph, error) {
	set, cat := s.Current()
	g, err := NewGraph(set, cat, kind)
	if err != nil {
		return nil, err
	}
	g.Values = s.Values
	return g, nil
}

// With calls f with a connection of its own and the graph of a kind of subject.
func (s *Service) With(ctx context.Context, kind string, f func(*pgx.Conn, *Graph) error) error {
	return s.with(ctx, privacy.Command{Subject: kind}, f)
}

// EmitSteps hands the steps of a report, and then its warnings, to emit as rows
// of text.
func EmitSteps(r Report, emit func(row []string) error) error {
	for _, step := range r.Steps {
		row := []string{step.Table, strconv.FormatInt(step.Rows, 10), step.Action.String(), step.Path, step.about()}
		if err := emit(row); err != nil {
			return err
		}
	}
	for _, text := range r.Warnings {
		if err := emit([]string{"", "0", "warning", "", text}); err != nil {
			return err
		}
	}
	return nil
}

func help(emit func(row []string) error) error {
	for _, line := range privacy.Help() {
		if err := emit(line[:]); err != nil {
			return err
		}
	}
	return nil
}
