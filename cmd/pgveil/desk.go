package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/config"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/requests"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/state"
)

// desk is where whoever is at the machine gives commands about data subjects. It
// needs no running pgveil: it has the configuration, and with that the key, the
// database and the access log.
type desk struct {
	config, as, token string
	json              bool

	*registry
	engine  *rewrite.Engine
	service *requests.Service
	by      requests.By
	log     *slog.Logger
	since   time.Time // the access log is held by us; zero: it is not
}

// How the access log is shared with others that write it.
const (
	logWait = 10 * time.Second // for one of its chains to be free
	logHold = 2 * time.Second  // then others have a turn
)

func (d *desk) flags(c *command) {
	c.flags.StringVar(&d.config, "config", "pgveil.yaml", "the `file` that serve is started with")
	c.flags.StringVar(&d.as, "as", "", "a `user` of the policy, in whose name it is done; else whoever is logged in at this machine does it")
	c.flags.StringVar(&d.token, "token-file", "", "`file` with a token of api.tokens_file, which proves who does it: approvals need one")
	c.flags.BoolVar(&d.json, "json", false, "print JSON")
}

// open reads the policy and the catalog, and finds out who does it.
func (d *desk) open(ctx context.Context, stderr io.Writer) (err error) {
	if d.registry, err = openRegistry(d.config); err != nil {
		return err
	}
	// Either chain of the access log is good for a command beside a proxy.
	cfg := *d.process.cfg
	cfg.Overlap = true
	d.process.cfg = &cfg
	d.log = newLogger(config.Log{Level: "warn", Format: "text"}, stderr)
	d.process.log = d.log
	if d.engine, err = d.process.loadEngine(ctx); err != nil {
		return err
	}
	if err := d.process.openKeys(ctx); err != nil {
		return err
	}
	data := &dsar.Service{Shred: d.process.shredder(), Values: d.process.values(), Connect: d.process.own.open, Keep: 1, Current: func() (*policy.Set, *catalog.Snapshot) { return d.engine.Policy, d.engine.Catalog }}
	d.service = &requests.Service{Data: data, Store: d.store, Tokens: d.store.SubjectTokens, Packages: cfg.DSAR.Packages}
	d.by, err = d.who(ctx)
	return err
}

// close lets go of what open and change took.
func (d *desk) close() error {
	if d.registry == nil {
		return nil
	}
	err := d.closeLog()
	if d.service != nil {
		err = errors.Join(err, d.service.Data.Close(context.Background()))
	}
	return errors.Join(err, d.process.close())
}

// who gives who does it. Whoever may read the configuration has pgveil's own
// login and key: nothing is kept from them that they could not do otherwise, and
// so nothing is asked of them but to be written down. In the name of a user they
// do what the user may. Only a token proves that it is the user.
func (d *desk) who(ctx context.Context) (by requests.By, err error) {
	name := d.as
	switch {
	case d.as != "" && d.token != "":
		return by, errors.New("--as and --token-file: give one of them")
	case d.token != "":
		if name, err = d.owner(); err != nil {
			return by, err
		}
	case d.as == "":
		return requests.By{User: operator(), May: func(string) error { return nil }}, nil
	}
	access, err := d.engine.Policy.Decide(policy.Claim{Login: name, From: netip.IPv6Loopback()})
	if err != nil {
		return by, err
	}
	if err := d.barred(ctx, name); err != nil {
		return by, err
	}
	return requests.By{User: access.User, Proven: d.token != "", May: func(right string) error {
		if !access.May(right) {
			return privacy.Fail(privacy.NotAllowed, fmt.Sprintf("ask for a role with the right %q under privacy, which needs no second factor", right), "user %s may not do this", access.User)
		}
		return nil
	}}, nil
}

// owner gives the policy's user whose the token in a file is.
func (d *desk) owner() (string, error) {
	if d.process.cfg.API == nil {
		return "", errors.New("--token-file: the configuration has no api.tokens_file, so no token is anybody's")
	}
	text, err := readSecret(d.token)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	return tokenUser(d.process.cfg.API.Tokens, strings.TrimSpace(text))
}

// barred refuses users in quarantine.
func (d *desk) barred(ctx context.Context, name string) error {
	all, err := d.store.Quarantines(ctx)
	if tablesMissing(err) {
		return nil
	}
	if slices.ContainsFunc(all, func(q state.Quarantine) bool {
		return q.State == "in force" && q.Who != policy.TargetAddress && q.Name == name
	}) {
		return privacy.Fail(privacy.NotAllowed, "pgveil quarantine list says why", "user %s is in quarantine", name)
	}
	return err
}

