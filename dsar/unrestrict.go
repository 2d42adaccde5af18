package dsar

import (
	"context"
	"encoding/hex"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// Unrestriction is the end of a restriction that pgveil itself has set.
type Unrestriction struct {
	Kind, Key string // the subject; Key as its ledger has it
	By        string
	Because   string
	Ours      func(reason string) (bool, error) // tells whether pgveil restricted with this reason, and has no more need of it
}

// Unrestrict ends a restriction to all purposes, as far as there is one, and all
// who restricted gave reasons that are Ours: what somebody else wants stays. A
// subject that is gone, or of a kind without a ledger, has none.
func (s *Service) Unrestrict(ctx context.Context, u Unrestriction, witness func(ctx context.Context, digest string) error) (lifted bool, err error) {
	set, _ := s.Current()
	b, err := s.book(set, u.Kind)
	if none := refusedAs(err, privacy.NotAvailable) || refusedAs(err, privacy.NoSubject); none || err != nil {
		return false, unless(none, err)
	}
	err = s.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) error {
		e := state.Event{Type: state.RestrictionLifted, Kind: b.Kind, By: u.By, Reason: u.Because}
		if e.Key, err = b.find(ctx, tx, privacy.Key{Values: []string{u.Key}}); err != nil {
			return err
		}
		if lifted, err = b.restrictedBy(ctx, tx, e, u.Ours); !lifted || err != nil {
			return err
		}
		if e, _, err = b.Apply(ctx, tx, e); err != nil {
			return err
		}
		return witness(ctx, hex.EncodeToString(e.Digest))
	})
	gone := refusedAs(err, privacy.NotFound)
	return lifted && err == nil, unless(gone, state.Explain("ending a restriction", err))
}

// restrictedBy tells whether a restriction is in force, and only by what is ours.
func (b book) restrictedBy(ctx context.Context, tx pgx.Tx, lift state.Event, ours func(string) (bool, error)) (bool, error) {
	record, err := b.InForce(ctx, tx, lift)
	if err != nil || record == "" {
		return false, err
	}
	events, err := b.Events(ctx, tx, lift.Key)
	if err != nil {
		return false, err
	}
	found := false
	for _, e := range events {
		if e.Record != record {
			continue
		}
		if found, err = ours(e.Reason); !found || err != nil {
			return false, err
		}
	}
	return found, nil
}

// refusedAs tells whether an error is a refusal with a code.
func refusedAs(err error, code privacy.Code) bool {
	var said *privacy.Error
	return errors.As(err, &said) && said.Code == code
}

// unless gives an error but where it is one that is expected.
func unless(expected bool, err error) error {
	if expected {
		return nil
	}
	return err
}
