package shred

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgveil/pgveil/seal"
)

//go:embed schema.sql
var schema string

// Store is the database of data keys.
type Store struct{ pool *pgxpool.Pool }

// storeWithin is how long the store may take to answer.
const storeWithin = 10 * time.Second

// maxConns is how many connections a process has to the store.
const maxConns = 4

// Open gives the store that a connection string leads to. password, where it is not nil,
// gives the password whenever a connection is made; none is made yet.
func Open(ctx context.Context, dsn string, password func() (string, error)) (*Store, error) {
	c, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the connection string of the store of data keys is not understood") // pgx's error may quote a password
	}
	if c.ConnConfig.Password != "" && strings.Contains(dsn, c.ConnConfig.Password) {
		return nil, errors.New("the password of the store of data keys is in a file, not in its connection string")
	}
	if password != nil {
		c.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) (err error) {
			c.Password, err = password()
			return err
		}
	}
	c.MaxConns = maxConns
	c.ConnConfig.ConnectTimeout = storeWithin
	c.ConnConfig.RuntimeParams["application_name"] = "pgveil data keys"
	c.ConnConfig.RuntimeParams["search_path"] = "pg_catalog"
	c.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Store{pool}, nil
}

// Close ends the connections.
func (s *Store) Close() { s.pool.Close() }

// Prepare makes the store's tables where they are missing.
func (s *Store) Prepare(ctx context.Context) error {
	var there bool
	if err := s.pool.QueryRow(ctx, "SELECT to_regclass('pgveil.data_keys') IS NOT NULL AND to_regclass('pgveil.reapings') IS NOT NULL").Scan(&there); err != nil {
		return fmt.Errorf("the store of data keys: %w", err)
	}
	if there {
		return nil
	}
	if _, err := s.pool.Exec(ctx, schema); err != nil {
		return fmt.Errorf("making the tables of data keys: %w", err)
	}
	return nil
}

// System gives the number that PostgreSQL gave the store's cluster when it was made:
// replicas and what is restored from its backups have the same.
func (s *Store) System(ctx context.Context) (id int64, err error) {
	err = s.pool.QueryRow(ctx, SystemSQL).Scan(&id)
	return id, err
}

// SystemSQL asks a server for the number of its cluster.
const SystemSQL = "SELECT system_identifier FROM pg_catalog.pg_control_system()"

// Make makes keys for a class, wrapped under its primary key, and has them in the
// store, durably.
func (s *Store) Make(ctx context.Context, ring *seal.Ring, class string, n int) ([]seal.DataKey, error) {
	keys := make([]seal.DataKey, 0, n)
	first := block()
	rows := func(i int) ([]any, error) {
		k, by, wrapped, err := ring.NewDataKey(class, first+seal.DataKeyID(i))
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
		return []any{int64(k.ID), int64(by), wrapped}, nil
	}
	_, err := s.pool.CopyFrom(ctx, pgx.Identifier{"pgveil", "data_keys"}, []string{"id", "key", "wrapped"}, pgx.CopyFromSlice(n, rows))
	if err != nil {
		return nil, fmt.Errorf("making data keys: %w", err)
	}
	return keys, nil
}

// maxMade is how many keys are made at once: as many as a block of ids has.
const maxMade = 1 << 14

// block begins a range of ids that nobody has used. Where two met by chance, one in
// 2^50 for each, the store would refuse the second.
func block() seal.DataKeyID {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return seal.DataKeyID(binary.BigEndian.Uint64(b[:]) &^ (maxMade - 1))
}