// change gives a command that writes something down: once the access log has
// that it is to be, durably.
func (d *desk) change(ctx context.Context, cmd privacy.Command) (rows [][]string, err error) {
	record := audit.Record{
		Kind: audit.KindPrivacy, Login: operator(), User: d.by.User, App: "pgveil dsar", Database: d.process.cfg.Database,
		Command: "PRIVACY", Shape: requests.Recorded(cmd, d.engine.Policy, d.engine.Catalog).Shape(), Message: "to be written", Generation: d.engine.Policy.Generation(),
	}
	err = d.logged(ctx, record, func() (int64, error) {
		rows, err = d.service.Change(ctx, cmd, d.by, func(ctx context.Context, digest string) error {
			r := record
			r.Event = digest
			return d.append(ctx, r)
		})
		return int64(len(rows)), err
	})
	return rows, err
}

// look gives a command that reads what is held on a data subject.
func (d *desk) look(ctx context.Context, cmd privacy.Command) (rows [][]string, err error) {
	if err := d.by.May(cmd.Right()); err != nil {
		return nil, err
	}
	record := audit.Record{
		Kind: audit.KindPrivacy, Login: operator(), User: d.by.User, App: "pgveil dsar", Database: d.process.cfg.Database,
		Command: "PRIVACY", Shape: requests.Recorded(cmd, d.engine.Policy, d.engine.Catalog).Shape(), Message: "begun", Generation: d.engine.Policy.Generation(),
	}
	err = d.logged(ctx, record, func() (int64, error) {
		if err := d.append(ctx, record); err != nil {
			return 0, err
		}
		_, err := d.service.Run(ctx, cmd, d.by, func(row []string) error { rows = append(rows, slices.Clone(row)); return nil })
		return int64(len(rows)), err
	})
	return rows, err
}

// logged calls f with the access log, and records how that ended.
func (d *desk) logged(ctx context.Context, record audit.Record, f func() (int64, error)) error {
	if err := d.openLog(ctx); err != nil {
		return err
	}
	n, err := f()
	outcome := record
	outcome.Rows, outcome.Message = n, "done"
	var said *privacy.Error
	if errors.As(err, &said) {
		outcome.Message, outcome.SQLState = said.Message, string(said.Code)
	} else if err != nil {
		outcome.Message = "failed"
	}
	_, logged := d.process.audit.Append(&outcome) // durable when the log is closed
	err = errors.Join(err, logged)
	if time.Since(d.since) > logHold {
		err = errors.Join(err, d.closeLog())
	}
	return err
}

// append writes a record into the access log, durably.
func (d *desk) append(ctx context.Context, r audit.Record) error {
	seq, err := d.process.audit.Append(&r)
	if err != nil {
		return err
	}
	return d.process.audit.Sync(ctx, seq)
}

// openLog takes the chain of the access log that nobody writes, or waits for one.
func (d *desk) openLog(ctx context.Context) (err error) {
	if !d.since.IsZero() {
		return nil
	}
	p := d.process
	if p.anchors, err = newAnchors(p.cfg.Audit.Anchors, d.log); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, logWait)
	defer cancel()
	var other string
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if p.audit, _, other, err = p.openLog(); !errors.Is(err, audit.ErrInUse) {
			break
		}
		select {
		case <-again.C:
			continue
		case <-ctx.Done():
			err = fmt.Errorf("%w: both of its chains; wait for the restart or the worker that writes the second one, or give the worker an audit.dir of its own", err)
		}
		break
	}
	if err != nil {
		p.anchors.close()
		p.anchors = nil
		return fmt.Errorf("access log: %w", err)
	}
	d.since = time.Now()
	return d.append(ctx, audit.Record{Kind: audit.KindSystem, Message: "pgveil dsar: " + started(other), Generation: d.engine.Policy.Generation()})
}

// closeLog lets others write the chain.
func (d *desk) closeLog() error {
	if d.since.IsZero() {
		return nil
	}
	d.since = time.Time{}
	_, err := d.process.audit.Append(&audit.Record{Kind: audit.KindSystem, Message: "stop"})
	err = errors.Join(err, d.process.audit.Close())
	d.process.anchors.close()
	d.process.audit, d.process.anchors = nil, nil
	return err
}

// readKeyOf reads the key of a data subject from standard input for "-", so that
// it need not stand in the list of processes or a shell's history.
func readKeyOf(args []string, in *os.File) ([]string, error) {
	if len(args) != 1 || args[0] != "-" {
		return args, nil
	}
	text, err := io.ReadAll(io.LimitReader(in, maxAPIBody))
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	return []string{strings.TrimRight(string(text), "\r\n")}, nil
}
