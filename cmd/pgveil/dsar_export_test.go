package main

import (
	"archive/zip"
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/internal/pgtest"
)

// TestDsarExport makes packages by the built program, with a process that
// serves and without.
func TestDsarExport(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	s.verb(t, 0, "schema", "--apply")
	org := "name: Acme\nauthority: The Authority\nsources: [a credit agency]\nautomated_decisions: none\n"
	if err := os.WriteFile(filepath.Join(s.dir, "acme.yaml"), []byte(org), 0o600); err != nil {
		t.Fatal(err)
	}
	s.verb(t, 0, "dsar", "export", "customer", "1", "--out", "a.zip", "--organisation", "acme.yaml")
	r := s.serve(t, "")
	conn, err := s.connect(t.Context(), r.address(t, listens), "sam")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var name string
		if err := conn.QueryRow(t.Context(), "SELECT first_name FROM customers WHERE id = 1").Scan(&name); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close(t.Context())
	said := s.verb(t, 0, "dsar", "export", "customer", "anna.keller@example.de", "--by", "email", "--out", "b.zip", "--request", "7", "--quiet", "--json")
	r.stop(t)
	var made struct {
		File    string
		Digest  string `json:"manifest_sha256"`
		Request int64
		Counts  map[string]int64
	}
	if err := json.Unmarshal([]byte(said), &made); err != nil || made.File != "b.zip" || made.Request != 7 || made.Counts["public.orders"] != 2 {
		t.Errorf("it says %s, %v", said, err)
	}
	for _, name := range []string{"a.zip", "b.zip"} {
		s.verb(t, 0, "dsar", "export", "--verify", name)
		if info, err := os.Stat(filepath.Join(s.dir, name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s is %v, %v", name, info.Mode(), err)
		}
	}
	want := "2 by nobody's role for " + dsar.Requests + ", 2 by sales_rep for sales, " // the export before, and this one
	if got := seenIn(t, filepath.Join(s.dir, "b.zip")); got != want {
		t.Errorf("who saw is %s, want %s", got, want)
	}
	for dir, want := range map[string]int{s.log(): 2, filepath.Join(s.log(), besideDir): 2} {
		var got []audit.Record
		for rec, err := range audit.Read(dir, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if rec.Kind == audit.KindPrivacy {
				got = append(got, rec)
			}
		}
		if len(got) != want || got[0].Message != "begun" || !strings.HasPrefix(got[1].Message, "done; manifest ") || got[0].Shape == "" || strings.Contains(got[0].Shape, "anna") {
			t.Errorf("%s has %d records of privacy: %+v", dir, len(got), got)
		} else if dir != s.log() && (got[1].Message != "done; manifest "+made.Digest || got[1].Ticket != "request 7") {
			t.Errorf("the last record is %+v", got[1])
		}
	}
	s.verb(t, 0, "audit", "verify", "--dir", "audit", "--key", "audit.key.pub")
}

// seenIn gives who saw the subject's rows, as a package says.
func seenIn(t *testing.T, path string) string {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := fs.ReadFile(z, "about.json")
	if err != nil {
		t.Fatal(err)
	}
	var about dsar.About
	if err := json.Unmarshal(text, &about); err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, by := range about.Seen.By {
		all += fmt.Sprintf("%d by %s for %s, ", by.Certain, cmp.Or(by.Roles, "nobody's role"), by.Purpose)
	}
	return all
}

// TestDsarExportRefuses tries what leaves no file behind.
func TestDsarExportRefuses(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	s.verb(t, 0, "schema", "--apply")
	if err := os.WriteFile(filepath.Join(s.dir, "there.zip"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := list(t, s.dir)
	for _, tt := range []struct {
		name, want string
		status     int
		args       []string
	}{
		{"a file that is there", "is not written over", 1, []string{"customer", "1", "--out", "there.zip"}},
		{"no such folder", "no such file or directory", 1, []string{"customer", "1", "--out", "nowhere/a.zip"}},
		{"no such subject", "no such customer", 1, []string{"customer", "999", "--out", "a.zip"}},
		{"no such kind", "has no such subject", 1, []string{"visitor", "1", "--out", "a.zip"}},
		{"a wrong recipient", "age recipient 1 is not", 1, []string{"customer", "1", "--out", "a.zip", "--age", "age1nobody"}},
		{"nothing portable", "provided: true", 1, []string{"customer", "1", "--out", "a.zip", "--portable"}},
		{"no file", "give --out", 2, []string{"customer", "1"}},
		{"not a package", "read the package", 1, []string{"--verify", "there.zip"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said := s.verb(t, tt.status, append([]string{"dsar", "export"}, tt.args...)...)
			if !strings.Contains(said, tt.want) {
				t.Errorf("it says %s, want %q", said, tt.want)
			}
		})
	}
	after := list(t, s.dir)
	if after = strings.ReplaceAll(after, "audit ", ""); after != before {
		t.Errorf("files are %s, were %s", after, before)
	}
}

func list(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := ""
	for _, e := range entries {
		names += e.Name() + " "
	}
	return names
}

// TestDsarExportEncrypted encrypts a package and checks it by the secret key.
func TestDsarExportEncrypted(t *testing.T) {
	s := newSite(t, pgtest.Server(t), pgtest.Database(t, "shop"), "127.0.0.1:0", "")
	s.verb(t, 0, "schema", "--apply")
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "key.txt"), []byte("# a comment\n"+key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.verb(t, 0, "dsar", "export", "customer", "1", "--out", "a.zip.age", "--age", key.Recipient().String())
	if said := s.verb(t, 1, "dsar", "export", "--verify", "a.zip.age"); !strings.Contains(said, "give --identity") {
		t.Errorf("it says %s", said)
	}
	s.verb(t, 0, "dsar", "export", "--verify", "a.zip.age", "--identity", "key.txt")
}

// TestOutFileIsKilled kills a process amid a file: nothing is left of it.
func TestOutFileIsKilled(t *testing.T) {
	dir := t.TempDir()
	if os.Getenv("PGVEIL_TEST_OUT") != "" {
		f, err := newOutFile(os.Getenv("PGVEIL_TEST_OUT"))
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString("half of it")
		os.Stdout.WriteString("wrote\n")
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOutFileIsKilled$", "-test.v")
	cmd.Env = append(os.Environ(), "PGVEIL_TEST_OUT="+filepath.Join(dir, "a.zip"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	for said := ""; !strings.Contains(said, "wrote"); {
		n, err := out.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		said += string(b[:n])
	}
	cmd.Process.Kill()
	cmd.Wait()
	if left := list(t, dir); left != "" {
		t.Errorf("what is left: %s", left)
	}
}