// Fetch gives keys to found that are in the store and can be unwrapped. Of one that is
// there and cannot be, the error says why.
func (s *Store) Fetch(ctx context.Context, ring *seal.Ring, ids []seal.DataKeyID, found func(seal.DataKey)) error {
	rows, err := s.pool.Query(ctx, "SELECT id, key, wrapped FROM pgveil.data_keys WHERE id = ANY($1)", numbers(ids))
	if err != nil {
		return fmt.Errorf("fetching data keys: %w", err)
	}
	defer rows.Close()
	var odd error
	for rows.Next() {
		var id, by int64
		var wrapped []byte
		if err := rows.Scan(&id, &by, &wrapped); err != nil {
			return err
		}
		k, err := ring.DataKey(seal.DataKeyID(id), uint32(by), wrapped)
		if err != nil {
			odd = errors.Join(odd, fmt.Errorf("data key %016x: %w", uint64(id), err))
			continue
		}
		found(k)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("fetching data keys: %w", err)
	}
	return odd
}

func numbers(ids []seal.DataKeyID) []int64 {
	all := make([]int64, len(ids))
	for i, id := range ids {
		all[i] = int64(id)
	}
	return all
}

// destroyed is the channel on which processes hear what was destroyed: ids in
// hexadecimal, or nothing for more than a message has room for.
const destroyed = "pgveil_data_keys"

const maxTold = 400

// Destroy destroys keys, durably, and tells everybody who has them cached. n is how
// many there were.
func (s *Store) Destroy(ctx context.Context, ids []seal.DataKeyID) (n int64, err error) {
	told := ""
	if len(ids) <= maxTold {
		all := make([]string, len(ids))
		for i, id := range ids {
			all[i] = strconv.FormatUint(uint64(id), 16)
		}
		told = strings.Join(all, " ")
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "DELETE FROM pgveil.data_keys WHERE id = ANY($1)", numbers(ids))
		if err != nil {
			return err
		}
		n = tag.RowsAffected()
		_, err = tx.Exec(ctx, "SELECT pg_notify($1, $2)", destroyed, told)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("destroying data keys: %w", err)
	}
	return n, nil
}

// Count tells how many keys there are.
func (s *Store) Count(ctx context.Context) (n int64, err error) {
	err = s.pool.QueryRow(ctx, "SELECT count(*) FROM pgveil.data_keys").Scan(&n)
	return n, err
}

// Rewrap wraps the keys that are wrapped under another key of a class than its primary
// one under that. Once those other keys are destroyed, old copies of the store hold
// nothing that opens. progress hears how many it were so far.
func (s *Store) Rewrap(ctx context.Context, ring *seal.Ring, class string, progress func(n int64)) (n int64, err error) {
	for _, old := range ring.Wraps(class) {
		for after := int64(math.MinInt64); ; {
			did, last, err := s.rewrapSome(ctx, ring, old, after)
			if err != nil {
				return n, fmt.Errorf("wrapping data keys anew: %w", err)
			}
			if did == 0 {
				break
			}
			n, after = n+int64(did), last
			progress(n)
		}
	}
	return n, nil
}

// rewrapSome wraps some keys anew, in the order of their ids, that are behind one.
func (s *Store) rewrapSome(ctx context.Context, ring *seal.Ring, old uint32, after int64) (n int, last int64, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SELECT id, wrapped FROM pgveil.data_keys WHERE id > $1 AND key = $2 ORDER BY id LIMIT 5000 FOR UPDATE", after, int64(old))
		if err != nil {
			return err
		}
		var ids []int64
		var all [][]byte
		var key int64
		var id int64
		var wrapped []byte
		_, err = pgx.ForEachRow(rows, []any{&id, &wrapped}, func() error {
			now, out, again, err := ring.Rewrap(seal.DataKeyID(id), old, wrapped)
			if err != nil || !again {
				return errors.Join(err, fmt.Errorf("data key %016x cannot be wrapped anew", uint64(id)))
			}
			key, ids, all = int64(now), append(ids, id), append(all, out)
			return nil
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		n, last = len(ids), ids[len(ids)-1]
		_, err = tx.Exec(ctx, "UPDATE pgveil.data_keys d SET key = $1, wrapped = n.wrapped FROM unnest($2::bigint[], $3::bytea[]) n(id, wrapped) WHERE d.id = n.id", key, ids, all)
		return err
	})
	return n, last, err
}
