package mask

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
)

func digest(message string) []byte {
	h := hmac.New(sha256.New, testKey)
	h.Write([]byte(message))
	return h.Sum(nil)
}

// TestPseudonyms computes what the server should, with the standard library.
func TestPseudonyms(t *testing.T) {
	conn := connect(t)
	exec(t, conn, `CREATE EXTENSION citext; CREATE TABLE k (a text, b varchar(20), c char(16), d citext, e int, f bigint, g uuid);
		INSERT INTO k VALUES ('Ada', 'Ada', 'Ada', 'ADA', 42, 42, '11111111-1111-1111-1111-111111111111')`)
	r := relation(t, conn, "k")
	text := func(message string) string { return hex.EncodeToString(digest(message)[:8]) }
	uuid := hex.EncodeToString(digest("token:5:email:11111111-1111-1111-1111-111111111111")[:16])
	for _, tt := range []struct{ mask, column, want string }{
		{"token", "a", text("token:5:email:Ada")},
		{"token", "b", text("token:5:email:Ada")},
		{"token", "c", text("token:5:email:Ada")},
		{"token", "d", text("token:5:email:ada")},
		{"hash", "a", text("hash:6:public1:k1:a:Ada")},
		{"hash", "b", text("hash:6:public1:k1:b:Ada")},
		{"token", "e", fmt.Sprint(binary.BigEndian.Uint32(digest("token:5:email:42")) >> 1)},
		{"token", "f", fmt.Sprint(binary.BigEndian.Uint64(digest("token:5:email:42")) >> 1)},
		{"token", "g", uuid[:8] + "-" + uuid[8:12] + "-" + uuid[12:16] + "-" + uuid[16:20] + "-" + uuid[20:]},
	} {
		c, _ := r.Column(tt.column)
		got := texts(t, conn, "SELECT ("+expr(t, parseMask(t, tt.mask), r, c)+")::text FROM k t")
		if want := []string{tt.want}; !slices.Equal(got, want) {
			t.Errorf("%s of %s = %q, want %q", tt.mask, tt.column, got, want)
		}
	}
}

// TestNoKeyNoPseudonym pins that a missing or spoilt key never gives a digest.
func TestNoKeyNoPseudonym(t *testing.T) {
	e := expr(t, policy.Mask{Kind: policy.MaskToken}, &textTable, &textColumn)
	query := "SELECT " + e + " FROM (VALUES ('Ada')) t(v)"
	conn := connect(t)
	for _, setting := range []string{InnerSetting, OuterSetting} {
		for _, value := range []string{"", "00", "36363636"} {
			exec(t, conn, fmt.Sprintf("SET %s = '%s'", setting, value))
			if got := texts(t, conn, query); got[0] != "NULL" {
				t.Errorf("with %s = %q: %s", setting, value, got)
			}
		}
		exec(t, conn, "RESET "+setting)
	}
	if got := texts(t, conn, query); got[0] == "NULL" {
		t.Error("with the settings back: NULL")
	}
	other, err := pgx.ConnectConfig(t.Context(), withoutSettings(conn.Config()))
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(t, other, query); got[0] != "NULL" {
		t.Errorf("without the settings: %s", got)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func withoutSettings(c *pgx.ConnConfig) *pgx.ConnConfig {
	delete(c.RuntimeParams, InnerSetting)
	delete(c.RuntimeParams, OuterSetting)
	return c
}

func TestTokenNeedsClass(t *testing.T) {
	if e, err := Expr(policy.Mask{Kind: policy.MaskToken}, "", &textTable, &textColumn, "t.v"); err == nil {
		t.Errorf("Expr without a class gives %s", e)
	}
}

func TestLabelsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range []string{label("token", "a"), label("token", "a:"), label("hash", "a"), label("hash", "a", "b", "c"),
		label("hash", "a1:b", "c"), label("hash", "a", "1:bc"), label("hash", "ab", "", "c"), label("hash", "a", "b", "")} {
		if seen[l] {
			t.Errorf("%q twice", l)
		}
		seen[l] = true
	}
}

func TestSettingsRefuseOtherKeys(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33, 64} {
		if _, err := Settings(make([]byte, n)); err == nil {
			t.Errorf("Settings takes a key of %d bytes", n)
		}
	}
}
