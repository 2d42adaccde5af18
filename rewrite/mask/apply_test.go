package mask

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
)

// valuesOf gives Values of a column of the tests' tables.
func valuesOf(table, typ string) Values {
	v := Values{Schema: "public", Table: table, Column: "v", Type: typ}
	if _, err := fmt.Sscanf(typ, "varchar(%d)", &v.Room); err == nil {
		v.Type = "varchar"
	}
	return v
}

// sealedCases are every type that values of sealed columns can have, with
// values at its edges; random ones are added.
var sealedCases = []struct {
	typ    string
	values []string
	random func(r *rand.Rand) string
}{
	{"text", hostileTexts, randomText},
	{"varchar", hostileTexts, randomText},
	{"varchar(1)", fitting(1), nil},
	{"varchar(5)", fitting(5), short(5)},
	{"varchar(15)", fitting(15), short(15)},
	{"varchar(16)", fitting(16), short(16)},
	{"varchar(40)", fitting(40), short(40)},
	{"bytea", []string{"", `\x00ff`, "***"}, nil},
	{"json", []string{"null", "{}", ` {"a": "b"}`}, nil},
	{"jsonb", []string{"null", "[]", `{"a": "b"}`}, nil},
	{"date", hostileDates("5874897-12-31", "10000-01-01"), randomDate},
	{"numeric", append(nastyNumbers, "NaN", "Infinity", "-Infinity", "99999999999999999999.9", "1e-300", "1e300", "-1e300", "1e5", "-0.0001", "0.5", "-0.5", "1.5",
		"-1.5", "2.50", "-2.50", "3.5", "-3.5", "-3.49", "-3.51", "1.000", "5.4999999999999999999", "-5.5000000000000000001", strings.Repeat("9", 131071), "1e131071",
		"-1e131071", "0."+strings.Repeat("0", 16382)+"1", "-0."+strings.Repeat("0", 16382)+"1"), randomNumeric},
	{"int2", append(nastyNumbers, "32767", "-32768", "32765"), randomInteger(16)},
	{"int4", append(nastyNumbers, "2147483647", "-2147483648"), randomInteger(32)},
	{"int8", append(nastyNumbers, "9223372036854775807", "-9223372036854775808", "9007199254740993"), randomInteger(64)},
	{"uuid", []string{"00000000-0000-0000-0000-000000000000", "FFFFFFFF-ffff-ffff-ffff-ffffffffffff"}, randomUUID},
	{"timestamp", hostileDates("294276-12-31 23:59:59.999999", "4713-01-01 00:00:00 BC", "0001-12-31 23:59:59.999999 BC"), randomTimestamp("")},
	{"timestamptz", hostileDates("294276-12-31 23:59:59.999999+00", "2000-01-01 00:30:00+02", "1999-12-31 23:30:00-02", "0001-12-31 23:59:59.999999+00 BC",
		"0001-01-01 00:30:00+01", "1900-01-01 00:00:00+00:19:32"), randomTimestamp("+00")},
	{"bool", []string{"true", "false"}, nil},
}

