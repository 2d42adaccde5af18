package audit

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// stdlib is what the payload of a record must be.
func stdlib(tb testing.TB, r *Record) string {
	tb.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		tb.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func payload(r *Record) string { return string(appendBody(appendHead(nil, r.Seq, r.Time), r)) }

// everything fills every field, by reflection, so that a field that is added
// and not written is noticed.
func everything(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() != reflect.TypeFor[Encoded]() {
			v.SetString(text)
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(math.MinInt64)
	case reflect.Uint64:
		v.SetUint(math.MaxUint64)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			everything(v.Index(i), text)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)))
			return
		}
		for i := range v.NumField() {
			everything(v.Field(i), text)
		}
	}
}

var texts = []string{
	"", "plain", `"quoted" \ and / <b>&amp;</b>`, "\x00\x01\b\t\n\v\f\r\x1f\x7f", "žluťoučký 漢字 🐘",
	"\u2028\u2029\ufffd\ufeff", "\xff\xc3\x28 cut \xe2\x82", "\xed\xa0\x80",
}

func TestEncodeAsStdlib(t *testing.T) {
	for _, text := range texts {
		var r Record
		everything(reflect.ValueOf(&r).Elem(), text)
		if got, want := payload(&r), stdlib(t, &r); got != want {
			t.Errorf("payload of %q:\n got %s\nwant %s", text, got, want)
		}
		parts := r
		parts.Caller, parts.Statement = r.EncodeCaller(), r.EncodeStatement()
		if got, want := payload(&parts), stdlib(t, &r); got != want {
			t.Errorf("payload of %q in parts:\n got %s\nwant %s", text, got, want)
		}
		var back Record
		if err := json.Unmarshal([]byte(payload(&r)), &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, back); utf8.ValidString(text) && diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	}
	if got, want := payload(&Record{}), stdlib(t, &Record{}); got != want {
		t.Errorf("payload of nothing = %s, want %s", got, want)
	}
	if n := len(appendHead(nil, math.MaxUint64, time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC))); n > maxHead {
		t.Errorf("a head can be %d bytes long", n)
	}
}

func FuzzEncodeString(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := Record{Shape: s, Columns: []Column{{Name: s}}}
		if got, want := payload(&r), stdlib(t, &r); got != want {
			t.Errorf("payload:\n got %s\nwant %s", got, want)
		}
	})
}

// TestLongRecords appends records that are too long in each way, and in all.
func TestLongRecords(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, small())
	var many []string
	for range 5000 {
		many = append(many, "0123456789abcdef0123456789abcdef")
	}
	var all Record
	everything(reflect.ValueOf(&all).Elem(), strings.Repeat("\x01", 100_000))
	all.Kind = KindStatement
	records := []Record{
		{Kind: KindStatement, Shape: strings.Repeat("SELECT 'ž' ", 20_000)},
		{Kind: KindStatement, Shape: strings.Repeat("\x01", maxPayload)},
		{Kind: KindStatement, Columns: make([]Column, 5000)},
		{Kind: KindOutcome, Subjects: many, Reasons: many, Roles: many},
		all,
	}
	for _, r := range records {
		r.Caller, r.Statement = r.EncodeCaller(), r.EncodeStatement()
		records = append(records, r)
	}
	for i := range records {
		if _, err := l.Append(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	for i, r := range readAll(t, dir, 0) {
		if n := len(payload(&r)); n > maxPayload || n < maxPayload/5 {
			t.Errorf("record %d has %d bytes", i, n)
		}
		if !utf8.ValidString(r.Shape) || !strings.Contains(payload(&r), " more)") {
			t.Errorf("record %d does not tell that it was cut", i)
		}
	}
	if _, err := Verify(dir); err != nil {
		t.Error(err)
	}
}

func TestTimeOfRecords(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, Options{SegmentSize: minSegmentSize, Now: fixedClock})
	own := time.Date(2020, 2, 29, 1, 2, 3, 4, time.FixedZone("", 3600))
	for _, at := range []time.Time{{}, own, time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)} {
		want := fixedClock()
		if at.Equal(own) {
			want = own
		}
		r := Record{Kind: KindSystem, Time: at}
		if _, err := l.Append(&r); err != nil || !r.Time.Equal(want) {
			t.Errorf("Append with time %v: %v, %v; want %v", at, r.Time, err, want)
		}
		if got := readAll(t, dir, r.Seq)[0].Time; !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("read back %v, want %v", got, want)
		}
	}
	closeLog(t, l)
}
