package policy

import (
	"bufio"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// wants gives what the "# want:" lines of a bad file expect.
func wants(text string) []string {
	var found []string
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		if want, ok := strings.CutPrefix(s.Text(), "# want: "); ok {
			found = append(found, want)
		}
	}
	return found
}

func testdata(t testing.TB, pattern string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no testdata/%s: %v", pattern, err)
	}
	files := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = string(text)
	}
	return files
}

func parseAndCompile(name, text string) error {
	d, err := Parse(File{name, text})
	if err == nil {
		_, err = Compile(d, crm(), Clock(atTestDay))
	}
	return err
}

func TestBadFilesSayWhatIsWrongAndWhere(t *testing.T) {
	for name, text := range testdata(t, "*.bad.yaml") {
		t.Run(name, func(t *testing.T) {
			err := parseAndCompile("", text)
			problems, ok := errors.AsType[Problems](err)
			if !ok {
				t.Fatalf("got %v, want Problems", err)
			}
			got := strings.Split(strings.ReplaceAll(problems.Error(), "at :", "at "), "\n")
			expected := wants(text)
			for _, want := range expected {
				if !hasPrefix(got, ":"+want) {
					t.Errorf("no problem %q", want)
				}
			}
			if len(got) != len(expected) || t.Failed() {
				t.Errorf("got %d problems, want %d:\n%s", len(got), len(expected), strings.Join(got, "\n"))
			}
		})
	}
}

func hasPrefix(lines []string, prefix string) bool {
	for _, line := range lines {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

func TestGoodFilesCompile(t *testing.T) {
	for name, text := range testdata(t, "*.good.yaml") {
		t.Run(name, func(t *testing.T) {
			if err := parseAndCompile(name, text); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLoadReadsADirectory(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.yaml", "version: 1\npurposes: {p: {basis: contract}}\n")
	write("b.yml", "roles: {r: {purposes: p}}\n")
	write("notes.txt", "not: [a policy")
	write("crm.case", "not: [a policy")
	if err := os.Mkdir(filepath.Join(dir, "old.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "a.yaml"), filepath.Join(t.TempDir(), "x")); err != nil {
		t.Fatal(err)
	}
	d, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.roles) != 1 || len(d.purposes) != 1 {
		t.Errorf("got %d roles and %d purposes, want 1 of each", len(d.roles), len(d.purposes))
	}

	write("c.yaml", "roles: {r: {}}\n")
	_, err = Load(dir)
	name := filepath.Base(dir)
	want := name + `/c.yaml:1:9: role r is defined twice; the other is at ` + name + "/b.yml:1:9"
	if err == nil || err.Error() != want {
		t.Errorf("Load = %v, want %s", err, want)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("an empty directory is a policy")
	}
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load of nothing = %v", err)
	}
}

func TestLoadFollowsLinks(t *testing.T) {
	target := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(target, []byte("version: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(target, filepath.Join(dir, "p.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err != nil {
		t.Error(err)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	text := "version: 1\nrules:\n" + strings.Repeat("  - {rolls: x}\n", 5000)
	problems, ok := errors.AsType[Problems](parseAndCompile("p.yaml", text))
	if !ok || len(problems) != maxProblems+1 {
		t.Errorf("got %d problems, want %d", len(problems), maxProblems+1)
	}
	if err := parseAndCompile("p.yaml", "version: 1 #"+strings.Repeat("x", maxFileSize)); err == nil {
		t.Error("a file beyond the bound was read")
	}
}

// FuzzParse holds that no text makes Parse or Compile panic, that every
// problem has a place, and that what parses is decided without panic as well.
func FuzzParse(f *testing.F) {
	for _, text := range testdata(f, "*.yaml") {
		f.Add(text)
	}
	for _, text := range []string{claims, tree, lapsing} {
		f.Add(text)
	}
	for _, file := range docsPolicy(f) {
		f.Add("version: 1\n" + file.Text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(File{"p.yaml", text})
		if err != nil {
			checkProblems(t, err)
			return
		}
		s, err := Compile(d, crm(), Clock(atTestDay))
		if err != nil {
			checkProblems(t, err)
			return
		}
		for _, u := range s.Users() {
			describe(s, u.Name, "")
			decideAll(t, s, u.Name)
		}
	})
}

// decideAll decides claims of many kinds for a login. Whoever is only said to act
// has none but the roles that act_as lists.
func decideAll(t *testing.T, s *Set, login string) {
	vouched := &Vouched{Roles: slices.Sorted(maps.Keys(s.roles)), Groups: slices.Sorted(maps.Keys(s.doc.groups)), Attributes: map[string]string{}}
	for _, w := range s.doc.attributes {
		vouched.Attributes[w.text] = "2026-11-23"
	}
	var elevations []Elevation
	for _, e := range s.doc.elevations {
		elevations = append(elevations, Elevation{e.role.text, e.to.text, testDay.Add(time.Hour)})
	}
	for _, user := range append(s.Users(), User{}, User{Name: "nobody"}) {
		for _, purpose := range append(slices.Sorted(maps.Keys(s.doc.purposes)), "") {
			for i := range 16 {
				c := Claim{Login: login, User: user.Name, Purpose: purpose, Second: i&1 != 0}
				if i&2 != 0 {
					c.Vouched = vouched
				}
				if i&4 != 0 {
					c.Elevations = elevations
				}
				if i&8 != 0 {
					c.From = netip.MustParseAddr("10.1.2.3")
				}
				a, err := s.Decide(c)
				if err != nil {
					continue
				}
				for _, role := range a.Roles {
					if c.user() != login && !named(s.doc.users[login].actAs, role) {
						t.Fatalf("%+v has role %q", c, role)
					}
				}
				if !a.Until.IsZero() && !a.Until.After(testDay) {
					t.Fatalf("%+v is decided until %s", c, a.Until)
				}
				a.Offers()
			}
		}
	}
}

func checkProblems(t *testing.T, err error) {
	problems, ok := errors.AsType[Problems](err)
	if !ok || len(problems) == 0 || len(problems) > maxProblems+1 {
		t.Fatalf("got %v, want some Problems", err)
	}
	for _, p := range problems {
		if p.Pos.File == "" || p.Pos.Line < 1 || p.Pos.Column < 1 {
			t.Fatalf("problem %q is nowhere: %v", p.Text, p.Pos)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, sql := range []string{`region = :region`, `a = 'x'':y' AND b::text = E'\':z' /* :c /* */ */`, `t[1:n] @> $a$ :x $a$`} {
		f.Add(sql, `it's \ x`)
	}
	f.Fuzz(func(t *testing.T, sql, value string) {
		parsed, err := parseFilter(sql)
		if err != nil {
			return
		}
		attributes := map[string]string{}
		for _, name := range parsed.names {
			attributes[name] = value
		}
		filled, missing := parsed.sql(attributes)
		if missing != "" {
			return
		}
		// What was filled in is a value: the text still reads as one filter,
		// with no placeholder left.
		again, err := parseFilter(filled)
		if err != nil || len(again.names) != 0 {
			t.Errorf("%q filled with %q is %q: %v, placeholders %q", sql, value, filled, err, again.names)
		}
	})
}
