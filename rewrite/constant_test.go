package rewrite

import (
	"testing"

	"github.com/pgveil/pgveil/rewrite/parse"
)

func TestFoldIntegers(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"SELECT a WHERE a <= ('1000000')::int", "SELECT a WHERE a <= 1000000"},
		{"SELECT a WHERE '0'::int = a + '2147483647'::int OR a = '5'::int4", "SELECT a WHERE 0 = (a + 2147483647) OR a = '5'::int4"},
		{"SELECT a WHERE EXISTS (SELECT 1 ORDER BY '1'::int)", "SELECT a WHERE EXISTS (SELECT 1 ORDER BY '1'::int)"},
		{"SELECT a WHERE a = '-1'::int AND a = '+1'::int", "SELECT a WHERE a = '-1'::int AND a = '+1'::int"},
		{"SELECT a WHERE a = '2147483648'::int", "SELECT a WHERE a = '2147483648'::int"},
		{"SELECT a WHERE a = ' 1'::int OR a = '01'::int OR a = ''::int", "SELECT a WHERE a = ' 1'::int OR a = '01'::int OR a = ''::int"},
		{"SELECT a WHERE a = '1'::bigint OR a = '1'::text", "SELECT a WHERE a = '1'::bigint OR a = '1'::text"},
		{"SELECT a WHERE a = '1'::int[] OR a = '1'::app.int4", "SELECT a WHERE a = '1'::int[] OR a = '1'::app.int4"},
	} {
		n, err := parse.ParseOne(tt.in)
		if err != nil {
			t.Fatalf("%s: %v", tt.in, err)
		}
		want, err := canonical(tt.want)
		if err != nil {
			t.Fatalf("%s: %v", tt.want, err)
		}
		if foldIntegers(n); !parse.Equal(n, want) {
			got, err := parse.Deparse(n)
			t.Errorf("%s becomes %s, %v, want %s", tt.in, got, err, tt.want)
		}
	}
}
