package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func row(json string) *Row { return &Row{JSON: []byte(json)} }

func sealedImages(t *testing.T, s *Sealer, now time.Time, ref uint64, key []string, changes ...Change) Record {
	t.Helper()
	r := Record{Kind: KindImages, Ref: ref, Session: "s", Relation: "crm.customers"}
	var i Images
	for _, c := range changes {
		if !i.Add(key, c) {
			t.Fatal("there is no room")
		}
	}
	if err := s.SealImages(now, &r, &i); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestImages seals rows before and after, opens them, and follows a row by its
// hashes from process to process within a month, and not from table to table.
func TestImages(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var sealers []*Sealer
	for range 2 {
		s, err := NewSealer(dir, "crm.example.com/audit", bytes.Repeat([]byte{7}, 32))
		if err != nil {
			t.Fatal(err)
		}
		sealers = append(sealers, s)
	}
	a, b := sealers[0], sealers[1]
	one, two, three := `{"id":1,"name":"Ann","tags":["x",null]}`, `{"id":1,"name":"Eve","tags":["x",null]}`, `{"id":1,"name":"Eve","tags":null}`
	first := sealedImages(t, a, at, 4, []string{"id"}, Change{After: row(one)})
	second := sealedImages(t, a, at, 7, []string{"id"}, Change{Before: row(one), After: row(two)}, Change{Before: row(`{"id":2}`), Doubt: true})
	third := sealedImages(t, b, at, 9, []string{"id"}, Change{Before: row(two), After: row(three)})
	if first.Images[0].Before != "" || first.Images[0].After != second.Images[0].Before || second.Images[0].After != third.Images[0].Before {
		t.Errorf("the trail is broken: %+v, %+v, %+v", first.Images, second.Images, third.Images)
	}
	if second.Images[0].Before == second.Images[0].After || !second.Images[1].Doubt || second.Images[1].After != "" {
		t.Errorf("%+v", second.Images)
	}
	sum := sha256.Sum256([]byte(one))
	summed := sealedImages(t, a, at, 11, nil, Change{Before: &Row{Sum: sum[:]}, After: &Row{}})
	if got := summed.Images[0]; got.Before != first.Images[0].After || got.After != Unhashed || !got.Cut {
		t.Errorf("of a row that was only hashed: %+v", got)
	}
	next := sealedImages(t, a, at.AddDate(0, 1, 0), 12, nil, Change{After: row(one)})
	elsewhere := Record{Kind: KindImages, Session: "s", Relation: "crm.leads"}
	var i Images
	i.Add(nil, Change{After: row(one)})
	if err := a.SealImages(at, &elsewhere, &i); err != nil {
		t.Fatal(err)
	}
	if h := first.Images[0].After; next.Images[0].After == h || elsewhere.Images[0].After == h {
		t.Error("a hash is the same in another month, or of another table")
	}
	if len(first.Images[0].After) != 43 || strings.Contains(fmt.Sprint(first, second, third), "Ann") {
		t.Errorf("%+v", first)
	}
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for _, tt := range []struct {
		record Record
		want   []*Values
	}{
		{first, []*Values{{Key: map[string]json.RawMessage{"id": raw("1")}, After: map[string]json.RawMessage{"id": raw("1"), "name": raw(`"Ann"`), "tags": raw(`["x",null]`)}}}},
		{second, []*Values{
			{Key: map[string]json.RawMessage{"id": raw("1")}, Before: map[string]json.RawMessage{"name": raw(`"Ann"`)}, After: map[string]json.RawMessage{"name": raw(`"Eve"`)}},
			{Key: map[string]json.RawMessage{"id": raw("2")}, Before: map[string]json.RawMessage{"id": raw("2")}},
		}},
		{third, []*Values{{Key: map[string]json.RawMessage{"id": raw("1")}, Before: map[string]json.RawMessage{"tags": raw(`["x",null]`)}, After: map[string]json.RawMessage{"tags": raw("null")}}}},
		{summed, []*Values{nil}},
	} {
		got, err := b.OpenImages(&tt.record)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("opened (-want +got):\n%s", diff)
		}
	}
	for _, spoil := range []func(*Record){
		func(r *Record) { r.Ref = 5 }, func(r *Record) { r.Relation = "crm.leads" }, func(r *Record) { r.Session = "x" },
		func(r *Record) { r.Images = r.Images[:0] }, func(r *Record) { r.Sealed = first.Sealed },
	} {
		r := second
		spoil(&r)
		if got, err := b.OpenImages(&r); err == nil {
			t.Errorf("opened as of another: %+v gives %+v", r, got)
		}
	}
	if gone, err := a.Destroy(at.AddDate(0, 2, 0)); err != nil || len(gone) != 6 {
		t.Errorf("destroyed %q, %v", gone, err)
	}
	if _, err := b.OpenImages(&second); !errors.Is(err, ErrDestroyed) {
		t.Errorf("opened without the key: %v", err)
	}
}

// TestImagesFit fills records with as much as they take, and none is cut.
func TestImagesFit(t *testing.T) {
	s, err := NewSealer(t.TempDir(), strings.Repeat("o", 200), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	for _, size := range []int{0, 10, 300, 12 << 10, maxContents - 40, maxContents, 1 << 20} {
		var i Images
		change := func(n int) Change {
			text := fmt.Sprintf(`{"id":%d,"t":"%s"}`, n, strings.Repeat("<", size))
			return Change{Before: row(`{"id":0}`), After: row(text), Doubt: true}
		}
		n := 0
		for i.Add([]string{"id"}, change(n)) {
			n++
		}
		if n == 0 || n > maxImages || n != i.Len() {
			t.Errorf("%d rows of %d bytes fit", n, size)
		}
		r := Record{Seq: 1, Kind: KindImages, Ref: 1 << 63, Session: strings.Repeat("s", 64), Login: strings.Repeat("l", 64), Relation: strings.Repeat("\x01", 127)}
		if err := s.SealImages(at, &r, &i); err != nil {
			t.Fatal(err)
		}
		body := appendFitting(nil, &r)
		if want := appendBody(nil, &r); !bytes.Equal(body, want) {
			t.Errorf("a record with %d images of %d bytes is cut: it takes %d", n, size, len(want))
		}
		if values, err := s.OpenImages(&r); err != nil || len(values) != n || (values[0] == nil) != r.Images[0].Cut {
			t.Errorf("%d values, %v", len(values), err)
		}
	}
	cutImages := trimmed(&Record{Images: make([]Image, 1000), Missing: 5}, 1000)
	if cutImages.Missing+int64(len(cutImages.Images)) != 1005 {
		t.Errorf("%d images and %d missing of 1005", len(cutImages.Images), cutImages.Missing)
	}
}

// TestReady finds out beforehand that nothing can be sealed.
func TestReady(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := NewSealer(dir, "", bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(time.Now()); err == nil {
		t.Error("ready without a folder")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(time.Now()); err != nil {
		t.Error(err)
	}
	if names, err := s.names(); err != nil || len(names) != 2 {
		t.Errorf("%q, %v", names, err)
	}
}