// hostileTexts are texts that character sets, directions and patterns make
// hard to handle.
var hostileTexts = append(nastyTexts, "\u0301", "a\u0301e\u0300\u0301\u0302@x", "👩‍👩‍👧‍👦 👩🏽‍🚀", "🇩🇪🇫🇷", "שלום עולם", "\u202eabc\u202c@x.org", "مرحبا@مثال.إختبار", "\ufeffBOM", "\u00a0no break\u00a0",
	"\u2003em \u3000wide", "\u0085next", "\u001b[31mred", "\u0001\u0002\u007f", "\v\f\r\n\t ", "  \v", "a\vb\fc", "İstanbul ı ß ﬁ", "\U0010ffff\U00010000", "١٢٣٤٥٦٧٨٩", "４１１１１１１１",
	"+49 (30) 1234-567", "1234567", "12-34-56-7", "123 -/ 4567", "(1234567", "+(1234567)", "1 2 3 4 5 6 7 8", "a1234567b", "1    234567890", "++49 30 1234567",
	"DE89 3704 0044 0532 0130 00", "xDE89370400440532013000", "_DE89370400440532013000", "éDE89370400440532013000é", "DE89370400440532013000_", "DE89-3704-0044-0532-0130-00",
	"GB82 WEST 1234 5698 7654 32 and more words", "DE893704004405320130001234567890123456789012", "AB12CDEF3456 7", "AB12CDEF3456GH", "AB12 CDEF GHIJ KLMN OPQR STUV WXYZ ABCD EFG HIJ",
	"http://a:b@c", "http://a@b@c d", "http://a/b@c", "x+y.z-1://u@h/p?q#r s", "1http://a@b", "http://http://a@b", "a://b://c@d", "://a@b", "http:// a@b", "http://é@ü/ñ",
	"a@b.c,d@e.f;g@h.i", "<a@b>", "a@@b", "@a@", "a b@c d", "a\u00a0b@c", "\"a b\"@c", "x@y:z", "a@"+strings.Repeat("d", 300), strings.Repeat("é", 60)+"@é",
	"1.2.3.4", "1.2.3.4.5", "1.2.3.", "1234.1.1.1", "255.255.255.255/32", "fe80::1%eth0", "a:b:c:d", "a:b::", "a::b", "12345::", "::ffff:1.2.3.4", " 1.2.3.4", "١.2.3.4",
	strings.Repeat("@", 5000), strings.Repeat("1 ", 60_000), strings.Repeat("http://x", 3000), strings.Repeat("AB12", 3000), strings.Repeat("a ", 1000), strings.Repeat("é", 100_050),
	strings.Repeat("x", 99_998)+"é@y", strings.Repeat(" ", 1500)+"x", strings.Repeat("日本", 600)+" x y")

func hostileDates(more ...string) []string {
	return append(nastyDates(more...), "0001-01-31", "0005-02-29 BC", "0001-02-29 BC", "0101-02-28", "2000-02-29", "9999-12-31", "1582-10-10", "0100-01-01", "1900-02-28")
}

func randomText(r *rand.Rand) string {
	letters := []rune("abAB0199@@@...:/+- ()'\"\\,\n\v\té漢🦄\u0301\u00a0\u202e")
	text := make([]rune, r.IntN(14)*(1+r.IntN(5)))
	for i := range text {
		text[i] = letters[r.IntN(len(letters))]
	}
	words := []string{"", "", "DE89 3704 0044 0532 0130 00", "http://a:b@c.de/", "+49 (30) 123456", "192.0.2.", "2001:db8:", "jane.doe@example.com"}
	at := r.IntN(len(text) + 1)
	return string(text[:at]) + words[r.IntN(len(words))] + string(text[at:])
}

func short(n int) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return string(head([]byte(randomText(r)), n)) }
}

func randomDate(r *rand.Rand) string {
	years := []int{50, 2100, 12_000, 5_874_000}
	bc := ""
	year := 1 + r.IntN(years[r.IntN(len(years))])
	if year < 4700 && r.IntN(4) == 0 {
		bc = " BC"
	}
	return fmt.Sprintf("%04d-%02d-%02d%s", year, 1+r.IntN(12), 1+r.IntN(28), bc)
}

func randomTimestamp(zone string) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		date, bc := strings.CutSuffix(randomDate(r), " BC")
		if len(date) > len("10000-01-01") { // later years than timestamps have
			date = date[2:]
		}
		text := fmt.Sprintf("%s %02d:%02d:%02d.%06d%s", date, r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1_000_000), zone)
		if bc {
			text += " BC"
		}
		return text
	}
}

func randomInteger(bits int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		return fmt.Sprint(int64(r.Uint64()) >> (64 - bits) >> r.IntN(bits))
	}
}

func randomNumeric(r *rand.Rand) string {
	text := []string{"", "-"}[r.IntN(2)] + fmt.Sprint(r.Uint64()>>r.IntN(64)) + strings.Repeat("7", r.IntN(30)*r.IntN(2))
	if behind := r.IntN(6); behind > 0 {
		text += "." + []string{"5", "50", "49", "51", "0", "99"}[r.IntN(6)] + fmt.Sprintf("%0*d", behind, r.IntN(10))
	}
	return text
}

