package erasures

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrStandby says that a server is in recovery: it may be behind, and takes no
// erasure.
var ErrStandby = errors.New("the server is a standby")

// Locate says which copy of a database a connection is to.
func Locate(ctx context.Context, conn *pgx.Conn) (d Database, err error) {
	var recovering bool
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_is_in_recovery()").Scan(&recovering); err != nil {
		return d, fmt.Errorf("which copy of the database it is: %w", err)
	}
	if recovering {
		return d, fmt.Errorf("which copy of the database it is: %w", ErrStandby)
	}
	// The timeline is in the name of the WAL file; that of the last checkpoint
	// may be the one before a promotion.
	var wal string
	err = conn.QueryRow(ctx, `SELECT s.system_identifier::pg_catalog.text, l.lsn::pg_catalog.text, pg_catalog.pg_walfile_name(l.lsn), pg_catalog.current_database()::pg_catalog.text
		FROM pg_catalog.pg_control_system() AS s CROSS JOIN pg_catalog.pg_current_wal_lsn() AS l (lsn)`).Scan(&d.System, &d.LSN, &wal, &d.Name)
	if err != nil {
		return d, fmt.Errorf("which copy of the database it is: %w", err)
	}
	timeline, err := hex.DecodeString(wal[:min(8, len(wal))])
	if err != nil || len(timeline) != 4 {
		return d, errors.New("which copy of the database it is: the name of its WAL file has no timeline")
	}
	d.Timeline = binary.BigEndian.Uint32(timeline)
	return d, nil
}

// See writes down that the rows of an erasure are gone: in the database first,
// durably, and then in the ledger, so that a crash between them leaves one that is
// under way. The entry is the intention. From then on a restore is noticed.
func (l *Ledger) See(ctx context.Context, conn *pgx.Conn, e Entry) error {
	if err := see(ctx, conn, e); err != nil {
		return err
	}
	err := l.locked(func() error {
		if _, carried := l.carried[e.Seq]; carried {
			return nil
		}
		return l.append(&Entry{State: Carried, Of: e.Seq, Request: e.Request, Kind: e.Kind})
	})
	if err != nil {
		return fmt.Errorf("ledger of erasures: %w", err)
	}
	return nil
}

// see notes in the database that it has carried erasures out, durably.
func see(ctx context.Context, conn *pgx.Conn, entries ...Entry) error {
	seqs, digests := make([]int64, len(entries)), make([][]byte, len(entries))
	for i, e := range entries {
		if e.State != Intended {
			return fmt.Errorf("noting an erasure in the database: entry %d is %s, no intention", e.Seq, e.State)
		}
		seqs[i], digests[i] = int64(e.Seq), e.Digest[:]
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO pgveil.erasures_seen (seq, digest)
			SELECT n.seq, n.digest FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.bytea[])) AS n (seq, digest)
			ON CONFLICT (digest) DO NOTHING`, seqs, digests)
		return err
	})
	if err != nil {
		return fmt.Errorf("noting an erasure in the database: %w", err)
	}
	return nil
}

// Standing is how a database stands to the ledger.
type Standing struct {
	Database Database
	Before   Database // the copy that the ledger saw last
	Missing  []uint64 // intentions that were carried out, and that the database does not know of
	Unknown  []uint64 // that the database has carried out and the ledger does not hold
}

// Restored tells whether the database is older than the ledger: persons who were
// erased are in it.
func (s Standing) Restored() bool { return len(s.Missing) > 0 }

// Moved tells whether the database is another copy than the one before: it was
// restored, or a standby of it promoted.
func (s Standing) Moved() bool {
	return s.Before != (Database{}) && !s.Database.sameCopy(s.Before)
}

// Compare finds out how the database stands to the ledger. Erasures may go on
// meanwhile.
func (l *Ledger) Compare(ctx context.Context, conn *pgx.Conn) (s Standing, err error) {
	if s.Database, err = Locate(ctx, conn); err != nil {
		return s, err
	}
	// What is carried out now was seen before, so it must be found in what is read after.
	must := map[uint64]Digest{}
	err = l.locked(func() error {
		s.Before = l.copyOf
		for seq := range l.carried {
			must[seq] = l.begun[seq].Digest
		}
		return nil
	})
	if err != nil {
		return s, fmt.Errorf("ledger of erasures: %w", err)
	}
	seen, err := readSeen(ctx, conn)
	if err != nil {
		return s, fmt.Errorf("comparing the database with the ledger of erasures: %w", err)
	}
	for seq, digest := range must {
		if _, ok := seen[digest]; !ok {
			s.Missing = append(s.Missing, seq)
		}
	}
	// And what was seen was begun before, so it must be in the ledger by now.
	err = l.locked(func() error {
		for digest, seq := range seen {
			if l.begun[seq].Digest != digest {
				s.Unknown = append(s.Unknown, seq)
			}
		}
		return nil
	})
	slices.Sort(s.Missing)
	slices.Sort(s.Unknown)
	return s, err
}

// readSeen gives the entries that a database has carried out, with their seqs;
// none where it has no such table.
func readSeen(ctx context.Context, conn *pgx.Conn) (map[Digest]uint64, error) {
	seen := map[Digest]uint64{}
	rows, err := conn.Query(ctx, "SELECT s.seq, s.digest FROM pgveil.erasures_seen AS s")
	if err == nil {
		var seq int64
		var digest []byte
		_, err = pgx.ForEachRow(rows, []any{&seq, &digest}, func() error {
			seen[Digest(digest)] = uint64(seq)
			return nil
		})
	}
	var e *pgconn.PgError
	if errors.As(err, &e) && (e.Code == "42P01" || e.Code == "3F000") {
		return seen, nil
	}
	return seen, err
}

// Observe writes down that the database is another copy than before. It tells
// whether this call was the first to say so.
func (l *Ledger) Observe(d Database) (first bool, err error) {
	err = l.locked(func() error {
		if l.copyOf != (Database{}) && l.copyOf.sameCopy(d) {
			return nil
		}
		first = l.copyOf != (Database{})
		return l.append(&Entry{State: Observed, Database: d})
	})
	if err != nil {
		return false, fmt.Errorf("ledger of erasures: %w", err)
	}
	return first, nil
}

// Settle writes down that what a restore brought back was erased again, or that
// an operator lets traffic in without that, and then has the database say that
// it has carried out all that is done.
func (l *Ledger) Settle(ctx context.Context, conn *pgx.Conn, s Standing, how State, by, note string) error {
	if how != Replayed && (how != Accepted || by == "" || note == "") {
		return errors.New("ledger of erasures: who accepts a restored database says who they are and why")
	}
	var missing []Entry
	err := l.locked(func() error {
		for _, seq := range s.Missing {
			missing = append(missing, l.begun[seq])
		}
		return l.append(&Entry{State: how, Database: s.Database, By: by, Note: note})
	})
	if err != nil {
		return fmt.Errorf("ledger of erasures: %w", err)
	}
	return see(ctx, conn, missing...)
}
