package state

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed honey.sql
var honeySchema string

// Honey is a planted record: a row of a kind of data subject that is about
// nobody, and that nobody has a reason to touch.
type Honey struct {
	Kind, Key string
	Adopted   bool // the row was there before: it is not ours to delete
	Planted   time.Time
}

// PlantHoney remembers a planted record. It tells whether it was not one before.
func (s *Store) PlantHoney(ctx context.Context, kind, key string, adopted bool) (planted bool, err error) {
	digest, err := s.honeyDigest(kind, key)
	if err != nil {
		return false, err
	}
	aead, err := s.honeySealer()
	if err != nil {
		return false, err
	}
	sealed := aead.Seal(nil, nil, []byte(key), []byte(kind))
	n, err := s.exec(ctx, "remembering a planted record", `INSERT INTO pgveil.honey (kind, digest, sealed, adopted) VALUES ($1, $2, $3, $4)
		ON CONFLICT DO NOTHING`, kind, digest, sealed, adopted)
	return n == 1, err
}

// ForgetHoney forgets a planted record. It tells whether it was one.
func (s *Store) ForgetHoney(ctx context.Context, kind, key string) (forgotten bool, err error) {
	digest, err := s.honeyDigest(kind, key)
	if err != nil {
		return false, err
	}
	n, err := s.exec(ctx, "forgetting a planted record", "DELETE FROM pgveil.honey WHERE kind = $1 AND digest = $2", kind, digest)
	return n == 1, err
}

// UnreadableError says that planted records do not open under the key: it is
// another, or somebody else wrote the rows.
type UnreadableError struct{ Rows int }

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("%d planted records do not open under pgveil's key", e.Rows)
}

// Honey gives all planted records. Those that do not open are left out, and an
// *UnreadableError besides says so.
func (s *Store) Honey(ctx context.Context) ([]Honey, error) {
	var all []Honey
	err := s.use(ctx, "reading planted records", func(c *pgx.Conn) error {
		aead, err := s.honeySealer()
		if err != nil {
			return err
		}
		rows, err := c.Query(ctx, "SELECT kind, sealed, adopted, planted_on FROM pgveil.honey ORDER BY planted_on, digest")
		if err != nil {
			return err
		}
		all = nil
		unreadable := &UnreadableError{}
		var h Honey
		var sealed []byte
		_, err = pgx.ForEachRow(rows, []any{&h.Kind, &sealed, &h.Adopted, &h.Planted}, func() error {
			key, err := aead.Open(nil, nil, sealed, []byte(h.Kind))
			if err != nil {
				unreadable.Rows++
				return nil
			}
			h.Key = string(key)
			all = append(all, h)
			return nil
		})
		if err == nil && unreadable.Rows > 0 {
			err = unreadable
		}
		return err
	})
	return all, err
}

// honeyDigest is what a planted record is known by: the same for the same record,
// and without the key nothing that could be tried out.
func (s *Store) honeyDigest(kind, key string) ([]byte, error) {
	secret, err := s.subkey("planted records")
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, secret)
	fmt.Fprintf(h, "%q %q", kind, key)
	return h.Sum(nil), nil
}

func (s *Store) honeySealer() (cipher.AEAD, error) {
	secret, err := s.subkey("keys of planted records")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