func randomUUID(r *rand.Rand) string {
	h := fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// sealedMasks are further masks to those of maskCases.
var sealedMasks = []string{"constant(007)", "constant(-0.50)", "constant(-000.00)", "constant(0012.340)", "constant(false)", "constant(2020-02-29 1:02:03)",
	"constant(9999-12-31 23:59:59.9999999)", "constant(2020-01-01 00:00:00.0000005)", "constant(2020-01-01 00:00:00.0000015)", "constant(2020-01-01 00:00:00.1234565)",
	"constant(ABCDEF11-1111-1111-1111-111111111111)", "constant('')", "constant('🦄é')", "age_band(2)", "age_band(7)", "age_band(100)", "bucket(2)", "bucket(7)",
	"bucket(999999999)", "round(3)", "round(999999999)", "prefix(100)", "first(100)", "inner(2, 3)", "inner(100, 100)", "outer(0, 2)", "outer(100, 100)"}

// wire runs a query of one column and gives its values as the server sends
// them as text; NULL is nil.
func wire(t testing.TB, conn *pgx.Conn, query string) (values [][]byte) {
	t.Helper()
	result := conn.PgConn().ExecParams(t.Context(), query, nil, nil, nil, nil).Read()
	if result.Err != nil {
		t.Fatalf("%v\n%s", result.Err, query)
	}
	for _, row := range result.Rows {
		values = append(values, row[0])
	}
	return values
}

// TestApplierIsTheServer compares what Apply shows of values with what the
// server does, for every mask on every type that it is defined for.
func TestApplierIsTheServer(t *testing.T) {
	conn := connect(t)
	tried := map[string]bool{}
	for i, tc := range sealedCases {
		t.Run(tc.typ, func(t *testing.T) {
			name := fmt.Sprintf("s%d", i)
			random := rand.New(rand.NewPCG(5, uint64(i)))
			values := slices.Clone(tc.values)
			for tc.random != nil && len(values) < 3000 {
				values = append(values, tc.random(random))
			}
			exec(t, conn, fmt.Sprintf("CREATE TABLE %s (v %s, id int GENERATED ALWAYS AS IDENTITY)", name, tc.typ))
			if _, err := conn.Exec(t.Context(), fmt.Sprintf("INSERT INTO %s SELECT unnest($1::text[])::%s", name, tc.typ), values); err != nil {
				t.Fatal(err)
			}
			compareMasks(t, conn, name, valuesOf(name, tc.typ), tried)
		})
	}
	for _, k := range policy.MaskKinds() {
		for _, typ := range policy.SealTypes {
			v, err := policy.ValueType(typ, 0)
			if err != nil {
				t.Fatal(err)
			}
			defined := slices.ContainsFunc(allMasks(t), func(m policy.Mask) bool { return m.Kind == k && m.Applies(v) == nil })
			if defined && !tried[k.String()+typ] {
				t.Errorf("%s was not tried on %s", k, typ)
			}
		}
	}
}

func allMasks(t testing.TB) (masks []policy.Mask) {
	for _, s := range slices.Concat(maskCases, sealedMasks) {
		masks = append(masks, parseMask(t, s))
	}
	return masks
}

// compareMasks reads the table's values in several time zones, as they may
// have been when they were sealed.
func compareMasks(t *testing.T, conn *pgx.Conn, table string, v Values, tried map[string]bool) {
	r := relation(t, conn, table)
	zones := []string{"UTC"}
	if v.Type == "timestamptz" {
		zones = []string{"UTC", "Asia/Kolkata", "America/St_Johns", "Europe/Amsterdam", "Pacific/Apia"}
	}
	var values [][][]byte
	for _, zone := range zones {
		exec(t, conn, "SET TimeZone = '"+zone+"'")
		values = append(values, wire(t, conn, "SELECT v FROM "+table+" ORDER BY id"))
	}
	exec(t, conn, "SET TimeZone = 'UTC'")
	for _, m := range allMasks(t) {
		a, err := NewApplier(m, "email", v, testKey)
		if defined := m.Applies(r.Columns[0].Type) == nil; defined != (err == nil) {
			t.Errorf("%s of %s: %v, but defined for the column: %v", m, v.Type, err, defined)
		}
		if err != nil {
			continue
		}
		tried[m.Kind.String()+v.Type] = true
		want := wire(t, conn, "SELECT "+expr(t, m, r, &r.Columns[0])+" FROM "+table+" t ORDER BY id")
		for _, inZone := range values {
			compareValues(t, a, fmt.Sprintf("%s of %s", m, v.Type), v.Type == "bytea", inZone, want)
		}
	}
}

func compareValues(t *testing.T, a *Applier, what string, raw bool, values, want [][]byte) {
	if len(values) != len(want) || len(values) == 0 {
		t.Fatalf("%s: %d values, %d masked", what, len(values), len(want))
	}
	for i, value := range values {
		server := want[i]
		if raw {
			value, server = unescaped(t, value), unescaped(t, server)
		}
		before := slices.Clone(value)
		got, null := a.Apply([]byte("x"), value)
		if got = got[1:]; null != (server == nil) || !bytes.Equal(got, server) {
			t.Errorf("%s %.100q = %.100q, null %v; the server gives %.100q", what, value, got, null, server)
		}
		if !bytes.Equal(value, before) {
			t.Errorf("%s changes %.100q to %.100q", what, before, value)
		}
	}
}

// unescaped gives the bytes that PostgreSQL writes in hexadecimal.
func unescaped(t *testing.T, text []byte) []byte {
	if text == nil {
		return nil
	}
	raw, err := hex.DecodeString(strings.TrimPrefix(string(text), `\x`))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestApplierRefuses(t *testing.T) {
	for _, tt := range []struct {
		mask, class, typ string
		room             int
		key              []byte
	}{
		{"email", "c", "date", 0, testKey},
		{"token", "c", "int2", 0, testKey},
		{"token", "", "text", 0, testKey},
		{"token", "c", "varchar", policy.PseudonymLength - 1, testKey},
		{"constant('long')", "c", "varchar", 3, testKey},
		{"hash", "c", "text", 0, testKey[1:]},
		{"redact", "c", "float8", 0, testKey},
		{"redact", "c", "", 0, testKey},
	} {
		v := Values{"crm", "customers", "email", tt.typ, tt.room}
		if _, err := NewApplier(parseMask(t, tt.mask), tt.class, v, tt.key); err == nil {
			t.Errorf("NewApplier(%s, %q, %+v) with %d bytes of key: no error", tt.mask, tt.class, v, len(tt.key))
		}
	}
}

// TestApplierShowsNothing has what is no value of the type, and masks without
// what they need.
func TestApplierShowsNothing(t *testing.T) {
	if got, null := new(Applier).Apply(nil, []byte("Ada")); !null || len(got) > 0 {
		t.Errorf("the zero Applier shows %q", got)
	}
	for _, tt := range []struct {
		mask, typ string
		key       []byte
		value     string
	}{
		{"hash", "text", nil, "Ada"},
		{"token", "int8", nil, "42"},
		{"token", "text", testKey, "Ada\xff"},
		{"last(4)", "text", testKey, "4111\x001111"},
		{"scrub", "varchar", testKey, "\xc3"},
		{"token", "int4", testKey, "2147483648"},
		{"token", "int8", testKey, "4 2"},
		{"token", "uuid", testKey, "FFFFFFFF-ffff-ffff-ffff-ffffffffffff"},
		{"token", "uuid", testKey, "ffffffffffffffffffffffffffffffffffff"},
		{"bucket(10)", "int2", testKey, "32768"},
		{"bucket(10)", "int4", testKey, ""},
		{"bucket(10)", "numeric", testKey, "1e9"},
		{"bucket(10)", "numeric", testKey, "1."},
		{"bucket(10)", "numeric", testKey, "--1"},
		{"bucket(10)", "numeric", testKey, strings.Repeat("9", maxNumericWhole+1)},
		{"year", "date", testKey, "2023-02-29"},
		{"year", "date", testKey, "0000-01-01"},
		{"year", "date", testKey, "85-03-09"},
		{"year", "date", testKey, "09.03.1985"},
		{"year", "timestamp", testKey, "1985-03-09"},
		{"year", "timestamp", testKey, "1985-03-09 25:00:00"},
		{"year", "timestamp", testKey, "1985-03-09 00:00:00+00"},
		{"year", "timestamptz", testKey, "1985-03-09 00:00:00"},
		{"year", "timestamptz", testKey, "1985-03-09 00:00:00 CET"},
	} {
		a, err := NewApplier(parseMask(t, tt.mask), "c", valuesOf("t", tt.typ), tt.key)
		if err != nil {
			t.Fatal(err)
		}
		if got, null := a.Apply(nil, []byte(tt.value)); !null || len(got) > 0 {
			t.Errorf("%s of %s %.100q = %q, null %v, want NULL", tt.mask, tt.typ, tt.value, got, null)
		}
	}
}

// FuzzApply wants of any bytes, taken for a value of any type, that what is
// shown is text that fits, in time that the length bounds.
func FuzzApply(f *testing.F) {
	var appliers []*Applier
	for _, typ := range append(slices.Clone(policy.SealTypes), "varchar(7)", "varchar(20)") {
		for _, m := range allMasks(f) {
			if a, err := NewApplier(m, "c", valuesOf("t", typ), testKey); err == nil {
				appliers = append(appliers, a)
			}
		}
	}
	for _, tc := range sealedCases {
		for _, v := range tc.values {
			if len(v) < 500 { // long ones leave no time for others
				f.Add([]byte(v))
			}
		}
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		began := time.Now()
		for _, a := range appliers {
			got, null := a.Apply(nil, value)
			if null && len(got) > 0 || !utf8.Valid(got) || a.room > 0 && utf8.RuneCount(got) > a.room {
				t.Errorf("%.100q shows %.100q, null %v", value, got, null)
			}
		}
		if took, most := time.Since(began), time.Second+time.Duration(len(value)*len(appliers))*time.Microsecond; took > most {
			t.Errorf("%d bytes take %v", len(value), took)
		}
	})
}

func BenchmarkApply(b *testing.B) {
	for _, bb := range []struct{ mask, typ, value string }{
		{"null", "text", "jane.doe@example.com"}, {"redact", "text", "jane.doe@example.com"}, {"hash", "text", "jane.doe@example.com"},
		{"token", "int8", "42"}, {"age_band(10)", "int4", "47"}, {"age_band(10)", "date", "1985-03-09"}, {"year", "timestamp", "1985-03-09 12:30:00"},
		{"month", "timestamptz", "1985-03-09 12:30:00+02"}, {"round(100)", "int8", "48750"}, {"round(100)", "numeric", "48750.50"}, {"ip", "text", "192.0.2.7"},
		{"ip", "text", "2001:db8::1"}, {"initials", "text", "Ada Lovelace"}, {"prefix(3)", "text", "10115"}, {"phone", "text", "+49 (30) 1234-567"},
		{"email", "text", "jane.doe@example.com"}, {"last(4)", "text", "4111111111111111"}, {"inner(2, 2)", "varchar(40)", "DE44500105"},
		{"scrub", "text", "The order of last week has not come. Thank you!"},
		{"scrub", "text", "Mail jane.doe@example.com, or call +49 30 1234567 about the order of last week. Thank you!"},
	} {
		a, err := NewApplier(parseMask(b, bb.mask), "c", valuesOf("t", bb.typ), testKey)
		if err != nil {
			b.Fatal(err)
		}
		value, space := []byte(bb.value), make([]byte, 0, 256)
		b.Run(fmt.Sprintf("%s of %s, %d bytes", bb.mask, bb.typ, len(value)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a.Apply(space, value)
			}
		})
	}
}
